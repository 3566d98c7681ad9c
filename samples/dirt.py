"""What raw corpora have and clean text has not: boilerplate, damage, copies, junk.

Every function is pure and leaves the words of a text what they were, except those that make a copy
differ. All strings were written for koine; addresses and numbers are reserved for examples
(example.org, 192.0.2.0/24, 2001:db8::/32, telephone numbers that are never given out).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

NO_BREAK_SPACE, SOFT_HYPHEN, BELL, UNIT_SEPARATOR = "\u00a0", "\u00ad", "\x07", "\x1f"


def mojibake(text: str) -> str:
    """Return UTF-8 that was read as cp1252, as browsers do it: unused bytes become C1 controls."""
    characters = []
    for byte in text.encode():
        try:
            characters.append(bytes([byte]).decode("cp1252"))
        except UnicodeDecodeError:
            characters.append(chr(byte))
    return "".join(characters)


def double_mojibake(text: str) -> str:
    """Return text that went through `mojibake` twice."""
    return mojibake(mojibake(text))


def decomposed(text: str) -> str:
    """Return the text in NFD, as files copied from some systems are."""
    return unicodedata.normalize("NFD", text)


def carriage_returns(text: str) -> str:
    """Return the text with the line ends of Windows."""
    return text.replace("\n", "\r\n")


def controls(text: str) -> str:
    """Return the text with control characters between its words."""
    return text.replace(" ", f"{BELL} ", 2).replace("\n", f"{UNIT_SEPARATOR}\n", 1)


def hard_spaces(text: str) -> str:
    """Return the text with a non-breaking space in place of every third space."""
    first, *others = text.split(" ")
    pairs = enumerate(others, start=1)
    return first + "".join((" " if n % 3 else NO_BREAK_SPACE) + word for n, word in pairs)


def soft_hyphens(text: str) -> str:
    """Return the text with soft hyphens in its long words."""
    words = text.split(" ")
    return " ".join(
        word[:4] + SOFT_HYPHEN + word[4:] if len(word) > 8 and word.isalpha() else word
        for word in words
    )


REPAIRABLE: tuple[Callable[[str], str], ...] = (
    *(mojibake, double_mojibake, decomposed, carriage_returns, controls, hard_spaces),
    soft_hyphens,
)
"""Damage that cleaning undoes: the text comes out as it was."""


def word_changed(text: str) -> str:
    """Return the text with its middle word replaced by the one before: a near-duplicate."""
    words = text.split(" ")
    middle = len(words) // 2
    words[middle] = words[middle - 1]
    return " ".join(words)


CREDITS = {
    "amh_Ethi": "ይህ ጽሑፍ ከመንደሩ ጋዜጣ የተወሰደ ነው።",
    "arb_Arab": "نُشر هذا النص من قبل في صحيفة القرية.",
    "eng_Latn": "Reprinted from the parish newsletter.",
    "hin_Deva": "यह लेख गाँव की पत्रिका से लिया गया है।",
    "jpn_Jpan": "この文章は町内会の会報から転載しました。",
    "kat_Geor": "ტექსტი გადმობეჭდილია სოფლის გაზეთიდან.",
    "rus_Cyrl": "Перепечатано из районной газеты.",
    "swh_Latn": "Makala haya yamechapishwa tena kutoka jarida la kijiji.",
    "tur_Latn": "Bu yazı daha önce köy bülteninde yayımlandı.",
}


def sentence_added(text: str, label: str) -> str:
    """Return the text with a line at its end that says where it was printed: a near-duplicate."""
    return f"{text}\n\n{CREDITS[label]}"


CONTACTS = {
    "eng_Latn": (
        "Write to tools@example.org or ring +44 1632 960123. "
        "The old catalogue is still at 192.0.2.44 and at 2001:db8::44."
    ),
    "hin_Deva": "संपर्क: pustakalaya@example.org, फ़ोन +1 202-555-0143.",
    "swh_Latn": "Maswali? Andika kwa maktaba@example.org au piga simu +1 202-555-0157.",
    "tha_Thai": "ติดต่อ talat@example.org โทร +1 202-555-0169",
    "tur_Latn": "Sorularınız için: kitaplik@example.org, sunucu 192.0.2.7.",
}
NUM_PERSONAL = {"emails": 5, "phones": 4, "ips": 3}
"""How many of each kind the CONTACTS hold; each is used once."""


def contact_added(text: str, label: str) -> str:
    """Return the text with made-up personal data at its end."""
    return f"{text}\n\n{CONTACTS[label]}"


SHORT = (
    "Home | About",
    "الرئيسية | من نحن",
    "หน้าแรก | เกี่ยวกับเรา",
    "ホーム | 会社概要",
    "ዋና ገጽ | ስለ እኛ",
    "মূল পাতা | যোগাযোগ",
)

REPEATED = (
    "Click here to see the best prices of the day.",
    "ดูราคาที่ดีที่สุดของวันนี้ได้ที่นี่",
    "今日の一番お得な価格はこちらでご覧ください。",
    "اضغط هنا لمشاهدة أفضل أسعار اليوم.",
    "आज के सबसे अच्छे दाम यहाँ देखें।",
    "இன்றைய சிறந்த விலைகளை இங்கே காண்க.",
    "ዛሬ ያለውን ምርጥ ዋጋ እዚህ ይመልከቱ።",
)


def repetitive(sentence: str, *, in_lines: bool) -> str:
    """Return a page that says one sentence forty times, in lines or in one paragraph."""
    return ("\n" if in_lines else " ").join([sentence] * 40)


def link_list() -> str:
    """Return the text of a page of links."""
    return "\n".join(f"* https://www.example.org/archive/{n:04d}.html" for n in range(1, 41))


def number_table() -> str:
    """Return a table of numbers, as spreadsheets are exported."""
    return "\n".join("\t".join(str(row * row + 37 * column) for column in range(8))
                     for row in range(11, 41))  # fmt: skip


def symbols() -> str:
    """Return a page of ornaments."""
    return "\n".join(
        ["\u2605\u2606\u2605 ~*~ \u2665\u2666\u2663\u2660 ~*~ \u2605\u2606\u2605"] * 12
    )


MENUS = {
    "arb_Arab": ("الرئيسية", "من نحن", "اتصل بنا"),
    "ben_Beng": ("প্রথম পাতা", "আমাদের কথা", "যোগাযোগ"),
    "eng_Latn": ("Home", "About us", "Contact"),
    "jpn_Jpan": ("ホーム", "会社概要", "お問い合わせ"),
    "kor_Hang": ("홈", "소개", "문의"),
    "pes_Arab": ("خانه", "درباره ما", "تماس با ما"),
    "rus_Cyrl": ("Главная", "О нас", "Контакты"),
    "zho_Hans": ("首页", "关于我们", "联系方式"),
}
COOKIES = "We use cookies to improve your experience. By continuing you accept our cookie policy."
RIGHTS = "Copyright Example Publishing. All rights reserved."
SHARE = "Share this"
BOILERPLATE = (COOKIES, RIGHTS, "window.dataLayer", "font-family", "Enable JavaScript")
"""Strings of every page that are no part of its text (SHARE, beside the article, is harder)."""


def page(title: str, content: str, label: str, *, charset: str | None = "utf-8") -> str:
    """Return an HTML page around `content`, with what sites put around an article.

    `charset` goes into a meta element; None leaves that out, for servers that state it themselves.
    """
    menu = "".join(f'<li><a href="/{n}">{word}</a></li>' for n, word in enumerate(MENUS[label]))
    direction = ' dir="rtl"' if label.endswith("_Arab") else ""
    meta = "" if charset is None else f'<meta charset="{charset}">'
    return f"""<!DOCTYPE html>
<html{direction}>
<head>{meta}<title>{title} | Example</title>
<style>body {{ font-family: serif }} .cookies {{ position: fixed }}</style>
<script>window.dataLayer = window.dataLayer || []; dataLayer.push({{"page": "article"}});</script>
</head>
<body>
<div class="cookie-banner" id="cookies"><p>{COOKIES}</p><button>Accept all</button></div>
<header><nav class="menu"><ul>{menu}</ul></nav></header>
<noscript>Enable JavaScript to see this page.</noscript>
<main><article>
<h1>{title}</h1>
{content}
</article></main>
<div class="social-share"><a href="#">{SHARE}</a></div>
<footer><p>{RIGHTS}</p><nav><ul>{menu}</ul></nav></footer>
</body>
</html>
"""


# The names of the namespaces File, Category and Template, and a word for a caption.
WIKIS = {
    "ell_Grek": ("Αρχείο", "Κατηγορία", "Πρότυπο", "Ιστορίες"),
    "swh_Latn": ("Picha", "Jamii", "Kigezo", "Hadithi"),
    "tur_Latn": ("Dosya", "Kategori", "Şablon", "Öyküler"),
}


def wikitext(title: str, paragraphs: tuple[str, ...], label: str) -> str:
    """Return an article in MediaWiki markup: box, picture, references, table, links, category."""
    file, category, template, stories = WIKIS[label]
    first, second, *others = paragraphs
    start, _, rest = second.partition(" ")
    return "\n".join(
        [
            f"{{{{{template} box|name={title}|image=[[{file}:Box.svg]]|note={{{{small|x}}}}}}}}",
            f"[[{file}:Story.jpg|thumb|220px|{stories}: ''[[{title}]]'']]",
            f"'''{title}'''",
            "",
            f'{first}<ref name="a">{{{{cite book|title=Example|year=1990}}}}</ref>',
            "",
            f"== {stories} ==",
            f"[[{start}|{start}]] {rest}<!-- check this -->",
            "",
            '{| class="wikitable"',
            "! n !! km",
            "|-",
            "| 1 || 20",
            "|}",
            "\n\n".join(f'{paragraph}<ref name="a" />' for paragraph in others),
            "",
            "<references />",
            f"[[{category}:{stories}]]",
        ]
    )
