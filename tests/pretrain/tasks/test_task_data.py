"""Task data of every format becomes the same tables; what is wrong with it is counted and said."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError, DataError
from pretrain.tasks.data import SPLITS, open_task

TOPICS = [
    {"id": f"t:{lang}:{split}:{number}", "text": f"{word} {split} {number}", "target": target,
     "lang": lang}
    for split, size in (("train", 6), ("dev", 2), ("test", 4))
    for lang, word in (("swh_Latn", "habari"), ("arb_Arab", "خبر"))
    for number, target in zip(range(size), ["sport", "health"] * size, strict=False)
]  # fmt: skip


def of(split):
    return [row for row in TOPICS if f":{split}:" in row["id"]]


def write_jsonl(path: Path, rows) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def write_delimited(path: Path, rows, delimiter) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write(path: Path, rows) -> Path:
    kind = path.suffix
    if kind == ".jsonl":
        return write_jsonl(path, rows)
    if kind in (".tsv", ".csv"):
        return write_delimited(path, rows, "\t" if kind == ".tsv" else ",")
    if kind == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
        return path
    table = pa.Table.from_pylist(rows)
    if kind == ".parquet":
        pq.write_table(table, path)
    elif kind == ".feather":
        feather.write_feather(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    return path


def topics(folder: Path, kind=".jsonl", **replaced) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        write(folder / f"topics.{split}{kind}", replaced.get(split, of(split)))
    return folder / "topics"


def tables_of(data):
    return {split: getattr(data, split).to_pylist() for split in SPLITS}


@pytest.mark.parametrize("kind", [".tsv", ".csv", ".json", ".parquet", ".feather", ".arrow"])
def test_every_format_gives_the_same_examples(tmp_path, kind):
    one = open_task(topics(tmp_path / "a"))
    other = open_task(topics(tmp_path / "b", kind))
    assert tables_of(other) == tables_of(one)
    assert other.train.schema == one.train.schema
    assert (one.task, one.name, one.scheme) == ("classify", "topics", None)
    assert one.targets == other.targets == ("health", "sport")
    assert [len(table) for table in (one.train, one.dev, one.test)] == [12, 4, 8]
    assert set(one.train["label"].to_pylist()) == {"swh_Latn", "arb_Arab"}
    assert one.warnings == ()
    assert [name for name, _ in one.files] == [f"topics.{split}.jsonl" for split in sorted(SPLITS)]


def test_the_tables_have_the_columns_that_they_promise(tmp_path):
    data = open_task(topics(tmp_path))
    assert data.train.schema == pa.schema([
        ("id", pa.string()), ("label", pa.dictionary(pa.int32(), pa.string())),
        ("text", pa.large_string()), ("pair", pa.large_string()), ("target", pa.string()),
    ])  # fmt: skip
    assert data.train["pair"].null_count == 12


def test_several_languages_in_several_files_become_one_task(tmp_path):
    for code, words in (("fi_x", ["kissa", "on"]), ("wo_y", ["Dakar", "la"])):
        for split in SPLITS:
            tagged = zip(words, ["NOUN", "AUX"], strict=True)
            lines = [f"{n}\t{w}\t_\t{tag}" + "\t_" * 6 for n, (w, tag) in enumerate(tagged, 1)]
            path = tmp_path / f"{code}-ud-{split}.conllu"
            path.write_text("\n".join([*lines, "", ""]), encoding="utf-8")
    data = open_task(tmp_path)
    assert (data.task, data.scheme, data.targets) == ("tag", None, ("AUX", "NOUN"))
    assert data.test["label"].to_pylist() == ["fin_Latn", "wol_Latn"]
    assert data.test["words"].to_pylist() == [["kissa", "on"], ["Dakar", "la"]]


# Splits


def test_rows_of_no_split_are_divided_by_a_hash_that_hangs_on_nothing_but_the_row(tmp_path):
    rows = [{"id": f"r{n}", "text": f"text {n}", "target": "ab"[n % 2]} for n in range(1000)]
    data = open_task(write_jsonl(tmp_path / "a.jsonl", rows))
    assert len(data.dev) == pytest.approx(100, abs=30)
    assert len(data.test) == pytest.approx(100, abs=30)
    ids = {split: set(getattr(data, split)["id"].to_pylist()) for split in SPLITS}
    assert len(ids["train"] | ids["dev"] | ids["test"]) == 1000
    assert any("no file is named dev or test" in text for text in data.warnings)
    half = open_task(write_jsonl(tmp_path / "b.jsonl", rows[::-1][:500]))
    assert set(half.test["id"].to_pylist()) <= ids["test"]
    other = open_task(tmp_path / "a.jsonl", seed=1)
    assert set(other.test["id"].to_pylist()) != ids["test"]


def test_translations_of_a_text_stay_together_when_rows_are_divided(tmp_path):
    rows = [
        {"id": f"sib:{lang}:{n}", "text": f"{lang} {n}", "target": "ab"[n % 2], "lang": lang}
        for lang in ("eng_Latn", "sw", "deu") for n in range(200)
    ]  # fmt: skip
    data = open_task(write_jsonl(tmp_path / "a.jsonl", rows))
    for table in (data.dev, data.test):
        numbers = [one.rpartition(":")[2] for one in table["id"].to_pylist()]
        assert len(numbers) == 3 * len(set(numbers)) > 0


def test_a_missing_dev_split_is_taken_from_training_and_the_test_is_left_alone(tmp_path):
    topics(tmp_path)
    (tmp_path / "topics.dev.jsonl").unlink()
    data = open_task(tmp_path)
    assert len(data.test) == 8
    assert len(data.train) + len(data.dev) == 12
    assert len(data.dev) >= 1
    assert data.counts["dev"]["read"] == len(data.dev)


def test_dev_and_test_may_be_files_of_any_name(tmp_path):
    topics(tmp_path)
    other = write_jsonl(tmp_path / "other.jsonl", of("dev")[:3])
    data = open_task(tmp_path / "topics", dev=other, test=other)  # one file for both, at that
    assert len(data.dev) == len(data.test) == 3
    assert len(data.train) == 12


def test_without_training_examples_nothing_is_tuned_but_a_model_is_judged(tmp_path):
    path = topics(tmp_path).with_name("topics.test.jsonl")
    with pytest.raises(DataError, match="nothing to train on, only test"):
        open_task(path)
    data = open_task(path, targets=["sport", "health"])
    assert data.targets == ("sport", "health")
    assert len(data.test) == 8


# Languages


def test_the_language_is_what_the_user_says_then_the_column_then_the_name(tmp_path):
    rows = [{"text": f"t{n}", "target": "ab"[n % 2]} for n in range(8)]
    path = write_jsonl(tmp_path / "yor_Latn.train.jsonl", rows)
    assert set(open_task(path).train["label"].to_pylist()) == {"yor_Latn"}
    assert set(open_task(path, label="hau_Latn").train["label"].to_pylist()) == {"hau_Latn"}
    for row in rows:
        row["lang"] = "ibo"
    assert set(open_task(write_jsonl(path, rows)).train["label"].to_pylist()) == {"ibo_Latn"}
    with pytest.raises(ConfigError, match="'swahilii' is no language label"):
        open_task(path, label="swahilii")


def test_a_column_label_is_of_languages_where_its_values_are_and_targets_are_elsewhere(tmp_path):
    rows = [{"text": f"t{n}", "label": ["sw", "yo"][n % 2], "topic": "ab"[n // 2 % 2]}
            for n in range(40)]  # fmt: skip
    data = open_task(write_jsonl(tmp_path / "a.train.jsonl", rows))
    assert data.targets == ("a", "b")
    assert set(data.train["label"].to_pylist()) == {"swh_Latn", "yor_Latn"}
    for row in rows:
        row["label"], row["lang"] = ["pos", "neg"][len(row["text"]) % 2], "sw"
        del row["topic"]
    data = open_task(write_jsonl(tmp_path / "b.train.jsonl", rows))
    assert data.targets == ("neg", "pos")  # languages too, and not meant


def test_the_script_of_a_bare_language_is_that_of_its_texts(tmp_path):
    rows = [
        {"text": text, "target": "ab"[n % 2], "lang": lang}
        for lang, text in (
            ("sr", "Пера је дошао"), ("sr-Latn", "Pera je došao"), ("zh", "這個國家"),
            ("ja", "国へ行く"), ("uz", "Ўзбек тили"), ("am", "ሰላም"),
            ("ku", "سڵاو"),
        )
        for n in range(2)
    ]  # fmt: skip
    data = open_task(write_jsonl(tmp_path / "a.train.jsonl", rows), seed=3)
    labels = {label for table in (data.train, data.dev, data.test)
              for label in table["label"].to_pylist()}  # fmt: skip
    assert labels == {"srp_Cyrl", "srp_Latn", "zho_Hant", "jpn_Jpan", "uzn_Cyrl", "amh_Ethi",
                      "ckb_Arab"}  # fmt: skip


def test_what_is_no_language_counts_as_unknown_and_is_said(tmp_path):
    rows = of("train")
    rows[0] = rows[0] | {"lang": "Klingonisch"}
    data = open_task(topics(tmp_path, train=rows))
    assert "und" in data.train["label"].to_pylist()
    assert "examples whose language is 'Klingonisch', which is none: 1; the first: " \
        "topics.train.jsonl:1" in data.warnings  # fmt: skip
    plain = open_task(topics(tmp_path / "b", train=[{k: v for k, v in row.items() if k != "lang"}
                                                    for row in of("train")]))  # fmt: skip
    assert any("without a language" in text and "12" in text for text in plain.warnings)


# What is wrong with records


def test_every_broken_record_is_quarantined_with_its_reason_and_place(tmp_path):
    lines = [
        *(json.dumps(row) for row in of("train")),
        '{"text": "cut off',
        '["no", "object"]',
        json.dumps({"text": "  ", "target": "sport"}),
        json.dumps({"text": "no target"}),
        json.dumps({"text": "null target", "target": None}),
        json.dumps({"text": ["a", "list"], "target": "sport"}),
        json.dumps({"target": "sport"}),
        '{"text": "\\ud83d alone", "target": "sport"}',
        "",
        "[" * 100_000,
    ]
    path = topics(tmp_path)
    path.with_name("topics.train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = open_task(path)
    assert data.counts["train"] == {
        "read": 21, "kept": 12, "quarantined": 9, "empty_text": 2, "invalid_json": 2,
        "invalid_utf8": 1, "no_target": 2, "not_an_object": 1, "wrong_type": 1,
    }  # fmt: skip
    assert "quarantined as not_an_object: 1; the first: topics.train.jsonl:14" in data.warnings


RECORDS = st.one_of(
    st.none(), st.integers(), st.text(max_size=5), st.lists(st.none(), max_size=2),
    st.fixed_dictionaries({}, optional={
        "text": st.one_of(st.text(max_size=5), st.integers(), st.none()),
        "target": st.one_of(st.sampled_from(["a", "b", "", " "]), st.booleans(), st.floats(),
                            st.none(), st.lists(st.integers(), max_size=1)),
        "lang": st.one_of(st.text(max_size=4), st.sampled_from(["sw", "en"]), st.integers()),
        "id": st.one_of(st.integers(), st.text(max_size=3), st.none()),
        "pair": st.one_of(st.text(max_size=3), st.none(), st.integers()),
    }),
)  # fmt: skip


@given(rows=st.lists(RECORDS, max_size=8))
def test_whatever_is_read_is_kept_or_quarantined(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("ledger") / "a.train.jsonl"
    good = [{"text": f"text {n}", "target": "ab"[n % 2]} for n in range(30)]
    write_jsonl(path, good + rows)
    data = open_task(path, task="classify")
    counts = list(data.counts.values())
    assert sum(one["read"] for one in counts) == len(good) + len(rows)
    for split, one in data.counts.items():
        reasons = sum(num for key, num in one.items() if key not in ("read", "kept", "quarantined"))
        assert one["read"] == one["kept"] + one["quarantined"]
        assert one["quarantined"] == reasons
        assert one["kept"] == len(getattr(data, split))


def test_words_and_tags_of_different_number_are_quarantined(tmp_path):
    rows = [{"tokens": ["a", f"{n}"], "ner_tags": ["B-PER", "O"]} for n in range(30)]
    rows[3] = {"tokens": ["a", "b"], "ner_tags": ["O"]}
    rows[4] = {"tokens": [], "ner_tags": []}
    rows[5] = {"tokens": ["a", ""], "ner_tags": ["O", "O"]}
    rows[6] = {"tokens": "a b", "ner_tags": ["O", "O"]}
    rows[7] = {"tokens": ["a", "b"], "ner_tags": ["O", None]}
    data = open_task(write_jsonl(tmp_path / "a.train.jsonl", rows))
    assert data.counts["train"] | {"read": 0, "kept": 0} == {
        "read": 0, "kept": 0, "quarantined": 5, "empty_word": 2, "lengths_differ": 1, "no_tag": 1,
        "wrong_type": 1,
    }  # fmt: skip


def test_broken_bio_is_mended_and_counted_with_its_first_place(tmp_path):
    path = tmp_path / "hau.train.conll"
    good = "a B-PER\nb I-PER\nc O\n\n" * 20
    path.write_text(good + "d O\ne I-LOC\n\nf B-PER\ng I-LOC\n\n", encoding="utf-8")
    for split in ("dev", "test"):
        path.with_name(f"hau.{split}.conll").write_text(good, encoding="utf-8")
    data = open_task(tmp_path / "hau")
    assert data.scheme == "BIO"
    assert data.targets == ("O", "B-LOC", "B-PER", "I-PER")
    assert data.train["tags"].to_pylist()[-1] == ["B-PER", "B-LOC"]
    assert (
        "tags I- that can continue nothing, read as the beginning of a span: 2; the first: "
        "hau.train.conll:81, word 2"
    ) in data.warnings


def test_numbers_of_classes_become_their_names(tmp_path):
    feature = {"feature": {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}}
    noted = {"info": {"features": {"ner_tags": feature}}}
    tokens = [["a", f"{n}"] for n in range(20)]
    table = pa.table({"tokens": tokens, "ner_tags": [[1, 2], [0, 0]] * 10})
    table = table.replace_schema_metadata({"huggingface": json.dumps(noted)})
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    data = open_task(tmp_path)
    assert data.targets == ("O", "B-PER", "I-PER")
    rows = [{"text": f"t{n}", "label": n % 2} for n in range(20)]
    assert open_task(write_jsonl(tmp_path / "b.jsonl", rows)).targets == ("0", "1")


def test_pairs_of_texts_are_kept_beside_each_other(tmp_path):
    rows = [{"premise": f"p{n}", "hypothesis": f"h{n}", "label": n % 3} for n in range(60)]
    data = open_task(write_jsonl(tmp_path / "nli.train.jsonl", rows))
    assert data.train["pair"].to_pylist()[0].startswith("h")


# What is wrong with the whole


def test_targets_that_training_lacks_are_counted_and_kept(tmp_path):
    rows = of("test")
    rows[0] = rows[0] | {"target": "weather"}
    data = open_task(topics(tmp_path, test=rows))
    assert data.targets == ("health", "sport")
    assert len(data.test) == 8
    assert (
        "test: targets that training doesn't have, so that they can only be wrong: 1 of 8, "
        "weather (1)"
    ) in data.warnings


def test_examples_that_training_has_as_well_are_counted(tmp_path):
    data = open_task(topics(tmp_path, test=of("test")[:3] + of("train")[:1]))
    assert (
        "test: examples that training has as well, so that scores measure memory: 1 of 4"
    ) in data.warnings


def test_languages_that_nothing_judges_are_named(tmp_path):
    rows = [row for row in of("test") if row["lang"] == "swh_Latn"]
    data = open_task(topics(tmp_path, test=rows))
    assert any("without a test example" in text and "arb_Arab (12" not in text and "arb_Arab (6)"
               in text for text in data.warnings)  # fmt: skip


def test_two_data_sets_in_one_folder_are_suspected(tmp_path):
    topics(tmp_path)
    write_jsonl(tmp_path / "z.train.jsonl", [{"text": t, "target": t} for t in ("pos", "neg")])
    assert any("are these two data sets?" in text for text in open_task(tmp_path).warnings)


def test_targets_that_differ_by_case_alone_are_named(tmp_path):
    rows = [row | {"target": "Sport"} if n == 0 else row for n, row in enumerate(of("train"))]
    data = open_task(topics(tmp_path, train=rows))
    assert any("'Sport', 'sport'" in text for text in data.warnings)


def test_one_target_only_is_an_error(tmp_path):
    rows = [row | {"target": "sport"} for row in of("train")]
    with pytest.raises(DataError, match="has one target only, 'sport'"):
        open_task(topics(tmp_path, train=rows))


def test_a_column_of_values_that_are_all_different_is_none_of_targets(tmp_path):
    rows = [{"text": f"t{n}", "label": f"{n / 7}"} for n in range(400)]
    with pytest.raises(DataError, match=r"different targets in .*\n.*--target-column"):
        open_task(write_jsonl(tmp_path / "a.train.jsonl", rows))


def test_a_misspelt_column_is_named_beside_those_that_are_there(tmp_path):
    rows = [{"text": "a", "lable": "x"}]
    with pytest.raises(
        DataError, match=r"no column for `target`; it has: text, lable\.\n.*Is `lable` meant\? "
    ):
        open_task(write_jsonl(tmp_path / "a.train.jsonl", rows), task="classify")
    with pytest.raises(DataError, match="columns are those of no task: text, lable"):
        open_task(tmp_path / "a.train.jsonl")
    with pytest.raises(ConfigError, match=r"no column 'labl'.*\n.*Did you mean `lable`"):
        open_task(tmp_path / "a.train.jsonl", columns={"target": "labl"}, task="classify")
    with pytest.raises(ConfigError, match=r"no field 'targte'.*\n.*`target`"):
        open_task(tmp_path / "a.train.jsonl", columns={"targte": "lable"}, task="classify")


def test_named_columns_are_taken(tmp_path):
    rows = [{"Ujumbe": f"t{n}", "Hisia": "ab"[n % 2], "text": "x", "Lugha": "sw"} for n in range(9)]
    columns = {"text": "Ujumbe", "target": "Hisia", "label": "Lugha"}
    data = open_task(write(tmp_path / "a.train.csv", rows), columns=columns, task="classify")
    assert data.train["text"].to_pylist()[0].startswith("t")
    assert set(data.train["label"].to_pylist()) == {"swh_Latn"}


def test_nothing_left_says_why(tmp_path):
    path = write_jsonl(tmp_path / "a.train.jsonl", [{"text": "", "target": "x"}] * 3)
    with pytest.raises(DataError, match=r"no training example is left; quarantined: 3 empty_text"):
        open_task(path)
    path.write_text("{broken\n" * 3, encoding="utf-8")
    with pytest.raises(DataError, match=r"(?s)3 invalid_json \(the first: a\.train\.jsonl:1\)"):
        open_task(path, task="classify")


def test_damaged_parquet_is_refused(tmp_path):
    path = topics(tmp_path, ".parquet").with_name("topics.dev.parquet")
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"PAR1 is all there is"):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"topics\.dev\.parquet: can't be read as parquet"):
            open_task(tmp_path)


def test_data_must_be_named():
    with pytest.raises(ConfigError, match="none is named"):
        open_task([])


def test_the_same_files_give_the_same_tables_whatever_their_order(tmp_path):
    data = topics(tmp_path)
    paths = [data.with_name(f"topics.{split}.jsonl") for split in SPLITS]
    one, other = open_task(paths), open_task(paths[::-1])
    assert tables_of(one) == tables_of(other)
    assert one.files == other.files


def test_tags_of_words_and_of_spans_are_two_tasks(tmp_path):
    (tmp_path / "a.train.conll").write_text("a B-PER\nb O\n", encoding="utf-8")
    (tmp_path / "b.train.conll").write_text("a NOUN\nb VERB\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"tags of words, such as 'NOUN', and a\.train\.conll"):
        open_task(tmp_path)


def test_columns_may_be_given_by_number_where_there_is_no_header(tmp_path):
    path = tmp_path / "a.train.tsv"
    rows = "".join(f"{n}\tmaneno {n}\t{'ab'[n % 2]}\n" for n in range(20))
    path.write_text(rows, encoding="utf-8")
    data = open_task(path, columns={"text": "2", "target": "3"})
    assert data.targets == ("a", "b")
    assert sum(one["read"] for one in data.counts.values()) == 20


def test_a_file_of_which_nothing_can_be_read_says_what_is_wrong_first(tmp_path):
    path = tmp_path / "a.train.jsonl"
    path.write_text('{\n  "text": "a",\n  "target": "b"\n}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.train\.jsonl:1: invalid_json"):
        open_task(path)


SEEDS = {
    ".jsonl": b'{"text": "a", "target": "b", "lang": "sw"}\n{"text": "c", "target": "d"}\n',
    ".tsv": b"text\ttarget\na\tb\nc\td\n",
    ".csv": b'text,target\n"a ""b""",c\nd,e\n',
    ".conll": b"# sent_id = 1\na B-X\nb I-X\n\nc O\n",
    ".json": b'{"data": [{"paragraphs": [{"context": "a b", "qas": [{"id": 1, "question": "c", '
    b'"answers": [{"text": "a", "answer_start": 0}]}]}]}]}',
    ".parquet": b"PAR1\x15\x04PAR1",
    ".arrow": b"ARROW1\x00\x00\xff\xff\xff\xff",
}


@given(
    kind=st.sampled_from(sorted(SEEDS)),
    task=st.sampled_from(["classify", "tag", "answer", None]),
    edits=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9), st.binary(max_size=4))),
)
def test_bytes_of_any_kind_are_read_or_refused_and_nothing_else_happens(
    tmp_path_factory, kind, task, edits
):
    data = SEEDS[kind]
    for place, length, put in edits:
        data = data[:place] + put + data[place + length :]
    path = tmp_path_factory.mktemp("bytes") / f"a.train{kind}"
    path.write_bytes(data)
    try:
        found = open_task(path, task=task)
    except DataError as error:
        first, *rest = str(error).split("\n")
        assert rest and "a.train" in first
    else:
        assert len(found.train)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "task", "num_labels", "scheme"),
    [
        ("classification/sib200", "classify", 20, None),
        ("classification/afrisenti", "classify", 6, None),
        ("ner", "tag", 5, "BIO"),
        ("pos", "tag", 16, None),
        ("qa/xquad", "answer", 6, None),
        ("qa/norquad", "answer", 1, None),
    ],
)
def test_real_data_is_read_whole(data, name, task, num_labels, scheme):
    found = open_task(data / "tasks" / name)
    assert (found.task, found.scheme) == (task, scheme)
    assert len(set(found.test["label"].to_pylist())) == num_labels
    assert sum(one["quarantined"] for one in found.counts.values()) == 0
    if task == "answer":
        for row in found.train.to_pylist():
            for one in row["answers"]:
                assert row["context"].startswith(one["text"], one["start"])


def test_a_tag_of_no_scheme_is_named_with_its_place(tmp_path):
    path = tmp_path / "a.train.conll"
    path.write_text("a B-PER\nb O\n\nc O\nd PER\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.train\.conll:4: .*'PER' is of no scheme"):
        open_task(path)
