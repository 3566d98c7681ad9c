import os
import subprocess
import sys
import time

from pipelines import progress
from tests_support import ROOT


def test_the_counts_of_all_workers_add_up(tmp_path):
    code = (
        "import sys; from pipelines import progress; "
        "report = progress.reporter(sys.argv[1]); report(3, 30); report(5, 50, finished=True)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)
    assert progress.total(tmp_path) == (10, 100)


def test_the_units_of_one_worker_add_up(tmp_path):
    progress.reporter(str(tmp_path))(3, 30, finished=True)
    second = progress.reporter(str(tmp_path))
    second(1, 10, finished=True)
    second(2, 20, finished=True)
    assert progress.total(tmp_path) == (5, 50)


def test_a_folder_that_is_not_there_is_no_reason_to_fail(tmp_path):
    progress.reporter(str(tmp_path / "gone"))(1, 1, finished=True)
    progress.reporter(None)(1, 1)
    assert progress.total(tmp_path / "gone") == (0, 0)


def test_the_watch_tells_share_and_rates(tmp_path):
    watch = progress._Watch(tmp_path, 200, True)
    progress.reporter(str(tmp_path))(4, 100, finished=True)
    time.sleep(0.01)
    done, rate = watch.now()
    assert done == 100
    assert "documents/s" in rate
    assert "MB/s" in rate


def test_a_display_that_is_quiet_says_nothing(tmp_path, capfd):
    display = progress.Display(quiet=True)
    display.note("wait")
    with display.stage("measure", total=1, folder=tmp_path):
        pass
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_a_bar_shows_the_rate_and_goes_away(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from pipelines import progress\n"
        "folder = Path(sys.argv[1]); report = progress.reporter(str(folder))\n"
        "with progress.Display().stage('measure', total=100, folder=folder):\n"
        "    report(7, 50, finished=True); time.sleep(0.8)\n"
    )
    import pty

    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, stderr=child, env=environment)
    os.close(child)
    shown = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert "measure" in shown
    assert "50 %" in shown
    assert "documents/s" in shown


def test_a_second_run_in_the_same_process_counts_from_nothing(tmp_path):
    for _ in range(2):
        folder = tmp_path / "progress"
        folder.mkdir()
        progress.reporter(str(folder))(3, 30, finished=True)
        assert progress.total(folder) == (3, 30)
        (folder / str(os.getpid())).unlink()
        folder.rmdir()
