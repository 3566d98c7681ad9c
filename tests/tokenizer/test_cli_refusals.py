"""`koine vocab` refuses what is wrong: one message with place, fact and remedy, and a code."""

import re
import shutil

import pytest
from vocab_commands import COMMANDS, HERE, SETTINGS, assert_refused, flip, vocab

from pipelines import store
from tests_support import hashes


@pytest.fixture
def config(tmp_path):
    """A configuration with the settings of `sample_vocab`."""
    path = tmp_path / "corpora.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture
def out(sample_vocab, tmp_path):
    """A trained build of the test's own."""
    return shutil.copytree(sample_vocab.out, tmp_path / "out")


WRONG_SETTINGS = [
    ("vocab.size=900", 2, r"vocab\.size: 900 pieces are too few: [\d,]+ characters.*\n  Set vocab"),
    ("vocab.size=200000", 3, r"vocab\.size: the text has not enough .* 200,000 .*\n  Set vocab"),
    ("vocab.size=10", 2, r":2:9  vocab\.size: .*greater.* 262 \(found 10\)"),
    ("vocab.labels=[uig_Arab]", 2, r"vocab\.labels: the corpus has no text in uig_Arab\.\n  "),
    ("vocab.labels=[xx_Xxxx]", 2, r"xx_Xxxx"),
    ("vocab.parallel=nowhere", 3, r"nowhere: there is no such file or folder\.\n  Expected one"),
    ("vocab.algorithm=flonk", 2, r"vocab\.algorithm"),
]


@pytest.mark.parametrize(("setting", "code", "message"), WRONG_SETTINGS, ids=lambda one: str(one))
def test_a_wrong_setting_is_one_message_and_leaves_the_vocabulary(
    setting, code, message, config, out, sample_vocab
):
    answer = vocab("train", config, "--out", out, *HERE, "--quiet", "--set", setting)
    assert answer.code == code
    assert answer.out == ""
    assert re.search(message, answer.errors), answer.errors
    assert hashes(out / "vocab") == hashes(sample_vocab.out / "vocab")


@pytest.mark.parametrize("command", COMMANDS)
def test_where_nothing_was_built_the_answer_is_3_and_nothing_is_left(command, config, tmp_path):
    arguments = {"train": (config,), "encode": (config,), "pieces": ("abc",)}.get(command, ())
    answer = vocab(command, *arguments, "--out", tmp_path / "none")
    assert_refused(answer, 3, str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_encode_before_train_says_where_the_vocabulary_is_missing(sample_build, config, tmp_path):
    shutil.copytree(sample_build.out / "corpus", tmp_path / "out" / "corpus")
    answer = vocab("encode", config, "--out", tmp_path / "out", *HERE)
    assert_refused(answer, 3, str(tmp_path / "out" / "vocab"))
    assert not (tmp_path / "out" / "tokens").exists()


def test_a_changed_model_is_not_encoded_with(config, out):
    flip(out / "vocab" / "spm.model")
    for arguments in (("encode", config), ("pieces", "abc"), ("report",)):
        answer = vocab(*arguments, "--out", out)
        assert_refused(answer, 3, str(out / "vocab" / "spm.model"), "SHA-256")
    assert not (out / "tokens").exists()


def test_report_refuses_a_changed_held_out_text(out):
    held = out / "vocab" / "held_out.arrow"
    held.write_bytes(held.read_bytes()[:-100])
    assert_refused(vocab("report", "--out", out), 3, str(held), "bytes instead of")
    held.unlink()
    assert_refused(vocab("report", "--out", out), 3, str(held), "missing")


def test_a_vocabulary_that_was_not_finished_is_none(out):
    (out / "vocab" / "manifest.json").unlink()
    for arguments in (("report",), ("pieces", "abc")):
        assert_refused(vocab(*arguments, "--out", out), 3, "no training has finished here")


def damaged(kind, good, tmp_path):
    path = tmp_path / ("broken.json" if "json" in kind else "broken.model")
    data = {
        "cut model": (good / "spm.model").read_bytes()[:-1000],
        "cut json": (good / "tokenizer.json").read_bytes()[:-1000],
        "text model": b"hello\n",
        "empty model": b"",
        "empty json": b"{}",
    }
    if kind in data:
        path.write_bytes(data[kind])
    return path


@pytest.mark.parametrize(
    "kind", ["cut model", "cut json", "text model", "empty model", "empty json", "missing"]
)
def test_a_file_that_is_no_tokenizer_is_3_and_named(kind, out, tmp_path):
    path = damaged(kind, out / "vocab", tmp_path)
    for arguments in (("report", path, "--out", out), ("pieces", "abc", out / "vocab", path)):
        assert_refused(vocab(*arguments), 3, str(path))
    assert not (out / "vocab-report.html").exists()


def test_a_parallel_folder_without_languages_is_3_and_says_what_is_expected(out, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "readme.md").write_text("nothing\n")
    answer = vocab("report", "--out", out, "--parallel", tmp_path / "texts")
    assert_refused(answer, 3, str(tmp_path / "texts"), "swh_Latn.txt")


@pytest.mark.parametrize("page", ["page.json", "page", "reports/", "vocab/page.html"])
def test_a_page_that_would_hurt_something_is_refused(page, out, sample_vocab):
    assert_refused(vocab("report", "--out", out, "--to", f"{out}/{page}"), 2, "--to")
    assert hashes(out) == hashes(sample_vocab.out)


def test_a_page_never_writes_its_facts_over_a_tokenizer(out, tmp_path):
    own = tmp_path / "tokenizer.json"
    before = (out / "vocab" / "tokenizer.json").read_bytes()
    for name, data in (("tokenizer", before), ("number", b"5")):
        (tmp_path / f"{name}.json").write_bytes(data)
        answer = vocab("report", own, "--out", out, "--to", tmp_path / f"{name}.html")
        assert_refused(answer, 2, f"{tmp_path / name}.json", "no report")
    assert own.read_bytes() == before
    for _ in range(2):  # its own, from before, it may
        assert vocab("report", own, "--out", out, "--to", tmp_path / "page.html").code == 0


def test_a_page_that_cannot_be_written_is_4(out, tmp_path):
    (tmp_path / "file").write_text("")
    answer = vocab("report", "--out", out, "--to", tmp_path / "file" / "page.html")
    assert_refused(answer, 4, "cannot be written")


def test_another_training_in_the_folder_is_4_and_says_whose(config, out):
    with store.locked(store.Folder(out / "work" / "vocab")):
        answer = vocab("train", config, "--out", out, *HERE)
    assert_refused(answer, 4, "another build is running here (pid ")


@pytest.mark.parametrize("command", ["train", "encode"])
def test_a_wrong_command_line_is_2(command, config, tmp_path):
    for more in (("--runner", "flonk"), ("--workers", 0), ("--nonsense",), ("--set", "size")):
        answer = vocab(command, config, "--out", tmp_path / "out", *more)
        assert answer.code == 2
        assert answer.out == ""
        assert "koine:" not in answer.errors
    assert vocab(command, tmp_path / "none.yaml").code == 2
    assert not (tmp_path / "out").exists()
