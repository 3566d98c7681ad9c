"""A tokenizer of one token a character, and small texts: costs can be worked out by hand."""

import pyarrow as pa
import tokenizers
from tokenizers import models, pre_tokenizers

from tokenizer import loading, texts

LATIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!'-"

LINES = {
    "eng_Latn": ["cat dog", "a cat", "the dog sat", "cat", "a dog, a cat", "dog dog dog"],
    "deu_Latn": ["katze hund", "eine katze", "der hund", "katze", "hund, katze", "hund hund"],
    "fra_Latn": ["chat chien", "un chat", "le chien", "chat", "un chien, un chat", "chien chien"],
}


def characters(path, *, alphabet, whole=()):
    """A tokenizer of one token a character, but for whole words; others are unknown."""
    names = ["[UNK]", *whole, *alphabet]
    model = models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]")
    made = tokenizers.Tokenizer(model)
    pattern = "|".join([*whole, r"\p{L}\p{M}*", r"[^\p{L}\s]"])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
        ]
    )
    made.save(str(path))
    return loading.load(path)


def held(**lines):
    return texts.held_out(
        {
            label: pa.table({"text": pa.array(own, pa.large_string())})
            for label, own in lines.items()
        }
    )
