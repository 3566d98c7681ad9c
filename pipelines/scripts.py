"""What koine knows of the world's scripts beyond the Unicode tables.

Names are ISO 15924 codes. All of it is passed to the kernels as arrays or baked into the tables by
`pipelines.unicode_data`, so run that after changing `UNSPACED`.

Not here: anything about a language. A language that is written with spaces in a script that
usually has none (or the reverse) gets the treatment of its script.
"""

from __future__ import annotations

# Scripts whose running text has no spaces between words. A grapheme cluster is then the unit of
# counting and of shingles, and statistics of words do not apply.
#
# Unicode's line breaking names most of them: class SA ("needs a dictionary": Thai, Lao, Khmer,
# Myanmar and the Tai scripts), ID (Han, kana, Yi, Tangut, Nushu), and since 15.1 the aksara classes
# AK/AP/AS for scripts that break between syllables (Bali, Java, Batak ...). Of the last group those
# are taken that are written without spaces in practice. Left out, because they do have spaces:
# Hangul, Mongolian, Sundanese, Limbu, Lisu, Phags-pa (between syllables), Vai, and Cham, whose
# Eastern form in today's use separates words.
UNSPACED = frozenset(
    {
        "Thai", "Laoo", "Khmr", "Mymr",  # SA; spaces part phrases
        "Tale", "Talu", "Lana", "Tavt", "Ahom",  # SA; Tai Viet has spaces in recent texts only
        "Tibt", "Marc",  # tsheg between syllables, space after a clause
        "Hani", "Hira", "Kana", "Bopo",
        "Yiii",  # a syllable is a letter; printed Nuosu has no word spaces
        "Tang", "Nshu", "Kits", "Jurc", "Seal",  # written like Chinese
        "Java", "Bali", "Kawi",  # scriptio continua; modern prints space at punctuation only
        "Batk", "Bugi", "Maka",  # the same, with section marks
        "Egyp", "Hluw", "Xsux", "Pcun",  # antiquity: signs follow each other
    }
)  # fmt: skip

# How many graphemes make a word, for n-grams over scripts without spaces: the n-gram of `n` words
# becomes one of `n` times this many graphemes. Means of segmented text, rounded up: Chinese words
# have 1.5 to 1.8 characters, Japanese morphemes 1.9, but its endings come several together (with 2,
# the Japanese Declaration repeats itself twice as much as the Latin ones, with 3 less); Thai, Lao,
# Khmer and Burmese words have 2.5 to 4 clusters; a Tibetan syllable has 2 to 3 stacks and a word
# 1.5 syllables.
DEFAULT_GRAPHEMES_PER_WORD = 4
GRAPHEMES_PER_WORD = {
    "Hani": 2, "Hira": 3, "Kana": 3, "Bopo": 3, "Yiii": 2,
    "Tang": 2, "Nshu": 2, "Kits": 2, "Jurc": 2, "Seal": 2,
}  # fmt: skip

# Scripts whose ordinary prose does not end a sentence with a mark: a rule about terminal marks
# does not apply. In Thai and Lao a space ends it; the others use a section mark, or nothing.
# (Tibetan, Khmer, Burmese, Javanese do have their marks: shad, khan, section, pada.)
NO_TERMINALS = frozenset(
    {"Thai", "Laoo", "Talu", "Tavt", "Batk", "Bugi", "Maka", "Egyp", "Hluw", "Xsux", "Pcun"}
)

# How much content one grapheme carries, relative to a Latin letter: the weight with which parallel
# text has the same content in every script. Solved from medians over the Universal Declaration (528
# translations, 40 scripts) against those in Latin script, and checked on NLLB-Seed (28 languages);
# for scripts in neither, the weight of their kind. They put thresholds of length on one scale and
# measure no language: translations into one script differ by 15 %, so 0.2 mean nothing.
DEFAULT_DENSITY = 1.0
DENSITY = {
    # One character, one morpheme.
    "Hani": 4.0, "Tang": 4.0, "Nshu": 2.0, "Kits": 2.0, "Jurc": 4.0, "Seal": 4.0,
    # One character, one syllable.
    "Hang": 3.0, "Yiii": 3.6, "Hira": 2.0, "Kana": 2.0, "Ethi": 2.0, "Cans": 1.7, "Cher": 1.3,
    "Vaii": 1.4, "Bamu": 1.5, "Mend": 1.6,
    # Abugidas: a cluster is a consonant (or a conjunct) with its vowel.
    "Deva": 2.0, "Beng": 2.0, "Guru": 1.6, "Gujr": 2.0, "Orya": 2.0, "Taml": 1.3, "Telu": 1.9,
    "Knda": 1.7, "Mlym": 1.9, "Sinh": 1.5, "Tibt": 1.2, "Mymr": 1.2, "Khmr": 1.9, "Laoo": 1.3,
    "Thai": 1.5, "Java": 2.0, "Bali": 2.0, "Sund": 1.5, "Lana": 1.5, "Cham": 1.5, "Mtei": 1.5,
    "Cakm": 2.0, "Newa": 2.0, "Tirh": 2.0, "Sylo": 1.5, "Batk": 1.5, "Bugi": 1.5,
    # Short vowels are not written, or sit on the consonant.
    "Arab": 1.1, "Hebr": 1.3, "Syrc": 1.5,
    # Longer words for the same.
    "Grek": 0.9,
}  # fmt: skip

# Marks that end a sentence or a verse and that Unicode's Sentence_Terminal leaves out.
EXTRA_TERMINALS = (
    "\u2026\u22ef"  # ellipses
    "\u055c\u055e"  # Armenian exclamation and question marks (they stand on the last vowel)
    "\u05c3"  # Hebrew sof pasuq
    "\u0f0d\u0f0e\u0f0f\u0f10\u0f11\u0f14"  # Tibetan shad and its forms
    "\u0df4"  # Sinhala kunddaliya
    "\u10fb"  # Georgian paragraph separator
    "\u17da"  # Khmer koomuut
    "\u037e"  # Greek question mark; NFC makes it ';', which counts in Greek text only
)

# Signs that may stand inside a word when a letter is on either side.
MIDWORD = (
    "'\u2018\u2019\uff07"  # apostrophes as typed
    "\u00b7\u2027"  # Catalan l.l, hyphenation point
    "-\u2010\u2011\u058a\u05be\u1806"  # hyphens: ASCII, Unicode, Armenian, maqaf, Mongolian
    "\u05f3\u05f4"  # Hebrew geresh, gershayim
)

# Signs that start an item of a list. The em dash is not one: it opens speech in Spanish, French
# and Russian. U+F0A7 and U+F0B7 are what Word's bullets become.
BULLETS = (
    "-*+\u2022\u2023\u2043\u204c\u204d\u2219\u25cb\u25cf\u25e6\u25c9\u25c6\u25c7\u25aa\u25ab\u25a0"
    "\u25a1\u25b6\u25b7\u25b8\u25b9\u25ba\u25bb\u2605\u2606\u2013\u00b7\u30fb\uff65\u10fb\u203b"
    "\u2713\u2714\u2717\u2718\u27a2\u27a4\u2192\u21d2\u29bf\u29be\u2756\u2794\uf0a7\uf0b7"
)

ELLIPSES = "\u2026\u22ef"
