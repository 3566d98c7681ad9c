"""Write the Unicode tables that the kernels read: `python -m pipelines.unicode_data`.

The properties come from the `regex` module, which is needed here and in the tests only. The result,
`unicode.npz`, is committed. Two-stage tables: `index[code point >> BLOCK_BITS]` is the number of a
block of `info` (flags, `pipelines.unicode`) or of `fold` (what to add to fold the case).

The same `regex` version gives the same bytes; the file names it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from . import bits, scripts

NUM_CODE_POINTS = 0x110000
# Four UTF-8 bytes can spell up to 0x1FFFFF: such a bad sequence must not read beyond the tables.
NUM_INDEXED = 0x200000
ZIP_DATE = (1980, 1, 1, 0, 0, 0)

# Grapheme_Cluster_Break, in the order of the `bits.GCB_*` numbers.
GRAPHEME_BREAKS = ("CR", "LF", "CN", "EX", "ZWJ", "RI", "PP", "SM", "L", "V", "T", "LV", "LVT")
# Sentence_Break, in the order of the `bits.SB_*` numbers.
SENTENCE_BREAKS = (
    "CR", "LF", "SE", "EX", "FO", "SP", "LO", "UP", "LE", "NU", "AT", "SC", "ST", "CL",
)  # fmt: skip
CONJUNCT_BREAKS = ("Extend", "Consonant", "Linker")  # Indic_Conjunct_Break, from 1
FLAGS = {
    bits.LETTER: r"[\p{L}\p{Nl}]",
    bits.MARK: r"\p{M}",
    bits.DIGIT: r"\p{Nd}",
    bits.NUMBER: r"\p{No}",
    bits.PUNCTUATION: r"\p{P}",
    bits.SYMBOL: r"\p{S}",
    bits.SPACE: r"\p{White_Space}",
    bits.CONTROL: r"\p{Cc}",
    bits.FORMAT: r"\p{Cf}",
    bits.PRIVATE: r"\p{Co}",
    bits.UNASSIGNED: r"[\p{Cn}\p{Cs}]",
    bits.IGNORABLE: r"\p{Default_Ignorable_Code_Point}",
    bits.NONCHARACTER: r"\p{Noncharacter_Code_Point}",
    bits.TERMINAL: rf"[\p{{Sentence_Terminal}}{scripts.EXTRA_TERMINALS}]",
    bits.CLOSER: r"[[\p{Pe}\p{Pf}\p{Pi}\p{Quotation_Mark}]--\p{Ps}]",
    bits.NFC_NO: r"\p{NFC_QC=N}",
    bits.NFC_MAYBE: r"\p{NFC_QC=M}",
    bits.COMBINING: r"\P{CCC=0}",
    bits.MIDWORD: rf"[{regex.escape(scripts.MIDWORD)}]",
    bits.ELLIPSIS: rf"[{scripts.ELLIPSES}]",
    bits.BULLET: rf"[{regex.escape(scripts.BULLETS)}]",
    bits.PICTOGRAPHIC: r"\p{Extended_Pictographic}",
}
EVERYTHING = "".join(map(chr, range(NUM_CODE_POINTS)))


def ranges(pattern: str) -> Iterator[slice]:
    """Yield the ranges of code points that match a character class."""
    for match in regex.finditer(f"(?:{pattern})+", EVERYTHING, regex.V1):
        yield slice(match.start(), match.end())


def script_names() -> list[str]:
    """Return the ISO 15924 codes that Unicode knows: Zyyy, Zinh, Zzzz, then by the alphabet."""
    # The names are not in the public interface; `\p{sc=...}` is, and checks each of them.
    _, values = regex._regex_core.PROPERTIES["SCRIPT"]
    codes: dict[int, str] = {}
    for name, number in values.items():  # several names a script: the last of four letters is ISO's
        if len(name) == 4 and not name.startswith("QAA"):
            codes[number] = name.title()
    return ["Zyyy", "Zinh", "Zzzz", *sorted(set(codes.values()) - {"Zyyy", "Zinh", "Zzzz", "Hrkt"})]


def flags(names: list[str]) -> NDArray[np.int64]:
    """Return the flags of every code point, (NUM_CODE_POINTS,)."""
    info = np.zeros(NUM_CODE_POINTS, np.int64)
    for flag, pattern in FLAGS.items():
        for span in ranges(pattern):
            info[span] |= flag
    for number, name in enumerate(GRAPHEME_BREAKS, start=1):
        for span in ranges(rf"\p{{GCB={name}}}"):
            info[span] |= number << bits.GCB_SHIFT
    for number, name in enumerate(SENTENCE_BREAKS, start=1):
        for span in ranges(rf"\p{{SB={name}}}"):
            info[span] |= number << bits.SB_SHIFT
    for number, name in enumerate(CONJUNCT_BREAKS, start=1):
        for span in ranges(rf"\p{{InCB={name}}}"):
            info[span] |= number << bits.INCB_SHIFT
    for number, name in enumerate(names):
        for span in ranges(rf"\p{{sc={name}}}"):
            info[span] |= number << bits.SCRIPT_SHIFT
    own = "".join(rf"\p{{sc={name}}}" for name in names if name in scripts.UNSPACED)
    # Letters that only such scripts share, by Script_Extensions: U+3006, the prolonged sound mark.
    sharing = "".join(rf"\p{{scx={name}}}" for name in names if name in scripts.UNSPACED)
    others = "".join(rf"\p{{scx={name}}}" for name in names if name not in scripts.UNSPACED)
    letters = r"[\p{L}\p{Nl}]"
    for pattern in (rf"[[{own}]&&[{letters}\p{{M}}]]", rf"[[{sharing}]&&{letters}--[{others}]]"):
        for span in ranges(pattern):
            info[span] |= bits.UNSPACED
    info[fold_deltas() != 0] |= bits.FOLDS
    return info


def fold_deltas() -> NDArray[np.int32]:
    """Return folded minus original for every code point (simple folding, CaseFolding.txt C+S)."""
    folded = regex._regex.fold_case(regex.UNICODE | regex.IGNORECASE, EVERYTHING)
    deltas = np.array([ord(new) - code for code, new in enumerate(folded)], np.int32)
    deltas[ord("I")] = ord("i") - ord("I")  # `regex` leaves it alone, for Turkish
    return deltas


def two_stage(values: NDArray[np.generic]) -> tuple[NDArray[np.uint16], NDArray[np.generic]]:
    """Return (index, blocks end to end); numbers beyond Unicode get its last block."""
    blocks = values.reshape(-1, 1 << bits.BLOCK_BITS)
    unique, inverse = np.unique(blocks, axis=0, return_inverse=True)
    index = np.full(NUM_INDEXED >> bits.BLOCK_BITS, inverse.reshape(-1)[-1], np.uint16)
    index[: len(blocks)] = inverse.reshape(-1)
    return index, unique.reshape(-1)


def tables() -> dict[str, NDArray[np.generic]]:
    """Return everything that `unicode.npz` holds."""
    names = script_names()
    info_index, info = two_stage(flags(names))
    fold_index, fold = two_stage(fold_deltas())
    return {
        "source": np.array(f"regex {regex.__version__}"),
        "scripts": np.array(names),
        "info_index": info_index,
        "info": info,
        "fold_index": fold_index,
        "fold": fold,
    }


def write(path: Path) -> None:
    """Write the tables as a compressed .npz, with fixed dates: the same data is the same file."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in tables().items():
            member = io.BytesIO()
            np.lib.format.write_array(member, values, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.getvalue(), compresslevel=9)


if __name__ == "__main__":
    write(Path(__file__).with_name("unicode.npz"))
