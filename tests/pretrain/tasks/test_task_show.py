"""The line of progress: a share, and the time left of the stage that it is in."""

import re

from pretrain.tasks import show


def test_the_time_left_begins_again_with_each_stage(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(show.time, "monotonic", lambda: now[0])
    with show.Progress("tune", every_s=0.0) as progress:
        for at, done in ((0, 0), (50, 5), (100, 9), (101, 2), (106, 3), (111, 4)):
            now[0] = float(at)
            progress.update(done, 10, "x")
    found = [re.search(r"ETA (\d+) s", line) for line in capsys.readouterr().err.splitlines()]
    assert [match and int(match[1]) for match in found] == [None, 50, 11, None, 35, 30]
