from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.pii import mask

# The text with what must be found in [brackets].
LABELLED = """
Skriv til [ola.nordmann+liste@eksempel.no] i dag.
Écrivez à [josé@example.org], merci.
Пишите на [почта@пример.рф] или [ivan@example.com].
请联系[foo@example.com]谢谢
메일은 [foo@example.com]으로 보내세요
संपर्क: [अजय@डाटा.भारत]
連絡先［[foo＠example.jp]］
Server [192.168.0.1] antwortete, [10.1.2.3]:8080 nicht.
Seen from [2001:db8::8a2e:370:7334] and [fe80::1ff:fe23:4567:890a].
Ruf [+49 30 901820] an oder [0171 2345678].
Call [+1 (555) 123-4567], [555-123-4567] or [(555) 123-4567].
Piga simu [+254 712 345 678] au [0712 345 678].
Appelez le [01 23 45 67 89] ou le [+33 1 23 45 67 89].
电话[010-1234-5678]，手机[138-1234-5678]。
اتصل على [٠١٢٣-٤٥٦-٧٨٩٠] الآن
फ़ोन [+९१ ९८७६५ ४३२१०]
তথ্যের জন্য [০১৭১২-৩৪৫৬৭৮]
tel:[+49-30-901820] (Tel. [030 1234567])
[0049 30 901820] und [(0228) 713-1111]
image@2x.png, @user, a@b and react@18.2.0
Section 1.2.3.4 of version 10.2.3.4, v10.2.3.4, 1.22.3.4.5, 300.1.1.1
On 2024-11-23, 23.11.2024, 23/11/2024, 01.02.2024 13:00 and 12:30:45
In 1914-1918, 2023-2024 and 1990 1991 1992 1993
ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, CVE-2021-44228
1,234,567 or 1 000 000 or 1.000.000,00 or 3.14159265358 or 10 000 000 000
1234567890 and 0123456789 are numbers; std::vector and a::b are names
10.1016/j.cell.2020.01.001 and 00:11:22:33:44:55 and 20240101-20241231
१२.१२.२०२३ और १९९०-१९९५
http://127.0.0.1:8000 with mask 255.255.255.0
In jenem Jahr (2008) 1952-2002
Les prix: 0.25 0.50 0.75 et 05.1999 - 12.2004
""".strip().splitlines()


def masked(text: str) -> str:
    return mask(pa.array([text], pa.large_string()), emails=True, ips=True, phones=True)[0][
        0
    ].as_py()


def test_precision_and_recall_on_the_labelled_lines_are_one() -> None:
    # 30 places in 12 languages to find, and 12 lines with nothing in them. A set that says what is
    # meant, no estimate for the web: in 17,000 pages of documentation, law and stories all of the
    # 35 numbers masked as telephones were written as telephones.
    true = missed = false = 0
    for line in LABELLED:
        plain = line.replace("[", "").replace("]", "")
        result = masked(plain)
        wanted = [part.split("]")[0] for part in line.split("[")[1:]]
        found = sum(result.count(placeholder) for placeholder in ("<email>", "<ip>", "<phone>"))
        hits = sum(value not in result for value in wanted)
        true += hits
        missed += len(wanted) - hits
        false += max(found - hits, 0)
    assert (missed, false) == (0, 0)
    assert true == 30


def test_the_placeholder_says_what_was_there_and_nothing_else_changes() -> None:
    text = "Mail a.b@c.de, ring +49 30 901820 from 10.0.0.17!"
    assert masked(text) == "Mail <email>, ring <phone> from <ip>!"


def test_counts_are_by_document_and_kind() -> None:
    text = pa.array(["x", "a@b.cc a@b.cc", "none", "10.0.0.1 or +49 30 901820"], pa.large_string())
    result, counts = mask(text.slice(1), emails=True, ips=True, phones=True)
    assert result.to_pylist() == ["<email> <email>", "none", "<ip> or <phone>"]
    assert counts.tolist() == [[2, 0, 0], [0, 0, 0], [0, 1, 1]]


def test_a_kind_that_is_switched_off_stays() -> None:
    text = pa.array(["a@b.cc 10.0.0.1 +49 30 901820"], pa.large_string())
    result, counts = mask(text, emails=False, ips=True, phones=False)
    assert result[0].as_py() == "a@b.cc <ip> +49 30 901820"
    assert counts.tolist() == [[0, 1, 0]]


def test_nothing_to_mask_returns_the_same_array() -> None:
    text = pa.array(["Habari ya asubuhi", ""], pa.large_string())
    assert mask(text, emails=True, ips=True, phones=True)[0] is text


ALPHABET = st.one_of(
    st.sampled_from("abé用٣012349@.:+-()/ \n<>"), st.characters(exclude_categories=["Cs"])
)


@settings(deadline=None, max_examples=400)
@given(st.text(ALPHABET, max_size=80))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = masked(text)
    assert masked(once) == once
