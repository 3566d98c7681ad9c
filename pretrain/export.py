"""Turn a checkpoint into a folder that plain `transformers` loads, and that says where it is from.

    config.json model.safetensors                what AutoModel loads; the keys transformers saves
    tokenizer.json tokenizer_config.json         the vocabulary's own files, for AutoTokenizer
    special_tokens_map.json spm.model
    README.md                                    the model card (`card`)
    lineage.json                                 corpus -> vocabulary -> tokens -> plan -> weights
    evaluation.json                              what its held-out text was judged like
    nsp_head.safetensors                         of a `modern` model trained on next passages
    manifest.json                                every file's size and SHA-256; written last

Promises: the same checkpoint gives the same bytes, wherever it lies and whenever; the tokenizer is
the one that the run read its tokens with, by its hash; nothing in the folder is a pickle; a folder
that holds anything else than an earlier export is left alone, and so is what people added to one.
Does not promise: that an older transformers than 4.48 loads a `modern` model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
from torch import Tensor

from pipelines import store
from pipelines.errors import ConfigError, DataError
from tokenizer.export import CONFIG as TOKENIZER_CONFIG
from tokenizer.export import MODEL, SPECIAL_MAP, TOKENIZER

from . import card, lineage, naming
from .checkpoint import Checkpoints, Loaded
from .lineage import README, sha256, to_json
from .prepare import CHECKPOINTS, read_config
from .presets import Shape

ARTEFACT = "export"
WEIGHTS, MODEL_CONFIG, NSP_HEAD = "model.safetensors", "config.json", "nsp_head.safetensors"
LINEAGE, EVALUATION = "lineage.json", "evaluation.json"
NAMES = {
    WEIGHTS, MODEL_CONFIG, NSP_HEAD, LINEAGE, EVALUATION, README,
    MODEL, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_MAP, store.MANIFEST,
}  # fmt: skip
"""Everything that an export writes."""
INPUTS = {
    "bert": ["input_ids", "token_type_ids", "attention_mask"],
    "modern": ["input_ids", "attention_mask"],
}
"""What the models take; a ModernBERT refuses the types that koine's tokenizers give by default."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported, and where it is."""

    folder: str
    step: int
    tokens: int
    """Tokens that the model has seen."""
    parameters: int
    num_bytes: int
    files: tuple[str, ...]
    weights_sha256: str
    corpus: str
    """`found`; or `absent` or `changed`, and the card can't list the licences of the texts."""


def export(
    run: store.Folder,
    *,
    to: store.Folder,
    vocab: store.Folder,
    corpus: store.Folder | None = None,
    step: int | None = None,
) -> Exported:
    """Export a checkpoint of a run.

    Args:
        run: folder of the run.
        to: where to write; empty, or an earlier export, which is replaced.
        vocab: folder of the vocabulary that the run was trained with.
        corpus: folder of the corpus, for the licences of its texts.
        step: of the checkpoint; the last one when left out.

    Raises:
        ConfigError: `to` holds something else.
        DataError: there is no such run or checkpoint, it is damaged, or the vocabulary is another.
        EnvironmentProblem: the folder can't be written.
    """
    config = read_config(run)
    earlier = _earlier(to)
    tokenizer, vocabulary = _tokenizer(vocab, config, run=run)
    loaded = _checkpoint(run, step)
    judged = lineage.evaluation(run, step=loaded.step)
    shape = Shape(**config["shape"])
    sources, corpus_state = lineage.corpus_facts(corpus, expected=config["corpus_hash"])

    longest = _longest(config, loaded.state)
    tokenizer[TOKENIZER_CONFIG] = _tokenizer_config(
        tokenizer[TOKENIZER_CONFIG], shape=shape, longest=longest
    )
    tensors = _plain(naming.to_transformers(loaded.model, shape))
    model = safetensors.torch.save(tensors, metadata={"format": "pt"})
    contents = {
        WEIGHTS: model,
        MODEL_CONFIG: to_json(naming.config_json(shape, vocab_rows=config["vocab_rows"])),
        **tokenizer,
    }
    if shape.nsp and shape.family == "modern":
        head = _plain(naming.nsp_head(loaded.model))
        contents[NSP_HEAD] = safetensors.torch.save(head, metadata={"format": "pt"})
    if judged:
        contents[EVALUATION] = to_json(judged)
    origin = lineage.origin(
        config, loaded, vocabulary=vocabulary, weights={"file": WEIGHTS, "sha256": sha256(model)}
    )
    parameters = sum(tensor.numel() for tensor in tensors.values())
    facts = _facts(config, loaded, judged=judged, origin=origin) | {
        "parameters": parameters,
        "longest": longest,
        "corpus": sources,
        "corpus_changed": corpus_state == "changed",
    }
    contents[README] = card.render(facts).encode()
    # First, by which a folder that was left half-written is known as ours.
    files = _write(to, {LINEAGE: to_json(origin), **contents}, earlier=earlier)
    store.write_manifest(
        to,
        artefact=ARTEFACT,
        fingerprint=store.fingerprint(sorted([file.name, file.sha256] for file in files)),
        counts={"step": loaded.step, "tokens": facts["tokens"], "parameters": parameters},
        files=files,
        vocab_hash=config["vocab_hash"],
    )
    return Exported(
        folder=to.url,
        step=loaded.step,
        tokens=facts["tokens"],
        parameters=parameters,
        num_bytes=sum(file.num_bytes for file in files),
        files=(*sorted(file.name for file in files), store.MANIFEST),
        weights_sha256=sha256(model),
        corpus=corpus_state,
    )


def _facts(
    config: Mapping[str, Any],
    loaded: Loaded,
    *,
    judged: Mapping[str, Any] | None,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the card says of the run and the checkpoint."""
    return {
        "step": loaded.step,
        "tokens": loaded.state["tokens"],
        "shape": config["shape"],
        "settings": config["settings"],
        "vocab": {"pieces": config["vocab_pieces"], "rows": config["vocab_rows"]},
        "labels": dict(lineage.labels(config, state=loaded.state, judged=judged)),
        "judged_step": judged["step"] if judged else None,
        "lineage": {
            "corpus (manifest)": origin["corpus"]["manifest_sha256"],
            "vocabulary": origin["vocabulary"]["hash"],
            "token shards (manifest)": origin["tokens"]["manifest_sha256"],
            "weights (model.safetensors)": origin["weights"]["sha256"],
        },
        "versions": origin["versions"],
    }


def _earlier(to: store.Folder) -> set[str]:
    """Return the files of an earlier export, finished or not, that a new one replaces.

    Files that begin with a dot (`.git`, `.gitattributes`) are never minded.

    Raises:
        ConfigError: the folder holds something else.
    """
    if to.is_local:  # the first level only: it may be somebody's home
        found = [path.name for path in to.root.iterdir()] if to.root.is_dir() else []
    else:
        found = [name.partition("/")[0] for name in to.names()]
    names = {name for name in found if not name.startswith(".")}
    if store.MANIFEST in names:
        try:
            manifest = to.read_json(store.MANIFEST)
        except DataError:
            manifest = {}
        if isinstance(manifest, dict) and manifest.get("artefact") == ARTEFACT:
            return {file.name for file in store.listed(manifest)} & NAMES
    elif LINEAGE in names or not names:
        return names & NAMES
    shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
    raise ConfigError(
        f"{to.url}: holds something else than an export ({shown}).\n"
        "  Name an empty folder with --to, or an earlier export, which is replaced."
    )


def _tokenizer(
    vocab: store.Folder, config: Mapping[str, Any], *, run: store.Folder
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the tokenizer's files, and what lineage.json says of the vocabulary.

    Raises:
        DataError: there is no vocabulary, it is damaged, or the run had another.
    """
    manifest = store.read_manifest(vocab, artefact="vocab")
    if manifest.get("vocab_hash") != config["vocab_hash"]:
        raise DataError(
            f"{vocab.url}: the vocabulary is {manifest.get('vocab_hash')}, and {run.url} was "
            f"trained with {config['vocab_hash']}.\n"
            "  Name the folder of the one that it was trained with; ids of another mean other text."
        )
    files = {}
    for written in store.listed(manifest):
        if written.name in (MODEL, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_MAP):
            if problem := vocab.check(written):
                raise DataError(
                    f"{vocab.path(written.name)}: {problem}.\n"
                    "  Restore the file, or make it again with `koine vocab train`."
                )
            files[written.name] = vocab.read_bytes(written.name)
    return files, {
        "hash": config["vocab_hash"],
        "manifest_sha256": sha256(vocab.read_bytes(store.MANIFEST)),
        "pieces": config["vocab_pieces"],
    }


def _tokenizer_config(data: bytes, *, shape: Shape, longest: int) -> bytes:
    """Return tokenizer_config.json with what this model takes.

    Learned positions that no training sequence reached are as they were drawn, so that a `bert`
    takes no more than it has seen; rotary ones go on, more or less well.
    """
    own = json.loads(data)
    learned = shape.family == "bert"
    own["model_max_length"] = min(longest, shape.max_positions) if learned else shape.max_positions
    own["model_input_names"] = INPUTS[shape.family]
    return to_json(own)


def _longest(config: Mapping[str, Any], state: Mapping[str, Any]) -> int:
    """Return the tokens of the longest sequences that the stages so far had."""
    stages = config["settings"]["stages"]
    begun = {stage for _, stage in state["begun"]} or {0}
    return max(int(stages[number]["max_length"]) for number in begun)


def _checkpoint(run: store.Folder, step: int | None) -> Loaded:
    """Return a checkpoint of the run, verified.

    Raises:
        DataError: there is none, or not this one, or it is damaged.
    """
    checkpoints = Checkpoints(run / CHECKPOINTS, keep=1)
    steps = checkpoints.steps()
    if not steps:
        raise DataError(
            f"{run.url}: has saved nothing yet.\n"
            "  Wait for its first checkpoint, or go on with `koine pretrain run --resume`."
        )
    if step is not None and step not in steps:
        raise DataError(
            f"{run.url}: there is no checkpoint of step {step}.\n"
            f"  There are: {', '.join(map(str, sorted(steps)))}. Older ones go as the run moves on;"
            " `pretrain.checkpoint.keep` says how many stay."
        )
    return checkpoints.load(step)


def _write(
    to: store.Folder, contents: Mapping[str, bytes], *, earlier: set[str]
) -> list[store.Written]:
    """Replace an earlier export by these files; what people added stays."""
    to.create()
    to.remove_temporary()
    to.remove(store.MANIFEST)
    files = [to.write_bytes(name, data) for name, data in contents.items()]
    for stale in earlier - set(contents) - {store.MANIFEST}:
        to.remove(stale)
    return files


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that own their memory, as safetensors wants them."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
