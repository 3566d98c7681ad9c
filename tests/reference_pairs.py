"""BERT's create_instances_from_document, token by token, over koine's draws: slow, and literal.

The function bodies follow create_pretraining_data.py of google-research/bert; `Draws` stands where
its `rng` does. What koine does otherwise is marked "koine".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pretrain import draws

Document = Sequence[Sequence[int]]  # sentences of tokens


@dataclass
class Instance:
    """An example: what BERT calls a training instance, without its masks."""

    tokens_a: list[int]
    tokens_b: list[int]
    is_random_next: int  # -1 where there is no B
    language: int
    index: int
    other: int  # the document of B; -1 where there is no B

    def row(self):
        return (
            self.language, self.index, self.other, self.is_random_next,
            tuple(self.tokens_a), tuple(self.tokens_b),
        )  # fmt: skip


@dataclass
class Draws:
    """The numbers of one example, which begins with the block's sentence number `sentence`."""

    key: int
    sentence: int
    popped: dict[str, int] = field(default_factory=dict)

    def random(self, name):
        return float(draws.uniform(draws.key(self.key, name), self.sentence))

    def randint(self, name, low, high):
        drawn = draws.below(draws.key(self.key, name), high - low + 1, self.sentence)
        return low + int(drawn)

    def coin(self, name):
        place = self.popped.get(name, 0)
        self.popped[name] = place + 1
        bits = int(draws.bits(draws.key(self.key, name), self.sentence, place // 64))
        return bits >> (place % 64) & 1


def split_long(document: Document, longest: int) -> list[list[int]]:
    """koine: sentences longer than an example, in equal pieces."""
    found = []
    for sentence in document:
        parts = -(-len(sentence) // longest)
        cuts = [len(sentence) * part // parts for part in range(parts + 1)]
        found += [list(sentence[a:b]) for a, b in pairwise(cuts)]
    return found


def sections(sentences: list[list[int]], limit: int) -> list[int]:
    """koine: numbers of the sentences with which sections of a long document begin."""
    size = sum(map(len, sentences))
    parts = max(1, -(-size // limit))
    firsts = []
    for part in range(parts):
        wanted, place = size * part // parts, 0
        for number, sentence in enumerate(sentences):
            if place >= wanted:
                if number not in firsts:
                    firsts.append(number)
                break
            place += len(sentence)
    return firsts


def create_instances(
    corpus: Sequence[Sequence[Document]],
    chosen: Sequence[tuple[int, int]],
    *,
    max_seq_length: int,
    key: int,
) -> list[Instance]:
    """Return the examples of documents of a block, in the order of the text.

    Args:
        corpus: documents by language.
        chosen: language and index of each document of the block.
        max_seq_length: tokens of an example, special ones counted.
        key: of the block's draws.
    """
    max_num_tokens = max_seq_length - 3
    instances, sentence = [], 0
    for position, (language, index) in enumerate(chosen):
        place = Draws(key, position)
        target_seq_length = max_num_tokens
        if place.random("target") < 0.1:
            target_seq_length = place.randint("short", 2, max_num_tokens)
        document = split_long(corpus[language][index], max_num_tokens)
        firsts = [*sections(document, 64 * target_seq_length), len(document)]
        for first, last in pairwise(firsts):
            instances += create_instances_from_document(
                corpus[language], language, index, document[first:last], sentence + first,
                target_seq_length=target_seq_length, max_num_tokens=max_num_tokens, key=key,
            )  # fmt: skip
        sentence += len(document)
    return instances


def create_instances_from_document(
    all_documents,
    language,
    document_index,
    document,
    number,
    *,
    target_seq_length,
    max_num_tokens,
    key,
):
    instances = []
    current_chunk = []
    current_length = 0
    i = 0
    while i < len(document):
        segment = document[i]
        current_chunk.append(segment)
        current_length += len(segment)
        if i == len(document) - 1 or current_length >= target_seq_length:
            if current_chunk:
                rng = Draws(key, number + i + 1 - len(current_chunk))
                a_end = 1
                if len(current_chunk) >= 2:
                    a_end = rng.randint("split", 1, len(current_chunk) - 1)
                tokens_a = []
                for j in range(a_end):
                    tokens_a.extend(current_chunk[j])
                tokens_b = []
                is_random_next = 0
                other = document_index
                alone = len(all_documents) == 1  # koine: nothing to draw from
                if alone and len(current_chunk) == 1:
                    is_random_next, other = -1, -1
                elif not alone and (len(current_chunk) == 1 or rng.random("next") < 0.5):
                    is_random_next = 1
                    target_b_length = target_seq_length - len(tokens_a)
                    # koine: one draw from the others, instead of ten tries
                    other = rng.randint("donor", 0, len(all_documents) - 2)
                    other += other >= document_index
                    random_document = all_documents[other]
                    random_start = int(rng.random("donor start") * len(random_document))
                    for j in range(random_start, len(random_document)):
                        tokens_b.extend(random_document[j])
                        if len(tokens_b) >= target_b_length:
                            break
                    if len(tokens_b) >= 2 * max_num_tokens:  # koine: of a very long sentence
                        cut = rng.randint("donor cut", 0, len(tokens_b) - max_num_tokens)
                        tokens_b = tokens_b[cut : cut + max_num_tokens]
                    num_unused_segments = len(current_chunk) - a_end
                    i -= num_unused_segments
                else:
                    for j in range(a_end, len(current_chunk)):
                        tokens_b.extend(current_chunk[j])
                truncate_seq_pair(tokens_a, tokens_b, max_num_tokens, rng)
                assert len(tokens_a) >= 1
                assert len(tokens_b) >= 1 or is_random_next == -1
                instances.append(
                    Instance(tokens_a, tokens_b, is_random_next, language, document_index, other)
                )
            current_chunk = []
            current_length = 0
        i += 1
    return instances


def truncate_seq_pair(tokens_a, tokens_b, max_num_tokens, rng):
    """Truncates a pair of sequences to a maximum sequence length."""
    while True:
        total_length = len(tokens_a) + len(tokens_b)
        if total_length <= max_num_tokens:
            break
        front = "front of a" if len(tokens_a) > len(tokens_b) else "front of b"
        trunc_tokens = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        assert len(trunc_tokens) >= 1
        # We want to sometimes truncate from the front and sometimes from the
        # back to add more randomness and avoid biases.
        if rng.coin(front):
            del trunc_tokens[0]
        else:
            trunc_tokens.pop()


def pieces(document: Document, *, max_seq_length: int) -> list[list[int]]:
    """Return a document in pieces, as koine cuts it where there are no pairs."""
    longest = max_seq_length - 2
    sentences = split_long(document, 64 * longest)
    firsts = [*sections(sentences, 64 * longest), len(sentences)]
    found = []
    for first, last in pairwise(firsts):
        own = sentences[first:last]
        ends = [sum(map(len, own[: number + 1])) for number in range(len(own))]
        tokens = [token for sentence in own for token in sentence]
        at = 0
        while at < len(tokens):
            end = min(at + longest, len(tokens))
            if end < len(tokens):
                inside = [one for one in ends if at + longest - longest // 4 <= one <= end]
                end = max(inside, default=end)
            found.append(tokens[at:end])
            at = end
    return found
