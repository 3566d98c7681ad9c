"""The one pass over a document's bytes that counts everything `pipelines.measure` reports.

Part of the kernels. The walk leaves integer counts (COUNTS), the letters of each script, and lists
of tokens, lines and paragraphs with their hashes in the scratch memory; `pipelines.repetition`
looks for repeats in those lists.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bits import (
    ALPHABETIC,
    BULLET,
    CLOSER,
    CONTROL,
    DIGIT,
    ELLIPSIS,
    IGNORABLE,
    LETTER,
    SPACE,
    TERMINAL,
)
from .graphemes import CLUSTER_BITS, CLUSTER_START, cluster_step
from .jit import kernel
from .repetition import MAX_UNITS
from .tokens import (
    AFTER_LETTER,
    BEGIN,
    EXTEND,
    HASH_START,
    IN_CLUSTER,
    IN_WORD,
    JOIN,
    NO_TOKEN,
    OUTSIDE,
    hash_step,
    is_ascii_letter,
    token_step,
)
from .unicode import LATIN, Integer, Tables, decode, flags_of, script_of

NEWLINE, FULL_STOP, IDEOGRAPHIC_STOP, SEMICOLON = 0x0A, 0x2E, 0x3002, 0x3B
HASH_SIGN, WIDE_HASH_SIGN, LEFT_CURLY, RIGHT_CURLY = 0x23, 0xFF03, 0x7B, 0x7D
HIDDEN = SPACE | CONTROL | IGNORABLE
SHORT_LINE_TENTHS = 300  # FineWeb's 30 characters, in tenths of a Latin letter's content

# How a line ends so far, closing quotes and brackets aside.
ENDS_TERMINAL, ENDS_ELLIPSIS, ENDS_SEMICOLON = 1, 2, 4

(
    CODE_POINTS, VISIBLE, ALPHABETICS, DIGITS, GRAPHEMES, CONTENT_TENTHS,
    TOKENS, WORDS, WORD_GRAPHEMES, LONGEST_WORD, LETTER_WORDS,
    HASH_SIGNS, ELLIPSES, CURLIES,
    LINES, LINE_GRAPHEMES, BULLET_LINES, ELLIPSIS_LINES, TERMINAL_LINES, SEMICOLON_LINES,
    SHORT_LINES, PARAGRAPHS,
) = range(22)  # fmt: skip
NUM_COUNTS = 22


class Scratch(NamedTuple):
    """What the walk lists of one document, at most MAX_UNITS of each."""

    token_hashes: NDArray[np.uint64]
    token_graphemes: NDArray[np.int64]
    line_hashes: NDArray[np.uint64]
    line_graphemes: NDArray[np.int64]
    paragraph_hashes: NDArray[np.uint64]
    paragraph_graphemes: NDArray[np.int64]


def new_scratch(num_units: int) -> Scratch:
    """Return memory for documents of up to `num_units` tokens and lines."""
    return Scratch(
        np.empty(num_units, np.uint64),
        np.empty(num_units, np.int64),
        np.empty(num_units, np.uint64),
        np.empty(num_units, np.int64),
        np.empty(num_units, np.uint64),
        np.empty(num_units, np.int64),
    )


@kernel
def max_units(num_bytes: Integer) -> Integer:
    """Return how many tokens or lines of a document of `num_bytes` are listed."""
    # Each takes a byte and a separator, or the three bytes of a letter without spaces.
    return min(num_bytes // 2 + 1, MAX_UNITS)


@kernel
def walk(
    data: NDArray[np.uint8],
    start: Integer,
    end: Integer,
    tables: Tables,
    density_tenths: NDArray[np.int64],
    limit: Integer,
    scratch: Scratch,
    counts: NDArray[np.int64],
    letters: NDArray[np.uint32],
) -> None:
    """Fill `counts` (NUM_COUNTS,), `letters` (NUM_SCRIPTS,) and `scratch` for data[start:end].

    Of tokens, lines and paragraphs at most `limit` are listed; all are counted.
    """
    code_points = visible = alphabetics = digits = graphemes = content = 0
    hash_signs = ellipses = curlies = 0
    tokens = words = word_graphemes = longest_word = letter_words = 0
    lines = line_graphemes = bullet_lines = ellipsis_lines = 0
    terminal_lines = semicolon_lines = short_lines = paragraphs = 0
    cluster_state = CLUSTER_START
    # The token at hand.
    token_state = NO_TOKEN
    token_hash = HASH_START
    token_size = 0
    token_has_letter = False
    # The line at hand, from its first to its last visible cluster.
    line_hash = HASH_START  # of everything since the first visible code point
    line_hash_visible = HASH_START  # ... up to the last one
    first_cluster = -1
    line_has_word = False  # a letter, a mark or a digit; rulers and separators are no lines
    in_heading = False  # the '#' that a line starts with mark a heading
    last_cluster = 0
    line_content = 0
    space_pending = False
    line_ends = 0
    line_is_bullet = False
    run_of = 0  # a full stop and how often it has come: three are an ellipsis
    run_length = 0
    # The paragraph at hand.
    paragraph_hash = HASH_START
    paragraph_size = 0

    position = start
    last_round = False
    while not last_round:
        # One round more than there are code points: the end of the text ends line and token.
        if position < end:
            code_point, width = decode(data, position)
            info = flags_of(tables, code_point)
            code_points += 1
            if (cluster_state | (info & CLUSTER_BITS)) == 0:
                starts = True
            else:
                starts, cluster_state = cluster_step(cluster_state, info)
            if starts:
                graphemes += 1
            position += width
        else:
            code_point, info, starts = NEWLINE, SPACE | CONTROL, True
            last_round = True

        # Tokens.
        before = token_state
        action, token_state = token_step(token_state, code_point, info, starts)
        if before != NO_TOKEN and action in (OUTSIDE, BEGIN):
            size = max(token_size, 1)
            if tokens < limit:
                scratch.token_hashes[tokens] = token_hash
                scratch.token_graphemes[tokens] = size
            tokens += 1
            if before != IN_CLUSTER:
                words += 1
                word_graphemes += size
                longest_word = max(longest_word, size)
                letter_words += token_has_letter
        if action == BEGIN:
            token_hash = hash_step(HASH_START, code_point)
            token_size = int(starts)
            token_has_letter = (info & LETTER) != 0
        elif action in (EXTEND, JOIN):
            token_hash = hash_step(token_hash, code_point)
            token_size += int(starts)
            if action == JOIN:  # the sign inside the word is a cluster, too
                token_size += 1
            token_has_letter |= (info & LETTER) != 0

        # Lines and paragraphs.
        if code_point == NEWLINE:
            if line_has_word:
                size = last_cluster - first_cluster + 1
                content += line_content
                if lines < limit:
                    scratch.line_hashes[lines] = line_hash_visible
                    scratch.line_graphemes[lines] = size
                lines += 1
                line_graphemes += size
                bullet_lines += line_is_bullet
                ellipsis_lines += (line_ends & ENDS_ELLIPSIS) != 0
                terminal_lines += (line_ends & ENDS_TERMINAL) != 0
                semicolon_lines += (line_ends & ENDS_SEMICOLON) != 0
                short_lines += line_content < SHORT_LINE_TENTHS
                paragraph_hash = (paragraph_hash ^ line_hash_visible) * np.uint64(0x100000001B3)
                paragraph_hash ^= paragraph_hash >> np.uint64(29)
                paragraph_size += size
            if paragraph_size and (not line_has_word or last_round):
                if paragraphs < limit:
                    scratch.paragraph_hashes[paragraphs] = paragraph_hash
                    scratch.paragraph_graphemes[paragraphs] = paragraph_size
                paragraphs += 1
                paragraph_hash = HASH_START
                paragraph_size = 0
            line_hash = HASH_START
            first_cluster = -1
            line_has_word = False
            line_content = 0
            space_pending = False
            line_ends = 0
            run_of = 0
            continue

        if info & HIDDEN:
            if info & SPACE:
                space_pending = first_cluster >= 0
                run_of = 0
            if first_cluster >= 0:
                line_hash = hash_step(line_hash, code_point)
            continue

        # A visible code point.
        visible += 1
        line_hash = hash_step(line_hash, code_point)
        line_hash_visible = line_hash
        if first_cluster < 0:
            first_cluster = graphemes
            line_is_bullet = (info & BULLET) != 0
            in_heading = True
        in_heading = in_heading and code_point in (HASH_SIGN, WIDE_HASH_SIGN)
        last_cluster = graphemes
        if space_pending:
            line_content += 10
            space_pending = False
        if info & ALPHABETIC:
            line_has_word = True
            alphabetics += 1
            line_ends = 0
            run_of = 0
            if info & LETTER:
                script = script_of(info)
                letters[script] += np.uint32(1)
                if starts:
                    line_content += int(density_tenths[script])
            elif starts:
                line_content += 10
            if token_state == IN_WORD | AFTER_LETTER and cluster_state == 0:
                # The rest of an ASCII word: what the rounds below would add, letter by letter.
                first = position
                while position < end and is_ascii_letter(data[position]):
                    token_hash = hash_step(token_hash, data[position])
                    line_hash = hash_step(line_hash, data[position])
                    position += 1
                run = position - first
                if run:
                    token_has_letter = True
                    line_hash_visible = line_hash
                    token_size += run
                    code_points += run
                    graphemes += run
                    visible += run
                    alphabetics += run
                    last_cluster = graphemes
                    letters[LATIN] += np.uint32(run)
                    line_content += run * int(density_tenths[LATIN])
            continue
        if starts:
            line_content += 10
        if info & DIGIT:
            line_has_word = True
            digits += 1
        if code_point in (HASH_SIGN, WIDE_HASH_SIGN):
            hash_signs += not in_heading
        elif code_point in (LEFT_CURLY, RIGHT_CURLY):
            curlies += 1
        if code_point in (FULL_STOP, IDEOGRAPHIC_STOP) or info & ELLIPSIS:
            run_length = run_length + 1 if run_of == code_point else 1
            run_of = code_point
            line_ends = ENDS_TERMINAL
            if run_length == (1 if info & ELLIPSIS else 3):
                ellipses += 1
            if run_length >= (1 if info & ELLIPSIS else 3):
                line_ends |= ENDS_ELLIPSIS
            continue
        run_of = 0
        if info & TERMINAL:
            line_ends = ENDS_TERMINAL
        elif code_point == SEMICOLON:
            line_ends = ENDS_SEMICOLON
        elif not info & CLOSER:
            line_ends = 0

    counts[CODE_POINTS] = code_points
    counts[VISIBLE] = visible
    counts[ALPHABETICS] = alphabetics
    counts[DIGITS] = digits
    counts[GRAPHEMES] = graphemes
    counts[CONTENT_TENTHS] = content
    counts[TOKENS] = tokens
    counts[WORDS] = words
    counts[WORD_GRAPHEMES] = word_graphemes
    counts[LONGEST_WORD] = longest_word
    counts[LETTER_WORDS] = letter_words
    counts[HASH_SIGNS] = hash_signs
    counts[ELLIPSES] = ellipses
    counts[CURLIES] = curlies
    counts[LINES] = lines
    counts[LINE_GRAPHEMES] = line_graphemes
    counts[BULLET_LINES] = bullet_lines
    counts[ELLIPSIS_LINES] = ellipsis_lines
    counts[TERMINAL_LINES] = terminal_lines
    counts[SEMICOLON_LINES] = semicolon_lines
    counts[SHORT_LINES] = short_lines
    counts[PARAGRAPHS] = paragraphs
