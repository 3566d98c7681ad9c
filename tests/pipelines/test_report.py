import copy
import json
import re
from html.parser import HTMLParser

from report_facts import make_facts

from pipelines import drawing, report
from pipelines.config import CorpusSettings, Identify, Rules

RULE = "min_terminal_line_share"
VOID = {"meta", "input"}


class Reader(HTMLParser):
    """Reads a page as a browser does; unclosed <td> and <tr> are legal, other tags must match."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID | {"td", "tr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in ("td", "tr"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page_of(**arguments):
    return report.render(make_facts(**arguments))


def text_of(page):
    return re.sub(r"\s+", " ", "".join(Reader(page).text))


def test_the_headline_says_what_was_kept_and_where_the_rest_went():
    record = {"corpus": "web", "origin": "a#1", "reason": "bad", "detail": "x", "num_bytes": 1}
    rates = {"fin_Latn": {RULE: 0.5, "near_duplicate": 0.1}}
    text = text_of(page_of(rates=rates, quarantined=[record]))
    assert "Kept 1,280 of 1,401 documents (91 %) in 7 languages" in text
    assert "100 fell to a rule, 20 were duplicates of a kept document, and 1 could not" in text


def test_the_page_is_well_formed_html_with_unique_ids():
    reader = Reader(page_of(rates={"fin_Latn": {RULE: 0.5}}))
    assert reader.open == []
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    links = {value[1:] for name, value in reader.attributes if name == "href"}
    assert links <= set(ids)


def test_a_planted_bias_is_seen_at_the_top_in_the_tables_and_at_the_language():
    rates = {label: {RULE: 0.03} for label in make_facts()["labels"]}
    page = page_of(rates=rates | {"bod_Tibt": {RULE: 0.83}})
    text = text_of(page)
    assert "1 alarm. Tibetan bod_Tibt loses 83 % to “too few lines end a sentence”" in text
    assert "others 3.0 %" in text
    assert len(re.findall(r'<td class="h\d">[^<]*<b class="mark">', page)) == 1
    assert re.search(r'<summary><span><b class="mark"[^>]*>▲</b> Tibetan', page)
    assert not re.search(r'<summary><span><b class="mark"[^>]*>▲</b> (?!Tibetan)', page)


def test_the_headline_names_each_language_with_its_loudest_alarm_only():
    rates = {"bod_Tibt": {"max_digit_share": 0.3, RULE: 0.6}, "fin_Latn": {RULE: 0.2}}
    text = text_of(page_of(rates=rates))
    assert "3 alarms. Tibetan bod_Tibt loses 60 %" in text
    assert re.search("others 0.%; Finnish fin_Latn loses 20", text)


def test_without_a_bias_the_page_says_that_there_is_no_alarm():
    rates = {label: {RULE: 0.3} for label in make_facts()["labels"]}
    assert "✓ No alarm." in text_of(page_of(rates=rates))


def test_a_language_of_which_nothing_is_left_is_named_at_the_top():
    text = text_of(page_of(rates={"bod_Tibt": {RULE: 1.0}}))
    assert "Nothing was kept of 1 language: Tibetan bod_Tibt (200)" in text
    assert "in 6 languages" in text


def test_the_worst_kept_language_is_the_first_row():
    page = page_of(rates={"fin_Latn": {RULE: 0.5}, "tha_Thai": {RULE: 0.7}})
    table = page.partition('id="languages"')[2].partition("</table>")[0]
    rows = re.findall(r'<tr><th scope="row"><a href="#(\w+)">', table)
    assert rows[:2] == ["tha_Thai", "fin_Latn"]


def test_text_from_the_corpus_cannot_act_on_the_page():
    hostile = '</blockquote><script>alert(1)</script><img src=x onerror="alert(2)">\x00\u202e'
    facts = make_facts(rates={"fin_Latn": {RULE: 0.5}}, text=hostile, licenses=("<b>mine</b>",))
    for example in facts["examples"]["fin_Latn"][RULE]:
        example["origin"] = "a\udcff<i>.jsonl"
    bad = {"corpus": "web", "origin": "<u>", "reason": "<s>", "detail": "\u2066", "num_bytes": 1}
    facts["quarantined"] = [bad]
    page = report.render(facts)
    reader = Reader(page)
    assert reader.tags.count("script") == 1
    assert not {"img", "u", "s"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert "U+202E" in page
    assert "\u202e" not in page
    assert "U+DCFF" in page
    page.encode()


def test_the_policy_lets_only_the_page_s_own_script_run():
    page = page_of()
    assert "default-src 'none'" in page
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]+='", page)
    assert not re.search(r"https?://|url\(", page)


def test_examples_carry_the_language_and_find_their_own_direction():
    page = page_of(rates={"arb_Arab": {RULE: 0.5}, "nob_Latn": {RULE: 0.4}}, text="كل الناس")
    assert '<blockquote lang="ar' in page
    assert '<blockquote lang="nb" dir="auto">' in page


def test_examples_come_from_different_languages():
    rates = {label: {RULE: 0.5} for label in make_facts()["labels"]}
    page = page_of(rates=rates)
    section = page.partition('id="reasons"')[2].partition("</section>")[0]
    assert len(set(re.findall(r'<blockquote lang="([\w-]+)"', section))) == 3


def test_a_cut_text_says_how_long_it_is():
    assert "… 1,200 characters in all" in text_of(
        page_of(rates={"fin_Latn": {RULE: 0.5}}, text="x" * 1200)
    )


def test_the_same_facts_give_the_same_bytes_whether_fresh_or_from_json():
    facts = make_facts(rates={"fin_Latn": {RULE: 0.5}})
    again = json.loads(json.dumps(facts))
    before = copy.deepcopy(facts)
    assert report.render(facts) == report.render(again)
    assert facts == before


def test_a_report_without_any_document_renders():
    assert "No documents were read" in page_of(languages=())


def test_facts_without_the_failures_by_corpus_render():
    facts = make_facts(rates={"bod_Tibt": {RULE: 0.83}})
    del facts["failed_by_corpus"]
    assert "1 alarm." in text_of(report.render(facts))


def test_the_path_of_a_model_is_not_told():
    settings = CorpusSettings(identify=Identify(model="/home/me/lid.bin", sha256="0" * 64))
    page = page_of(settings=settings)
    assert "lid.bin" in page
    assert "/home/me" not in page


def test_own_thresholds_of_a_language_are_shown_with_their_origin():
    facts = make_facts()
    facts["thresholds"]["fin_Latn"]["max_mean_word_graphemes"] = {
        "value": 32.0,
        "source": "rules_by_label",
    }
    text = text_of(report.render(facts))
    default = f"{Rules().max_mean_word_graphemes:g}"
    assert f"at most {default}configuration; for Finnish fin_Latn 32" in text
    assert "Limits that differ by language1 rule" in text


def test_six_hundred_languages_stay_below_fifteen_megabytes_and_say_what_is_left_out():
    letters = "abcdefghijklmnopqrstuvwxyz"
    labels = [f"q{a}{b}_Latn" for a in letters[:24] for b in letters[:25]]
    reasons = make_facts()["reasons"][:12]
    rates = {label: dict.fromkeys(reasons, 0.05) for label in labels}
    facts = make_facts(labels, rates=rates, text="ཀ" * 400)
    spread = [[i, 5] for i in range(0, 64, 2)]
    facts["histograms"] = {
        label: dict.fromkeys(own, spread) for label, own in facts["histograms"].items()
    }
    page = report.render(facts)
    assert len(page.encode()) < 15_000_000
    assert "10 distributions and 3 examples are shown for each" in text_of(page)


def test_a_histogram_shows_what_the_limit_removes_apart():
    rule = {"is_min": True, "is_length": False}
    bins = [[4, 10], [40, 90]]
    axis = drawing.extent([bins], [0.5], is_length=False)
    svg = str(drawing.histogram(bins, axis=axis, limit=0.5, rule=rule))
    assert svg.count("<path d=") == 1
    assert re.search(r'class="cut" d="M16 60', svg)
    assert 'class="limit" d="M128 0V60"' in svg
    assert "cut" not in str(drawing.histogram(bins, axis=axis, limit=None, rule=rule))


def test_lengths_are_drawn_on_a_logarithmic_axis():
    assert drawing.position(100.0, is_length=True) == drawing.position(50.0, is_length=True) + 2
    assert drawing.edge(20, is_length=True) == "1,024"
