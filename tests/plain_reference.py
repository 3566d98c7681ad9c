"""The kernels' results by other means: plain Python and the regex module, slow and short.

Shared by test_measure and test_signatures, not a test itself.
"""

import re
from collections import Counter
from functools import cache

import regex

from pipelines import scripts, unicode

UNSPACED = "".join(rf"\p{{sc={name}}}" for name in sorted(scripts.UNSPACED))
SHARED = "".join(rf"\p{{scx={name}}}" for name in sorted(scripts.UNSPACED))
SPACED = "".join(rf"\p{{scx={name}}}" for name in unicode.SCRIPTS if name not in scripts.UNSPACED)
IGNORABLE = r"[\p{Default_Ignorable_Code_Point}--[\u200b]]"
LETTER = r"[[\p{L}\p{Nl}]--\p{Default_Ignorable_Code_Point}]"
MARK = r"[\p{M}--\p{Default_Ignorable_Code_Point}]"
CLUSTER_LETTER = rf"[[[{UNSPACED}][[{SHARED}]--[{SPACED}]]]&&{LETTER}]"
CLUSTER_MARK = rf"[[{UNSPACED}]&&{MARK}]"
# Marks that are clusters of their own.
OWN_MARK = rf"[{CLUSTER_MARK}&&[\p{{GCB=XX}}]]"
WORD_LETTER = rf"[{LETTER}--{CLUSTER_LETTER}]"
WORD_MARK = rf"[{MARK}--{CLUSTER_MARK}]"
NUMBER = r"[\p{Nd}\p{No}]"
SIGN = f"[{re.escape(scripts.MIDWORD)}]"
WORD = regex.compile(
    rf"(?:{WORD_LETTER}|{NUMBER})"
    rf"(?:{IGNORABLE}*(?:{WORD_LETTER}|{NUMBER}|{WORD_MARK})"
    rf"|(?<=(?:{WORD_LETTER}|{WORD_MARK}){IGNORABLE}*){IGNORABLE}*{SIGN}{IGNORABLE}*{WORD_LETTER})*",
    regex.V1,
)
CLUSTER = regex.compile(
    rf"(?:{CLUSTER_LETTER}|{OWN_MARK})"
    rf"(?:{IGNORABLE}*(?:{CLUSTER_LETTER}|{CLUSTER_MARK}|{WORD_MARK}))*",
    regex.V1,
)
NOT_HASHED = regex.compile(rf"{IGNORABLE}|{SIGN}", regex.V1)
VISIBLE = regex.compile(r"[^\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}]", regex.V1)
CLOSERS = r"[[\p{Pe}\p{Pf}\p{Pi}\p{Quotation_Mark}]--\p{Ps}]"
HIDDEN = r"[\p{White_Space}\p{Cc}\p{Default_Ignorable_Code_Point}]"
TERMINAL_END = regex.compile(
    rf"[\p{{Sentence_Terminal}}{scripts.EXTRA_TERMINALS}](?:{HIDDEN}|"
    rf"[{CLOSERS}--[\p{{Sentence_Terminal}}{scripts.EXTRA_TERMINALS}]])*\Z",
    regex.V1,
)
ELLIPSIS = r"(?:(?P<dot>[.\u3002])(?P=dot){2,}|\u2026+|\u22ef+)"
ELLIPSIS_END = regex.compile(rf"{ELLIPSIS}(?:{HIDDEN}|{CLOSERS})*\Z", regex.V1)
SEMICOLON_END = regex.compile(rf";(?:{HIDDEN}|{CLOSERS})*\Z", regex.V1)


def cluster_starts(text):
    starts, position = set(), 0
    for cluster in regex.findall(r"\X", text):
        starts.add(position)
        position += len(cluster)
    return starts


def tokens(text):
    """Return (hashed text, number of clusters, has a letter, is a cluster) of each token."""
    starts = sorted(cluster_starts(text))
    is_start = set(starts)
    found, position = [], 0
    while position < len(text):
        end = next((start for start in starts if start > position), len(text))
        match = CLUSTER.match(text, position, end)
        is_cluster = match is not None
        match = match or WORD.match(text, position)
        if match is None:
            position += 1
            continue
        hashed = NOT_HASHED.sub("", match.group())
        num_clusters = sum(
            bool(regex.match(SIGN, text[at]))
            or (at in is_start and not regex.match(IGNORABLE, text[at], regex.V1))
            for at in range(*match.span())
        )
        has_letter = regex.search(LETTER, hashed, regex.V1) is not None
        found.append((hashed, max(num_clusters, 1), has_letter, is_cluster))
        position = match.end()
    return found


def script_letters(text):
    counts = Counter()
    for letter in regex.findall(LETTER, text, regex.V1):
        counts[script_of(letter)] += 1
    return counts


@cache
def script_of(character):
    for name in unicode.SCRIPTS:
        if regex.match(rf"\p{{sc={name}}}", character):
            return name
    raise AssertionError(character)


def dominant_script(text):
    counts = script_letters(text)
    own = {name: n for name, n in counts.items() if name not in ("Zyyy", "Zinh", "Zzzz")}
    return min(own, key=lambda name: (-own[name], name)) if own else None


def clusters_of_line(line):
    """Return the clusters from the first to the last visible character of a line, by position."""
    visible = [match.start() for match in VISIBLE.finditer(line)]
    starts = sorted(cluster_starts(line))
    first = max(start for start in starts if start <= visible[0])
    return [start for start in starts if first <= start <= visible[-1]]


def content(line):
    starts = cluster_starts(line)
    total, pending, seen = 0, False, False
    for at, character in enumerate(line):
        if not VISIBLE.match(character):
            pending |= seen and bool(regex.match(r"\p{White_Space}", character))
            continue
        total += 10 * (pending and seen)
        pending, seen = False, True
        if at in starts:
            weight = 1.0
            if regex.match(r"[\p{L}\p{Nl}]", character):
                weight = scripts.DENSITY.get(script_of(character), 1.0)
            total += round(10 * weight)
    return total


def trimmed(line):
    visible = [match.start() for match in VISIBLE.finditer(line)]
    return line[visible[0] : visible[-1] + 1] if visible else ""


def duplicates(units):
    """Return (number, clusters) of the units that came before; units are (text, clusters)."""
    seen, number, size = set(), 0, 0
    for text, num_clusters in units:
        if text in seen:
            number, size = number + 1, size + num_clusters
        seen.add(text)
    return number, size


def top_ngram_share(words, length):
    sizes = [size for _, size in words]
    counts, covered, free_from = Counter(), Counter(), {}
    for at in range(len(words) - length + 1):
        ngram = tuple(word for word, _ in words[at : at + length])
        if at >= free_from.get(ngram, 0):
            counts[ngram] += 1
            covered[ngram] += sum(sizes[at : at + length])
            free_from[ngram] = at + length
    best = max(((n, covered[ngram]) for ngram, n in counts.items()), default=(0, 0))
    return best[1] / sum(sizes) if best[0] >= 2 else 0.0


def duplicate_ngram_share(words, length):
    sizes = [size for _, size in words]
    seen, at, covered = set(), 0, 0
    while at + length <= len(words):
        ngram = tuple(word for word, _ in words[at : at + length])
        if ngram in seen:
            covered += sum(sizes[at : at + length])
            at += length
        else:
            seen.add(ngram)
            at += 1
    return covered / sum(sizes) if sizes else 0.0


def is_line(line):
    return any(
        VISIBLE.match(character) and regex.match(r"[\p{L}\p{Nl}\p{M}\p{Nd}]", character)
        for character in line
    )


def unhidden(line):
    return "".join(VISIBLE.findall(line))


def measure(text):
    """Return one row of records.STATS."""
    script = dominant_script(text)
    counts = script_letters(text)
    unspaced = script in scripts.UNSPACED
    per_word = scripts.GRAPHEMES_PER_WORD.get(script, 4) if unspaced else 1
    units = tokens(text)
    num_words = max(len(units) / per_word, 1)
    visible = VISIBLE.findall(text)
    all_lines = text.split("\n")
    lines = [line for line in all_lines if is_line(line)]
    sized = [(trimmed(line), len(clusters_of_line(line))) for line in lines]
    paragraphs, current = [], []
    for line in [*all_lines, ""]:
        if is_line(line):
            current.append((trimmed(line), len(clusters_of_line(line))))
        elif current:
            paragraphs.append((tuple(t for t, _ in current), sum(n for _, n in current)))
            current = []
    line_size = sum(size for _, size in sized)
    duplicate_lines, duplicate_paragraphs = duplicates(sized), duplicates(paragraphs)

    def share(part, whole):
        return part / whole if whole else 0.0

    def lines_like(test):
        return share(sum(bool(test(line)) for line in lines), len(lines))

    def is_terminal(line):
        return TERMINAL_END.search(line) or (script == "Grek" and SEMICOLON_END.search(line))

    own = sum(n for name, n in counts.items() if name not in ("Zyyy", "Zinh", "Zzzz"))
    words = [(size, has_letter) for _, size, has_letter, is_cluster in units if not is_cluster]
    sizes = [size for size, _ in words]
    row = {
        "script": script,
        "script_share": counts[script] / own if script else None,
        "num_graphemes": len(regex.findall(r"\X", text)),
        "num_words": None if unspaced else len(words),
        "num_lines": len(lines),
        "content_chars": sum(content(line) for line in lines) / 10,
        "mean_word_graphemes": sum(sizes) / len(sizes) if sizes and not unspaced else None,
        "max_word_graphemes": None if unspaced else max(sizes, default=0),
        "letter_share": share(
            sum(bool(regex.match(r"[\p{L}\p{Nl}\p{M}]", c)) for c in visible), len(visible)
        ),
        "digit_share": share(sum(bool(regex.match(r"\p{Nd}", c)) for c in visible), len(visible)),
        "letter_word_share": sum(letter for _, letter in words) / len(words)
        if words and not unspaced
        else None,
        "hash_ratio": sum(
            len(regex.findall(r"[#\uff03]", regex.sub(r"^[#\uff03]+", "", unhidden(line))))
            for line in all_lines
        )
        / num_words,
        "ellipsis_ratio": sum(
            len(list(regex.finditer(ELLIPSIS, NO_HIDDEN.sub("", line)))) for line in all_lines
        )
        / num_words,
        "curly_ratio": share(text.count("{") + text.count("}"), len(text)),
        "bullet_line_share": lines_like(lambda line: trimmed(line)[0] in scripts.BULLETS),
        "ellipsis_line_share": lines_like(
            lambda line: ELLIPSIS_END.search(NO_HIDDEN.sub("", line))
        ),
        "terminal_line_share": lines_like(is_terminal)
        if lines and script not in scripts.NO_TERMINALS
        else None,
        "short_line_share": lines_like(lambda line: content(line) < 300),
        "newline_ratio": len(lines) / num_words,
        "duplicate_line_share": share(duplicate_lines[0], len(lines)),
        "duplicate_line_char_share": share(duplicate_lines[1], line_size),
        "duplicate_paragraph_share": share(duplicate_paragraphs[0], len(paragraphs)),
        "duplicate_paragraph_char_share": share(duplicate_paragraphs[1], line_size),
    }
    words = [(word, size) for word, size, _, _ in units]
    for n in range(2, 5):
        row[f"top_{n}gram_share"] = top_ngram_share(words, n * per_word)
    for n in range(5, 11):
        row[f"duplicate_{n}gram_share"] = duplicate_ngram_share(words, n * per_word)
    return row


# Invisible code points, but not the white space: they part no run of full stops.
NO_HIDDEN = regex.compile(r"[[\p{Cc}\p{Default_Ignorable_Code_Point}]--\p{White_Space}]", regex.V1)
