"""The generated pages and the schema are in step with the code, and name everything."""

import inspect
import json
import subprocess
import sys

import pytest
import typer.main

import koine
from pipelines import config, config_errors, strict_yaml
from tests_support import ROOT


def test_the_schema_is_what_koine_schema_prints():
    written = (ROOT / "corpora.schema.json").read_text(encoding="utf-8")
    assert written == koine.schema(), "write it again: koine schema --out corpora.schema.json"


def test_the_generated_pages_are_in_step():
    run = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def models(model):
    yield model
    for field in model.model_fields.values():
        inner = config_errors.section_of(field.annotation)
        if inner is not None:
            yield from models(inner)


@pytest.mark.parametrize("model", list(models(koine.composed())), ids=lambda model: model.__name__)
def test_every_key_is_in_the_reference_and_in_the_schema_with_its_meaning(model):
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    schema = json.loads(koine.schema())
    described = schema["$defs"].get(model.__name__, schema)["properties"]
    for name in model.model_fields:
        assert f"| `{name}` |" in page
        # Pydantic leaves out what the section's own line says in the same words.
        inner = schema["$defs"].get(described[name].get("$ref", "").rpartition("/")[2], {})
        assert described[name].get("description") or inner["description"]
    assert inspect.cleandoc(model.__doc__) in page


def test_every_command_is_in_the_reference():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    def walk(command, path):
        assert f"## {' '.join(path)}\n" in page
        for option in command.params:
            assert all(f" {name}" in page for name in option.opts if name.startswith("--"))
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*path, name])

    walk(typer.main.get_command(koine.app), ["koine"])


def test_the_worked_example_names_the_schema_and_only_keys_that_exist():
    path = ROOT / "corpora.yaml"
    assert path.read_text(encoding="utf-8").startswith(
        "# yaml-language-server: $schema=corpora.schema.json\n"
    )
    config.validate(koine.composed(), strict_yaml.load(path), path=str(path), overrides={})
