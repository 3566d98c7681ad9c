"""Run the command line in processes of their own without importing torch each time.

A server imports everything once and forks a child for each command: fresh processes in all but the
four seconds that imports take. No thread runs in the server, so forking is safe.
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TIMEOUT_S = 120
IMPORTED = (
    *("torch", "torch.utils.tensorboard", "pandas", "sentencepiece", "jinja2", "rich.live"),
    *("language_data.names", "marisa_trie"),
    *("koine", "pretrain.train", "pretrain.report", "pretrain.replay", "pretrain.show"),
)
"""What children use, imported before they are forked; pandas is pyarrow's wish."""


@dataclass(frozen=True)
class Ended:
    """How a command ended; a signal that killed it is a negative code."""

    code: int
    out: str
    errors: str


class Fork:
    """A command that was started."""

    def __init__(self, server: "Forks", pid: int, folder: Path) -> None:
        self.pid, self._server, self._folder = pid, server, folder

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait for its end."""
        code = self._server.ask({"wait": self.pid})["code"]
        out, errors = ((self._folder / name).read_text() for name in ("out", "errors"))
        return Ended(code, out, errors)

    def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as something holds; the command must not have ended before."""
        ends = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < ends
            assert self._server.ask({"alive": self.pid})["alive"], self.wait()
            time.sleep(0.005)


class Forks:
    """A server."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "forks.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._place = tempfile.TemporaryDirectory()
        self._number = 0

    def ask(self, request: dict) -> dict:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, *arguments: object, **environment: str) -> Fork:
        """Start `koine` with arguments."""
        self._number += 1
        folder = Path(self._place.name) / str(self._number)
        folder.mkdir()
        request = {"argv": list(map(str, arguments)), "environment": environment}
        return Fork(self, self.ask({**request, "folder": str(folder)})["pid"], folder)

    def run(self, *arguments: object, **environment: str) -> Ended:
        """Run `koine` to its end."""
        return self.start(*arguments, **environment).wait()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(TIMEOUT_S)
        self._process.stdout.close()
        self._place.cleanup()


def serve() -> None:
    """Fork a child for each line on stdin."""
    sys.path[:0] = [str(HERE.parent)]
    for name in IMPORTED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    gc.collect()
    gc.freeze()  # children need not look through all that was imported
    for line in sys.stdin:
        request, answer = json.loads(line), {}
        if "wait" in request:
            status = os.waitpid(request["wait"], 0)[1]
            answer["code"] = os.waitstatus_to_exitcode(status)
        elif "alive" in request:
            state = Path(f"/proc/{request['alive']}/stat").read_text().rpartition(")")[2].split()[0]
            answer["alive"] = state != "Z"
        else:
            answer["pid"] = os.fork()
            if not answer["pid"]:
                run(request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def run(request: dict) -> None:
    """Be the child."""
    import koine

    folder = Path(request["folder"])
    for descriptor, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(request["environment"])
    sys.argv = ["koine", *request["argv"]]
    code: object = 1
    try:
        koine.main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    # Leave as Python does, threads first, but don't take all modules apart: that takes a second.
    threading._shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    serve()
