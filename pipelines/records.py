"""The Arrow schemas that documents travel in, from a source to a published shard.

    RAW        what a source yields: one row a document, text or HTML, with its origin
    MEASURED   what the measure stage writes: clean text, evidence, statistics, signatures
    CORPUS     a published shard of kept documents
    REMOVED    a published shard of removed documents: CORPUS plus the reason and its detail

SCHEMA_VERSION goes into every manifest; raise it with any change of a published column.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1

DUPLICATES = ("duplicate_url", "duplicate_text", "near_duplicate")
"""The reasons of removed duplicates, in the order in which they are looked for."""

RAW = pa.schema(
    [
        # Exactly one of `text` and `html` is set; `html` holds the page's bytes as they came.
        pa.field("text", pa.large_string()),
        pa.field("html", pa.large_binary()),
        # Charset from the HTTP header, where a source has one.
        pa.field("charset", pa.string()),
        # "name-of-the-file#locator": where this document came from, the same on every machine.
        pa.field("origin", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        # The label as the record states it, uninterpreted ("sw", "swh_Latn", ...).
        pa.field("declared", pa.string()),
        pa.field("license", pa.string()),
    ]
)

# One entry per statistic, in the order of the struct. A null means "does not apply to this
# document" (words in a script without spaces, sentence ends in a script that has none), which is
# never the same as having passed a rule.
STATS = pa.struct(
    [
        pa.field("script", pa.dictionary(pa.int16(), pa.string())),  # ISO 15924, most letters
        pa.field("script_share", pa.float32()),  # its share of the letters
        pa.field("num_graphemes", pa.int32()),
        pa.field("num_words", pa.int32()),  # null where the script has no word spaces
        pa.field("num_lines", pa.int32()),
        pa.field("content_chars", pa.float32()),  # graphemes weighted by their script's density
        pa.field("mean_word_graphemes", pa.float32()),
        pa.field("max_word_graphemes", pa.int32()),
        pa.field("letter_share", pa.float32()),  # L|M of the code points that are not space
        pa.field("digit_share", pa.float32()),  # Nd, of the same
        pa.field("letter_word_share", pa.float32()),  # words with at least one letter
        pa.field("hash_ratio", pa.float32()),  # '#' per word
        pa.field("ellipsis_ratio", pa.float32()),  # ellipses per word
        pa.field("curly_ratio", pa.float32()),  # '{' and '}' per code point
        pa.field("bullet_line_share", pa.float32()),
        pa.field("ellipsis_line_share", pa.float32()),
        pa.field("terminal_line_share", pa.float32()),  # null where the script has no terminals
        pa.field("short_line_share", pa.float32()),
        pa.field("newline_ratio", pa.float32()),  # line breaks per word
        pa.field("duplicate_line_share", pa.float32()),
        pa.field("duplicate_line_char_share", pa.float32()),
        pa.field("duplicate_paragraph_share", pa.float32()),
        pa.field("duplicate_paragraph_char_share", pa.float32()),
        pa.field("top_2gram_share", pa.float32()),
        pa.field("top_3gram_share", pa.float32()),
        pa.field("top_4gram_share", pa.float32()),
        pa.field("duplicate_5gram_share", pa.float32()),
        pa.field("duplicate_6gram_share", pa.float32()),
        pa.field("duplicate_7gram_share", pa.float32()),
        pa.field("duplicate_8gram_share", pa.float32()),
        pa.field("duplicate_9gram_share", pa.float32()),
        pa.field("duplicate_10gram_share", pa.float32()),
    ]
)

# The identification of one document, kept as evidence.
EVIDENCE = pa.struct(
    [
        pa.field("labels", pa.list_(pa.string(), 3)),  # the model's first three, best first
        pa.field("scores", pa.list_(pa.float32(), 3)),
        pa.field("line_labels", pa.list_(pa.string(), 3)),  # by bytes of the lines that voted
        pa.field("line_shares", pa.list_(pa.float32(), 3)),
        pa.field("declared", pa.string()),  # the label the corpus or the record declared, if valid
        # "model" | "declared"; which of the two gave the document its label
        pa.field("decided_by", pa.dictionary(pa.int8(), pa.string())),
        # 0..1, how surely the model contradicts the declared label; null where it can't judge:
        # nothing was declared, or the model does not know that language.
        pa.field("disagreement", pa.float32()),
        # share of the letters that are in the script of the label; null where it has no letters
        pa.field("label_script_share", pa.float32()),
    ]
)

# What repair and masking changed in one document.
REPAIRS = pa.struct(
    [
        pa.field("mojibake", pa.bool_()),
        pa.field("controls", pa.int32()),  # code points removed
        pa.field("marks", pa.int32()),  # combining marks cut from over-long runs
        pa.field("emails", pa.int32()),
        pa.field("ips", pa.int32()),
        pa.field("phones", pa.int32()),
    ]
)


def measured(*, num_bands: int) -> pa.Schema:
    """Return the schema of a measured shard whose MinHash has `num_bands` bands."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("label", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("label_score", pa.float32(), nullable=False),
            pa.field("corpus", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("url", pa.string()),
            pa.field("license", pa.dictionary(pa.int32(), pa.string())),
            pa.field("origin", pa.string(), nullable=False),
            pa.field("stats", STATS, nullable=False),
            pa.field("evidence", EVIDENCE, nullable=False),
            pa.field("repairs", REPAIRS, nullable=False),
            pa.field("text_hash", pa.binary(16), nullable=False),  # xxh3-128 of the clean text
            pa.field("url_hash", pa.uint64()),  # xxh3-64 of the normalised URL
            # The hash of each band of the MinHash signature, null where there are no shingles.
            pa.field("bands", pa.binary(8 * num_bands)),
        ]
    )


CORPUS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("label", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("label_score", pa.float32(), nullable=False),
        pa.field("corpus", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("url", pa.string()),
        pa.field("license", pa.dictionary(pa.int32(), pa.string())),
        pa.field("num_copies", pa.int32(), nullable=False),
        pa.field("stats", STATS, nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("evidence", EVIDENCE, nullable=False),
        pa.field("repairs", REPAIRS, nullable=False),
    ]
)

REMOVED = pa.schema(
    [
        *CORPUS,
        pa.field("reason", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        # Every failed rule with its value and threshold, or the document that was kept instead.
        pa.field("detail", pa.string(), nullable=False),
    ]
)
