import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import config, engines, units
from pipelines.build import build
from pipelines.errors import ConfigError, EnvironmentProblem
from tests_support import ROOT, hashes


def test_dask_is_refused_by_name_since_it_loses_data():
    with pytest.raises(ConfigError, match="silently drops output"):
        engines.engine("dask", workers=1)
    with pytest.raises(ConfigError, match="silently drops output"):
        engines.engine("DaskRunner", workers=1)


def test_an_unknown_runner_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="Known: local, in-process, flink"):
        engines.engine("flonk", workers=1)


def test_options_of_an_engine_are_not_swallowed_by_a_local_one():
    with pytest.raises(ConfigError, match="--flink_master"):
        engines.engine("local", workers=1, options=["--flink_master=x"])


def test_shares_shrink_and_hold_every_unit_once():
    listed = [{"name": str(number)} for number in range(57)]
    shares = list(engines._shares(listed, 4))
    assert [unit for share in shares for unit in share] == listed
    sizes = [len(share) for share in shares]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


@contextlib.contextmanager
def external_job_service() -> Iterator[tuple[int, int]]:
    """Python's portable job service with an external pool of worker processes."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("localhost", 0))
        two.bind(("localhost", 0))
        job_port, pool_port = one.getsockname()[1], two.getsockname()[1]
    module = "apache_beam.runners"
    commands = [
        [f"{module}.portability.local_job_service_main", "--port", str(job_port)],
        [f"{module}.worker.worker_pool_main", "--service_port", str(pool_port)],
    ]
    # The pool starts its workers as `python`, whichever that is.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in commands
    ]
    try:
        for port in (job_port, pool_port):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    socket.create_connection(("localhost", port), timeout=1).close()
                    break
                time.sleep(0.2)
        yield job_port, pool_port
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_the_portable_apis_give_the_same_bytes(small_corpus, tmp_path):
    """As a Flink cluster speaks them: the Job and Fn APIs, with workers of their own."""
    loaded = config.load(small_corpus)
    base = small_corpus.parent
    build(loaded, out=str(tmp_path / "one"), base=base, engine=engines.InProcess())
    with external_job_service() as (job_port, pool_port):
        options = [
            f"--job_endpoint=localhost:{job_port}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool_port}",
        ]
        engine = engines.engine("portable", workers=1, options=options)
        build(loaded, out=str(tmp_path / "two"), base=base, engine=engine)
    assert hashes(tmp_path / "two") == hashes(tmp_path / "one")


def test_a_killed_worker_is_replaced_and_the_bytes_are_the_same(small_corpus, tmp_path):
    loaded = config.load(small_corpus)
    base = small_corpus.parent
    build(loaded, out=str(tmp_path / "one"), base=base, engine=engines.InProcess())
    engine = engines.Local(2)
    killed = []

    def kill_one_worker() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not killed:
            pool = engine._pool
            processes = list((pool._processes or {}).values()) if pool else []
            if processes and list((tmp_path / "two/work").glob("measured/*.json")):
                os.kill(processes[0].pid, signal.SIGKILL)
                killed.append(processes[0].pid)
            time.sleep(0.01)

    thread = threading.Thread(target=kill_one_worker)
    thread.start()
    try:
        build(loaded, out=str(tmp_path / "two"), base=base, engine=engine)
    finally:
        thread.join()
        engine.close()
    assert killed
    assert hashes(tmp_path / "two") == hashes(tmp_path / "one")


def test_a_unit_that_kills_every_worker_ends_in_one_clear_error(tmp_path, monkeypatch):
    engine = engines.Local(1)
    monkeypatch.setenv("KOINE_FAULT", "kill@1")
    unit = {"name": "poison", "corpus": "a", "key": "k", "splits": [], "num_bytes": 1}
    context = {
        "work": str(tmp_path / "work"),
        "config": {"corpora": [{"name": "a", "files": ["x"], "license": "CC0-1.0"}]},
    }
    try:
        with pytest.raises(EnvironmentProblem, match="died 3 times in a row"):
            engine.run("measure", [unit], context)
    finally:
        engine.close()


def test_the_same_files_make_the_same_units_in_any_folder(small_corpus, tmp_path):
    loaded = config.load(small_corpus)
    planned = units.plan(loaded, base=small_corpus.parent)
    assert [unit.corpus for unit in planned] == ["first", "second"]
    digest = hashlib.sha256("".join(unit.key for unit in planned).encode()).hexdigest()
    again = units.plan(loaded, base=Path(os.path.relpath(small_corpus.parent)))
    assert hashlib.sha256("".join(u.key for u in again).encode()).hexdigest() == digest
