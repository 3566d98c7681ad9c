"""The page of a run: whole or killed, of three languages or of 536."""

import itertools
import json
import re
import time
from html.parser import HTMLParser

import pytest
from fake_runs import NAMED, killed_early, many, write_json, write_run

from pipelines import store
from pipelines.errors import DataError
from pretrain import alarms, axes, meanings, pictures, report, standing

VOID = {"meta", "input"}
THREE = {label: NAMED[label] for label in ("swh_Latn", "bod_Tibt", "uig_Arab")}


class Reader(HTMLParser):
    """Reads a page as a browser does, and minds that every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(page):
    return re.sub(r"\s+", " ", "".join(Reader(page).text))  # no-break spaces, too


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs by what they are; only to be read."""
    root = tmp_path_factory.mktemp("runs")
    small = {"planned_tokens": 4_000_000, "lines": 60}
    return {
        "three": write_run(root / "three", labels=THREE, device=None, **small),
        "thirty": write_run(
            root / "thirty", labels=many(30), share=0.62, worse=("div_Thaa", "urd_Arab"),
            skipped=(0.3, 0.5), waiting=0.12,
        ),
        "many": write_run(root / "many", labels=many(536), nsp=False, lines=1500),
        "killed": killed_early(root / "killed"),
        "chance": write_run(root / "chance", labels=THREE, nsp=None, share=0.5, **small),
        "one": write_run(root / "one", labels={"swh_Latn": 900_000}, **small),
    }  # fmt: skip


KINDS = ("three", "thirty", "many", "killed", "chance", "one")


@pytest.fixture(scope="module")
def pages(runs):
    return {kind: report.render(report.report(path)) for kind, path in runs.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_well_formed_with_unique_ids_and_no_requests(pages, kind):
    page = pages[kind]
    reader = Reader(page)
    assert reader.open == []
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, value in reader.attributes if name == "href"}
    assert links
    assert all(link[0] == "#" and link[1:] in ids for link in links)
    assert not [value for name, value in reader.attributes if name == "src"]
    assert "http" not in page.replace("http-equiv", "")
    assert "url(" not in page
    assert "script-src 'sha256-" in page
    assert "nan" not in re.findall(r' d="[^"]*"', page)
    assert not re.search(r'(?:d|cx|cy|x|y)="[^"]*(?:nan|inf)', page)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_tells_no_path_and_the_same_folder_gives_the_same_bytes(
    runs, pages, kind, tmp_path
):
    path = runs[kind]
    assert str(path.parent) not in pages[kind]
    copy = tmp_path / path.name
    path.rename(copy)
    try:
        assert report.render(report.report(store.Folder(copy))) == pages[kind]
    finally:
        copy.rename(path)


def test_536_languages_stay_below_two_megabytes_and_are_drawn_quickly(runs):
    start = time.perf_counter()
    page = report.render(report.report(runs["many"]))
    assert len(page.encode()) < 2_000_000
    assert time.perf_counter() - start < 15
    rows = page[page.index('aria-label="All languages"') :]
    assert rows[: rows.index("</table>")].count('<tr id="') > 500


def test_the_headline_says_which_language_is_worst_and_whether_it_still_improves(pages):
    assert "Yoruba is worst, at 1.33 bits per byte and still improving" in text_of(pages["thirty"])
    assert "Swahili is at " in text_of(pages["one"])


def test_against_its_own_past_another_language_has_learnt_least(runs, pages):
    facts = report.report(runs["thirty"])
    least = standing.least_learnt(standing.rows(facts))
    assert least.label == "div_Thaa"
    assert f"Divehi has learnt least, with {100 * least.left:.0f} %" in text_of(pages["thirty"])


def test_languages_are_listed_the_worst_first(runs, pages):
    table = pages["thirty"][pages["thirty"].index('aria-label="All languages"') :]
    order = re.findall(r'<tr id="(\w+)">', table[: table.index("</table>")])
    last = report.report(runs["thirty"])["evaluations"][-1]["labels"]
    assert order == sorted(last, key=lambda label: -last[label]["bits_per_byte"])
    assert "<b>1.33</b></td>" in table
    assert "2.5</td>" in table  # epochs


def test_the_twelve_worst_have_a_picture_each(pages):
    assert pages["thirty"].count('class="plot small both"') == 12
    assert pages["three"].count('class="plot small both"') == 3


def test_each_figure_says_what_it_means(runs):
    facts = report.report(runs["thirty"])
    rows = meanings.figures(facts, standing.rows(facts))
    assert all(row["meaning"].endswith(".") for row in rows)
    told = {row["title"]: row["value"].replace("\N{NO-BREAK SPACE}", " ") for row in rows}
    assert told["MFU"] == "36 %"
    assert told["Waiting for data"] == "12 %"
    assert told["Tokens"] == "494 M of 800 M"
    assert told["Still improving"].endswith(" of 30")


def test_the_alarms_name_what_is_wrong_and_what_to_do(runs, pages):
    text = text_of(pages["thirty"])
    assert "2 of 30 languages got worse over the last evaluations, by more than 1 %." in text
    assert "Training is loader-bound: it waits for data 12 % of the time." in text
    assert "2 steps were skipped, since the gradient was not finite: 1,831, 3,052." in text
    assert "hidden tokens." in text
    assert "<code>pretrain.sampling.max_repeat</code>" in pages["thirty"]
    assert "✓ No alarm." not in text
    assert "✓ No alarm." in text_of(pages["three"])


def kinds(path):
    facts = report.report(path)
    return [alarm.kind for alarm in alarms.alarms(facts, standing.rows(facts))]


def test_next_sentences_at_chance_ring_but_not_at_the_very_start(runs, tmp_path):
    assert "nsp" in kinds(runs["chance"])
    early = write_run(tmp_path / "early", labels=THREE, nsp=None, share=0.05)
    assert "nsp" not in kinds(early)
    assert "nsp" not in kinds(runs["three"])


def test_languages_that_are_not_judged_are_listed_apart(tmp_path):
    path = write_run(tmp_path / "run", labels={**THREE, "eng_Latn": 40})
    assert "unjudged" in kinds(path)
    page = report.render(report.report(path))
    assert "1 language is not judged" in text_of(page)
    assert "Languages that nothing could be held out of" in text_of(page)


def row(*bits, masked=2000, **more):
    curve = tuple((number * 10, value) for number, value in enumerate(bits))
    return standing.Row("swh_Latn", curve=curve, masked=masked, **more)


def test_getting_worse_is_more_than_one_percent_over_the_last_two_evaluations():
    assert row(4.0, 2.0, 2.01, 2.019).trend == "same"
    assert row(4.0, 2.0, 2.01, 2.021).trend == "worse"
    assert row(4.0, 2.0, 2.05, 1.99).trend == "better"
    assert row(4.0).trend == "new"
    assert row(4.0, 3.0).trend == "better"


def test_with_little_held_out_text_more_is_needed_to_tell_a_trend():
    assert row(4.0, 2.0, 2.01, 2.03, masked=250).trend == "unclear"
    assert row(4.0, 2.0, 2.01, 2.05, masked=250).trend == "worse"
    assert row(4.0, 2.0, 2.9, masked=99).trend == "unclear"
    assert row(4.0, 2.0, 2.01, 1.9, 1.8, masked=99).trend == "unclear"
    assert row(4.0, 2.0, masked=99).trend == "unclear"


def test_falling_three_times_in_a_row_is_improving_however_little_is_held_out():
    assert row(4.0, 2.0, 1.99, 1.98, masked=20).trend == "better"
    assert row(2.0, 1.9999, 1.9998, 1.9997, masked=20).trend == "unclear"
    assert row(4.0, 2.0, 2.01, 2.02, 2.03, masked=20).trend == "worse"


def test_a_language_that_few_tokens_judge_is_not_called_the_worst():
    lucky, sure = row(4.0, 3.0, masked=50), row(4.0, 2.0)
    assert standing.worst_of([lucky, sure]) == [sure]
    assert standing.worst_of([lucky]) == [lucky]


def test_advice_depends_on_how_often_a_text_was_seen():
    often = row(4.0, 2.0, 2.1, 2.2, tokens=100, seen=900)
    assert "seen 9 times" in meanings.advice(often)[0]
    assert "others push it out" in meanings.advice(row(4.0, 2.0, 2.1, 2.2, tokens=9, seen=9))[0]
    assert meanings.advice(row(4.0, 2.0, 1.5)) == []
    assert "untrained model guessed it better" in meanings.advice(row(4.0, 4.5, untrained=4.0))[0]


def test_a_run_that_was_killed_early_has_a_page_of_what_there_is(pages):
    text = text_of(pages["killed"])
    assert "Training has begun; no language was judged yet" in text
    assert "No checkpoint was saved yet." in text
    assert "Uyghur uig_Arab" in text


@pytest.mark.parametrize("name", ["log.jsonl", "evaluation.jsonl", "result.json", "checkpoints"])
def test_the_page_does_without_any_file_but_the_configuration(tmp_path, name):
    path = write_run(tmp_path / "run", labels=THREE, lines=60)
    (path / name).rename(tmp_path / name)
    assert Reader(report.render(report.report(path))).open == []


def test_a_configuration_alone_has_a_page(tmp_path):
    write_json(tmp_path / "config.json", {})
    assert "Nothing was logged yet" in text_of(report.render(report.report(tmp_path)))


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no run here"):
        report.report(tmp_path)


def test_writing_puts_the_page_beside_the_rest(tmp_path):
    folder = store.Folder(write_run(tmp_path / "run", labels=THREE, lines=60))
    page = report.write(folder)
    assert page == str(tmp_path / "run" / "report.html")
    assert folder.read_bytes("report.html").decode() == report.render(report.report(folder))


def test_a_run_before_its_first_evaluation_is_not_said_to_improve(tmp_path):
    path = write_run(tmp_path / "run", labels=THREE, share=0.05)
    assert "the untrained model needs" in text_of(report.render(report.report(path)))


def test_tokens_seen_are_those_of_the_last_checkpoint_or_of_a_later_result(tmp_path):
    path = write_run(tmp_path / "run", labels=THREE, share=0.5, lines=60)
    seen = {one.label: one for one in standing.rows(report.report(path))}
    assert 0 < seen["bod_Tibt"].epochs <= 4
    step = report.report(path)["checkpoint"]["step"]
    write_json(path / "result.json", {"steps": step - 1, "tokens_by_label": {"bod_Tibt": 1}})
    assert standing.tokens_by_label(report.report(path)) != {"bod_Tibt": 1}
    write_json(path / "result.json", {"steps": step + 1, "tokens_by_label": {"bod_Tibt": 1}})
    assert standing.tokens_by_label(report.report(path)) == {"bod_Tibt": 1}


def test_labels_without_their_tokens_have_no_epochs(runs):
    facts = report.report(runs["three"])
    facts["config"]["labels"] = sorted(facts["config"]["labels"])
    found = standing.rows(facts)
    assert [(one.epochs, one.seen is None) for one in found] == [(None, False)] * 3


def test_a_checkpoint_without_its_manifest_does_not_count(tmp_path):
    path = write_run(tmp_path / "run", labels=THREE, share=0.5, lines=60)
    (path / "checkpoints" / "step-99999999").mkdir()
    assert report.report(path)["checkpoint"]["step"] < 99999999


def test_a_finished_run_that_goes_on_is_not_finished_any_more(runs, tmp_path):
    facts = report.report(runs["three"])
    assert standing.progress(facts).is_finished
    more = {**facts["log"][-1], "step": facts["log"][-1]["step"] + 10}
    assert not standing.progress({**facts, "log": [*facts["log"], more]}).is_finished


def test_progress_of_a_run_in_time_is_the_time_that_passed_over_all_resumptions(runs):
    facts = report.report(runs["three"])
    facts["result"] = None
    facts["config"]["settings"] |= {"tokens": None, "budget": "10min"}
    facts["log"] = [{"step": n, "tokens": n, "seconds": s} for n, s in ((1, 60), (2, 120), (3, 30))]
    found = standing.progress(facts)
    assert (found.seconds, found.share, found.steps) == (150, 0.25, None)
    assert "of 10 min" in text_of(report.render(facts))


HOSTILE = "</style><script>alert(1)</script>\u202e<img src=x onerror=1>"


def test_names_of_folders_devices_and_labels_cannot_act_on_the_page(runs):
    facts = json.loads(json.dumps(report.report(runs["three"])))
    facts["run"] = facts["config"]["preset"] = HOSTILE
    facts["result"]["machine"]["device"] = HOSTILE
    facts["config"]["settings"]["labels"] = [HOSTILE]
    for record in facts["evaluations"]:
        record["labels"][HOSTILE] = {**record["labels"]["swh_Latn"], "bits_per_byte": 9.0}
    page = report.render(facts)
    reader = Reader(page)
    assert reader.tags.count("script") == 1
    assert "img" not in reader.tags
    assert "\u202e" not in page
    assert "<bdi>Tibetan</bdi>" in page


def test_pictures_are_drawn_for_wide_and_for_narrow_screens_in_both_colours(pages):
    for kind in ("languages", "training"):
        for width in ("wide", "narrow"):
            assert f'class="plot {kind} {width}"' in pages["thirty"]
    assert "prefers-color-scheme:dark" in pages["thirty"]


def test_a_change_of_the_masks_is_marked_and_the_curve_stays_sharp_there(pages):
    for rate in (30, 25, 20, 15):
        assert f"{rate} % hidden" in pages["many"]
    values = [4.0] * 100 + [3.0] * 100
    smooth = axes.smoothed(values, [0] * 100 + [1] * 100)
    assert smooth == values


def test_smoothing_leaves_gaps_where_nothing_was_measured():
    assert axes.smoothed([1.0, None] * 100, [0] * 200) == [1.0, None] * 100


def test_fewer_points_keep_the_spikes():
    points = [(float(x), 1.0) for x in range(10_000)]
    points[4321] = (4321.0, 99.0)
    found = axes.thinned(points, 100)
    assert len(found) <= 200
    assert (4321.0, 99.0) in found
    assert found == sorted(found)


def test_a_long_log_is_drawn_in_a_small_picture():
    log = [
        {"step": n, "tokens": n * 1000, "mlm_loss": 3 + 1 / n, "learning_rate": 0.1, "stage": 0}
        for n in range(1, 60_001)
    ]
    facts = {"run": "x", "config": {}, "log": log, "evaluations": [], "result": None}
    facts["checkpoint"] = None
    start = time.perf_counter()
    assert len(report.render(facts)) < 300_000
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    "places", [[5, 5, 5], [0, 1, 2, 50], [98, 99, 100], [40, 41, 60, 61, 62], []]
)
def test_names_beside_a_picture_are_moved_apart_and_stay_inside(places):
    found = axes.apart(places, gap=10, low=0, high=100)
    assert all(b - a >= 10 - 1e-9 for a, b in itertools.pairwise(found))
    assert all(0 <= place <= 100 for place in found)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.3, 0.31), (5, 5), (0, 8e8), (1e-9, 3e-4)])
def test_ticks_are_few_and_lie_within(low, high):
    found = axes.round_values(low, high, most=5)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.0), (0.4, 2.1), (0.01, 20), (1.02, 1.04)])
def test_ticks_of_a_logarithmic_axis_are_few_and_lie_within(low, high):
    found = axes.log_values(low, high, most=6)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


def test_curves_of_equal_values_can_be_drawn():
    flat = [(1.0, 2.0), (2.0, 2.0)]
    for picture in (
        pictures.spark(flat, kind="same"),
        pictures.small(flat, median=[], scale=axes.bounds([flat]), name="Swahili"),
        pictures.languages({"a": flat}, names={"a": "A"}, width=pictures.WIDE, named=1),
    ):
        assert "nan" not in str(picture)
    assert pictures.spark(flat[:1], kind="new") == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (7200, "2 h"), (100_000, "1 d 3 h")],
)
def test_times_are_told_in_two_units(seconds, said):
    assert meanings.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == said
