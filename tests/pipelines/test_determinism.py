"""The same input gives the same bytes, wherever, whenever and however it is built."""

import os
import random
import shutil

import pytest

from tests_support import ROOT, hashes, koine

# Two machines that have nothing in common but the input.
NORTH = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
    "TZ": "Pacific/Kiritimati",
}
SOUTH = {"PYTHONHASHSEED": "1", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns", "HOME": "/"}

ONE_AT_A_TIME = {
    "hash seed 0": ({"PYTHONHASHSEED": "0"}, ()),
    "hash seed 1": ({"PYTHONHASHSEED": "1"}, ()),
    "C locale": (NORTH, ()),
    "another locale": ({"LC_ALL": "aa_DJ"}, ()),
    "time zone": ({"TZ": "Asia/Kathmandu"}, ()),
    "one worker": ({}, ("--workers", 1)),
    "two workers": ({}, ("--workers", 2)),
}


def moved(build, folder):
    """Copy the inputs of a build to a folder, in another order and with other times."""
    base = build.config.parent
    files = [path for path in base.rglob("*") if path.is_file() and build.out not in path.parents]
    random.Random(7).shuffle(files)
    for number, path in enumerate(files):
        target = folder / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (number * 1000, 1_600_000_000 + number))
    return folder / build.config.name


def rebuilt(config, out, *more, environment, umask, cwd):
    run = koine(
        *("corpus", "build", config, "--out", out, "--quiet", *more),
        environment=environment,
        cwd=cwd,
        umask=umask,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return hashes(out if out.is_absolute() else cwd / out)


def test_two_workers_elsewhere_give_the_same_bytes(sample_build, tmp_path):
    config = moved(sample_build, tmp_path / "elsewhere" / "with space")
    found = rebuilt(
        *(config, tmp_path / "out", "--workers", 2), environment=NORTH, umask=0o077, cwd=ROOT
    )
    assert found == hashes(sample_build.out)


def test_relative_paths_another_locale_and_clock_give_the_same_bytes(sample_build, tmp_path):
    config = moved(sample_build, tmp_path)
    found = rebuilt(
        *(config.relative_to(tmp_path), tmp_path.relative_to(tmp_path) / "out"),
        *("--runner", "in-process"),
        environment=SOUTH,
        umask=0,
        cwd=tmp_path,
    )
    assert found == hashes(sample_build.out)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_AT_A_TIME)
def test_each_difference_alone_gives_the_same_bytes(name, small_build, tmp_path, data):
    environment, more = ONE_AT_A_TIME[name]
    config = moved(small_build, tmp_path / "input")
    more = more or ("--runner", "in-process")
    found = rebuilt(
        *(config, tmp_path / "out", *more), environment=environment, umask=0o022, cwd=tmp_path
    )
    assert found == hashes(small_build.out)
