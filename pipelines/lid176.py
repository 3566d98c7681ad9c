"""What the 176 labels of fastText's lid.176 mean as ISO 639-3, and in which scripts it knows them.

The model's own codes are those of the Wikipedias it was trained on. Two of them are traps: `als` is
Alemannic there (ISO 639-3 `gsw`), not Tosk Albanian, and `sh` is what ISO 639-3 calls `hbs`. Where
a code is a macrolanguage, koine's label is the individual language that an unqualified text is
almost always in, and the one FLORES-200 uses: `ar` arb, `az` azj, `fa` pes, `ku` kmr, `lv` lvs,
`mg` plt, `mn` khk, `ms` zsm, `ne` npi, `no` nob, `or` ory, `ps` pbt, `sq` als, `sw` swh, `uz` uzn,
`yi` ydd. It stays the macrolanguage where no member stands for all (`que`, `grn`, `srd`, `hbs`,
`nah`), and where FLORES-200 and most corpora use it: `zho`, not cmn; `est`, not ekk.

Scripts are Unicode script codes in which the model saw the language, the usual one first; a
document in any other script is not in that language as far as this model can tell.
"""

from __future__ import annotations

SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
NUM_BYTES = 938_013

# "model's code:ISO 639-3", grouped by script.
_TABLE = {
    "Latn": """
        af:afr an:arg ast:ast az:azj bar:bar bcl:bcl br:bre bs:bos ca:cat cbk:cbk ceb:ceb co:cos
        cs:ces cy:cym da:dan de:deu diq:diq dsb:dsb eml:egl en:eng eo:epo es:spa et:est eu:eus
        fi:fin fr:fra frr:frr fy:fry ga:gle gd:gla gl:glg gn:grn gv:glv hif:hif hr:hrv hsb:hsb
        ht:hat hu:hun ia:ina id:ind ie:ile ilo:ilo io:ido is:isl it:ita jbo:jbo jv:jav ku:kmr
        kw:cor la:lat lb:ltz li:lim lmo:lmo lt:lit lv:lvs mg:plt min:min ms:zsm mt:mlt mwl:mwl
        nah:nah nap:nap nds:nds nl:nld nn:nno no:nob oc:oci pam:pam pfl:pfl pl:pol pms:pms pt:por
        qu:que rm:roh ro:ron sc:srd scn:scn sco:sco sk:slk sl:slv so:som sq:als su:sun sv:swe sw:swh
        tk:tuk tl:tgl tr:tur uz:uzn vec:vec vep:vep vi:vie vls:vls vo:vol wa:wln war:war yo:yor
        als:gsw
    """,
    "Cyrl": """
        av:ava ba:bak be:bel bg:bul bxr:bxr ce:che cv:chv kk:kaz krc:krc kv:kpv ky:kir lez:lez
        mhr:mhr mk:mkd mn:khk mrj:mrj myv:myv os:oss ru:rus rue:rue sah:sah tg:tgk tt:tat tyv:tyv
        uk:ukr xal:xal
    """,
    "Arab": """
        ar:arb arz:arz azb:azb ckb:ckb fa:pes lrc:lrc mzn:mzn pnb:pnb ps:pbt sd:snd ug:uig ur:urd
    """,
    "Deva": "bh:bho dty:dty gom:gom hi:hin mai:mai mr:mar ne:npi new:new sa:san",
    "Beng": "as:asm bn:ben bpy:bpy",
    "Cyrl Latn": "sr:srp",
    "Latn Cyrl": "sh:hbs",
    "Hani": "wuu:wuu yue:yue zh:zho",
    "Hira Kana Hani": "ja:jpn",
    "Hang Hani": "ko:kor",
    "Geor": "ka:kat xmf:xmf",
    "Hebr": "he:heb yi:ydd",
    "Armn": "hy:hye",
    "Ethi": "am:amh",
    "Grek": "el:ell",
    "Gujr": "gu:guj",
    "Guru": "pa:pan",
    "Khmr": "km:khm",
    "Knda": "kn:kan",
    "Laoo": "lo:lao",
    "Mlym": "ml:mal",
    "Mymr": "my:mya",
    "Orya": "or:ory",
    "Sinh": "si:sin",
    "Taml": "ta:tam",
    "Telu": "te:tel",
    "Thaa": "dv:div",
    "Thai": "th:tha",
    "Tibt": "bo:bod",
}

# Languages that the model may name, but whose absence from its guesses means nothing: it finds them
# in less than half of the texts in them (FLORES-200 dev: Yoruba 11 %, Somali 6 %, Sardinian 1 %;
# else UDHR or Tatoeba), or no text was there to measure it with. It contradicts no one who declares
# them: at the default threshold that would throw out correctly labelled text of just the languages
# that have little.
_UNSURE = """
    ast azb bho grn hat lim lmo mai min scn som srd vec yor
    bcl cbk cos dsb glv gsw ido ile mwl oss pam que sco tyv vep wln
    arg ava bar bpy bxr che diq dty egl frr gom hif jbo kpv krc lez lrc mrj myv mzn nah nap new pfl
    rue vls vol xal xmf
"""
UNSURE = frozenset(_UNSURE.split())
"""ISO 639-3 of the languages that the model is too often wrong about to contradict anyone."""

LANGUAGES: dict[str, str] = {}
"""The model's code -> ISO 639-3 of the language koine labels with."""

SCRIPTS: dict[str, tuple[str, ...]] = {}
"""ISO 639-3 of each language the model knows -> the Unicode scripts it knows it in."""

for _scripts, _pairs in _TABLE.items():
    for _pair in _pairs.split():
        _code, _language = _pair.split(":")
        LANGUAGES[_code] = _language
        SCRIPTS[_language] = tuple(_scripts.split())
