"""Windows over long texts, and answers cut out of them: in every script, to the character."""

import json
import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import script_texts
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, normalizers, pre_tokenizers, processors, trainers
from vocabulary_models import small_model

from conftest import sample_texts
from pretrain import models
from pretrain.tasks import answer, squad_metric
from pretrain.tasks.answer import Answer
from pretrain.tasks.data import open_task
from pretrain.tasks.offsets import bytes_of, spans_of
from tests_support import ROOT
from tokenizer.export import finished, tokenizer_json
from tokenizer.spm_format import parse

KINDS = ("unigram", "bpe", "wordpiece", "bytes")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# fmt: off
ASKED = [
    ("eng_Latn", "Where?", "The boat landed at the old harbour, near Lamu.", "the old harbour"),
    ("eng_Latn", "How much?", "It cost “twelve shillings” (more or less).", "twelve shillings"),
    ("fra_Latn", "Qui ?", "Hier, l’e\u0301le\u0300ve Chloe\u0301 chanta.", "Chloe\u0301"),
    ("vie_Latn", "Ai?", "Sáng nay bà Nguyễn Thị Hoa bán cá ở chợ.", "Nguyễn Thị Hoa"),
    ("arb_Arab", "أين؟", "وصل القارب إلى الميناء القديم، عند الفجر.", "الميناء القديم"),
    ("pes_Arab", "چه؟", "او کتاب\u200cهای کهنه را می\u200cخواند.", "کتاب\u200cهای کهنه"),
    ("heb_Hebr", "איפה?", "הסירה הגיעה אל הַנָּמֵל הישן בבוקר.", "הַנָּמֵל הישן"),
    ("hin_Deva", "कहाँ?", "नाव सुबह पुराने बंदरगाह पर पहुँची।", "पुराने बंदरगाह"),
    ("hin_Deva", "क्या?", "उसने क\u093cलम और काग\u093cज़ ख़रीदा।", "क\u093cलम और काग\u093cज़"),
    ("ben_Beng", "কোথায়?", "নৌকাটি ভোরে পুরানো বন্দরে পৌঁছাল।", "পুরানো বন্দরে"),
    ("amh_Ethi", "የት?", "ጀልባው ጎህ ሲቀድ ወደ አሮጌው ወደብ ደረሰ።", "አሮጌው ወደብ"),
    ("kor_Hang", "어디?", "배는 새벽에 오래된 항구 근처에 닿았다.", "오래된 항구"),
    ("kor_Hang", "어디?", "배는 " + unicodedata.normalize("NFD", "오래된 항구") + " 에 닿았다.",
     unicodedata.normalize("NFD", "오래된 항구")),
    ("ell_Grek", "Πού;", "Το πλοίο έφτασε στο παλιό λιμάνι το πρωί.", "παλιό λιμάνι"),
    ("rus_Cyrl", "Где?", "Лодка пришла в старую гавань на рассвете.", "старую гавань"),
    ("und", "?", "first  \t second\u00a0third\nfourth \u2581 fifth", "second\u00a0third\nfourth"),
    ("und", "🙂?", "they sent 🙂🎣 and 👩\u200d👧 on Monday", "🙂🎣 and 👩\u200d👧"),
    ("nqo_Nkoo", "߸", "ߞߎ߬ߙߎ߲ ߣߊ߬ ߘߊ߫ ߛߐ߬ߜߐߡߊ ߝߍ߬", "ߣߊ߬ ߘߊ߫"),
]
UNSPACED = [
    ("zho_Hans", "哪里？", "黎明时分，船停在古老的港口，离城不远。", "古老的港口"),
    ("jpn_Jpan", "どこ？", "夜明けに船は古い港に着いた。", "古い港"),
    ("tha_Thai", "ที่ไหน", "เรือมาถึงท่าเรือเก่าตอนเช้าตรู่", "ท่าเรือเก่า"),
    ("mya_Mymr", "ဘယ်မှာ", "လှေသည်မနက်စောစောဆိပ်ကမ်းဟောင်းသို့ရောက်သည်။", "ဆိပ်ကမ်းဟောင်း"),
    ("khm_Khmr", "ឯណា?", "ទូកមកដល់កំពង់ផែចាស់នៅព្រលឹម។", "កំពង់ផែចាស់"),
    ("bod_Tibt", "ག་པར།", "ཞོགས་པར་གྲུ་དེ་གྲུ་ཁ་རྙིང་པར་འབྱོར།", "གྲུ་ཁ་རྙིང་པ"),
]
# fmt: on


@cache
def tokenizer(kind):
    """A tokenizer of the sample texts: koine's two, BERT's, and a byte-level one."""
    if kind in ("unigram", "bpe"):
        parsed = parse(finished(small_model(kind)), place="spm.model")
        return tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(parsed)))
    lines = [line for documents in sample_texts().values() for line in documents]
    if kind == "wordpiece":
        made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer()
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=4000, special_tokens=SPECIAL, show_progress=False
        )
    else:
        made = tokenizers.Tokenizer(tokenizers.models.BPE())
        made.normalizer = normalizers.NFC()
        made.pre_tokenizer = pre_tokenizers.ByteLevel()
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=2000,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    made.train_from_iterator(lines, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return made


def model(kind, *, takes_types=True):
    return models.Model(
        folder=ROOT,
        config={},
        tokenizer=tokenizer(kind),
        max_length=512,
        pad=0,
        cls=2,
        sep=3,
        mask=4,
        takes_types=takes_types,
        labels=None,
        task=None,
    )


def table(rows):
    """Questions: (label, question, context, answer or None)."""
    answers = [
        [] if text is None else [{"text": text, "start": context.index(text)}]
        for _, _, context, text in rows
    ]
    answer_type = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int32())]))
    return pa.table(
        {
            "label": pa.array([row[0] for row in rows]).dictionary_encode(),
            "question": pa.array([row[1] for row in rows], pa.large_string()),
            "context": pa.array([row[2] for row in rows], pa.large_string()),
            "answers": pa.array(answers, answer_type),
        }
    )


def pointing(features):
    """Logits of a network that points where it should."""
    logits = np.zeros((len(features.ids), 2), np.float32)
    for side in (0, 1):
        logits[features.offsets[:-1] + features.targets[:, side], side] = 9
    return logits


def pieces(kind, text):
    own = tokenizer(kind)
    return spans_of(own.encode(text, add_special_tokens=False), text, bytes_of(own))


# --- characters of pieces


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ASKED, ids=lambda row: row[0])
def test_an_answer_of_whole_words_comes_back_as_it_stands(kind, row):
    features = answer.encode(table([row]), model(kind), max_length=512, stride=64)
    (found,) = answer.best(pointing(features), features)[0]
    assert found.text == row[3]
    assert found.start == row[2].index(row[3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", UNSPACED, ids=lambda row: row[0])
def test_without_spaces_an_answer_comes_back_but_for_pieces_that_reach_beyond_it(kind, row):
    _, _, context, gold = row
    features = answer.encode(table([row]), model(kind), max_length=512, stride=64)
    (found,) = answer.best(pointing(features), features)[0]
    begins, ends = pieces(kind, context)
    start, end = context.index(gold), context.index(gold) + len(gold)
    assert found.start <= start
    assert found.start + len(found.text) >= end
    crossed = [((begins < edge) & (edge < ends)).any() for edge in (start, end)]
    if not any(crossed):
        # A mark that Unicode doesn't compose may be a piece of its own, yet is never cut off.
        assert unicodedata.category(context[end])[0] == "M" or found.text == gold


@pytest.mark.parametrize("kind", ["unigram", "bpe", "bytes"])
@settings(deadline=None, max_examples=60)
@given(text=script_texts.documents())
def test_pieces_stand_for_all_that_can_be_read_in_order(kind, text):
    begins, ends = pieces(kind, text)
    assert (begins <= ends).all()
    assert (np.diff(begins) >= 0).all()
    assert (np.diff(ends) >= 0).all()
    covered = np.zeros(len(text), bool)
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        covered[begin:end] = True
        assert not text[begin:end][:1].isspace()
        assert not text[begin:end][-1:].isspace()
    lost = {text[i] for i in np.flatnonzero(~covered)}
    assert all(unicodedata.category(one)[0] in "ZC" for one in lost), lost


@settings(deadline=None, max_examples=60)
@given(text=script_texts.documents(), ends=st.tuples(st.integers(0, 400), st.integers(1, 60)))
def test_any_span_of_any_text_is_inside_what_comes_back(text, ends):
    start = min(ends[0], max(0, len(text) - 1))
    gold = text[start : start + ends[1]]
    visible = gold.strip(" \t\n\u00a0\u3000")
    if not any(unicodedata.category(one)[0] in "LMNPS" for one in visible):
        return
    rows = table([("und", "what?", text, gold)])
    rows = rows.set_column(
        rows.column_names.index("answers"),
        "answers",
        pa.array([[{"text": gold, "start": start}]], rows.schema.field("answers").type),
    )
    features = answer.encode(rows, model("unigram"), max_length=8000, stride=64)
    (found,) = answer.best(pointing(features), features, max_characters=10_000)[0]
    core = [i for i in range(start, start + len(gold)) if unicodedata.category(text[i])[0] in "LNP"]
    assert not core or found.start <= core[0]
    assert not core or found.start + len(found.text) > core[-1]


def test_bytes_of_unknown_characters_stand_for_their_own_character():
    text = "salt 𒀀𒁀 and 𒀀"
    begins, ends = pieces("unigram", text)
    found = {(begin, end) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)}
    assert {(5, 6), (6, 7), (12, 13)} <= found
    assert (5, 7) not in found


def test_a_composed_letter_keeps_its_marks():
    text = "cafe\u0301s"
    begins, ends = pieces("unigram", text)
    assert text[begins.min() : ends.max()] == text
    assert all(end == len(text) or not unicodedata.combining(text[end]) for end in ends.tolist())


# --- windows


def long_text(num):
    return " ".join(f"word{i} and" for i in range(num))


def test_a_short_text_is_one_window_as_the_tokenizer_itself_makes_it():
    for kind in KINDS:
        rows = table(ASKED[:4])
        features = answer.encode(rows, model(kind), max_length=512, stride=128)
        assert features.rows.tolist() == [0, 1, 2, 3]
        for i, (_, question, context, _) in enumerate(ASKED[:4]):
            one = tokenizer(kind).encode(question, context)
            span = slice(*features.offsets[i : i + 2])
            assert features.ids[span].tolist() == one.ids
            assert features.types[span].tolist() == one.type_ids
    assert (
        answer.encode(rows, model("bpe", takes_types=False), max_length=64, stride=8).types is None
    )


@pytest.mark.parametrize(("max_length", "stride"), [(64, 16), (48, 0), (40, 400), (100, 33)])
def test_windows_hold_the_whole_text_and_share_the_stride(max_length, stride):
    context = long_text(120)
    rows = table([("und", "which?", context, "word77 and"), ("und", "x", "short one", None)])
    features = answer.encode(rows, model("unigram"), max_length=max_length, stride=stride)
    assert features.lengths.max() <= max_length
    num = len(tokenizer("unigram").encode(context, add_special_tokens=False).ids)
    question = len(tokenizer("unigram").encode("which?", add_special_tokens=False).ids)
    room = max_length - question - 3
    shared = min(stride, room // 2)
    windows = features.rows == 0
    assert windows.sum() == 1 + -(-(num - room) // (room - shared))
    held = features.lengths[windows] - question - 3
    assert held.sum() - shared * (windows.sum() - 1) == num
    assert (features.rows == 1).sum() == 1


@settings(deadline=None, max_examples=40)
@given(
    start=st.integers(0, 119), words=st.integers(1, 8), size=st.integers(40, 90),
    stride=st.integers(0, 30),
)  # fmt: skip
def test_an_answer_no_longer_than_the_stride_is_whole_in_some_window(start, words, size, stride):
    context = long_text(120)
    gold = " ".join(context.split()[2 * start : 2 * start + words])
    rows = table([("und", "which?", context, gold)])
    features = answer.encode(rows, model("unigram"), max_length=size, stride=stride)
    num = len(tokenizer("unigram").encode(gold, add_special_tokens=False).ids)
    room = size - 3 - len(tokenizer("unigram").encode("which?", add_special_tokens=False).ids)
    is_found = (features.targets > 0).all(axis=1).any()
    assert features.extra["num_lost"] == 1 - is_found
    if num <= min(stride, room // 2) + 1:
        assert is_found
    if is_found:
        assert answer.decode(pointing(features), features) == [gold]


def test_a_window_without_the_answer_points_at_the_first_piece():
    rows = table([("und", "which?", long_text(100), "word90"), ("und", "who?", "nobody", None)])
    features = answer.encode(rows, model("unigram"), max_length=64, stride=16)
    assert (features.targets[features.rows == 1] == 0).all()
    assert (features.targets[0] == 0).all()
    assert features.extra["num_lost"] == 0
    assert (features.ids[features.offsets[:-1]] == 2).all()


def test_a_long_question_leaves_half_of_the_window_to_the_text():
    rows = table([("und", long_text(60), "a short text", "short")])
    features = answer.encode(rows, model("unigram"), max_length=50, stride=10)
    assert features.extra["num_cut"] == 1
    assert features.lengths.max() <= 50
    assert answer.decode(pointing(features), features) == ["short"]


def test_questions_without_known_answers_can_be_asked():
    rows = table(ASKED[:2]).drop_columns(["answers", "label"])
    features = answer.encode(rows, model("unigram"), max_length=64, stride=8)
    assert (features.targets == 0).all()
    assert len(answer.decode(np.ones((len(features.ids), 2), np.float32), features)) == 2
    nothing = answer.encode(rows.slice(0, 0), model("unigram"), max_length=64, stride=8)
    assert len(nothing) == 0
    assert answer.decode(np.zeros((0, 2), np.float32), nothing) == []


# --- answers out of logits


def asked(context, *, scores, none=0.0, question="who?"):
    """Windows of one question, and logits: (word that begins, word that ends) -> (start, end)."""
    features = answer.encode(
        table([("und", question, context, None)]), model("unigram"), max_length=200, stride=50
    )
    logits = np.full((len(features.ids), 2), -5, np.float32)
    logits[features.offsets[:-1]] = none / 2
    begins, ends = features.extra["begins"], features.extra["ends"]
    for (first, last), (start, end) in scores.items():
        begin = context.index(first)
        stop = context.index(last) + len(last)
        logits[np.flatnonzero((begins == begin) & (ends > begins))[0], 0] = start
        logits[np.flatnonzero((ends == stop) & (ends > begins))[-1], 1] = end
    return logits, features


def test_the_best_answers_come_in_order_with_their_share():
    context = "Anna met Berta and Cecilia met Dora"
    logits, features = asked(
        context, scores={("Anna", "Anna"): (3, 3), ("Cecilia", "Dora"): (2, 2.5)}
    )
    (found,) = answer.best(logits, features, num=3)
    assert [one.text for one in found] == [
        "Anna",
        "Anna met Berta and Cecilia met Dora",
        "Cecilia met Dora",
    ]
    assert [one.score for one in found] == [6, 5.5, 4.5]
    assert [one.start for one in found] == [0, 0, context.index("Cecilia")]
    assert sum(one.probability for one in found) < 1
    assert found[0].probability > found[1].probability > found[2].probability


def test_an_answer_never_ends_before_it_begins_nor_is_too_long():
    context = "Anna met Berta and Cecilia met Dora"
    logits, features = asked(context, scores={("Cecilia", "Anna"): (9, 9)})
    assert answer.decode(logits, features)[0] not in ("", "Anna")
    logits, features = asked(context, scores={("Anna", "Dora"): (9, 9), ("Berta", "Berta"): (1, 1)})
    ((found,),) = answer.best(logits, features, max_characters=8)
    assert len(found.text) <= 8


def test_no_answer_is_said_above_the_threshold_only():
    logits, features = asked("Anna met Berta", scores={("Berta", "Berta"): (2, 2)}, none=5)
    assert answer.decode(logits, features) == ["Berta"]
    assert answer.decode(logits, features, threshold=0.5) == [""]
    assert answer.decode(logits, features, threshold=1.5) == ["Berta"]
    (found,) = answer.best(logits, features, threshold=0.5, num=2)
    assert [one.text for one in found] == ["", "Berta"]
    assert found[0] == Answer("", 0, 5, found[0].probability)
    (found,) = answer.best(logits, features, threshold=1.5, num=2)
    assert [one.text for one in found] == ["Berta", ""]


def test_no_answer_is_believed_only_if_every_window_says_so():
    context = long_text(200)
    features = answer.encode(
        table([("und", "which?", context, "word150")]), model("unigram"), max_length=80, stride=20
    )
    assert len(features) > 3
    logits = np.zeros((len(features.ids), 2), np.float32)
    logits[features.offsets[:-1]] = 8
    assert answer.decode(logits, features, threshold=0.0) == [""]
    has = features.targets[:, 0] > 0
    at = features.offsets[:-1][has]
    logits[at] = -8
    logits[at + features.targets[has, 0], 0] = 4
    logits[at + features.targets[has, 1], 1] = 4
    assert answer.decode(logits, features, threshold=0.0) == ["word150"]


def test_a_text_of_nothing_has_no_answer():
    features = answer.encode(
        table([("und", "who?", " ", None)]), model("unigram"), max_length=64, stride=8
    )
    assert answer.decode(np.ones((len(features.ids), 2), np.float32), features) == [""]


def test_an_answer_is_never_parted_from_its_marks():
    context = "नाव क\u093cलम"
    features = answer.encode(
        table([("hin_Deva", "?", context, None)]), model("bytes"), max_length=64, stride=8
    )
    begins, ends = features.extra["begins"], features.extra["ends"]
    logits = np.zeros((len(features.ids), 2), np.float32)
    inside = np.flatnonzero((begins >= 4) & (ends > begins))
    logits[inside[0]] = 9
    assert answer.decode(logits, features) == ["क\u093c"]


# --- the threshold of "no answer"


def test_the_threshold_is_the_one_that_squads_script_finds():
    stored = Path(__file__).with_name("reference_answers.json")
    second = json.loads(stored.read_text(encoding="utf-8"))["second"]
    rows = second["questions"]
    none, f1, has = (
        np.array(values)
        for values in zip(
            *((row["none"], row["squad"][1], bool(row["answers"])) for row in rows), strict=True
        )
    )
    threshold, score = squad_metric.best_threshold(none, f1, has)
    assert threshold == second["plain"]["best_f1_thresh"]
    assert 100 * score == pytest.approx(second["plain"]["best_f1"], rel=1e-14)


def test_the_threshold_separates_a_development_split():
    rows = [row for row in ASKED if row[0] != "und"]
    rows = [row if i % 3 else (*row[:3], None) for i, row in enumerate(rows)]
    features = answer.encode(table(rows), model("unigram"), max_length=300, stride=64)
    logits = pointing(features)
    has = np.array([row[3] is not None for row in rows])
    logits[features.offsets[:-1]] = np.where(has, 2.0, 7.5)[:, None]
    logits[np.repeat(~has, features.lengths) & (logits[:, 0] == 0)] = 1
    threshold = answer.threshold(logits, features, table(rows))
    said = answer.decode(logits, features, threshold=threshold)
    assert said == [row[3] or "" for row in rows]
    full = table(ASKED)
    features = answer.encode(full, model("unigram"), max_length=300, stride=64)
    assert answer.threshold(pointing(features), features, full) is None


def test_where_silence_is_best_the_threshold_is_below_all():
    values = np.array([0.5, 0.1, 0.3])
    threshold, score = squad_metric.best_threshold(values, np.zeros(3), np.zeros(3, bool))
    assert threshold < 0.1
    assert score == 1


# --- real questions


@pytest.mark.slow
def test_every_answer_of_xquad_comes_back_from_its_windows(xquad):
    found = open_task([xquad], task="answer")
    for kind in ("unigram", "wordpiece"):
        num = num_exact = 0
        for split in (found.train, found.dev, found.test):
            features = answer.encode(split, model(kind), max_length=384, stride=128)
            assert features.extra["num_lost"] == 0
            said = answer.best(pointing(features), features)
            golden = split["answers"].to_pylist()
            for (one,), (gold, *_), context in zip(
                said, golden, split["context"].to_pylist(), strict=True
            ):
                assert one.text == context[one.start : one.start + len(one.text)]
                assert one.start <= gold["start"]
                assert one.start + len(one.text) >= gold["start"] + len(gold["text"].rstrip())
                num_exact += one.text == gold["text"].strip()
                num += 1
        # What a piece of the sample's small vocabulary adds: a word's prefix, a full stop.
        assert num == 6 * 1190
        assert kind != "unigram" or num_exact > 0.99 * num


@pytest.fixture
def xquad(data):
    if not (data / "tasks" / "qa").is_dir():
        pytest.skip("the task data are not here")
    return data / "tasks" / "qa" / "xquad"
