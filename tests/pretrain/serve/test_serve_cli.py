"""`koine export` and `koine predict`: lines in, lines out, as they come; bad ones are named."""

import codecs
import io
import json
import subprocess
import sys

import pytest
from served_models import app, write_model
from typer.testing import CliRunner

from pipelines.errors import ConfigError, DataError
from pipelines.terminal import FIRST_STRONG_ISOLATE
from pretrain.models import open_model
from pretrain.serve import lines, show
from pretrain.serve.onnx_model import export
from tests_support import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("served")
    kinds = {"classify": "bert", "tag": "modernbert", "answer": "modernbert", "mlm": "bert"}
    made = {head: write_model(base / head, kind, head) for head, kind in kinds.items()}
    export(open_model(made["classify"]), int8=True)
    return made


def run(*arguments, given=b""):
    """Run a command with what comes on standard input; an error of koine's is raised."""
    result = CliRunner().invoke(app(), [str(one) for one in arguments], input=given)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def objects(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_text_is_classified_by_onnx_and_shown_best_first(folders):
    result = run("predict", folders["classify"], "Mvua kubwa")
    head, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["target", "score"] and len(rows) == 3
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert result.stderr == "" and result.exit_code == 0


def test_json_of_one_text_is_one_object(folders):
    found = json.loads(run("predict", folders["classify"], "Mvua", "--json", "--int8").stdout)
    assert found["text"] == "Mvua" and len(found["targets"]) == 3


def test_torch_says_how_it_would_be_quicker_unless_it_was_asked_for(folders):
    assert "koine export" in run("predict", folders["tag"], "Mvua").stderr
    for option in ("--torch", "--quiet"):
        assert "koine export" not in run("predict", folders["tag"], "Mvua", option).stderr


def test_each_line_gets_one_line_in_order(folders):
    given = "Mvua kubwa\nما هي\tالعاصمة\r\nA".encode()
    found = run("predict", folders["classify"], given=given)
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert [row[2] for row in rows] == ["Mvua kubwa", "ما هي\\tالعاصمة", "A"]
    as_json = objects(run("predict", folders["classify"], "--json", given=given))
    assert [one["line"] for one in as_json] == [1, 2, 3]
    assert as_json[1]["text"] == "ما هي\tالعاصمة"
    assert [one["target"] for one in as_json] == [row[0] for row in rows]


def test_bad_lines_keep_their_place_are_named_and_end_with_3(folders):
    given = b"Mvua\n\n\xe9t\xe9\nWatu\n"
    result = run("predict", folders["classify"], given=given)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [bool(row[0]) for row in rows] == [True, False, False, True]
    assert result.exit_code == 3
    assert result.stderr == (
        "koine: standard input, line 3: it is not UTF-8 (byte 0xe9 at 1)\n"
        "1 line was empty\n1 line was not judged, of 4\n"
    )
    found = objects(run("predict", folders["classify"], "--json", given=given))
    assert found[2] == {"line": 3, "text": "", "problem": "it is not UTF-8 (byte 0xe9 at 1)"}
    quiet = run("predict", folders["classify"], "--quiet", given=given)
    assert quiet.stderr == "" and quiet.exit_code == 3


def test_empty_lines_are_counted_and_no_failure(folders):
    result = run("predict", folders["classify"], given=b"\n  \nMvua\n")
    assert result.exit_code == 0 and result.stderr == "2 lines were empty\n"
    assert run("predict", folders["classify"], given=b"").stdout == ""


def test_texts_that_are_too_long_are_counted(folders):
    given = b"Mvua kubwa ilinyesha jana usiku. " * 20
    assert (
        "1 text was longer than the model takes"
        in run("predict", folders["classify"], given=given).stderr
    )


def test_tagged_lines_name_their_line_and_their_places(folders):
    given = "Mvua\nمريم في القاهرة\n".encode()
    result = run("predict", folders["tag"], "--words", "--quiet", given=given)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert {row[0] for row in rows} == {"1", "2"}
    assert [row[5] for row in rows if row[0] == "2"] == ["مريم", "في", "القاهرة"]
    assert rows[-1][1:3] == ["8", "15"]


def test_masks_are_filled_line_by_line(folders):
    result = run("predict", folders["mlm"], "--top", 2, "-q", given=b"a [MASK] b [MASK]\nnone\n")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:2] for row in rows] == [["1", "1"], ["1", "1"], ["1", "2"], ["1", "2"]]
    assert result.exit_code == 3


def test_questions_come_as_json_lines_and_keep_their_further_fields(folders):
    given = b'{"question": "Nani?", "context": "Ana.", "id": 7}\n{"question": "Nani?"}\n[]\n{\n'
    result = run("predict", folders["answer"], "--json", given=given)
    first, *others = objects(result)
    assert first["id"] == 7 and "Ana."[first["start"] : first["end"]] == first["answer"]
    assert [one["problem"] for one in others[:2]] == [
        "the question has no context", "it is no JSON object",
    ]  # fmt: skip
    assert others[2]["problem"].startswith("it is no JSON (") and result.exit_code == 3


def test_questions_about_one_context_come_as_lines(folders, tmp_path):
    (tmp_path / "text").write_text("Ana anaishi Nairobi.", encoding="utf-8")
    given = b"Nani?\nWapi?\n"
    by_file, by_option = (
        objects(run("predict", folders["answer"], "--json", *option, given=given))
        for option in (
            ("--context-file", tmp_path / "text"),
            ("--context", "Ana anaishi Nairobi."),
        )
    )
    assert by_file == by_option and [one["question"] for one in by_file] == ["Nani?", "Wapi?"]


def test_pairs_come_as_json_lines(folders):
    given = b'{"text": "a", "pair": "b"}\n{"text": "a", "pair": 3}\n{"pair": "b"}\n'
    found = objects(run("predict", folders["classify"], "--json", "--jsonl", given=given))
    assert found[0]["pair"] == "b"
    assert [one.get("problem") for one in found] == [
        None, "it has no text in 'pair'", "it has no 'text'",
    ]  # fmt: skip


def test_a_command_that_makes_no_sense_is_refused_with_what_would(folders, tmp_path):
    cases = [
        (("predict", folders["classify"], ""), "it is empty.\n  Give a text"),
        (("predict", folders["answer"], "Nani?"), "no context.\n  Name what it is about: --con"),
        (("predict", folders["mlm"], "Nani?"), r"no \[MASK\].\n  Write \[MASK\]"),
        (("predict", folders["tag"], "a", "--pair", "b"), "takes one text, no second"),
        (("predict", folders["mlm"], "a", "--words"), "--words: .* tags no words"),
        (("predict", folders["tag"], "a", "--torch", "--int8"), "name one"),
        (("predict", folders["tag"], "a", "--int8"), r"has no model\.int8\.onnx"),
        (("predict", folders["answer"], "a", "--pair", "b", "--context", "c"), "name one of"),
        (("export", folders["tag"]), "--onnx, --int8 or both"),
        (("export", folders["tag"], "--onnx", "--head", "tags"), "Did you mean `tag`"),
    ]
    for arguments, message in cases:
        with pytest.raises(ConfigError, match=message):
            run(*arguments)
    with pytest.raises(DataError, match=r"is no UTF-8 text"):
        run("predict", folders["answer"], "Nani?", "--context-file", tmp_path / "none")
    with pytest.raises(DataError, match="there is no such folder"):
        run("predict", tmp_path / "none", "a")


def test_a_terminal_gets_texts_isolated_and_nothing_to_obey(folders, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    shown = show._text("مريم\x1b[31m\nb")
    assert shown.startswith(FIRST_STRONG_ISOLATE) and "\x1b" not in shown and "\n" not in shown


def test_a_pipe_is_answered_line_by_line(folders):
    command = [sys.executable, ROOT / "tests/served_models.py", "predict", folders["classify"]]
    with subprocess.Popen(
        [*command, "--threads", "1"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    ) as process:  # fmt: skip
        for line in ("Mvua", "watu wengi"):
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            answer = process.stdout.readline().decode()  # before the next line, and the end
            assert answer.rstrip("\n").split("\t")[2] == line
        process.stdin.close()
        assert process.wait(60) == 0


def test_export_says_how_large_and_how_far(tmp_path):
    folder = write_model(tmp_path / "model", "bert", "answer")
    (tmp_path / "texts").write_text("Mvua kubwa\n\nWatu wengi\n", encoding="utf-8")
    result = run("export", folder, "--onnx", "--int8", "--texts", tmp_path / "texts")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [
        "file", "model.onnx", "model.int8.onnx",
    ]  # fmt: skip
    assert "and texts" in result.stderr and f"koine predict {folder}" in result.stderr
    said = json.loads(run("export", folder, "--int8", "--json").stdout)
    assert list(said["files"]) == ["model.int8.onnx"] and said["head"] == "answer"


class Slow(io.RawIOBase):
    """Gives what has come, piece by piece."""

    def __init__(self, pieces):
        self.pieces = list(pieces)

    def read1(self, _size):
        return self.pieces.pop(0) if self.pieces else b""


def texts_of(*pieces):
    return [[one.text for one in batch] for batch in lines.batches(Slow(pieces))]


def test_lines_are_handed_on_as_they_come():
    assert texts_of(b"a\nb\nc", b"d\n", b"e") == [["a", "b"], ["cd"], ["e"]]
    assert texts_of("é".encode()[:1], "é".encode()[1:] + b"\n") == [["é"]]
    assert texts_of(codecs.BOM_UTF8 + b"a\n") == [["a"]]
    assert texts_of(b"a\x0bb\xe2\x80\xa8c\n") == [["a\x0bb\u2028c"]]
    many = texts_of(b"x\n" * (lines.MOST_LINES + 1))
    assert [len(batch) for batch in many] == [lines.MOST_LINES, 1]


def test_input_that_is_no_text_is_refused():
    with pytest.raises(DataError, match=r"is UTF-16.*\n.*iconv"):
        texts_of("a\nb".encode("utf-16"))
    with pytest.raises(DataError, match=r"line 2 is longer than 17 MB"):
        texts_of(b"a\n", *([b"x" * (1 << 20)] * 17))


def test_deep_json_is_a_problem_and_no_crash():
    asked = lines.Asked("[" * 100_000, line=1)
    assert "no JSON" in lines.of_json(asked, names=("text", "pair")).problem
