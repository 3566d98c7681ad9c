"""Tell simplified from traditional Chinese text by the characters that only one of them has.

No table of our own: GB 2312 is the character set of simplified and Big5 that of traditional
Chinese, so a character in one of them alone belongs to that orthography. Characters that both use
(后, 里, 台) are in both sets and so count for neither.
"""

from __future__ import annotations

from functools import cache

_UNIFIED_IDEOGRAPHS = range(0x4E00, 0xA000)


@cache
def _orthographies() -> tuple[frozenset[str], frozenset[str]]:
    ideographs = "".join(map(chr, _UNIFIED_IDEOGRAPHS))
    simplified = set(ideographs.encode("gb2312", "ignore").decode("gb2312"))
    traditional = set(ideographs.encode("big5", "ignore").decode("big5"))
    return frozenset(simplified - traditional), frozenset(traditional - simplified)


def han_script(text: str) -> str | None:
    """Return "Hans" or "Hant", whichever has more characters of its own; None if neither has."""
    simplified, traditional = _orthographies()
    num_simplified = sum(character in simplified for character in text)
    num_traditional = sum(character in traditional for character in text)
    if num_simplified == num_traditional:
        return None
    return "Hans" if num_simplified > num_traditional else "Hant"
