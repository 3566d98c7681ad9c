"""Checkpoints: what is saved is what is loaded, or it is refused by name."""

import json
import struct
import threading
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
import safetensors
import torch
from fsspec.implementations.memory import MemoryFileSystem

from pipelines import store
from pipelines.errors import DataError, EnvironmentProblem
from pretrain.checkpoint import MODEL, OPTIMIZER, STATE, Checkpoints
from tests_support import hashes

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
FILES = [MODEL, OPTIMIZER, STATE, store.MANIFEST]


def contents(step: int) -> dict[str, dict]:
    generator = torch.Generator().manual_seed(step)
    return {
        "model": {
            "layers.0.weight": torch.randn(6, 5, generator=generator),
            "half": torch.randn(3, generator=generator).bfloat16(),
            "zeile.ü": torch.randn(5, generator=generator),
        },
        "optimizer": {
            "layers.0.weight.step": torch.tensor(float(step)),
            "count": torch.tensor(step, dtype=torch.int64),
            "flags": torch.tensor([True, False, True]),
            "empty": torch.zeros(0, 4),
        },
        "state": {"step": step, "loss": 0.1 + step, "labels": {"swh_Latn": 3}, "none": None},
    }


def save(checkpoints: Checkpoints, *steps: int) -> None:
    for step in steps:
        checkpoints.save(step, **contents(step))
    checkpoints.wait()


def is_of(loaded, step: int) -> bool:
    wanted = contents(step)
    for part in ("model", "optimizer"):
        found = getattr(loaded, part)
        assert found.keys() == wanted[part].keys()
        for name, tensor in wanted[part].items():
            assert found[name].dtype == tensor.dtype
            assert found[name].shape == tensor.shape
            assert torch.equal(found[name], tensor)
    assert loaded.state == wanted["state"]
    return loaded.step == step


@pytest.fixture
def folder(tmp_path) -> store.Folder:
    return store.Folder(tmp_path / "checkpoints")


@pytest.fixture
def checkpoints(folder) -> Checkpoints:
    return Checkpoints(folder, keep=2)


def path_of(folder: store.Folder, step: int, name: str) -> Path:
    return folder.root / f"step-{step:08d}" / name


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip(path: Path, place: int, *, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)


def test_what_was_saved_is_loaded(checkpoints, folder):
    save(checkpoints, 7, 120)
    assert checkpoints.steps() == [7, 120]
    assert checkpoints.latest() == 120
    another = Checkpoints(folder, keep=1)
    assert is_of(another.load(), 120)
    assert is_of(another.load(7), 7)
    assert inside(folder.root) == ["step-00000007", "step-00000120"]
    assert inside(folder.root / "step-00000120") == sorted(FILES)


def test_loaded_tensors_may_be_changed_and_the_files_do_not(checkpoints, folder):
    save(checkpoints, 1)
    loaded = checkpoints.load()
    loaded.model["layers.0.weight"].zero_()
    assert is_of(checkpoints.load(), 1)


def test_other_tools_read_the_weights(checkpoints, folder):
    save(checkpoints, 3)
    path = path_of(folder, 3, MODEL)
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert set(file.keys()) == set(contents(3)["model"])
        for name, tensor in contents(3)["model"].items():
            assert torch.equal(file.get_tensor(name), tensor)


def test_every_tensor_lies_at_a_multiple_of_its_width(checkpoints, folder):
    save(checkpoints, 3)
    for name in (MODEL, OPTIMIZER):
        data = path_of(folder, 3, name).read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        assert length % 8 == 0
        header = json.loads(data[8 : 8 + length])
        widths = {"I64": 8, "F32": 4, "BF16": 2, "BOOL": 1}
        for key, tensor in header.items():
            if key != "__metadata__":
                assert tensor["data_offsets"][0] % widths[tensor["dtype"]] == 0


def test_the_same_state_gives_the_same_bytes_in_any_order_and_place(tmp_path):
    found = []
    for number in range(2):
        values = contents(5)
        if number:
            values = {part: dict(reversed(of.items())) for part, of in values.items()}
            strided = values["model"]["layers.0.weight"]
            values["model"]["layers.0.weight"] = strided.mT.contiguous().mT
        checkpoints = Checkpoints(store.Folder(tmp_path / str(number)), keep=1)
        checkpoints.save(5, **values)
        checkpoints.wait()
        found.append(hashes(tmp_path / str(number)))
    assert found[0] == found[1]
    assert len(found[0]) == len(FILES)


def test_a_save_keeps_what_was_there_when_it_was_called(checkpoints):
    values = contents(4)
    checkpoints.save(4, **values)
    for tensor in (*values["model"].values(), *values["optimizer"].values()):
        tensor.zero_()
    values["state"]["labels"]["swh_Latn"] = -1
    assert is_of(checkpoints.load(), 4)


@GPU
def test_a_save_from_a_gpu_keeps_what_was_there_when_it_was_called(checkpoints):
    values = contents(4)
    for part in ("model", "optimizer"):
        values[part] = {name: tensor.cuda() for name, tensor in values[part].items()}
    torch.cuda.set_sync_debug_mode("error")
    try:
        checkpoints.save(4, **values)
        for tensor in (*values["model"].values(), *values["optimizer"].values()):
            tensor.zero_()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert is_of(checkpoints.load(), 4)


def test_writing_happens_in_the_background_one_at_a_time():
    gate = threading.Event()

    class Gated(MemoryFileSystem):
        """A file system that is as slow as its gate."""

        protocol = "gated"
        store: ClassVar[dict] = {}

        def put_file(self, *arguments, **options):
            assert gate.wait(60)
            return super().put_file(*arguments, **options)

    fsspec.register_implementation("gated", Gated, clobber=True)
    checkpoints = Checkpoints(store.Folder("gated://run/checkpoints"), keep=2)
    checkpoints.save(1, **contents(1))  # returns while nothing can be written
    checkpoints.check()
    second = threading.Thread(target=lambda: checkpoints.save(2, **contents(2)))
    second.start()
    second.join(0.1)
    assert second.is_alive()
    assert checkpoints.latest() is None
    gate.set()
    second.join()
    assert is_of(checkpoints.load(), 2)
    assert checkpoints.steps() == [1, 2]


def test_the_last_ones_are_kept(folder):
    checkpoints = Checkpoints(folder, keep=3)
    save(checkpoints, *range(10, 70, 10))
    assert checkpoints.steps() == [40, 50, 60]
    assert inside(folder.root) == ["step-00000040", "step-00000050", "step-00000060"]
    assert checkpoints.undeleted is None


def test_one_may_be_enough(folder):
    checkpoints = Checkpoints(folder, keep=1)
    save(checkpoints, 1, 2)
    assert checkpoints.steps() == [2]
    assert is_of(checkpoints.load(), 2)


def test_a_folder_without_a_manifest_is_no_checkpoint_and_goes_with_the_next_save(
    checkpoints, folder
):
    save(checkpoints, 1, 2)
    path_of(folder, 2, store.MANIFEST).unlink()
    (folder.root / "step-00000009").mkdir()
    (folder.root / "step-00000009" / ".tmp-1-0-model.safetensors").write_bytes(b"half")
    (folder.root / "notes").mkdir()  # somebody else's
    again = Checkpoints(folder, keep=2)
    assert again.steps() == [1]
    assert is_of(again.load(), 1)
    save(again, 3)
    assert inside(folder.root) == ["notes", "step-00000001", "step-00000003"]


def test_a_step_that_is_held_is_not_written_again(checkpoints, folder):
    save(checkpoints, 1)
    again = Checkpoints(folder, keep=2)
    again.load()
    before = path_of(folder, 1, MODEL).stat().st_mtime_ns
    save(again, 1)
    assert path_of(folder, 1, MODEL).stat().st_mtime_ns == before


def test_a_run_that_goes_back_replaces_what_came_after(checkpoints, folder):
    save(checkpoints, 10, 20)
    flip(path_of(folder, 20, MODEL), -1)
    again = Checkpoints(folder, keep=2)
    again.load(10)
    save(again, 20)
    assert is_of(Checkpoints(folder, keep=2).load(), 20)
    again.load(10)
    save(again, 15)
    assert again.steps() == [10, 15]


def test_without_a_checkpoint_it_says_so(checkpoints):
    assert checkpoints.steps() == []
    assert checkpoints.latest() is None
    with pytest.raises(DataError, match=r"there is no checkpoint\.\n  Run `koine pretrain run`"):
        checkpoints.load()


def test_a_step_that_was_not_saved_is_refused_with_those_that_were(checkpoints):
    save(checkpoints, 1, 2)
    with pytest.raises(DataError, match=r"no checkpoint of step 3\.\n  There are: 1, 2\."):
        checkpoints.load(3)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_is_refused_with_the_files_name(name, checkpoints, folder):
    save(checkpoints, 1, 2)
    path = path_of(folder, 2, name)
    whole = path.read_bytes()
    places = range(len(whole)) if name == store.MANIFEST else range(0, len(whole), 7)
    for place in places:
        for bit in (1, 0x20):
            flip(path, place, bit=bit)
            with pytest.raises(DataError) as refused:
                checkpoints.load()
            assert str(refused.value).startswith(f"{path}: "), (place, bit)
            assert str(refused.value).endswith(
                f"\n  The checkpoint of step 1 is whole: delete {path.parent} to go on from there."
            )
            path.write_bytes(whole)
    assert is_of(checkpoints.load(), 2)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["shorter", "longer", "empty", "missing"])
def test_a_file_of_another_size_is_refused_with_its_name(name, how, checkpoints, folder):
    save(checkpoints, 1, 2)
    path = path_of(folder, 2, name)
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes({"shorter": data[:-2], "longer": data + b"x", "empty": b""}[how])
    elif name == store.MANIFEST:
        assert is_of(checkpoints.load(), 1)  # it is none any more
        return
    with pytest.raises(DataError) as refused:
        checkpoints.load()
    assert str(refused.value).startswith(f"{path}: ")
    assert is_of(checkpoints.load(1), 1)


@pytest.mark.parametrize("text", ["[]", "7", "null", '{"artefact": "checkpoint"}', "\xff"])
def test_a_manifest_that_is_something_else_is_refused(text, checkpoints, folder):
    save(checkpoints, 1)
    path_of(folder, 1, store.MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"manifest\.json: .*\n  No other checkpoint"):
        checkpoints.load()


def test_a_checkpoint_under_the_name_of_another_step_is_refused(checkpoints, folder):
    save(checkpoints, 1)
    (folder.root / "step-00000001").rename(folder.root / "step-00000002")
    with pytest.raises(DataError, match=r"is not what was saved for step 2"):
        checkpoints.load()


def test_the_remedy_is_the_newest_older_one_that_is_whole_else_a_newer_one(folder):
    checkpoints = Checkpoints(folder, keep=4)
    save(checkpoints, 1, 2, 3, 4)
    flip(path_of(folder, 3, STATE), 5)
    flip(path_of(folder, 2, OPTIMIZER), 50)
    with pytest.raises(DataError, match=r"step 1 is whole: delete .*step-00000003 to go on"):
        checkpoints.load(3)
    flip(path_of(folder, 1, MODEL), 50)
    with pytest.raises(DataError, match=r"\n  The checkpoint of step 4 is whole\.$"):
        checkpoints.load(3)
    flip(path_of(folder, 4, MODEL), 50)
    with pytest.raises(DataError, match=r"\n  No other checkpoint of this run is whole: "):
        checkpoints.load(3)


def test_verifying_names_all_that_is_wrong(folder):
    checkpoints = Checkpoints(folder, keep=3)
    save(checkpoints, 1, 2, 3)
    assert checkpoints.verify() == []
    flip(path_of(folder, 1, MODEL), -1)
    path_of(folder, 1, STATE).unlink()
    path_of(folder, 2, store.MANIFEST).write_text("{")
    wrong = checkpoints.verify()
    assert [line.partition(": ")[0] for line in wrong] == [
        str(path_of(folder, 1, MODEL)),
        str(path_of(folder, 1, STATE)),
        str(path_of(folder, 2, store.MANIFEST)),
    ]
    assert "SHA-256" in wrong[0]
    assert wrong[1].endswith(": missing.")


def test_a_state_without_a_form_in_json_is_refused_at_once(checkpoints):
    values = {**contents(1), "state": {"tensor": torch.zeros(1)}}
    with pytest.raises(TypeError):
        checkpoints.save(1, **values)
    assert checkpoints.latest() is None


def test_a_folder_that_cannot_be_written_is_one_error_at_the_next_call(checkpoints, folder):
    folder.root.write_text("a file")
    checkpoints.save(1, **contents(1))
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        checkpoints.save(2, **contents(2))
    checkpoints.wait()
    folder.root.unlink()
    save(checkpoints, 2)
    assert is_of(checkpoints.load(), 2)


def test_looking_after_a_save_does_not_wait_and_tells_of_its_failure(checkpoints, folder):
    checkpoints.check()
    folder.root.write_text("a file")
    checkpoints.save(1, **contents(1))
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        while True:
            checkpoints.check()
    checkpoints.check()


def test_checkpoints_live_on_any_file_system():
    url = "memory://runs/one/checkpoints"
    checkpoints = Checkpoints(store.Folder(url), keep=2)
    save(checkpoints, 1, 2, 3)
    assert checkpoints.steps() == [2, 3]
    assert is_of(checkpoints.load(), 3)
    files = fsspec.filesystem("memory")
    files.pipe_file("/runs/one/checkpoints/step-00000003/model.safetensors", b"else")
    with pytest.raises(DataError, match=r"step-00000003/model\.safetensors: has 4 bytes"):
        checkpoints.load()
    files.rm("/runs", recursive=True)
