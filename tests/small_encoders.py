"""Encoders of one layer that were never trained, and tasks that they learn in a second."""

import json
import random
import shutil
from pathlib import Path

from token_vocabulary import write_vocabulary

from pipelines import store

WORDS = {
    "swh_Latn": {"sport": "mpira timu goli mchezo", "health": "dawa homa daktari ugonjwa"},
    "arb_Arab": {"sport": "كرة فريق هدف مباراة", "health": "دواء حمى طبيب مرض"},
    "tha_Thai": {"sport": "ฟุตบอล ทีม ประตู กีฬา", "health": "ยา ไข้ หมอ โรค"},
}
"""By language and topic: words that tell the topic."""


def write_encoder(folder: Path, *, kind: str = "bert") -> Path:
    """Write a BERT with random weights and the small vocabulary, as an export would be."""
    import torch
    import transformers

    write_vocabulary(folder / "vocab")
    names = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
    for name in names:
        shutil.copy(folder / "vocab" / name, folder / name)
    shutil.rmtree(folder / "vocab")
    size = len(json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"])
    sizes = {
        "vocab_size": size,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    own = {"intermediate_size": 64, "max_position_embeddings": 64, "pad_token_id": 0}
    config = transformers.BertConfig(**sizes, **own)
    torch.manual_seed(0)
    transformers.logging.disable_progress_bar()
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    (folder / "README.md").write_text("# A BERT\n", encoding="utf-8")
    files = []
    target = store.Folder(folder)
    for path in sorted(folder.iterdir()):
        files.append(target.write_bytes(path.name, path.read_bytes()))
    store.write_manifest(
        target,
        artefact="export",
        fingerprint=store.fingerprint(sorted([file.name, file.sha256] for file in files)),
        counts={},
        files=files,
    )
    return folder


def write_topics(folder: Path, *, train: dict[str, int], test: int = 24, seed: int = 0) -> Path:
    """Write topics of short texts as topics.train.tsv, .dev.tsv and .test.tsv.

    Args:
        folder: where.
        train: training examples by language; of all others there are only test examples.
        test: test examples of each language.
        seed: of the words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    sizes = {
        "train": train,
        "dev": dict.fromkeys(train, 8),
        "test": dict.fromkeys(WORDS, test),
    }
    for split, numbers in sizes.items():
        lines = ["text\ttarget\tlang"]
        for label, num in numbers.items():
            for number in range(num):
                topic = sorted(WORDS[label])[number % 2]
                words = draw.choices(WORDS[label][topic].split(), k=5)
                lines.append(f"{' '.join(words)}\t{topic}\t{label}")
        (folder / f"topics.{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_names(folder: Path) -> Path:
    """Write tagged names as names.train.conll, .dev.conll and .test.conll."""
    folder.mkdir(parents=True, exist_ok=True)
    sentence = "Amina\tB-PER\nanaishi\tO\nNairobi\tB-LOC\n\n"
    for split in ("train", "dev", "test"):
        (folder / f"names.{split}.conll").write_text(sentence * 8, encoding="utf-8")
    return folder
