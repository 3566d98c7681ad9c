"""The label table: what a language label is, and what the many spellings of one mean.

A label is ISO 639-3 + ISO 15924, `swh_Latn`: the language and the script of a text. Sources write
the same thing as "sw", "swa_Latn", "sw-KE" or "swwiki"; `parse_label` makes one label of them all.
Validity, names, macrolanguages and likely scripts come from the IANA registry and CLDR by way of
langcodes and language_data; the choices that no standard makes are the tables in this module.

Promises: pure functions of their arguments, cached, so nothing here costs time per document.
Does not promise: that a language is really written in a script (`swh_Cyrl` is a well-formed label).
"""

from __future__ import annotations

import contextlib
import re
from functools import lru_cache

import langcodes
from langcodes.data_dicts import (
    ALL_SCRIPTS,
    LANGUAGE_ALPHA3,
    LANGUAGE_ALPHA3_BIBLIOGRAPHIC,
    LIKELY_SUBTAGS,
    MACROLANGUAGES,
    VALIDITY,
)

from . import lid176

NO_LANGUAGE = "zxx_Zxxx"
"""The label of text without a single letter: no linguistic content, no script."""

_LABEL = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_LONGEST_CODE = 40  # characters; what is longer is no code, and not worth a place in the cache

# langcodes lists a few three-letter codes (cmn, swc, prs) under the macrolanguage: not wanted here.
_ALPHA3 = {code: alpha3 for code, alpha3 in LANGUAGE_ALPHA3.items() if len(code) == 2}
_ALPHA2 = {alpha3: alpha2 for alpha2, alpha3 in _ALPHA3.items()}

# Codes that ISO 639 has withdrawn or spelt twice, and that data still carry.
_OLD_CODES = {alpha3: _ALPHA3[code] for code, alpha3 in LANGUAGE_ALPHA3_BIBLIOGRAPHIC.items()}
_OLD_CODES |= {"in": "ind", "iw": "heb", "ji": "ydd", "jw": "jav", "mo": "ron", "mol": "ron"}
_OLD_CODES |= {"sh": "hbs", "scc": "srp", "scr": "hrv", "bh": "bho", "bih": "bho", "eml": "egl"}

# Macrolanguages whose unqualified text is in one individual language: the label is that language,
# as in FLORES-200. `zho` and `est` go the other way, since most corpora use them, not cmn or ekk;
# and so does Filipino, which is standardised Tagalog.
_FOLDED = {
    "ara": "arb", "aym": "ayr", "aze": "azj", "chm": "mhr", "fas": "pes", "kom": "kpv",
    "kur": "kmr", "lav": "lvs", "mlg": "plt", "mon": "khk", "msa": "zsm", "nep": "npi",
    "nor": "nob", "ori": "ory", "orm": "gaz", "pus": "pbt", "sqi": "als", "swa": "swh",
    "uzb": "uzn", "yid": "ydd", "cmn": "zho", "ekk": "est", "fil": "tgl",
}  # fmt: skip
# ... unless the script says that it is another member.
_FOLDED_BY_SCRIPT = {
    ("kur", "Arab"): "ckb", ("aze", "Arab"): "azb", ("uzb", "Arab"): "uzs",
    ("pan", "Arab"): "pnb", ("mon", "Mong"): "mvf",
}  # fmt: skip

# Wikipedia's names for its editions where they aren't the language's code.
_WIKIS = {
    "als": "gsw", "simple": "eng", "bat_smg": "sgs", "be_x_old": "bel", "be_tarask": "bel",
    "cbk_zam": "cbk", "fiu_vro": "vro", "map_bms": "jav", "nds_nl": "nds", "roa_rup": "rup",
    "roa_tara": "nap", "zh_classical": "lzh", "zh_min_nan": "nan", "zh_yue": "yue",
    "nrm": "nrf",
}  # fmt: skip
_WIKI_NAME = re.compile(r"([a-z][a-z_-]+?)wiki(?:|source|books|news|quote|versity|voyage)")

# The Unicode scripts that a writing system of ISO 15924 consists of; all others are themselves.
_WRITING_SYSTEMS = {
    "Jpan": ("Hani", "Hira", "Kana"), "Hrkt": ("Hira", "Kana"),
    # Koreans wrote Hanja beside Hangul, and still do in names and law.
    "Kore": ("Hang", "Hani"), "Hang": ("Hang", "Hani"),
    "Hans": ("Hani",), "Hant": ("Hani",), "Hanb": ("Hani", "Bopo"),
    "Aran": ("Arab",), "Cyrs": ("Cyrl",), "Geok": ("Geor",), "Jamo": ("Hang",),
    "Latf": ("Latn",), "Latg": ("Latn",), "Syre": ("Syrc",), "Syrj": ("Syrc",), "Syrn": ("Syrc",),
    "Zxxx": (), "Zyyy": (), "Zzzz": (), "Zinh": (),
}  # fmt: skip
# The writing system in which koine's labels name a language that is written in several scripts at
# once. `Hang`, not `Kore`, for Korean: that is what FLORES-200, GlotLID and OpenLID write.
_MIXED_SCRIPTS = {"jpn": "Jpan", "kor": "Hang"}

_NAMES = {"hbs": "Serbo-Croatian", "zxx": "No linguistic content"}

# Macrolanguages whose members an identifier tells apart well, so that they are not one language.
_DISTINCT_MEMBERS = {"zho", "msa", "chm", "kur", "lah", "mwr"}
# Languages that no identifier tells apart, beside those that share another macrolanguage.
_CONFUSABLE = [
    {"ind", "zsm", "zlm"},  # standard Malay and Indonesian: most sentences are good in both
    {"zho", "lzh"},
    {"srd", "sro", "src"},
    {"nah", "nhn", "nch", "nhe", "nhw", "azz"},  # a collection, so without members in the registry
]


def _is_language(code: str) -> bool:
    return len(code) == 3 and (code in _ALPHA2 or VALIDITY.match(code) is not None)


def is_label(text: str) -> bool:
    """Tell whether `text` is a label exactly as koine writes it."""
    if not _LABEL.fullmatch(text) or text[4:] not in ALL_SCRIPTS:
        return False
    return text[:4] == "und_" or parse_label(text) == text


def parse_label(text: str) -> str | None:
    """Return what a source means by `text`: a label, a bare ISO 639-3 language, or None.

    Accepts BCP 47 tags ("sw", "zh-Hant", "pt-BR"), labels in any of the usual spellings
    ("swa_Latn", "__label__swh_Latn") and names of wiki dumps ("alswiki"). The script is left
    out where the source doesn't state or imply it. None: no such language, or none stated
    ("und", "mul", "mis").
    """
    return _parse_label(text) if len(text) <= _LONGEST_CODE else None


@lru_cache(maxsize=16384)
def _parse_label(text: str) -> str | None:
    text = text.strip().removeprefix("__label__")
    wiki = _WIKI_NAME.fullmatch(text)
    if wiki:
        return parse_wiki_code(wiki[1])
    parts = text.replace("_", "-").split("-")
    if len(parts) > 1 and "_".join(parts).lower() in _WIKIS:
        return _WIKIS["_".join(parts).lower()]
    code = parts[0].lower()
    code = _OLD_CODES.get(code, code)
    code = _ALPHA3.get(code, code)
    if len(parts) > 1 and _macrolanguage(parts[1].lower()) == code:
        code, parts = parts[1].lower(), parts[1:]  # an extended language: zh-yue
    if code == "zxx":
        return NO_LANGUAGE
    if code in ("und", "mul", "mis") or not _is_language(code):
        return None
    script = next((p.capitalize() for p in parts[1:] if len(p) == 4 and p.isalpha()), None)
    if script is None:
        if any(len(p) == 2 and p.isalpha() for p in parts[1:]):
            script = _script_of_region(code, next(p for p in parts[1:] if len(p) == 2).upper())
        elif len(parts) > 1 and not _has_only_variants(parts[1:]):
            return None
    elif script not in ALL_SCRIPTS:
        return None
    if script in ("Kore", "Hang") and code == "kor":
        script = "Hang"
    language = _FOLDED_BY_SCRIPT.get((code, script or ""), _FOLDED.get(code, code))
    return language if script is None else f"{language}_{script}"


def parse_wiki_code(code: str) -> str | None:
    """Return the language of a Wikipedia edition: "als" is Alemannic (gsw), "simple" English."""
    code = code.replace("-", "_").lower()
    return _WIKIS.get(code) or parse_label(code.replace("_", "-"))


def _has_only_variants(parts: list[str]) -> bool:
    return all(re.fullmatch(r"[0-9]{3}|[a-z0-9]{5,8}|[0-9][a-z0-9]{3}|[a-z]", p) for p in parts)


def _script_of_region(language: str, region: str) -> str | None:
    """Return the script that a country implies: zh-TW Hant, uz-AF Arab, pt-BR Latn."""
    alpha2 = _ALPHA2.get(language, language)
    tag = LIKELY_SUBTAGS.get(f"{alpha2}-{region}") or LIKELY_SUBTAGS.get(alpha2)
    return tag.split("-")[1] if tag else None


@lru_cache(maxsize=4096)
def likely_script(language: str) -> str:
    """Return the script of ISO 15924 that a language is usually written in, Latin if unknown."""
    if language in _MIXED_SCRIPTS:
        return _MIXED_SCRIPTS[language]
    if language in lid176.SCRIPTS and lid176.SCRIPTS[language] != ("Hani",):
        return lid176.SCRIPTS[language][0]
    for code in (language, _macrolanguage(language) or language):
        tag = LIKELY_SUBTAGS.get(_ALPHA2.get(code, code))
        if tag:
            return tag.split("-")[1]
    return "Latn"


@lru_cache(maxsize=4096)
def complete_label(language: str, text_script: str | None) -> str:
    """Return the label of a bare language for a text whose letters are mostly in `text_script`.

    The text decides, unless the language is known and never written so: then the label says what
    the language is usually written in, and the share of letters in the label's script shows the
    contradiction. `text_script` is a Unicode script, or None for a text without letters.
    """
    if text_script is None:
        return f"{language}_{likely_script(language)}"
    mixed = _MIXED_SCRIPTS.get(language)
    if mixed and text_script in scripts_of_label(mixed):
        return f"{language}_{mixed}"
    if text_script not in lid176.SCRIPTS.get(language, (text_script,)):
        return f"{language}_{likely_script(language)}"
    return f"{language}_{text_script}"


def language_of(label: str) -> str:
    """Return the ISO 639-3 part of a label or of a bare language."""
    return label.partition("_")[0]


def script_of(label: str) -> str | None:
    """Return the ISO 15924 part of a label, None of a bare language."""
    return label.partition("_")[2] or None


@lru_cache(maxsize=4096)
def scripts_of_label(label: str) -> frozenset[str]:
    """Return the Unicode scripts of a label or of a script code: Jpan is Hani, Hira and Kana."""
    script = label.rpartition("_")[2]
    return frozenset(_WRITING_SYSTEMS.get(script, (script,)))


@lru_cache(maxsize=4096)
def _macrolanguage(language: str) -> str | None:
    macrolanguage = MACROLANGUAGES.get(_ALPHA2.get(language, language))
    return None if macrolanguage is None else _ALPHA3.get(macrolanguage, macrolanguage)


@lru_cache(maxsize=65536)
def same_language(a: str, b: str) -> bool:
    """Tell whether two labels may be the same language to an identifier; scripts don't count.

    True for equal languages, a macrolanguage and its member (zho and yue), two members of one
    macrolanguage (arb and ary; hrv, bos, srp and cnr), except where identifiers do tell them
    apart (yue and wuu, kmr and ckb), and the few confusable groups beyond macrolanguages.
    """
    one, two = language_of(a), language_of(b)
    over_one, over_two = _macrolanguage(one), _macrolanguage(two)
    if over_one == two or over_two == one:
        return True
    if over_one and over_one == over_two and over_one not in _DISTINCT_MEMBERS:
        return True
    one, two = _FOLDED.get(one, one), _FOLDED.get(two, two)
    if one == two or _macrolanguage(one) == two or _macrolanguage(two) == one:
        return True
    return any(one in group and two in group for group in _CONFUSABLE)


@lru_cache(maxsize=4096)
def name_of(label: str) -> str:
    """Return the English name of a label: "Norwegian Bokmål", "Chinese (Traditional)"."""
    language, script = language_of(label), script_of(label)
    if language in _NAMES:
        return _NAMES[language]
    name = langcodes.Language.get(_ALPHA2.get(language, language), normalize=False).language_name()
    name = name.replace(" (individual language)", "").replace(" (macrolanguage)", "")
    if script is None or (script == likely_script(language) and language != "zho"):
        return name
    return f"{name} ({langcodes.Language.make(script=script).script_name()})"


def suggest(text: str) -> str:
    """Return "Did you mean 'nob_Latn' (Norwegian Bokmål)?" for what is not a label."""
    parsed = parse_label(text) or parse_label(text.partition("_")[0].partition("-")[0])
    # The trie of names fails on a NUL, and a name is short.
    if parsed is None and text.isprintable() and len(text) <= _LONGEST_CODE:
        with contextlib.suppress(LookupError, ValueError):
            parsed = parse_label(langcodes.find(text).to_tag())
    if parsed is None:
        return "For example 'swh_Latn' is Swahili in Latin script."
    label = parsed if script_of(parsed) else complete_label(parsed, None)
    return f"Did you mean {label!r} ({name_of(label)})?"
