"""The layout of the flags that the Unicode tables hold for each code point.

Part of the kernels (`pipelines.jit`): run `python -m pipelines.unicode_data` after changing it.
"""

from __future__ import annotations

BLOCK_BITS = 7  # code points in a block of the two-stage tables: 128

# General categories.
LETTER = 1 << 0  # L, and Nl: Roman numerals, U+3007
MARK = 1 << 1  # M
DIGIT = 1 << 2  # Nd, of every script
NUMBER = 1 << 3  # No
PUNCTUATION = 1 << 4  # P
SYMBOL = 1 << 5  # S
SPACE = 1 << 6  # White_Space
CONTROL = 1 << 7  # Cc
FORMAT = 1 << 8  # Cf
PRIVATE = 1 << 9  # Co
UNASSIGNED = 1 << 10  # Cn, Cs
# Other properties.
IGNORABLE = 1 << 11  # Default_Ignorable_Code_Point
TERMINAL = 1 << 12  # Sentence_Terminal and scripts.EXTRA_TERMINALS
CLOSER = 1 << 13  # closing brackets and all quotation marks: may follow a terminal
NFC_NO = 1 << 14  # NFC_Quick_Check=No
NFC_MAYBE = 1 << 15  # NFC_Quick_Check=Maybe
COMBINING = 1 << 16  # Canonical_Combining_Class is not 0
UNSPACED = 1 << 17  # letters and marks of scripts without spaces, scripts.UNSPACED
MIDWORD = 1 << 18  # scripts.MIDWORD
ELLIPSIS = 1 << 19
BULLET = 1 << 20  # scripts.BULLETS
NONCHARACTER = 1 << 21
FOLDS = 1 << 22  # simple case folding changes it
PICTOGRAPHIC = 1 << 23  # Extended_Pictographic
# Fields of several bits.
GCB_SHIFT = 24  # Grapheme_Cluster_Break, 4 bits
INCB_SHIFT = 28  # Indic_Conjunct_Break, 2 bits
SCRIPT_SHIFT = 32  # an index of unicode.SCRIPTS, 8 bits
SB_SHIFT = 40  # Sentence_Break, 4 bits
GCB_MASK = 15
INCB_MASK = 3
SCRIPT_MASK = 255
SB_MASK = 15

GCB_OTHER, GCB_CR, GCB_LF, GCB_CONTROL, GCB_EXTEND, GCB_ZWJ, GCB_REGIONAL = range(7)
GCB_PREPEND, GCB_SPACING, GCB_L, GCB_V, GCB_T, GCB_LV, GCB_LVT = range(7, 14)
SB_OTHER, SB_CR, SB_LF, SB_SEP, SB_EXTEND, SB_FORMAT, SB_SP, SB_LOWER, SB_UPPER = range(9)
SB_OLETTER, SB_NUMERIC, SB_ATERM, SB_SCONTINUE, SB_STERM, SB_CLOSE = range(9, 15)
INCB_NONE, INCB_EXTEND, INCB_CONSONANT, INCB_LINKER = range(4)

ALPHABETIC = LETTER | MARK
WORD = LETTER | MARK | DIGIT | NUMBER
