"""What a vocabulary says of its pieces: how rare each is, which are bytes, which begin a word.

Promises: it works for Unigram and BPE with byte fallback (`<0xE0>`), for byte-level BPE (whose
alphabet writes each byte as a letter, E0 as `à`) and for WordPiece (`##ing`).
Does not promise: frequencies. Only a Unigram vocabulary keeps them.
"""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import regex
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tokenizers

_BYTE = regex.compile(r"<0x([0-9A-F]{2})>")
_UNSEEN = regex.compile(r"[\p{Z}\p{C}]*")
_BEGINS = ("▁", "Ġ", " ")


@cache
def _byte_letters() -> dict[str, int]:
    """Return the byte that each letter of a byte-level alphabet stands for (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {
        chr(256 + number): byte for number, byte in enumerate(others)
    }


class Vocabulary:
    """A tokenizer's pieces."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        """Read what the tokenizer's own file says."""
        self._tokenizer = tokenizer
        own = json.loads(tokenizer.to_str())
        self._kind = own["model"]["type"]
        self._is_byte_level = '"ByteLevel"' in json.dumps(own.get("decoder"))
        names = (own["model"].get("unk_token"), "[UNK]", "<unk>")
        ids = [tokenizer.token_to_id(name) for name in names if name]
        self.unknown: int | None = next((number for number in ids if number is not None), None)
        self.rarity = self._rarity(own)
        """Of each piece; more is rarer."""

    def _rarity(self, own: dict[str, dict[str, list[tuple[str, float]]]]) -> NDArray[np.float64]:
        """Return how rare each piece is.

        A Unigram vocabulary knows: its scores are log-probabilities. Others are ordered: BPE by its
        merges, WordPiece most often by frequency, so the later piece is the rarer one. Bytes and
        [UNK] stand for what no piece was made for, and are the rarest.
        """
        found = np.arange(self._tokenizer.get_vocab_size(), dtype=np.float64)
        if self._kind == "Unigram":
            scores = [score for _, score in own["model"]["vocab"]]
            found[: len(scores)] = [-score for score in scores]
        rarest = float(found.max(initial=0.0)) + 1
        for token, number in self._tokenizer.get_vocab().items():
            if number == self.unknown or self.bytes_in(token):
                found[number] = rarest
        return found

    def bytes_in(self, token: str) -> str:
        """Return the bytes of a piece that makes no letters, such as `E0 A4`; else nothing."""
        if match := _BYTE.fullmatch(token):
            return str(match[1])
        letters = _byte_letters()
        if not self._is_byte_level or not all(letter in letters for letter in token):
            return ""
        data = bytes(letters[letter] for letter in token)
        try:
            data.decode()
        except UnicodeDecodeError:
            return data.strip().hex(" ").upper()
        return ""

    def is_blank(self, token: str) -> bool:
        """Tell whether a piece is the mark of a word's beginning and nothing else."""
        return not token.strip("".join(_BEGINS))

    def begins(self, token: str) -> bool:
        """Tell whether a piece begins a word."""
        if self._kind == "WordPiece":
            return not token.startswith("##")
        return token.startswith(_BEGINS)

    def letters(self, number: int) -> str:
        """Return the letters of a piece by its number; none of bytes and special pieces."""
        text = self._tokenizer.decode([number], skip_special_tokens=True).removeprefix("##")
        hidden = "\N{REPLACEMENT CHARACTER}" in text or _UNSEEN.fullmatch(text)
        return "" if hidden else text.strip()

    def name(self, number: int) -> str:
        """Return a piece in words: its letters, or what it is instead."""
        token = self._tokenizer.id_to_token(number) or ""
        if text := self.letters(number):
            return text
        if spelt := self.bytes_in(token):
            return f"byte{'s' if ' ' in spelt else ''} {spelt}"
        if self.is_blank(token):
            return "space"
        text = self._tokenizer.decode([number], skip_special_tokens=True).strip()
        return (
            ", ".join(unicodedata.name(one, f"U+{ord(one):04X}").lower() for one in text) or token
        )
