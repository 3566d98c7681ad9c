"""Strategies for text in many scripts: words of one script, and what stands around them."""

import unicodedata
from functools import cache

import regex
from hypothesis import settings
from hypothesis import strategies as st

# The first example of a test may compile a kernel.
settings.register_profile("kernels", deadline=None)
settings.load_profile("kernels")

# fmt: off
SCRIPTS = [
    "Latn", "Cyrl", "Grek", "Armn", "Geor", "Hebr", "Arab", "Syrc", "Thaa", "Nkoo", "Deva",
    "Beng", "Guru", "Gujr", "Orya", "Taml", "Telu", "Knda", "Mlym", "Sinh", "Thai", "Laoo",
    "Tibt", "Mymr", "Khmr", "Mong", "Ethi", "Hang", "Hani", "Hira", "Kana", "Bopo", "Yiii",
    "Java", "Bali", "Lana", "Cher", "Cans", "Tfng", "Vaii", "Adlm", "Mtei", "Olck", "Cham",
]
# fmt: on
# Code points that this Python knows, so that a test may ask it about them.
EVERYTHING = "".join(
    chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")
)
# White space, signs, quotes, terminals of many scripts, bullets, brackets, emoji and its parts,
# joiners, ZWSP, soft hyphen, keycap, regional indicators, prepended and combining marks.
SIGNS = [
    *" \t\u00a0\u3000.,;:!?'\"()[]{}#-*…。！？।॥۔؟།་။։\u2019\u201c\u201d«»·•–—/&0123456789٣४",
    *("...", "....", "...)", "。。。", ". ", "; "),
    *("\u200c", "\u200d", "\u200b", "\u00ad", "\ufe0f", "\u3164", "\u0007"),
    *("\U0001f469\u200d\U0001f467", "❤\ufe0f", "1\ufe0f\u20e3", "\U0001f1e7\U0001f1f3"),
    *("\u0600", "\u0301", "\u093f", "\u1cf5", "ー", "々", "〇", "½", "ˊ"),
]


@cache
def alphabet(script):
    """Return up to 60 letters and 20 marks of a script, evenly spread over its code points."""
    letters, marks, digits = (
        # Not cached: the module's cache rolls dice when it is full, which hypothesis notices.
        regex.compile(rf"[\p{{{kind}}}&&\p{{sc={script}}}]", regex.V1, cache_pattern=False).findall(
            EVERYTHING
        )
        for kind in ("L", "M", "Nd")
    )
    return letters[:: len(letters) // 60 + 1] + marks[:: len(marks) // 20 + 1] * 2 + digits


@st.composite
def documents(draw, max_words=40):
    """Draw a document mostly of one script: few different words, so that they repeat."""
    script = draw(st.sampled_from(SCRIPTS))
    other = draw(st.sampled_from(SCRIPTS))
    letters = st.sampled_from(alphabet(script))
    word = st.text(letters, min_size=1, max_size=6)
    few = draw(st.lists(word, min_size=1, max_size=5))
    part = st.one_of(
        st.sampled_from(few),
        st.sampled_from(few),
        st.sampled_from(few),
        word,
        st.text(st.sampled_from(alphabet(other)), min_size=1, max_size=4),
        st.sampled_from(SIGNS),
    )
    parts = draw(st.lists(part, max_size=max_words))
    glue = draw(st.sampled_from(["", " ", " ", "\n", "\n\n"]))
    gaps = draw(st.lists(st.sampled_from([glue, glue, " ", "\n", " \n\n"]), max_size=len(parts)))
    gaps += [glue] * (len(parts) - len(gaps))
    text = "".join(part + gap for part, gap in zip(parts, gaps, strict=True))
    return unicodedata.normalize("NFC", text)
