"""Tiny models of both kinds with every head, saved as transformers saves them."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
import typer
from token_vocabulary import write_vocabulary
from vocabulary_models import SIZE

from pipelines import store
from pretrain import models

LONGEST = 48
TARGETS = {
    "classify": ["culture", "health", "sport"],
    "tag": ["O", "B-LOC", "B-PER", "I-LOC", "I-PER"],
    "answer": ["no", "yes"],
}
KINDS = ("bert", "modernbert")


def write_model(
    folder: Path,
    kind: str,
    head: str,
    *,
    task: dict[str, Any] | None = None,
    manifest: bool = True,
    seed: int = 0,
    targets: list[str] | None = None,
    longest: int = LONGEST,
) -> Path:
    """Write a model with random weights, large enough that its choices differ.

    Args:
        folder: where to.
        kind: `bert` or `modernbert`.
        head: as in `models.AUTO`.
        task: more of task.json; a folder without one when None is given and the head is no task's.
        manifest: write one, as `koine tune` does.
        seed: of the weights.
        targets: other names of what is told apart.
        longest: pieces that it takes.
    """
    write_vocabulary(folder)
    for name in ("manifest.json", "spm.model"):
        (folder / name).unlink()
    names = targets or TARGETS.get(head, ["a", "b"])
    shared = {
        "vocab_size": SIZE,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": longest,
        "pad_token_id": 0,
        "initializer_range": 0.2,
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }
    if kind == "bert":
        config = transformers.BertConfig(intermediate_size=64, **shared)
    else:
        config = transformers.ModernBertConfig(
            intermediate_size=48, local_attention=8, global_attn_every_n_layers=2,
            bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3, **shared,
        )  # fmt: skip
    torch.manual_seed(seed)
    network = getattr(transformers, models.AUTO[head]).from_config(config)
    network.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_max_length"] = longest
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if head in TARGETS:
        said = {
            "task": head,
            "targets": names if head != "answer" else [],
            "labels": {"swh_Latn": 9},
            "settings": {"stride": None},
            "max_length": longest,
            "scheme": "BIO" if head == "tag" else None,
            "no_answer_threshold": None,
            **(task or {}),
        }
        (folder / "task.json").write_text(json.dumps(said))
    if manifest:
        commit(folder)
    return folder


def commit(folder: Path) -> None:
    """Write the manifest of what lies in a folder."""
    target = store.Folder(folder)
    target.remove(store.MANIFEST)
    files = [target.write_bytes(name, target.read_bytes(name)) for name in target.names()]
    store.write_manifest(
        target, artefact="tuned", fingerprint="f" * 64, counts={}, files=files, seeds=[0]
    )


def app() -> typer.Typer:
    """Return a command line of `export` and `predict`, as the front door has them."""
    from pretrain.serve import cli

    found = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    found.command("export", epilog=cli.EXPORT_EXAMPLE)(cli.export_cli)
    found.command("predict", epilog=cli.PREDICT_EXAMPLE)(cli.predict_cli)
    return found


if __name__ == "__main__":
    from pipelines.errors import KoineError

    try:
        raise SystemExit(app()(standalone_mode=False))
    except KoineError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from error
