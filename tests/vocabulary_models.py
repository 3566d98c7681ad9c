"""Small SentencePiece models for tests, trained as koine trains them, on the sample texts."""

import io
from collections import Counter
from functools import cache

import sentencepiece

from conftest import sample_texts
from tokenizer.export import SPECIAL
from tokenizer.segments import units_of

SIZE = 6000


@cache
def small_model(kind: str = "unigram", *, num_threads: int = 1) -> bytes:
    """Return a raw model ("unigram" or "bpe") of SIZE pieces, before `export.finished`."""
    units: Counter[str] = Counter()
    for documents in sample_texts().values():
        for document in documents:
            for line in document.split("\n"):
                units.update(units_of(line))
    pad, unknown, begin, end, mask = SPECIAL
    model = io.BytesIO()
    sentencepiece.set_min_log_level(2)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(f"{unit}\t{count}" for unit, count in sorted(units.items())),
        model_writer=model,
        input_format="tsv",
        model_type=kind,
        vocab_size=SIZE,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        byte_fallback=True,
        character_coverage=0.999,
        # What special and byte pieces are spelled with, and some composed letters.
        required_chars="".join(map(chr, range(0x21, 0x7F))) + "Éàé",
        split_by_unicode_script=False,
        num_threads=num_threads,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        pad_piece=pad,
        unk_piece=unknown,
        bos_piece=begin,
        eos_piece=end,
        control_symbols=[mask],
        minloglevel=2,
    )
    return model.getvalue()
