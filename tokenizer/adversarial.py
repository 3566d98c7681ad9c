"""Short texts on which two implementations of one vocabulary are likely to differ.

Written for koine. `adversarial()` has each text as it stands, decomposed (NFD), and with its
characters wrapped in spaces, so a name stands for three lines.
"""

from __future__ import annotations

import unicodedata
from itertools import pairwise

from .normaliser import MARKS, REMOVED, SPACES, members

TEXTS = {
    "Vietnamese": "Tiếng Việt được viết bằng chữ Quốc ngữ, ĐẶNG THỊ HUỆ ợ ỡ ặ",
    "Yoruba": "Ọjọ́ ọ̀sẹ̀ ẹ̀kọ́ ṣíṣẹ́ gbogbo ènìyàn ni a bí ní òmìnira",
    "Ewe": "Ŋutíɖoɖo ɖe sia ɖe ɔ̃́ ɛ̃̀ ɔ̀̃",
    "Barasana": "ñagũ̶mi ĩ irũ̶mu̶ aye",
    "Lithuanian accents": "žmogùs, geràsis, ė́jo, ų́, i̇́, ė̃",
    "Polytonic Greek": "ᾧ ᾳ̈ Ἐν ἀρχῇ ἦν ὁ λόγος· ᾆ ὗ ΐ ΰ Ὠ ᾯ",
    "Cyrillic": "Ӓ ӱ ё́ й ї ў ѓ ѷ а̀ е̄ Съешь ещё, Ӏ Ԓ",
    "Arabic": "مُحَمَّدٌ رَسُولُ اللَّهِ آمَنَ أَإِؤُئِ ٱلْقُرْآنُ ٱللَّٰه ۀ ۓ",
    "Arabic as typed": "مُحَم\u0651\u064eد \u0651\u0650 \u0627\u0653\u064e \u0648\u064f\u0654",
    "Arabic, three marks": "لل\u0651\u064e\u0670ه",
    "Persian": "می\u200cخواهم کتاب‌ها را بخوانم",
    "Hebrew": "בְּרֵאשִׁ֖ית בָּרָ֣א אֱלֹהִ֑ים שׁ שּׁ וֹ יִ ײַ",
    "Hebrew as typed": "ש\u05c1\u05bc\u05b8 ב\u05bc\u05b0 \ufb2a\u05b0 \ufb2b\u05bc\u05b8",
    "Syriac": "ܫܠܳܡܳܐ ܥܰܠܟܽܘܢ",
    "Hindi": "क़ ख़ ज़ ड़ ढ़ फ़ य़ हिन्दी में क्ष त्र ज्ञ श्र क्\u200dष क्\u200cष ऩ ऱ",
    "Bengali": "কো কৌ ড় ঢ় য় বাংলা ভাষা ক্\u200dষ অ\u09cd\u09bc",
    "Gurmukhi": "ਸ਼ ਖ਼ ਗ਼ ਜ਼ ਫ਼ ਲ਼ ਪੰਜਾਬੀ",
    "Odia": "କୋ କୌ ଡ଼ ଢ଼ ଓଡ଼ିଆ",
    "Tamil": "கொ கோ கௌ தமிழ் ஸ்ரீ",
    "Telugu": "కై తెలుగు క్\u200cష",
    "Kannada": "ಕೀ ಕೇ ಕೊ ಕೋ ಕನ್ನಡ ರ್\u200dಕ",
    "Malayalam": "കൊ കോ കൌ മലയാളം ൻ ന്\u200d",
    "Sinhala": "කො කෝ කෞ ශ්\u200dරී ලංකා",
    "Thai": "ภาษาไทยเขียนติดกัน น้ำ กุ้ง ปู่ กรุ\u0e48ง ก\u0e48\u0e38",
    "Lao": "ພາສາລາວ ນ້ຳ ຢູ່ ກ\u0ec8\u0eb8",
    "Khmer": "ភាសា\u200bខ្មែរ\u200bសរសេរ ក៏ ឲ្យ",
    "Burmese": "မြန်မာဘာသာ နေ့ တို့ လည်း \u101c\u103a\u1037 \u101c\u1037\u103a ဦ",
    "Tibetan": "བོད་སྐད། གཱི ཀྵ ཱི \u0f73 \u0f75 \u0f81 \u0f72\u0f71",
    "Korean": "한국어 각 뷁 \u1112\u1161\u11ab\u1100\u116e\u11a8 \uac00\u11a8 ㅋㅋ",
    "Old Hangul": "\u1100 \u1100\u1161 \u1112\u119e\u11ab \u302e\u302f",
    "Japanese": "がぎぐ パピプ ヷヸ か\u3099 ハ\u309a ｶﾞ ﾊﾟ 々〆ヶ 「日本語」。",
    "Chinese": "中文没有空格，「标点」。\uf900\uf91d\ufa0e\U0002f800 㐀 𠀀",
    "Ethiopic": "ሰላም ዓለም። ፩፪፫",
    "Amazigh": "ⵜⴰⵎⴰⵣⵉⵖⵜ ⵜⵉⴼⵉⵏⴰⵖ",
    "NKo": "ߒߞߏ ߞߊ߲߫ ߟߊ߫",
    "Cherokee, Adlam, Osage": "ᏣᎳᎩ 𞤆𞤵𞤤𞤢𞤪 𐓏𐓘𐓻𐓘𐓻𐓟",
    "Balinese, Grantha, Chakma": "ᬆ ᬈ ᬊ ᬌ ᬎ ᬒ ᬻ ᬽ ᭀ ᭁ ᭃ 𑍋 𑍌 𑄮 𑄯 𑒻 𑖺",
    "music and letters of physics": "𝅗𝅥 𝅘𝅥 𝅘𝅥𝅮 Å K Ω ℵ ﬁ ² ½ ﷺ ſ",
    "mathematics": "≠ ∄ ⊄ ≹ ⫝̸ ⟨x⟩ ∑_{i=0}^∞",
    "flag": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "emoji": "👨\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 👍🏽 🇫🇷🇩🇪🇫 ❤️ 1️⃣",
    "apostrophes": "l'été oʻzbek o‘zbek ʼy rock 'n' roll col·lecció ג׳ורג׳ צה״ל",
    "digits": "1234567890 ١٢٣٤ १२३४ 𝟙𝟚 １２３ 3.14 1,000 ½ ⅷ ",
    "special pieces": "[PAD] [UNK] [CLS] [SEP] [MASK] x[MASK]y [[MASK]] [MASK",
    "special pieces together": "[CLS][SEP][MASK][MASK] ▁[MASK] [MA\u00adSK] [mask] [MASK ]",
    "byte pieces": "<0x00> <0xE0><0xA4><0x80> <0xff> <0xFF a<0x41>b <<0x0A>> <0xG0>",
    "other models' pieces": "<s> </s> <unk> <pad> <mask> <|endoftext|> Ġthe ##ing @@",
    "word starts": "▁ ▁▁ a▁b ▁a ▁ ▁ b▁ ▁",
    "empty": "",
    "spaces": "   ",
    "all spaces": " ".join(members(SPACES)) + "".join(members(SPACES)),
    "all spaces between letters": "".join(f"a{space}" for space in members(SPACES)),
    "removed": "".join(members(REMOVED)[:200]),
    "removed between letters": "".join(f"a{c}b {c} c{c} {c}d" for c in members(REMOVED)[:120]),
    "removed at the ends": "\ufeff\u200e a \u2060 \u00ad",
    "lines": "one\ntwo\r\nthree\u2028four\u2029\n\n five\x85six\x0bseven\x0c",
    "zero width": "a\u200bb \u200b c\u200cd\u200d \u200d e \u180e f \u115f \u3164 \u034f",
    "directions": "abc \u202bעברית\u202c 123 \u2067العربية\u2069 xyz \u200f.",
    "lone marks": "\u0301 \u0301\u0323 a \u0323\u0301b \u093c \u200d\u0301",
    "misordered marks": "e\u0301\u0323 o\u0302\u0323 a\u0301\u0328 u\u0336\u0303",
    "marks that go past each other": "\u00e9\u0331 e\u0331\u0301 \u1e7b\u0323",
    "neighbouring marks": " ".join(
        f"x{b}{a}" for group in MARKS for a, b in pairwise(members(group))
    ),
    "private use": "\ue000\uf8ff \U000f0000\U0010fffd \uf0b7",
    "not characters": "\ufffd \ufffe\uffff \U0001ffff a\ufdd0b",
    "unassigned": "\u0378\u0530 \U0002fe00 \U000e0080 \U00050000",
    "rare scripts": "𓀀𓀁 𒀀𒀁 𐎀𐎁 𝒜𝒷 𖼀 𞄀 𛀀 ꦲꦏ꧀ꦱꦫ ᜀᜁ ꡀ ꓐ ꔀ ᚠᚢ",
    "one letter": "a" * 1000,
    "unknown letters": "𓀀" * 300 + "a" + "𓀀" * 300,
    "punctuation": "!!! ... --- ??? «» “”„‟ …⋯ ——— *** ___ ### | ---- |-----------|-|",
    "address": "https://example.org/a_b/%20?q=1&r=[x]#y user.name@example.org C:\\x\\y",
    "code": "for (int i = 0; i < n; ++i) { a[i] <<= 0x1F; } // \t tabs\tand  spaces",
}  # fmt: skip


def adversarial() -> dict[str, str]:
    """Return the texts by name: each as written, decomposed, and spread out by spaces."""
    found = {}
    for name, text in TEXTS.items():
        found[name] = text
        found[f"{name}, decomposed"] = unicodedata.normalize("NFD", text)
        found[f"{name}, spread"] = " ".join(text[:400])
    return found
