"""Models with each kind of tokenizer, and text files by language, to be made smaller."""

import json
from pathlib import Path

import tokenizers
import torch
import transformers
from token_vocabulary import write_vocabulary
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers
from vocabulary_models import small_model

from conftest import sample_texts

TOKENIZERS = ("unigram", "bpe", "byte-level", "wordpiece")
KEPT = ("eng_Latn", "swh_Latn", "tha_Thai")


def write_texts(folder: Path, labels: tuple[str, ...] | None = None) -> Path:
    """Write the sample texts as files such as swh_Latn.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for label, documents in sample_texts().items():
        if labels is None or label in labels:
            (folder / f"{label}.txt").write_text("\n".join(documents), encoding="utf-8")
    return folder


def write_bert(folder: Path, kind: str, *, longest: int = 64) -> Path:
    """Write a BERT of random weights with a tokenizer of a kind, as `AutoModel` loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind in ("unigram", "bpe"):
        write_vocabulary(folder, small_model(kind))
        (folder / "manifest.json").unlink()
    else:
        made = _word_piece() if kind == "wordpiece" else _byte_level()
        made.save(str(folder / "tokenizer.json"))
        if kind == "wordpiece":
            names = sorted(made.get_vocab().items(), key=lambda one: one[1])
            text = "".join(f"{piece}\n" for piece, _ in names)
            (folder / "vocab.txt").write_text(text, encoding="utf-8")
        special = {f"{name.lower()}_token": f"[{name}]" for name in _NAMES}
        settings = {**special, "tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=tokenizer.get_vocab_size() + 5,  # rows that no piece has, as koine pads them
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=longest,
            pad_token_id=tokenizer.token_to_id("[PAD]"),
            initializer_range=0.2,
        )
    ).save_pretrained(folder)
    return folder


_NAMES = ("PAD", "UNK", "CLS", "SEP", "MASK")


def _finished(made: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    ids = {name: made.token_to_id(name) for name in ("[CLS]", "[SEP]")}
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=list(ids.items()),
    )
    return made


def _word_piece() -> tokenizers.Tokenizer:
    """Return a tokenizer as BERT's, with special pieces that are not the first ones."""
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", *(f"[unused{number}]" for number in range(1, 100))]
    special += [f"[{name}]" for name in _NAMES[1:]]
    trainer = trainers.WordPieceTrainer(
        vocab_size=3000, special_tokens=special, limit_alphabet=300, show_progress=False
    )
    made.train_from_iterator((x for own in sample_texts().values() for x in own), trainer)
    return _finished(made)


def _byte_level() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=[f"[{name}]" for name in _NAMES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator((x for own in sample_texts().values() for x in own), trainer)
    return _finished(made)
