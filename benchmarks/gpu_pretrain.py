"""Training on a GPU: koine's loop beside the one that users of transformers write, and its floor.

    python benchmarks/gpu_pretrain.py --out build/gpu            # everything, under nine minutes
    python benchmarks/gpu_pretrain.py --out build/gpu --parts koine:bert-base-128 rates
    python benchmarks/gpu_pretrain.py --out build/gpu --tokens build/demo    # on real shards

Each part (gpu_parts.py and other_pretrain.py say what they measure) is a process with a limit of
its own: what fails or hangs costs no other. Compiling takes most of the time and no GPU, so the
next parts compile while one is measured, but stand still (SIGSTOP) for the seconds that are timed.
Results are appended to OUT/parts.jsonl as they come, what parts print to OUT/log.txt; the tables
are printed last and lie in OUT/tables.md, the kernels of two cases in OUT/profile-*.txt.

Where koine is not installed, set PYTHONPATH to its folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_tables import tables

HERE = Path(__file__).resolve().parent

PARTS = (
    "rates", "koine:bert-base-128", "usual:bert-base-128", "koine:modern-base-512",
    "usual:modern-base-512", "attention", "optimizer", "koine:bert-base-512",
    "koine:modern-base-1024", "usual:bert-base-512", "usual:modern-base-1024",
    "koine:bert-base-128+muon", "koine:bert-base-128+tiles", "koine:bert-small-128",
    "koine:modern-small-256", "koine:bert-base-128+static", "koine:bert-base-128+deterministic",
)  # fmt: skip
"""The most important first: what there is no time for is left out."""
PROFILED = ("koine:bert-base-128", "koine:modern-base-512")
GIGABYTES = {"koine": 35, "usual": 62}
"""Of the GPU that a part may take: what does not fit beside the others waits for them."""


@dataclass
class Child:
    """A part that is being measured."""

    name: str
    process: subprocess.Popen[str]
    limit_s: float
    began: float = field(default_factory=time.monotonic)
    still_since: float | None = None
    still_s: float = 0.0
    result: dict[str, Any] | None = None

    @property
    def active_s(self) -> float:
        """Return the seconds that it was not kept waiting."""
        now = time.monotonic()
        still = self.still_s + (now - self.still_since if self.still_since else 0.0)
        return now - self.began - still

    def send(self, number: int) -> None:
        """Signal the process and the ones it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def hold(self) -> None:
        """Stop the clock."""
        self.still_since = self.still_since or time.monotonic()

    def release(self) -> None:
        """Let the clock go on."""
        if self.still_since is not None:
            self.still_s += time.monotonic() - self.still_since
            self.still_since = None


class Runner:
    """Runs the parts, several at a time, one measuring at a time."""

    def __init__(self, given: argparse.Namespace, *, work: Path, tokens: Path) -> None:
        self.given, self.work, self.tokens = given, work, tokens
        self.gigabytes = 200 if given.cpu else memory_gb()
        self.ends = time.monotonic() + given.minutes * 60
        self.events: queue.Queue[tuple[Child, str, str]] = queue.Queue()
        self.children: list[Child] = []
        self.waiting: list[Child] = []
        self.measuring: Child | None = None
        self.done: dict[str, dict[str, Any]] = {}

    def run(self, parts: list[str]) -> dict[str, dict[str, Any]]:
        """Return the results by part."""
        left = list(parts)
        try:
            while left or self.children:
                while left and self.fits(left[0]):
                    self.begin(left.pop(0))
                self.listen()
                self.check_limits()
                if time.monotonic() > self.ends:
                    for name in left:
                        self.end(name, {"failed": "no time was left"})
                    left = []
                self.next_turn()
        finally:
            for child in self.children:
                child.send(signal.SIGKILL)
        return self.done

    def fits(self, name: str) -> bool:
        """Tell whether a part may start beside those that run."""
        if len(self.children) >= self.given.together:
            return False
        taken = sum(gigabytes(child.name) for child in self.children)
        return not self.children or taken + gigabytes(name) <= self.gigabytes

    def begin(self, name: str) -> None:
        """Start the process of a part."""
        script = "other_pretrain.py" if name.startswith("usual:") else "gpu_parts.py"
        command = [
            sys.executable, str(HERE / script), name, "--tokens", str(self.tokens),
            "--work", str(self.work), "--out", str(self.given.out),
        ]  # fmt: skip
        command += ["--toy"] if self.given.cpu else []
        command += ["--quick", "--windows", "3"] if self.given.quick or self.given.cpu else []
        command += ["--profile"] if name in PROFILED else []
        log = self.log(name).open("w", encoding="utf-8")
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            process_group=0,
            env={**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "6"},
        )
        log.close()
        child = Child(name, process, self.given.limit)
        self.children.append(child)
        if self.measuring:
            child.send(signal.SIGSTOP)
            child.hold()
        threading.Thread(target=self.read, args=(child,), daemon=True).start()
        self.tell(f"{name}: started")

    def read(self, child: Child) -> None:
        """Pass on what a part says."""
        assert child.process.stdout is not None
        for line in child.process.stdout:
            word, _, rest = line.partition(" ")
            if word.startswith("@"):
                self.events.put((child, word[1:].strip(), rest))
        child.process.wait()
        self.events.put((child, "over", ""))

    def listen(self) -> None:
        """Take in what the parts say."""
        try:
            child, word, rest = self.events.get(timeout=0.2)
        except queue.Empty:
            return
        if word == "measure":
            child.hold()
            self.waiting.append(child)
        elif word == "measured":
            self.let_go(child)
        elif word == "result":
            child.result = json.loads(rest)
        elif word == "over":
            with contextlib.suppress(OSError):  # of a pipe that nobody reads any more
                child.process.communicate()
            code = child.process.returncode
            self.let_go(child)
            if child in self.waiting:
                self.waiting.remove(child)
            if child in self.children:
                self.children.remove(child)
                said = self.log(child.name).read_text(errors="replace").strip().splitlines()
                with (self.given.out / "log.txt").open("a", encoding="utf-8") as file:
                    file.write("\n".join([f"== {child.name}", *said[-300:], "", ""]))
                last = said[-1][:300] if said else ""
                self.end(child.name, child.result or {"failed": f"exit {code}: {last}"})

    def next_turn(self) -> None:
        """Let a part measure that is ready for it, with all others standing still."""
        if self.measuring or not self.waiting:
            return
        child = self.measuring = self.waiting.pop(0)
        others = [one for one in self.children if one is not child]
        for other in others:
            other.send(signal.SIGSTOP)
            other.hold()
        if others:
            time.sleep(0.0 if self.given.cpu else 0.5)  # what lies in the GPU's queue is done
        child.release()
        assert child.process.stdin is not None
        try:
            child.process.stdin.write("go\n")
            child.process.stdin.flush()
        except OSError:  # it is over
            pass

    def let_go(self, child: Child) -> None:
        """Let the others go on after a part has measured."""
        if self.measuring is not child:
            return
        self.measuring = None
        for other in self.children:
            if other is not child:
                other.send(signal.SIGCONT)
                if other not in self.waiting:
                    other.release()

    def check_limits(self) -> None:
        """End what takes too long."""
        over = time.monotonic() > self.ends
        for child in list(self.children):
            if over or child.active_s > child.limit_s:
                why = "no time was left" if over else f"more than {child.limit_s:.0f} s"
                child.result = child.result or {"failed": why}
                child.send(signal.SIGCONT)
                child.send(signal.SIGKILL)
                child.limit_s = float("inf")

    def end(self, name: str, result: dict[str, Any]) -> None:
        """Keep a result."""
        self.done[name] = result
        with (self.given.out / "parts.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"part": name, **result}) + "\n")
        rate = result.get("tokens_per_s")
        self.tell(
            f"{name}: {result.get('failed') or (f'{rate:,.0f} tokens/s' if rate else 'done')}"
        )

    def log(self, name: str) -> Path:
        """Return where a part's errors and warnings go."""
        return self.work / f"{re.sub('[^a-z0-9-]', '-', name)}.log"

    def tell(self, text: str) -> None:
        """Say what happens, with how long it is to the end."""
        print(f"[{self.ends - time.monotonic():4.0f} s left] {text}", flush=True)


def gigabytes(name: str) -> int:
    """Return the memory of the GPU that a part may take."""
    return GIGABYTES.get(name.partition(":")[0], 20)


def memory_gb() -> int:
    """Return what the parts may take together: most of the GPU's memory."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits", "-i", "0"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return int(int(found.stdout) * 0.93 / 954)
    except (OSError, ValueError, subprocess.SubprocessError):
        return 74


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, keep; return 1 if a part failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for results and logs")
    parser.add_argument("--tokens", type=Path, help="build with token shards of <= 65,536 pieces")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--minutes", type=float, default=8.7, help="for all of it (%(default)s)")
    parser.add_argument("--limit", type=float, default=240, help="seconds for a part (240)")
    parser.add_argument("--together", type=int, default=3, help="parts at a time (3)")
    parser.add_argument("--quick", action="store_true", help="shorter windows")
    parser.add_argument("--cpu", action="store_true", help="toy sizes: does it all work?")
    given = parser.parse_args(arguments)
    given.out = given.out.resolve()
    given.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        runner = Runner(given, work=work, tokens=given.tokens or work)
        if given.tokens is None:
            from gpu_data import write_synthetic

            sizes = (200_000, 1024) if given.cpu else (20_000_000, 65_536)
            write_synthetic(work, num_tokens=sizes[0], num_pieces=sizes[1])
            runner.tell("synthetic token shards written")
        done = runner.run(given.parts)
    text = tables({name: done[name] for name in given.parts if name in done})
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    print(f"\n{text}", flush=True)
    return int(any("failed" in found for found in done.values()))


if __name__ == "__main__":
    raise SystemExit(main())
