"""A local folder of a BERT or ModernBERT, opened: what it holds, and its network by transformers.

Everything after pretraining starts here: tuning, judging, looking inside, making smaller, handing
over. The folder is koine's own export, a model that was tuned, or any other that `AutoModel` loads.

Promises: nothing is fetched; what a manifest lists is checked against its hash; weights are
safetensors (a pickle can run code); every tensor of the encoder comes from the file, or it is an
error that names those that don't. A new head is a function of the seed.
Does not promise: models of other kinds than `KINDS`; their code is not koine's to vouch for.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines import store
from pipelines.errors import DataError

if TYPE_CHECKING:
    import tokenizers
    import torch

KINDS = ("bert", "modernbert")
"""`model_type` of the models that koine knows."""
Head = Literal["none", "mlm", "classify", "tag", "answer"]
AUTO = {
    "none": "AutoModel",
    "mlm": "AutoModelForMaskedLM",
    "classify": "AutoModelForSequenceClassification",
    "tag": "AutoModelForTokenClassification",
    "answer": "AutoModelForQuestionAnswering",
}
"""The class of transformers for each head."""
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
TASK, LINEAGE, ONNX, ONNX_INT8 = "task.json", "lineage.json", "model.onnx", "model.int8.onnx"
CHECKED = {CONFIG, WEIGHTS, TOKENIZER, TASK, ONNX, ONNX_INT8}
_HEADS = ("classifier", "score", "qa_outputs", "cls.", "head.", "decoder.", "bert.pooler", "pooler")
"""How the names of tensors begin that belong to a head: a folder may lack them, or have others."""
_ABSENT = 1_000_000
"""Lengths from here on are how some folders say that they don't know."""


@dataclass(frozen=True)
class Model:
    """An opened folder."""

    folder: Path
    config: Mapping[str, Any]
    """Of config.json."""
    tokenizer: tokenizers.Tokenizer
    """Neither cuts nor pads; adds [CLS] and [SEP] as the model wants them."""
    max_length: int
    """Tokens of the longest sequence that the model takes, special ones counted."""
    pad: int
    cls: int
    sep: int
    mask: int | None
    takes_types: bool
    """Whether the network takes `token_type_ids`."""
    labels: tuple[str, ...] | None
    """Languages that it was pretrained on; None where the folder doesn't say."""
    task: Mapping[str, Any] | None
    """Of task.json, where the model was tuned by koine."""

    @property
    def name(self) -> str:
        """Return what reports call it: the name of the folder."""
        return self.folder.resolve().name


def open_model(folder: str | Path) -> Model:
    """Open a folder: check it, load its tokenizer, not its weights.

    Raises:
        DataError: there is no such folder, or it lacks a file, is damaged or of another kind.
    """
    path = Path(folder)
    if not path.is_dir():
        raise DataError(
            f"{folder}: there is no such folder.\n"
            "  Name one that `koine pretrain export` or `koine tune` wrote, or another BERT's; "
            "models of the hub are to be downloaded first."
        )
    config = _config(path)
    _check_files(path)
    tokenizer, own = _tokenizer(path)
    ids = {}
    for name in ("pad", "cls", "sep", "mask"):
        given = own.get(f"{name}_token") or f"[{name.upper()}]"
        written = str(given["content"] if isinstance(given, dict) else given)
        if (found := tokenizer.token_to_id(written)) is not None:
            ids[name] = found
        elif name != "mask":
            raise DataError(
                f"{path / TOKENIZER}: has no {written}.\n"
                "  Use a tokenizer with [PAD], [CLS] and [SEP], as BERT's have."
            )
    if (size := tokenizer.get_vocab_size()) > config["vocab_size"]:
        raise DataError(
            f"{path}: the tokenizer has {size:,} pieces, and the model {config['vocab_size']:,}.\n"
            "  They are of different models; put the right tokenizer.json beside the weights."
        )
    lengths = [config.get("max_position_embeddings"), own.get("model_max_length")]
    lineage = _json(path / LINEAGE) if (path / LINEAGE).exists() else {}
    read = lineage.get("tokens_by_label") or {}
    labels = [label for label, num in read.items() if num]
    return Model(
        folder=path,
        config=config,
        tokenizer=tokenizer,
        max_length=min([int(x) for x in lengths if x and x < _ABSENT] or [512]),
        pad=ids["pad"],
        cls=ids["cls"],
        sep=ids["sep"],
        mask=ids.get("mask"),
        takes_types=config["model_type"] == "bert",
        labels=tuple(sorted(labels)) if labels else None,
        task=_json(path / TASK) if (path / TASK).exists() else None,
    )


def network(
    model: Model,
    head: Head,
    *,
    targets: Sequence[str] = (),
    seed: int = 0,
    random: bool = False,
    attention: str = "sdpa",
) -> torch.nn.Module:
    """Return the network with a head, in float32 on the CPU, in evaluation mode.

    Args:
        model: an opened folder.
        head: which one; a `classify`, `tag` or `answer` head that the folder lacks is drawn.
        targets: names of what `classify` and `tag` tell apart, in the order of the scores; those
            of the folder when left out.
        seed: of what is drawn.
        random: draw all weights, as the network's own initialisation does: the control.
        attention: `sdpa`, or `eager` where attention itself is wanted.

    Raises:
        DataError: a tensor is missing or of another shape, or the file is none.
    """
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(model.folder, local_files_only=True)
    if targets:
        config.id2label = dict(enumerate(targets))
        config.label2id = {target: number for number, target in enumerate(targets)}
    if head == "answer":
        config.num_labels = 2
    auto = getattr(transformers, AUTO[head])
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if random:
            found: torch.nn.Module = auto.from_config(config, attn_implementation=attention)
            return found.float().eval()
        try:
            found, info = auto.from_pretrained(
                model.folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                attn_implementation=attention,
                dtype=torch.float32,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{model.folder}: transformers can't load it: {str(error).splitlines()[0]}\n"
                "  Is it complete, and its config.json that of these weights?"
            ) from error
    missing = sorted(name for name in info["missing_keys"] if not _is_head(name))
    if head == "mlm":
        missing = sorted(info["missing_keys"])
    if missing or info["mismatched_keys"]:
        names = missing or sorted(str(one) for one in info["mismatched_keys"])
        raise DataError(
            f"{model.folder / WEIGHTS}: has no {', '.join(names[:3])}"
            f"{f' and {len(names) - 3} more' if len(names) > 3 else ''}.\n"
            "  The weights are of another model than config.json says, or of another head."
        )
    return found.eval()


def weight_scale(model: Model) -> float:
    """Return the root mean square of the layers' matrices.

    It says how large steps have to be to change what the network does: about 0.04 in a BERT that
    AdamW trained, several times that after Muon with a large rate.
    """
    import safetensors.torch

    squares, num = 0.0, 0
    for path in sorted(model.folder.glob("model*.safetensors")):
        for name, tensor in safetensors.torch.load_file(path).items():
            if tensor.ndim == 2 and re.search(r"\blayers?\.\d", name):
                squares += float(tensor.float().square().sum())
                num += tensor.numel()
    return (squares / num) ** 0.5 if num else 0.0


def _is_head(name: str) -> bool:
    return name.startswith(_HEADS)


def _config(path: Path) -> dict[str, Any]:
    """Return config.json of a model that koine knows."""
    if not (path / CONFIG).exists():
        raise DataError(
            f"{path}: has no {CONFIG}, so there is no model here.\n"
            "  Name a folder that `koine pretrain export` or `koine tune` wrote, or another BERT's."
        )
    config = _json(path / CONFIG)
    kind = config.get("model_type")
    if kind not in KINDS:
        hint = (
            "It is a koine run; export it first with `koine pretrain export`."
            if "settings" in config
            else f"koine tunes {' and '.join(KINDS)}."
        )
        raise DataError(f"{path / CONFIG}: the model is of type {kind!r}.\n  {hint}")
    return config


def _check_files(path: Path) -> None:
    """Check that the weights are there, and that listed files are as they were written."""
    has_weights = (path / WEIGHTS).exists() or list(path.glob("model-*.safetensors"))
    if not has_weights and not any((path / name).exists() for name in (ONNX, ONNX_INT8)):
        remedy = "Export or tune the model again."
        if (path / "pytorch_model.bin").exists():
            remedy = (
                "It has a pickle, which could run code; save it again with transformers' "
                "`save_pretrained`, which writes safetensors."
            )
        raise DataError(f"{path}: has no {WEIGHTS}.\n  {remedy}")
    if not (path / store.MANIFEST).exists():
        return
    folder = store.Folder(path)
    manifest = _json(path / store.MANIFEST)
    for written in store.listed(manifest) if "files" in manifest else []:
        if written.name in CHECKED and (problem := folder.check(written)):
            raise DataError(
                f"{path / written.name}: {problem}.\n"
                "  It is damaged or was changed; write the folder again."
            )


def _tokenizer(path: Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """Return the tokenizer, and what tokenizer_config.json says."""
    import tokenizers

    own = path / "tokenizer_config.json"
    settings = _json(own) if own.exists() else {}
    if (path / TOKENIZER).exists():
        try:
            found = tokenizers.Tokenizer.from_file(str(path / TOKENIZER))
        except Exception as error:  # the library raises nothing narrower
            raise DataError(
                f"{path / TOKENIZER}: is no tokenizer ({str(error).splitlines()[0]}).\n"
                "  Write the folder again, or put the model's own tokenizer.json there."
            ) from error
    elif (path / "vocab.txt").exists():
        import transformers

        with _quiet():
            loaded = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
        found = loaded.backend_tokenizer
    else:
        raise DataError(
            f"{path}: has no {TOKENIZER}, so the model can't read text.\n"
            "  Put the tokenizer that it was trained with there; another gives other ids."
        )
    found.no_truncation()
    found.no_padding()
    return found, settings


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is no JSON file ({error}).\n  Write the folder again.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds no JSON object.\n  Write the folder again.")
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from logging that a new head is new, and from showing bars."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()  # type: ignore[no-untyped-call]
