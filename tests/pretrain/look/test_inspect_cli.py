"""`koine inspect`, from the outside."""

import json
from pathlib import Path

import pytest
import typer
from served_models import write_model
from typer.testing import CliRunner

from pipelines.errors import ConfigError, DataError
from pretrain.look.cli import EPILOG, inspect_cli

TEXT = "Watoto wanapenda [MASK] vitabu."


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("model") / "encoder", "modernbert", "mlm"))


def call(*arguments: str, given: str | None = None):
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command("inspect", epilog=EPILOG)(inspect_cli)
    found = CliRunner().invoke(app, list(arguments), input=given)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_it_prints_heads_and_guesses_and_writes_a_page(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = call(model, TEXT)
    assert found.exit_code == 0
    assert "layer.head (score)" in found.stdout and "[MASK] at piece" in found.stdout
    assert "page     inspect.html" in found.stderr and "--texts FILE" in found.stderr
    assert Path("inspect.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_is_one_object_and_writes_nothing_unasked(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = json.loads(call(model, TEXT, "--pair", "na mama", "--json", "--top", "3").stdout)
    assert found["model"] == "encoder" and found["pair"] == "na mama" and found["page"] is None
    assert [(h["layer"], h["head"]) for h in found["heads"]] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert len(found["masks"][0]["guesses"]) == 3 and found["each"] is None
    assert list(tmp_path.iterdir()) == []
    asked = json.loads(call(model, "vitabu", "--json", "--hide-each", "--to", "a.html").stdout)
    assert asked["page"] == "a.html" and Path("a.html").exists()
    assert asked["masks"] == [] and asked["each"][0]["rank"] >= 1


def test_texts_of_a_file_judge_the_heads(model, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("vitabu vya watoto\r\n\nmama anasoma\n", encoding="utf-8")
    to = str(tmp_path / "page.html")
    found = json.loads(call(model, "--texts", str(lines), "--json", "--to", to).stdout)
    assert found["text"] == "vitabu vya watoto" and found["measured_over"]["texts"] == 2
    assert call(model, TEXT, "--texts", str(lines), "--to", to, "--quiet").output == ""


def test_a_text_comes_from_stdin(model, tmp_path):
    to = str(tmp_path / "page.html")
    found = json.loads(call(model, "-", "--json", "--to", to, given="vitabu vyangu\n").stdout)
    assert found["text"].strip() == "vitabu vyangu"


def test_errors_name_the_place_and_a_remedy(model, tmp_path):
    with pytest.raises(ConfigError, match="Give one after the model"):
        call(model)
    with pytest.raises(DataError, match="no such folder"):
        call(str(tmp_path / "absent"), TEXT)
    with pytest.raises(DataError, match=r"absent\.txt: can't be read"):
        call(model, "--texts", str(tmp_path / "absent.txt"))
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"empty\.txt: has no text"):
        call(model, "--texts", str(tmp_path / "empty.txt"))


def test_the_help_has_an_example():
    assert "Example: koine inspect" in call("--help").stdout
