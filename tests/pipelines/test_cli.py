"""Every command has help and JSON; what is wrong is one clear message and its exit code."""

import hashlib
import json
import subprocess
import sys

import pytest
import typer.main

import koine
from pipelines import browse, store
from tests_support import ROOT, call, hashes
from tests_support import koine as run_koine


def commands(command=None, path=()):
    """The path of every command that does something, from the live command line."""
    command = command or typer.main.get_command(koine.app)
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path
    for name in inner or ():
        yield from commands(inner[name], (*path, name))


COMMANDS = list(commands())


@pytest.fixture
def one_document(tmp_path, texts):
    """The configuration of a corpus of one document."""
    row = {"text": texts["eng_Latn"][0]}
    (tmp_path / "input.jsonl").write_text(json.dumps(row) + "\n")
    config = tmp_path / "corpora.yaml"
    config.write_text("corpora:\n  - name: letters\n    files: input.jsonl\n    license: CC0-1.0\n")
    return config


def build(config, out, *more):
    return call("corpus", "build", config, "--out", out, "--runner", "in-process", *more)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(path):
    answer = call(*path, "--help")
    assert answer.code == 0
    assert f"Example: koine {' '.join(path)}" in " ".join(answer.out.split())
    assert call(*path, "-h").out == answer.out


def test_without_a_command_the_help_is_shown():
    assert "corpus" in call().out + call().errors
    assert "build" in call("corpus").out + call("corpus").errors


@pytest.fixture(scope="module")
def an_id(small_build):
    return browse.documents(str(small_build.out), limit=1)[0]["id"]


def parsed(*arguments):
    """The one JSON object that a command prints."""
    answer = call(*arguments, "--json")
    assert answer.code == 0, answer.errors
    value = json.loads(answer.out, parse_constant=pytest.fail)  # NaN is no JSON
    assert isinstance(value, dict)
    return value


def test_check_prints_the_effective_configuration(small_build):
    value = parsed("check", small_build.config)
    assert value["corpus"]["rules"]["min_content_chars"] == 100
    assert [corpus["name"] for corpus in value["corpora"]] == ["first", "second"]
    assert "corpora:" in call("check", small_build.config).out


def test_check_and_plan_see_what_set_replaces(small_build):
    value = parsed("check", small_build.config, "--set", "corpus.rules.min_content_chars=7")
    assert value["corpus"]["rules"]["min_content_chars"] == 7


def test_plan_tells_files_units_and_what_is_measured_already(small_build, tmp_path):
    value = parsed("corpus", "plan", small_build.config, "--out", small_build.out)
    assert [row["files"] for row in value["corpora"]] == [1, 1]
    assert value["total"]["units"] == value["total"]["measured"] == 2
    assert value["total"]["bytes"] > 10_000
    fresh = parsed("corpus", "plan", small_build.config, "--out", tmp_path / "none")
    assert fresh["total"]["measured"] == 0
    assert not (tmp_path / "none").exists()


def test_build_and_judge_print_the_ledger_and_where_things_are(one_document, tmp_path):
    out = tmp_path / "out"
    built = json.loads(build(one_document, out, "--json").out)
    assert set(built) >= {"ledger", "labels", "seconds", "corpus", "report"}
    assert built["ledger"]["read"] == built["ledger"]["kept"] == 1
    assert built["labels"]["eng_Latn"]["documents"] == 1
    assert set(built["seconds"]) == {"plan", "measure", "judge", "dedupe", "publish", "report"}
    assert built["corpus"] == str(out / "corpus")
    assert built["report"] == str(out / "report.html")
    edited = ("--set", "corpus.rules.min_content_chars=5000", "--workers", 1)
    judged = parsed("corpus", "judge", one_document, "--out", out, *edited)
    assert judged["ledger"]["removed"] == {"min_content_chars": 1}


def test_what_if_compares_now_and_then(small_build):
    edited = ("--set", "corpus.rules.min_content_chars=5")
    arguments = ("corpus", "judge", small_build.config, "--out", small_build.out, "--what-if")
    value = parsed(*arguments, *edited)
    assert value["labels"]["eng_Latn"]["then"] == value["labels"]["eng_Latn"]["now"] + 1
    answer = call(*arguments, *edited)
    assert "eng_Latn" in answer.out
    assert "Nothing was written" in answer.errors


def test_verify_counts_the_files_and_ends_with_3_if_one_is_wrong(one_document, tmp_path):
    out = tmp_path / "out"
    build(one_document, out, "--quiet")
    value = parsed("corpus", "verify", "--out", out)
    assert value == {"files": 2, "wrong": []}
    shard = next((out / "corpus").rglob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1])
    answer = call("corpus", "verify", "--out", out, "--json")
    assert answer.code == 3
    assert shard.name in json.loads(answer.out)["wrong"][0]
    assert build(one_document, out, "--quiet").code == 0  # and building again repairs it
    assert call("corpus", "verify", "--out", out).code == 0


def test_show_prints_documents_and_cuts_their_text(small_build):
    value = parsed("corpus", "show", "--out", small_build.out, "--limit", 3, "--chars", 20)
    assert len(value["documents"]) == 3
    assert all(len(row["text"]) == 20 for row in value["documents"])
    removed = parsed("corpus", "show", "--out", small_build.out, "--reason", "any")
    reasons = {row["reason"] for row in removed["documents"]}
    assert reasons == set(small_build.built.ledger["removed"])
    nothing = call("corpus", "show", "--out", small_build.out, "--text", "no text has this")
    assert (nothing.code, nothing.out) == (0, "")


def test_why_tells_a_document_s_story(small_build, an_id):
    value = parsed("corpus", "why", an_id, "--out", small_build.out)
    assert value["id"] == an_id
    assert value["outcome"] == "kept"
    assert {rule["outcome"] for rule in value["rules"]} <= {"passed", "off", "does not apply"}
    assert an_id in call("corpus", "why", an_id, "--out", small_build.out).out
    assert call("corpus", "why", "zzz", "--out", small_build.out).code == 3


def test_sql_gives_every_column_even_two_of_one_name(small_build):
    query = "select count(*) as n, count(*) as n from corpus"
    value = parsed("corpus", "sql", query, "--out", small_build.out)
    assert value == {"columns": ["n", "n_1"], "rows": [{"n": 20, "n_1": 20}]}


def test_sql_prints_values_that_json_has_no_form_for(small_build):
    query = "select date '2026-01-02' d, 'nan'::double f, 'a'::blob b, stats s, 1.5::decimal c"
    value = parsed("corpus", "sql", f"{query} from corpus limit 1", "--out", small_build.out)
    (row,) = value["rows"]
    assert (row["d"], row["f"], row["b"]) == ("2026-01-02", None, "61")
    assert row["s"]["content_chars"] > 0


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "copy corpus to 'stolen.csv'",
        "set enable_external_access = true",
        "attach 'other.db'",
        "selec 1",
        "",
        "/* nothing */",
    ],
)
def test_sql_sees_the_two_tables_and_nothing_else_of_the_machine(query, small_build):
    answer = call("corpus", "sql", query, "--out", small_build.out)
    assert answer.code == 2
    assert answer.errors.startswith("sql: ")


MISTAKES = [
    (("corpora.yaml",), "no such file", "{missing}", 2),
    (("--runner", "dask"), "silently drops output", None, 2),
    (("--runner", "flonk"), "Known: local", None, 2),
    (("--workers", "0"), "--workers", None, 2),
    (("--nonsense",), "--nonsense", None, 2),
    (("--set", "corpus.shard_mb"), "key=value", None, 2),
    (("--set", "corpus.shard_mb=0"), "corpus.shard_mb", None, 2),
    (("--set", "corpus.shard_mb=["), "not valid YAML", None, 2),
    (("--set", "corpora=5"), "corpora", None, 2),
]


@pytest.mark.parametrize(("more", "message", "config", "code"), MISTAKES, ids=str)
def test_a_wrong_command_line_is_2_and_one_message(
    more, message, config, code, one_document, tmp_path
):
    given = (tmp_path / "missing.yaml",) if config else (one_document, *more)
    answer = call("corpus", "build", *given, "--out", tmp_path / "out")
    assert answer.code == code
    assert message in answer.errors
    assert answer.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", [("nonsense",), ("corpus", "nonsense"), ("corpus", "biuld")])
def test_an_unknown_command_is_2(path):
    answer = call(*path)
    assert answer.code == 2
    assert f"No such command '{path[-1]}'" in answer.errors


def test_a_misspelt_key_is_named_with_file_line_and_column(one_document, tmp_path):
    text = one_document.read_text() + "corpus:\n  rules:\n    min_contentchars: 5\n"
    one_document.write_text(text)
    for command in (("check",), ("corpus", "plan"), ("corpus", "build"), ("corpus", "judge")):
        answer = call(*command, one_document)
        assert answer.code == 2
        line = len(text.splitlines())
        assert f"{one_document}:{line}:5  corpus.rules.min_contentchars: " in answer.errors
        assert "Did you mean `min_content_chars`?" in answer.errors


def test_input_that_is_not_there_is_3_and_named(one_document, tmp_path):
    (tmp_path / "input.jsonl").unlink()
    for command in ("plan", "build", "judge"):
        answer = call("corpus", command, one_document, "--out", tmp_path / "out")
        assert answer.code == 3
        assert str(tmp_path / "input.jsonl") in answer.errors
        assert len(answer.errors.splitlines()) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["verify", "show", "why", "sql", "judge", "what-if"])
def test_reading_where_nothing_was_built_is_3_and_leaves_nothing(command, one_document, tmp_path):
    out = tmp_path / "none"
    arguments = {
        "why": ("why", "0"),
        "sql": ("sql", "select 1"),
        "judge": ("judge", one_document),
        "what-if": ("judge", one_document, "--what-if"),
    }.get(command, (command,))
    answer = call("corpus", *arguments, "--out", out)
    assert answer.code == 3
    assert str(out) in answer.errors
    assert not out.exists()


@pytest.mark.parametrize("place", ["file", "file/inside", "/proc/none/inside", "n" * 300])
def test_a_folder_that_cannot_be_written_is_4(place, one_document, tmp_path):
    (tmp_path / "file").write_text("")
    answer = build(one_document, tmp_path / place)
    assert answer.code == 4
    assert "cannot be written" in answer.errors


def test_a_schema_that_cannot_be_written_is_4(tmp_path):
    assert call("schema", "--out", tmp_path / "none" / "schema.json").code == 4


def test_another_build_in_the_folder_is_4_and_says_whose(one_document, tmp_path):
    out = store.Folder(tmp_path / "out")
    out.create()
    with store.locked(out):
        answer = build(one_document, tmp_path / "out")
    assert answer.code == 4
    assert "another build is running here (pid " in answer.errors


def test_a_wrong_model_is_3_names_both_hashes_and_commits_nothing(one_document, tmp_path):
    model, out = tmp_path / "model.bin", tmp_path / "out"
    model.write_bytes(b"not the model")
    found, wanted = hashlib.sha256(b"not the model").hexdigest(), "1" * 64
    edited = (f"corpus.identify={{model: {model}, sha256: '{wanted}'}}",)
    answer = build(one_document, out, "--set", *edited)
    assert answer.code == 3
    assert found in answer.errors and wanted in answer.errors
    assert "while running" not in answer.errors
    assert hashes(out) == {}
    assert not list((out / "work" / "measured").glob("*"))


def test_an_error_of_an_earlier_run_is_not_told_again(one_document, tmp_path):
    edited = f"corpus.identify={{model: {tmp_path / 'none.bin'}, sha256: '{'1' * 64}'}}"
    assert build(one_document, tmp_path / "out", "--set", edited).code == 3
    answer = build(one_document, tmp_path / "out")
    assert (answer.code, answer.errors.count("koine:")) == (0, 0)


def test_an_engine_that_is_not_there_is_4(one_document, tmp_path):
    answer = call(
        *("corpus", "build", one_document, "--out", tmp_path / "out", "--runner", "portable"),
        *("--", "--job_endpoint=localhost:1", "--environment_type=LOOPBACK"),
        *("--job_server_timeout=1",),
    )
    assert answer.code == 4
    assert "--runner portable" in answer.errors


def test_a_reader_that_goes_away_is_no_error_and_leaves_no_traceback(small_build):
    query = "select range from range(200000)"
    command = f'"$0" koine.py corpus sql "{query}" --out {small_build.out} | head -1'
    run = subprocess.run(
        ["bash", "-c", command, sys.executable], cwd=ROOT, capture_output=True, text=True
    )
    assert run.stdout == "range\n"
    assert run.stderr == ""


def test_a_terminal_without_unicode_gets_escapes(small_build):
    environment = {"PYTHONIOENCODING": "ascii"}
    arguments = ("corpus", "show", "--out", small_build.out, "--label", "arb_Arab", "--limit", 1)
    answer = run_koine(*arguments, environment=environment)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "\\u06" in answer.stdout
