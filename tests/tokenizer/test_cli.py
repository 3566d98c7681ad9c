"""`koine vocab`: one JSON object or text for people; what is wrong is one message with its code."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from vocab_commands import COMMANDS, HERE, SETTINGS, flip, parsed, vocab

from pipelines.terminal import safe
from tests_support import ROOT, call, hashes
from tests_support import koine as run_koine
from tokenizer import loading


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


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_the_help_is_a_command_that_parses(command, tmp_path):
    answer = vocab(command, "--help")
    example = " ".join(answer.out.partition("Example:")[2].split())
    assert example.startswith(f"koine vocab {command} ")
    # Run where nothing is, it is refused for what is missing and not for how it is written.
    missing = subprocess.run(
        ["bash", "-c", example.replace("koine", f"'{sys.executable}' '{ROOT}/koine.py'", 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert missing.returncode in (2, 3)
    assert re.search(
        r"corpora\.yaml: there is no such file|no training|no manifest|no such file", missing.stderr
    ), missing.stderr
    assert list(tmp_path.iterdir()) == []


def test_train_prints_what_the_languages_pay(sample_vocab, config, out):
    value = parsed("train", config, "--out", out, *HERE, "--quiet")
    assert set(value) >= {"folder", "pieces", "premium", "gini", "worst"}
    assert value["folder"] == str(out / "vocab")
    assert value["pieces"] == 3500
    assert value["premium"] == sample_vocab.built.premium
    unjudged = [label for label, premium in value["premium"].items() if premium is None]
    assert unjudged == value["unjudged"]
    assert value["worst"]["premium"] == max(p for p in value["premium"].values() if p)
    assert value["premium"][value["worst"]["label"]] == value["worst"]["premium"]
    assert 0 < value["gini"] < 1
    assert set(value["seconds"]) >= {"count", "sample", "train", "export", "judge"}
    assert hashes(out / "vocab") == hashes(sample_vocab.out / "vocab")


def test_train_tells_people_results_on_stdout_and_the_rest_on_stderr(config, out):
    answer = vocab("train", config, "--out", out, *HERE)
    assert answer.code == 0
    head, *rows = (line.split("\t") for line in answer.out.splitlines())
    assert head[:3] == ["round", "mean tokens", "worst premium"]
    assert sum(row[-1] == "chosen" for row in rows) == 1
    assert "Gini" in {row[0] for row in rows}
    for said in ("fit 0: mean", "too little held-out text", "took ", "koine vocab encode "):
        assert said in answer.errors
        assert said not in answer.out
    assert str(out / "vocab" / "report.html") in answer.errors
    assert vocab("train", config, "--out", out, *HERE, "--quiet") == type(answer)(0, "", "")


def test_report_prints_the_whole_table_and_writes_a_page_beside_its_facts(out, tmp_path):
    page = tmp_path / "reports" / "page.html"
    value = parsed("report", "--out", out, "--to", page)
    (facts,) = value["tokenizers"]
    assert len(facts["labels"]) == 20
    assert {"tokens", "premium", "premium_low", "fertility", "byte_rate"} <= set(
        facts["labels"]["swh_Latn"]
    )
    assert value.pop("report") == str(page)
    assert json.loads(page.with_suffix(".json").read_text()) == value
    assert page.read_text().startswith("<!doctype html>")
    assert "swh_Latn" in page.read_text()


def test_report_names_the_worst_first_and_holds_several_side_by_side(out):
    alone = vocab("report", "--out", out)
    assert alone.code == 0
    assert str(out / "vocab-report.html") in alone.errors
    assert (out / "vocab-report.json").exists()
    rows = [line.split("\t") for line in alone.out.splitlines()]
    premiums = [float(row[2]) for row in rows[1:11]]
    assert premiums == sorted(premiums, reverse=True)
    both = vocab("report", out / "vocab", out / "vocab" / "tokenizer.json", "--out", out)
    head = both.out.splitlines()[0].split("\t")
    assert head[2:4] == ["premium vocab", "premium vocab (2)"]
    for line in both.out.splitlines()[1:]:
        assert line.split("\t")[2] == line.split("\t")[3]  # the same vocabulary in two forms


def test_report_judges_by_parallel_text_without_a_build(out, tmp_path, texts):
    folder = tmp_path / "parallel"
    folder.mkdir()
    for label, documents in texts.items():
        lines = "".join(" ".join(document.split()) + "\n" for document in documents)
        (folder / f"{label}.txt").write_text(lines, encoding="utf-8")
    arguments = (out / "vocab" / "spm.model", "--parallel", folder, "--out", tmp_path / "new")
    value = parsed("report", *arguments)
    assert value["text"] == "parallel"
    assert value["tokenizers"][0]["labels"]["eng_Latn"]["premium_english"] == 1
    assert (tmp_path / "new" / "vocab-report.html").exists()


def test_encode_prints_the_tokens_of_each_language(config, out):
    value = parsed("encode", config, "--out", out, *HERE, "--quiet")
    assert value["folder"] == str(out / "tokens")
    assert len(value["tokens"]) == 20
    assert all(number > 1000 for number in value["tokens"].values())
    assert value["ledger"]["read"] == value["ledger"]["encoded"] > 0
    assert value["shards"] == {"total": 20, "kept": 0}
    again = vocab("encode", config, "--out", out, *HERE)
    assert again.out.startswith(f"read {value['ledger']['read']} documents = encoded ")
    assert "20 of them kept from an earlier run" in again.errors
    assert str(out / "tokens") in again.errors


def test_verify_counts_files_and_ends_with_3_if_one_is_wrong(config, out):
    assert parsed("verify", "--out", out) == {"files": 7, "wrong": []}
    vocab("encode", config, "--out", out, *HERE, "--quiet")
    assert vocab("verify", "--out", out).out == "27 files, all as their manifests say.\n"
    flip(out / "vocab" / "spm.model")
    flip(out / "tokens" / "swh_Latn" / "part-00000.arrow")
    answer = vocab("verify", "--out", out)
    assert answer.code == 3
    model, shard = answer.out.splitlines()
    assert model.startswith(f"{out / 'vocab' / 'spm.model'}: SHA-256 ")
    assert shard.startswith(f"{out / 'tokens' / 'swh_Latn' / 'part-00000.arrow'}: SHA-256 ")
    assert answer.errors == "koine: 2 problems. Train or encode again to repair them.\n"
    listed = vocab("verify", "--out", out, "--json")
    assert listed.code == 3
    assert json.loads(listed.out)["wrong"] == [model, shard]
    for command in ("train", "encode"):  # and so they do
        assert vocab(command, config, "--out", out, *HERE, "--quiet").code == 0
    assert vocab("verify", "--out", out).code == 0


def test_verify_finds_tokens_of_another_vocabulary(config, out):
    vocab("encode", config, "--out", out, *HERE, "--quiet")
    retrained = (config, "--out", out, "--set", "vocab.size=3400", *HERE, "--quiet")
    assert vocab("train", *retrained).code == 0
    answer = vocab("verify", "--out", out)
    assert answer.code == 3
    assert answer.out.startswith(f"{out / 'tokens'}: of the vocabulary ")
    assert vocab("encode", config, "--out", out, *HERE, "--quiet").code == 0
    assert vocab("verify", "--out", out).code == 0


def test_pieces_are_those_of_the_model_and_spell_the_text(sample_vocab):
    text = "Habari za asubuhi, ራስ ᚠ"
    value = parsed("pieces", text, "--out", sample_vocab.out)
    (row,) = value["tokenizers"]
    model = loading.load(sample_vocab.out / "vocab")
    assert row["ids"] == model.encode([text]).ids.tolist()
    assert "".join(row["pieces"]) == "▁" + text.replace(" ", "▁").replace("ᚠ", "<0xE1><0x9A><0xA0>")
    files = [sample_vocab.out / "vocab" / name for name in ("spm.model", "tokenizer.json")]
    shown = vocab("pieces", text, *files)
    first, pieces, second, same = shown.out.splitlines()
    assert first == second == f"vocab: {len(row['ids'])} pieces"
    assert pieces == same == "  " + " ".join(row["pieces"])
    assert vocab("pieces", "", "--out", sample_vocab.out).out.startswith("vocab: 0 pieces")


def test_a_build_at_a_url_is_read_like_a_folder(sample_vocab):
    url = f"file://{sample_vocab.out}"
    assert vocab("pieces", "abc", "--out", url) == vocab("pieces", "abc", "--out", sample_vocab.out)
    assert vocab("verify", "--out", url).code == 0


def test_piped_text_has_nothing_that_a_terminal_obeys(config, out, tmp_path):
    hostile = tmp_path / "a\x1b[31m\u202e\u2067b"
    shutil.copytree(out / "vocab", hostile)
    (hostile / "manifest.json").unlink()
    (hostile / "x\x1b[2J\u2066").write_text("")
    text = "مرحبا \u202eabc\u2068\x07\x1b[31m שלום"
    (out / "vocab" / "\x1b]0;title\x07").write_text("")
    answers = [
        vocab("pieces", text, hostile, "--out", out),
        vocab("report", hostile, "--out", out),
        vocab("train", config, "--out", out, *HERE),
        vocab("encode", config, "--out", out, *HERE),
        vocab("pieces", text, hostile / "x\x1b[2J\u2066"),
    ]
    (out / "vocab" / "\x1b]0;title\x07").write_text("")
    answers.append(vocab("verify", "--out", out))
    for answer in answers:
        for written in (answer.out, answer.errors):
            lines = written.replace("\t", "")
            assert lines == safe(lines), written
    assert [answer.code for answer in answers] == [0, 0, 0, 0, 3, 3]


def test_a_terminal_without_unicode_gets_escapes(sample_vocab):
    answer = run_koine(
        *("vocab", "pieces", "ሰላም", "--out", sample_vocab.out),
        environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "\\u2581" in answer.stdout


def test_text_that_is_no_utf_8_is_refused(sample_vocab):
    answer = run_koine("vocab", "pieces", b"a\xffb".decode(errors="surrogateescape"))
    assert answer.returncode == 2
    assert "not UTF-8" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["vocab train", "vocab encode", "check"])
def test_a_misspelt_key_is_named_with_its_line_and_a_suggestion(command, config, out):
    config.write_text("corpora: []\n" + SETTINGS.replace("max_rounds", "max_round"))
    answer = call(*command.split(), config, *(() if command == "check" else ("--out", out)))
    assert answer.code == 2
    assert answer.out == ""
    assert f"{config}:5:12  vocab.parity.max_round: there is no such key." in answer.errors
    assert "Did you mean `max_rounds`?" in answer.errors


def test_check_prints_the_section_with_its_defaults(sample_build):
    answer = call("check", sample_build.config, "--json", "--set", "vocab.size=5000")
    value = json.loads(answer.out)
    assert value["vocab"]["size"] == 5000
    assert value["vocab"]["held_out"] == 0.05
    assert value["vocab"]["sampling"]["by"] == "content"
    assert call("check", sample_build.config, "--set", "vocab.size=5").code == 2


def test_the_section_neither_disturbs_nor_repeats_the_building_of_a_corpus(small_corpus, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(small_corpus.parent, base)
    config, out = base / "corpora.yaml", tmp_path / "out"
    build = ("corpus", "build", config, "--out", out, "--quiet", *HERE)
    assert call(*build).code == 0
    before = hashes(out)
    measured = {p: p.stat().st_mtime_ns for p in (out / "work" / "measured").glob("*")}
    assert measured
    text = config.read_text()
    for size in (3500, 4000):
        config.write_text(text + SETTINGS.replace("3500", str(size)))
        assert call(*build).errors == ""
        assert hashes(out) == before
        now = {p: p.stat().st_mtime_ns for p in (out / "work" / "measured").glob("*")}
        assert now == measured
    plan = json.loads(call("corpus", "plan", config, "--out", out, "--json").out)
    assert plan["total"]["measured"] == plan["total"]["units"] == 2


def test_training_leaves_the_corpus_as_it_is(sample_build, sample_vocab, tmp_path):
    assert hashes(sample_vocab.out / "corpus") == hashes(sample_build.out / "corpus")
