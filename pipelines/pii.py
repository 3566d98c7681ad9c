"""Mask e-mail addresses, IP addresses and telephone numbers by `<email>`, `<ip>` and `<phone>`.

    emails  in any script, as internationalised addresses are: josé@example.org, почта@пример.рф
    ips     IPv4 with valid octets, public or private, of which one at least has two digits (1.2.3.4
            is a section or a version), loopback and network masks excepted; complete IPv6
    phones  international (+49 30 901820), and the grouped local forms that nothing else is written
            in: with a trunk zero, an area code in parentheses, 555-123-4567 or 138-1234-5678;
            with the digits of any script. Not dates, years, ISBNs or numbers without groups

RE2 finds candidates in linear time; what needs to look around is checked on the candidate. A scan
over the bytes goes first, so that only documents with an `@` or such digits get that far.

Promises: idempotent. On the labelled lines in tests/pipelines/test_pii.py precision and recall are
stated. Does not promise: names, addresses, and whatever is written to escape (name at domain).
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import re2
from numpy.typing import NDArray

from .bits import DIGIT
from .clean import replace_rows
from .jit import kernel
from .unicode import TABLES, Tables, buffers, decode, flags_of

EMAIL, IP, PHONE = range(3)
PLACEHOLDERS = ("<email>", "<ip>", "<phone>")

# Letters of the scripts that are written with spaces. In the others an address follows the text
# before it directly, and only ASCII can be told from it.
_SPACED = (
    r"[^\P{L}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{Tibetan}]"
)


def _email(letter: str) -> str:
    local = rf"(?:{letter}|[\p{{M}}\p{{Nd}}._%+\-])"
    name = rf"(?:{letter}|[\p{{M}}\p{{Nd}}\-])"
    top = rf"(?:{letter}|\p{{M}})"
    return rf"{local}+[@\x{{FF20}}](?:{name}+\.)+(?:xn--[A-Za-z0-9]+|{top}{top}+)"


_EMAILS = (re2.compile(_email(_SPACED)), re2.compile(_email(r"\p{L}")))
_IPV4 = re2.compile(r"[0-9]+(?:\.[0-9]+)+")
_IPV6 = re2.compile(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
# Seven digits or more, of any script, with at most two signs between two of them.
_PHONE = re2.compile(
    r"[+\x{FF0B}]? ?\(?\p{Nd}(?:[ .\-/()\x{2010}-\x{2013}\x{FF0D}]{0,2}\p{Nd}){6,}\)?"
)
PATTERNS = {
    "email": _EMAILS[0], "email_any": _EMAILS[1], "ipv4": _IPV4, "ipv6": _IPV6, "phone": _PHONE,
}  # fmt: skip

_NO_TOP_DOMAINS = {
    "png", "jpg", "jpeg", "gif", "webp", "svg", "css", "js", "ts", "html", "md", "py",
}  # fmt: skip
_VERSION_WORDS = ("v", "ver", "ver.", "version", "release", "rev", "build")


def mask(
    text: pa.LargeStringArray, *, emails: bool, ips: bool, phones: bool
) -> tuple[pa.LargeStringArray, NDArray[np.int32]]:
    """Return the documents with what is asked for masked, and (n, 3) counts of each kind."""
    counts = np.zeros((len(text), 3), np.int32)
    offsets, data = buffers(text)
    suspects = np.zeros((len(text), 3), np.bool_)
    _find_suspects(offsets, data, TABLES, suspects)
    suspects &= np.array([emails, ips, phones])
    changed = {}
    for row in np.flatnonzero(suspects.any(axis=1)).tolist():
        document = text[row].as_py()
        for kind, replace in ((EMAIL, _mask_emails), (IP, _mask_ips), (PHONE, _mask_phones)):
            if suspects[row, kind]:
                document, counts[row, kind] = replace(document)
        if counts[row].any():
            changed[row] = document
    return replace_rows(text, changed), counts


def _mask_emails(text: str) -> tuple[str, int]:
    total = 0
    for pattern in _EMAILS:
        if "@" in text or "\uff20" in text:
            text, count = _substitute(pattern, text, EMAIL, _email_length)
            total += count
    return text, total


def _mask_ips(text: str) -> tuple[str, int]:
    text, num_v6 = _substitute(_IPV6, text, IP, _ipv6_length) if ":" in text else (text, 0)
    text, num_v4 = _substitute(_IPV4, text, IP, _ipv4_length)
    return text, num_v4 + num_v6


def _mask_phones(text: str) -> tuple[str, int]:
    return _substitute(_PHONE, text, PHONE, _phone_length)


# Says how many characters at the start and the end of a candidate stay, or None: all of it.
Check = Callable[[str, str, str], tuple[int, int] | None]


def _substitute(pattern: re2._Regexp, text: str, kind: int, check: Check) -> tuple[str, int]:
    """Replace the candidates that pass a check of (candidate, 16 before, next character)."""
    pieces = []
    done = count = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        stays = check(text[start:end], text[max(start - 16, done, 0) : start], text[end : end + 1])
        if stays is not None:
            pieces += [text[done : start + stays[0]], PLACEHOLDERS[kind]]
            done = end - stays[1]
            count += 1
    pieces.append(text[done:])
    return "".join(pieces), count


def _email_length(candidate: str, before: str, after: str) -> tuple[int, int] | None:
    del before, after
    if candidate.rpartition(".")[2].lower() in _NO_TOP_DOMAINS:  # image@2x.png
        return None
    return len(candidate) - len(candidate.lstrip(".-+%_")), 0


def _ipv4_length(candidate: str, before: str, after: str) -> tuple[int, int] | None:
    octets = candidate.split(".")
    if len(octets) != 4 or max(map(len, octets)) > 3 or max(map(len, octets)) < 2:
        return None
    if any(int(octet) > 255 or (octet[0] == "0" and octet != "0") for octet in octets):
        return None
    if _joins(before[-1:]) or before[-1:] in ("-", ".") or _joins(after):
        return None
    if octets[0] == "127" or octets[:2] == ["255", "255"]:  # this machine, a mask: nobody's
        return None
    words = before.lower().split()
    return None if words and words[-1] in _VERSION_WORDS else (0, 0)


def _ipv6_length(candidate: str, before: str, after: str) -> tuple[int, int] | None:
    address = candidate.rstrip(".")
    if address.endswith(":") and not address.endswith("::"):
        address = address[:-1]
    digits = address.replace(":", "").replace(".", "")
    # a::b is C++ or Haskell; an address has a number in it.
    if len(digits) < 4 or len(address) > 45 or not any(d.isdigit() for d in digits):
        return None
    if _joins(before[-1:]) or _joins(after):
        return None
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return None
    return 0, len(candidate) - len(address)


def _phone_length(candidate: str, before: str, after: str) -> tuple[int, int] | None:
    if len(candidate) > 40:
        return None
    start = len(candidate) - len(candidate.lstrip(" "))
    body = candidate[start:]
    end = 0
    if body.endswith(")") and body.count(")") > body.count("("):
        body, end = body[:-1], 1
    spaced = "".join(
        str(unicodedata.digit(c))
        if c.isdecimal()
        else c
        if c in "+()"
        else "-"
        if c != " "
        else " "
        for c in body.replace("\uff0b", "+")
    )
    if _joins(after) or (start == 0 and (_joins(before[-1:]) or _binds(before))):
        return None
    if after and after in "%°€$£¥=/":
        return None
    return (start, end) if _is_phone(spaced, dots="." in body) else None


def _is_phone(number: str, *, dots: bool) -> bool:
    """Tell whether a number, of ASCII digits in groups by space, `-` and parentheses, is one."""
    international = number.startswith("+")
    groups = "".join(c if c.isdigit() else " " for c in number).split()
    lengths = [len(group) for group in groups]
    num_digits = sum(lengths)
    if international:
        return 8 <= num_digits <= 15
    if len(groups) < 2 or lengths[-1] < 2 or _is_date(groups):
        return False
    if groups[0].startswith("00") and lengths[0] >= 3:  # 0049 30 ...
        return 9 <= num_digits <= 15
    if number.startswith("(") and number.find(")") in (3, 4, 5, 6):
        if lengths[0] == 4 and groups[0][:2] in ("19", "20"):  # (2008) 1952-2002
            return False
        return 8 <= num_digits <= 12
    if groups[0].startswith("0"):
        least = 10 if dots else 8
        return 2 <= lengths[0] <= 5 and least <= num_digits <= 12 and max(lengths) <= 8
    hyphens = " " not in number and "(" not in number
    return hyphens and lengths in ([3, 3, 4], [3, 4, 4], [1, 3, 3, 4])


def _is_date(groups: list[str]) -> bool:
    """Tell whether the groups begin with a date: 01 02 2024 or 2024 02 01, or end in a year."""
    if len(groups) < 3:
        return len(groups[-1]) == 4 and len(groups[0]) <= 2 and groups[-1][:2] in ("19", "20")
    first, second, third = groups[:3]
    short = len(second) <= 2 and int(second) <= 31
    return short and (
        (len(first) <= 2 and len(third) == 4 and third[:2] in ("19", "20"))
        or (len(first) == 4 and len(third) <= 2)
    )


def _binds(before: str) -> bool:
    """Tell whether a sign before a number makes it an amount, an id or part of a path."""
    sign = before[-1:]
    return sign != "" and (sign in "+-#/=_.,%&$€£¥" or (sign == ":" and before[-2:-1].isdigit()))


def _joins(character: str) -> bool:
    """Tell whether a neighbour makes the candidate a part of something longer."""
    return character != "" and (character.isalnum() or character == "_") and _is_spaced(character)


def _is_spaced(character: str) -> bool:
    # In scripts without spaces a letter beside a number means nothing: 电话010-1234-5678.
    return _LETTERS.search(character) is not None or not character.isalpha()


_LETTERS = re2.compile(_SPACED)


@kernel
def _find_suspects(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    tables: Tables,
    suspects: NDArray[np.bool_],
) -> None:
    """Mark documents with an `@`, four numbers with dots or two colons, seven digits together."""
    for document in range(offsets.shape[0] - 1):
        position, end = offsets[document], offsets[document + 1]
        digits = gap = dots = colons = 0
        while position < end:
            byte = data[position]
            if byte < 0x80:
                position += 1
                is_digit = 48 <= byte <= 57
                if byte == 64:
                    suspects[document, 0] = True
                elif byte == 46:  # .
                    dots += gap == 0 and digits > 0
                elif byte == 58:  # :
                    colons += 1
                elif not is_digit:
                    hexadecimal = 97 <= byte | 32 <= 102
                    if not hexadecimal:
                        colons = 0
                    dots = 0
            else:
                code_point, width = decode(data, position)
                position += width
                is_digit = flags_of(tables, code_point) & DIGIT != 0
                if code_point == 0xFF20:
                    suspects[document, 0] = True
                colons = dots = 0
            if is_digit:
                digits += 1
                gap = 0
                if digits >= 7:
                    suspects[document, 2] = True
            elif digits:
                gap += 1
                if gap > 4:
                    digits = gap = 0
            if dots >= 3 or colons >= 2:
                suspects[document, 1] = True
