"""Text of a corpus is shown in a terminal, and not obeyed by it."""

import io
import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import browse, config, engines, show, terminal
from pipelines.build import build
from tests_support import call

ESCAPE, BELL = "\x1b", "\x07"
HOSTILE = {
    "colour": f"{ESCAPE}[31mred{ESCAPE}[0m",
    "title": f"{ESCAPE}]0;owned{BELL}",
    "clipboard": f"{ESCAPE}]52;c;b3duZWQ={BELL}",
    "link": f"{ESCAPE}]8;;https://evil.example{ESCAPE}\\click",
    "c1": "\x9b31mred\x9d0;owned\x9c",
    "overwrite": "safe\rEVIL\x08\x08\x7f",
    "override": "user\u202etxt.exe\u202c\u2066x\u2069",
    "separators": "a\u2028b\u2029c\x85d",
    "markup": "[bold red]not bold[/] [link=https://evil.example]x[/link] :apple: \\",
    "arabic": "\u0645\u0631\u062d\u0628\u0627 (1) \u05e9\u05dc\u05d5\u05dd",
}
OURS = re.compile("\x1b\\[[0-9;]*m")  # the colours and weights that koine's own output has


def assert_harmless(output: str) -> None:
    for line in output.split("\n"):
        plain = OURS.sub("", line)
        assert all(unicodedata.category(c) not in ("Cc", "Zl", "Zp") for c in plain), ascii(plain)
        assert not set(plain) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067")
        assert plain.count("\u2068") == plain.count("\u2069")


@given(st.text())
def test_any_text_is_made_harmless_line_by_line(text):
    shown = terminal.isolated(text)
    assert_harmless(shown)
    assert shown.count("\n") == text.count("\n")


@given(st.text())
def test_letters_of_every_script_are_left_as_they_are(text):
    letters = "".join(c for c in text if unicodedata.category(c)[0] in "LMN")
    assert terminal.safe(letters) == letters


@pytest.fixture(scope="module")
def hostile_build(tmp_path_factory, texts):
    """A corpus whose texts, addresses and file name are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [
        {"text": f"{texts['eng_Latn'][number]}\n{text}", "url": f"https://x.example/{name}?{text}"}
        for number, (name, text) in enumerate(HOSTILE.items())
        if number < len(texts["eng_Latn"])
    ]
    rows.append({"text": f"short {HOSTILE['colour']}", "url": HOSTILE["title"]})
    (folder / f"{HOSTILE['colour']}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    path = folder / "corpora.yaml"
    path.write_text("corpora:\n  - {name: web, files: '*.jsonl', license: CC0-1.0}\n")
    loaded = config.load(path)
    build(loaded, out=str(folder / "out"), base=folder, engine=engines.InProcess())
    return folder / "out"


class Terminal(io.StringIO):
    """What a program takes for a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("in_terminal", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_documents_and_tables_of_raw_text_are_harmless(name, in_terminal, monkeypatch):
    text = HOSTILE[name]
    output = Terminal() if in_terminal else io.StringIO()
    monkeypatch.setattr("sys.stdout", output)
    monkeypatch.setenv("TERM", "xterm-256color")
    row = {"id": "0-0", "label": "eng_Latn", "corpus": "web", "url": text, "origin": text}
    show.documents([row | {"text": text, "num_copies": 2}], chars=300)
    show.documents([row | {"text": text, "reason": "empty", "detail": text}], chars=300)
    show.table(["a", text], [["1", text]])
    assert_harmless(output.getvalue().replace("\t", " "))
    if name == "markup":
        assert "[bold red]not bold[/]" in output.getvalue()
        assert ":apple:" in output.getvalue()
    if name == "arabic":
        assert f"\u2068{text}\u2069" in output.getvalue()


def test_what_a_hostile_corpus_left_is_harmless_to_show(hostile_build):
    out = ("--out", hostile_build)
    (removed,) = browse.documents(str(hostile_build), reason="any")
    for arguments in (
        ("show", *out, "--chars", 10_000),
        ("show", *out, "--reason", "any"),
        ("why", removed["id"], *out),
        ("sql", 'select text, url, origin, text as "a\x1b[31m" from corpus', *out),
        ("sql", "select chr(27) || '[31m' || chr(8238)", *out),
        ("plan", hostile_build.parent / "corpora.yaml", *out),
    ):
        answer = call("corpus", *arguments)
        assert answer.code == 0, answer.errors
        assert_harmless(answer.out.replace("\t", " "))
        assert_harmless(answer.errors)


def test_messages_that_name_hostile_input_are_harmless(tmp_path):
    hostile = tmp_path / f"{HOSTILE['colour']}.yaml"
    hostile.write_text(f'corpora:\n  - name: "a{ESCAPE}"\n'.replace(ESCAPE, "\\e"))
    for arguments in (
        ("check", hostile),
        ("check", tmp_path / HOSTILE["title"]),
        ("corpus", "show", "--out", tmp_path / HOSTILE["title"]),
        ("corpus", "build", "--runner", HOSTILE["colour"], hostile),
    ):
        assert_harmless(call(*arguments).errors)
