"""What the terminal shows of a run: while it goes, how it ended, a batch of it."""

import os
import pty
import subprocess
import sys

import pytest
from fake_runs import NAMED, many, write_run

from pretrain import report, show
from pretrain.export import Exported
from tests_support import ROOT

THREE = {label: NAMED[label] for label in ("swh_Latn", "bod_Tibt", "uig_Arab")}
CONFIG = {"settings": {"tokens": 4_000_000, "batch_tokens": 40_000}}
RECORD = {
    "step": 50, "tokens": 1_990_000, "loss": 3.25, "tokens_per_s": 1.05e6, "mfu": 0.414,
    "wait_share": 0.021, "skipped": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return write_run(root / "run", labels=many(30), worse=("urd_Arab",), waiting=0.1)


def told(capsys):
    found = capsys.readouterr()
    return found.out, found.err


def test_without_a_terminal_a_line_has_all_there_is_to_know(capsys):
    with show.Progress(CONFIG) as progress:
        progress.note("compiling the model: about a minute")
        progress.step(RECORD, progress=0.5, elapsed_s=300)
    out, err = told(capsys)
    assert out == ""
    assert err.splitlines() == [
        "compiling the model: about a minute",
        " 50 %  step 50/100   loss 3.250   ETA 5 min   1.05 M tokens/s   MFU 41 %   waiting 2 %   "
        "1.99 M tokens",
    ]


def test_without_a_terminal_there_is_a_line_every_so_often(capsys):
    progress = show.Progress(CONFIG, every_s=3600)
    for _ in range(5):
        progress.step(RECORD, progress=0.5, elapsed_s=1)
    assert len(told(capsys)[1].splitlines()) == 1


def test_what_is_not_known_is_a_dash(capsys):
    record = {**RECORD, "mfu": None, "loss": None, "skipped": [48, 49]}
    show.Progress({"settings": {"budget": "10min"}}).step(record, progress=0.0, elapsed_s=1)
    assert told(capsys)[1].startswith(
        "  0 %  step 50   loss -   2 skipped   ETA -   1.05 M tokens/s   MFU -"
    )


def test_the_time_left_is_told_by_the_pace_since_the_run_was_resumed(capsys):
    progress = show.Progress(CONFIG, every_s=0)
    progress.step(RECORD, progress=0.5, elapsed_s=10)
    progress.step(RECORD, progress=0.6, elapsed_s=70)
    assert "ETA 4 min " in told(capsys)[1].splitlines()[1]


def test_quiet_says_nothing(capsys):
    with show.Progress(CONFIG, quiet=True) as progress:
        progress.note("wait")
        progress.step(RECORD, progress=0.5, elapsed_s=1)
    assert told(capsys) == ("", "")


@pytest.mark.parametrize(
    ("columns", "seen", "unseen"), [(120, "waiting", "\n\n"), (60, "ETA", "MFU")]
)
def test_a_terminal_has_one_line_as_wide_as_it_is_and_notes_above_it(columns, seen, unseen):
    code = (
        "from pretrain import show\n"
        f"with show.Progress({CONFIG!r}) as progress:\n"
        f"    progress.step({RECORD!r}, progress=0.5, elapsed_s=300)\n"
        "    progress.note('judging 3 languages \\x1b[2J')\n"
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, stderr=child, env=environment
    )
    os.close(child)
    shown = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert "step 50/100" in shown
    assert seen in shown
    assert unseen not in shown
    assert r"judging 3 languages \x1b[2J" in shown
    assert "\x1b[2J" not in shown


def test_a_result_shows_the_worst_and_the_best_and_what_comes_next(run, capsys):
    result = report.report(run)["result"]
    page = report.write(report.store.Folder(run))
    show.show_result(result, report=page, command="koine pretrain run corpora.yaml --resume")
    out, err = told(capsys)
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0][:4] == ["language", "label", "bits/byte", "untrained"]
    assert rows[1][1] == "yor_Latn"
    assert len(rows) == 1 + show.WORST_SHOWN + show.BEST_SHOWN
    bits = [float(row[2]) for row in rows[1:]]
    assert bits == sorted(bits, reverse=True)
    assert "the 8 worst and the 3 best of 30 languages; mean " in err
    assert "! Training is loader-bound" in err
    assert "\n    urd_Arab\n" in err
    assert f"report   {page}\n" in err
    assert f"koine pretrain export {run} --to DIR" in err
    assert f"tensorboard --logdir {run}/tensorboard" in err
    assert "--resume" not in err


def test_a_stopped_run_is_told_how_to_go_on(tmp_path, capsys):
    path = write_run(tmp_path / "run", labels=THREE, share=0.5, lines=60)
    result = {"run": str(path), "steps": 30, "tokens": 7, "loss": None, "finished": False}
    show.show_result(result, report=f"{path}/report.html", command="koine pretrain run x --resume")
    assert "next     koine pretrain run x --resume\n" in told(capsys)[1]


def test_showing_a_run_tells_its_figures_and_where_it_goes_on(tmp_path, capsys):
    path = write_run(tmp_path / "run", labels=THREE, share=0.5, lines=60)
    show.show_run(report.report(path), report=f"{path}/report.html")
    out, err = told(capsys)
    assert out.startswith("run: bert-small, step ")
    assert "not finished, 50 % done\n" in out
    assert "  MFU                     41 %\n" in out
    assert "Swahili\tswh_Latn\t" in out
    assert "the last checkpoint is of step " in err


def test_a_run_that_was_killed_early_can_be_shown(tmp_path, capsys):
    path = write_run(tmp_path / "run", labels=THREE, share=1 / 60, lines=60, evaluations=0)
    show.show_run(report.report(path), report=f"{path}/report.html")
    out, err = told(capsys)
    assert "  Training loss " in out
    assert "no checkpoint was saved yet" in err
    assert "koine pretrain export" not in err


def test_a_replayed_batch_shows_what_is_hidden_and_obeys_nothing(capsys):
    example = {
        "label": "uig_Arab", "documents": ["a", "b"], "nsp": "random",
        "pieces": [["[CLS]", None], ["[MASK]", "▁مەن"], ["\x1b[31m\n", None], ["▁x", "▁y"]],
    }  # fmt: skip
    micro = {
        "micro": 96, "block": 2, "stage": 0, "tokens": 8190, "masked": 1229,
        "examples": [example, {**example, "nsp": None, "label": "never shown"}],
    }  # fmt: skip
    show.show_replay({"step": 12, "micro_batches": [micro]}, examples=1)
    out, _ = told(capsys)
    assert out == (
        "step 12, micro-batch 96 of the run (block 2, stage 0): 8,190 tokens, 1,229 hidden, "
        "2 examples; the first 1:\n\n"
        "uig_Arab  random next  4 pieces, 2 hidden  a + b\n"
        "  [CLS] [[MASK] <- ▁مەن] \\x1b[31m\\n [▁x <- ▁y]\n\n"
    )


def test_an_export_says_how_it_is_loaded(capsys):
    exported = Exported(
        "out/export", 120, 7_000_000, 58_900_000, 236_000_000, ("a", "b"), "0", "absent"
    )
    show.show_exported(exported)
    out, err = told(capsys)
    assert out == "step 120 after 7,000,000 tokens: 58,900,000 parameters, 236 MB in 2 files\n"
    assert "AutoModel.from_pretrained('out/export')" in err
    assert "The corpus is absent" in err
