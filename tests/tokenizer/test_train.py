"""Training one model: the trainer's options, its progress, its failures, and equal bytes."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import sentencepiece
from unit_tables import plain, units_table

from conftest import vocab_settings
from pipelines import stages, store
from pipelines.errors import ConfigError, DataError, EnvironmentProblem
from tests_support import ROOT
from tokenizer import spm_process, train

SIZE = 3600  # of a vocabulary of the samples; their characters alone are some 2,500
SEEDS = 2 * SIZE


@pytest.fixture(scope="module")
def counted(texts):
    return plain(text for documents in texts.values() for text in documents)


def write_sample(folder, counted):
    folder.mkdir(parents=True, exist_ok=True)
    table = units_table(counted)
    with pa.OSFile(str(folder / "sample.arrow"), "wb") as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    return folder / "sample.arrow"


def options_of(counted, *, size=SIZE, **changes):
    required = "".join(sorted({character for unit in counted for character in unit} - {"▁"}))
    return train.options(vocab_settings(**changes), required=required, size=size)


def unit_of(counted, **changes):
    options = options_of(counted, **changes)
    seeds = 2 * options["vocab_size"] if options["model_type"] == "unigram" else 0
    sample = {"sample": "sample.arrow", "num_bytes": 1000}
    return {"name": "one", "options": options, "seeds": seeds, **sample}


def trained(folder, counted, **changes):
    """Train in a folder; return the finished model."""
    write_sample(folder, counted)
    train.train_unit(unit_of(counted, **changes), {"samples": str(folder), "models": str(folder)})
    return (folder / "one.model").read_bytes()


@pytest.fixture(scope="module")
def model(counted, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("model"), counted)


@pytest.fixture(scope="module")
def processor(model):
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def test_ids_are_those_that_koine_promises(processor):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert processor.id_to_piece(list(range(5))) == special
    assert processor.is_unknown(1)
    assert [processor.is_control(number) for number in (0, 1, 2, 3, 4)] == [
        True,
        False,
        *[True] * 3,
    ]
    assert processor.id_to_piece([5, 260]) == ["<0x00>", "<0xFF>"]
    assert all(processor.is_byte(list(range(5, 261))))
    assert not any(processor.is_byte(list(range(261, SIZE))))
    assert len(processor) == SIZE


def test_a_character_that_is_no_piece_becomes_its_bytes(processor):
    for text in ("ᚠ", "𓀀", "\U0010fffd"):
        wanted = [f"<0x{byte:02X}>" for byte in text.encode()]
        assert processor.encode(f"a{text}", out_type=str)[-len(wanted) :] == wanted


def test_special_pieces_are_not_found_in_text(processor):
    assert not {0, 1, 2, 3, 4} & set(processor.encode("[PAD][UNK][CLS][SEP] a [MASK]"))


def test_every_required_character_is_a_piece_however_rare(counted, processor):
    required = options_of(counted)["required_chars"]
    pieces = {processor.id_to_piece(number) for number in range(261, SIZE)}
    assert set(required) <= pieces


@pytest.mark.parametrize(("algorithm", "size"), [("unigram", 290), ("bpe", 600)])
def test_a_script_of_more_bytes_gets_the_same_pieces(algorithm, size, tmp_path):
    # No limit is one of bytes: the same words in letters of one, three and four bytes.
    generator = random.Random(5)
    words = {"".join(generator.choices("abcdefghij", k=24)): 500 + i for i in range(20)}
    found = []
    for letters in ("abcdefghij", "กขคงจฉชซญฎ", "𐌀𐌁𐌂𐌃𐌄𐌅𐌆𐌇𐌈𐌉"):
        there = str.maketrans("abcdefghij", letters)
        counted = {word.translate(there): count for word, count in words.items()}
        folder = tmp_path / letters
        model = trained(folder, counted, size=size, algorithm=algorithm)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        back = str.maketrans(letters, "abcdefghij")
        found.append([processor.id_to_piece(i).translate(back) for i in range(261, size)])
    assert max(map(len, found[0])) == 24 == vocab_settings().max_piece_chars
    assert found[0] == found[1] == found[2]


def test_a_unit_is_never_dropped_for_its_length(tmp_path):
    long = "កខ" * 256  # 512 code points, the longest unit; 1,536 bytes
    model = trained(tmp_path, {long: 50, **dict.fromkeys("កខ", 1)}, size=264)
    found = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert any(len(found.id_to_piece(number)) > 1 for number in range(261, 264))


def test_what_parts_units_is_decided_once(counted, processor):
    # Units bring their own "▁", and are split no more: a piece is a part of a unit.
    units = "\n".join(counted)
    for number in range(261, SIZE):
        assert processor.id_to_piece(number) in units


def test_the_bytes_depend_on_the_sample_alone(counted, model, tmp_path):
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "LC_ALL": "C", "LANG": "C"}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    folder = tmp_path / "другой путь"
    write_sample(folder, counted)
    (tmp_path / "unit.json").write_text(json.dumps(unit_of(counted)))
    code = """
import json, sys
from tokenizer import train

unit = json.load(open("unit.json", encoding="utf-8"))
train.train_unit(unit, {"samples": sys.argv[1], "models": sys.argv[1]})
"""
    subprocess.run(
        [sys.executable, "-c", code, folder.name],
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert (folder / "one.model").read_bytes() == model
    assert str(tmp_path).encode() not in model
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unit.json", folder.name]


def test_the_number_of_threads_is_the_recipe_s_and_not_the_machine_s(counted):
    assert options_of(counted)["num_threads"] == train.NUM_THREADS == 8


def test_a_model_that_is_there_is_not_trained_again(counted, model, tmp_path):
    assert trained(tmp_path, counted) == model
    (tmp_path / "sample.arrow").unlink()
    context = {"samples": str(tmp_path), "models": str(tmp_path)}
    train.train_unit(unit_of(counted), context)
    torn = tmp_path / "one.model"
    torn.write_bytes(model[:-1])
    assert stages.is_done(store.Folder(tmp_path), "one") is None
    write_sample(tmp_path, counted)
    train.train_unit(unit_of(counted), context)
    assert torn.read_bytes() == model


def log_of(counted, tmp_path, **changes):
    """What the trainer says."""
    unit = unit_of(counted, **changes)
    spec = {**unit, "sample": str(write_sample(tmp_path, counted))}
    command = [sys.executable, "-m", spm_process.__name__]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(json.dumps(spec).encode() + b"\n")
        process.stdin.flush()
        log = process.stderr.read()
        process.wait()
    return log, unit


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_progress_is_told_from_what_the_trainer_says(algorithm, counted, tmp_path):
    log, unit = log_of(counted, tmp_path, algorithm=algorithm)
    told = []
    watch = train._Watch(
        1000, SIZE, lambda documents, done: told.append((documents, done)), seeds=unit["seeds"]
    )
    watch.read(io.BytesIO(log))
    assert len(told) > 5
    assert all(documents == 0 for documents, _ in told)
    shares = [done for _, done in told]
    assert shares == sorted(shares)
    assert shares[0] < 200
    assert 700 < shares[-1] <= 1000
    assert watch.last == ""


def test_an_unknown_log_tells_no_progress():
    told = []
    watch = train._Watch(1000, SIZE, lambda *one: told.append(one))
    watch.read(io.BytesIO(b"\xff\xfe\nnew words for old things\n\n"))
    assert (told, watch.last) == ([], "")


def test_what_the_trainer_said_last_is_what_went_wrong():
    def last(log):
        watch = train._Watch(1000, SIZE, lambda *_: None)
        watch.read(io.BytesIO(log))
        return watch.last

    assert last(b"some log\nkoine: INTERNAL: too bad\n") == "INTERNAL: too bad"
    traceback = b'Traceback (most recent call last):\n  File "x.py", line 1\nMemoryError: no more\n'
    assert last(b"some log\n" + traceback) == "MemoryError: no more"


def test_a_size_beyond_the_text_names_one_that_works(counted, tmp_path):
    few = {unit: count for unit, count in counted.items() if len(unit) < 4}
    with pytest.raises(DataError, match=r"^vocab\.size: .*for 50,000 pieces\.\n") as caught:
        trained(tmp_path / "large", few, size=50_000)
    remedy = str(caught.value).partition("Set vocab.size to ")[2].partition(" ")[0]
    allowed = int(remedy.replace(",", ""))
    assert 261 < allowed < 50_000
    assert trained(tmp_path / "fitting", few, size=allowed)
    assert list((tmp_path / "large").iterdir()) == [tmp_path / "large" / "sample.arrow"]


def test_a_size_that_the_characters_fill_is_refused_before_the_training():
    with pytest.raises(ConfigError, match=r"vocab\.size: 300 pieces are too few: 39 .* 300\.\n"):
        train.check_size(vocab_settings(size=300), 39)
    train.check_size(vocab_settings(size=301), 39)


def test_a_failure_says_what_the_trainer_said(tmp_path):
    with pytest.raises(DataError, match=r"trainer failed: .*\n  Look at vocab\.size"):
        trained(tmp_path, {"ab": 1}, size=262)
    assert not (tmp_path / "one.model").exists()


def test_a_failure_without_a_word_has_its_exit_code():
    assert "exit code 7" in str(train._failure(7, ""))


def test_a_trainer_that_was_killed_is_the_machine_s_problem(counted, tmp_path):
    spec = unit_of(counted)
    spec["sample"] = str(write_sample(tmp_path, counted))

    def kill(_documents, _done):
        for child in children(os.getpid()):  # other tests may have left workers
            if b"tokenizer.spm_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)

    watch = train._Watch(1000, SIZE, kill, seeds=spec["seeds"])
    with pytest.raises(EnvironmentProblem, match=r"killed by signal 9\.\n  .*vocab\.sample_mb"):
        train._run(spec, watch)


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def test_a_trainer_that_does_not_start_is_a_clear_error(tmp_path, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexec <&-\necho 'sh: out of luck' >&2\nexit 9\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    watch = train._Watch(1000, SIZE, lambda *_: None)
    with pytest.raises(DataError, match="exit code 9"):
        train._run({"sample": "x" * 1_000_000}, watch)  # more than a pipe holds


def test_the_trainer_ends_when_its_parent_does(counted, tmp_path):
    spec = {**unit_of(counted), "sample": str(write_sample(tmp_path, counted))}
    process = subprocess.Popen(
        [sys.executable, "-m", spm_process.__name__],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(json.dumps(spec).encode() + b"\n")
    process.stdin.flush()
    assert process.stderr.readline()  # it has begun
    process.stdin.close()
    model, _ = process.stdout.read(), process.stderr.read()
    assert process.wait(timeout=20) == 1
    assert model == b""
    process.stdout.close()
    process.stderr.close()


def test_the_journal_names_what_a_model_depends_on(sample_vocab):
    work = sample_vocab.out / "work" / "vocab" / "models"
    names = {path.name.partition(".")[0] for path in work.iterdir()}
    assert len(names) == len(sample_vocab.built.curve) + 1
    for name in names:
        assert stages.is_done(store.Folder(work), name)
    assert not (sample_vocab.out / "work" / "vocab" / "samples").exists()
