"""Run work units through one Beam graph: here, on every core, or on an existing engine.

The graph is `Create(units) | Reshuffle | ParDo(Work)`. A unit is a small description; the work
reads its input and commits its output through the journal, so text never crosses a shuffle and a
unit that runs twice leaves the same bytes. Which process runs it is the engine's business:

    in-process   the graph in this process (FnApiRunner, named, since Beam's default runner first
                 tries to download another one)
    local        one spawned process a core, each running the same graph over a share of the units;
                 Beam's own multi-processing mode hangs when a worker dies, this one goes on
    flink, spark, dataflow, portable
                 the same graph on that engine, its own options passed through
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Protocol

from . import store
from .errors import ConfigError, DataError, EnvironmentProblem, KoineError
from .interrupts import held_back

if TYPE_CHECKING:
    import apache_beam as beam

    from .progress import Display

Unit = Mapping[str, Any]
Context = Mapping[str, Any]

RUNNERS = ("local", "in-process", "flink", "spark", "dataflow", "portable")
_BEAM_RUNNERS = {
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
    "dataflow": "DataflowRunner",
    "portable": "PortableRunner",
}
NOTE = "error.json"
MAX_DEATHS = 3  # worker deaths without a unit finished in between


class Engine(Protocol):
    """Something that runs a phase over work units and returns when all are done."""

    def run(self, phase: str, units: Sequence[Unit], context: Context) -> None:
        """Run one phase; raises the first error that a unit raised."""

    def close(self) -> None:
        """Let go of processes and connections."""


def graph(pipeline: beam.Pipeline, phase: str, units: Sequence[Unit], context: Context) -> None:
    """Add the one graph that koine has to a pipeline."""
    import apache_beam as beam

    from .work import Work

    (
        pipeline
        | "Units" >> beam.Create(list(units), reshuffle=False)  # type: ignore[no-untyped-call]
        | "Spread" >> beam.Reshuffle()  # type: ignore[no-untyped-call]
        | phase.rpartition(":")[2].capitalize() >> beam.ParDo(Work(phase, dict(context)))  # type: ignore[no-untyped-call]
    )


def run_in_memory(
    phase: str, units: Sequence[Unit], context: Context, *, bundle_repeat: int = 0
) -> None:
    """Run the graph in this process."""
    with quiet_import():
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

    pipeline = beam.Pipeline(
        runner=FnApiRunner(bundle_repeat=bundle_repeat), options=PipelineOptions([])
    )
    graph(pipeline, phase, units, context)
    _explained(pipeline.run, context)


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Keep Beam from warning, at import, about cloud libraries that nobody asked for."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _explained(run: Callable[[], Any], context: Context) -> None:
    """Run a pipeline; an error that a unit noted in the work folder is raised, not Beam's own.

    A note counts only if the run failed: an engine may try a unit again and succeed, and a note
    that an earlier run left says nothing about this one.
    """
    _take_note(context)
    try:
        state = run().wait_until_finish()
    except Exception as error:
        raise _take_note(context) or _first_koine_error(error) or error from None
    note = _take_note(context)
    if state in ("FAILED", "CANCELLED"):
        raise note or EnvironmentProblem(f"the engine ended the job: {state}.")


def _first_koine_error(error: BaseException | None) -> KoineError | None:
    while error is not None:
        if isinstance(error, KoineError):
            # Beam says where it happened in its own terms, which are not the user's.
            error.args = (str(error).partition(" [while running ")[0],)
            return error
        error = error.__cause__ or error.__context__
    return None


def _take_note(context: Context) -> KoineError | None:
    """Return the error that a worker noted in the work folder, if one did, and delete the note."""
    folder = store.Folder(context["work"])
    if not folder.exists(NOTE):
        return None
    try:
        noted = folder.read_json(NOTE)
    except DataError:  # another worker took it
        return None
    folder.remove(NOTE)
    kinds = {kind.__name__: kind for kind in (ConfigError, DataError, EnvironmentProblem)}
    return kinds.get(noted["kind"], DataError)(noted["message"])


def note_error(error: KoineError, context: Context) -> None:
    """Leave an error in the work folder, where the parent finds it on any engine."""
    with contextlib.suppress(KoineError, OSError):  # a full disk can't be noted on it
        store.Folder(context["work"]).write_json(
            NOTE, {"kind": type(error).__name__, "message": str(error)}
        )


def run_phase(
    engine: Engine,
    phase: str,
    units: Sequence[Unit],
    context: Context,
    *,
    display: Display,
    total: int,
    in_bytes: bool = True,
    title: str | None = None,
) -> None:
    """Run a phase over its work units, shown by the display.

    Args:
        engine: what runs it.
        phase: its name, or "package.module:function" for a package downstream.
        units: the work units.
        context: what all units share; `work` is the folder for notes and progress.
        display: shows progress.
        total: the work in the units, in bytes or documents, as their function reports it.
        in_bytes: which of the two.
        title: what is shown; the phase's name when left out.
    """
    title = title or phase
    work = store.Folder(context["work"])
    folder = None
    if work.is_local:
        folder = work.root / "progress" / title
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    where = str(folder) if folder else None
    with display.stage(title, total=total, folder=folder, in_bytes=in_bytes):
        engine.run(phase, units, {**context, "progress": where})


class InProcess:
    """The graph in this process."""

    def __init__(self, *, bundle_repeat: int = 0) -> None:
        """With `bundle_repeat`, every bundle runs that many times more, as on a flaky cluster."""
        self._bundle_repeat = bundle_repeat

    def run(self, phase: str, units: Sequence[Unit], context: Context) -> None:
        """Run one phase."""
        if units:
            run_in_memory(phase, units, context, bundle_repeat=self._bundle_repeat)

    def close(self) -> None:
        """Nothing is held."""


class Local:
    """One spawned process a core; a killed worker is replaced and its units run again."""

    def __init__(self, workers: int) -> None:
        """Start nothing yet; processes come with the first phase."""
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, phase: str, units: Sequence[Unit], context: Context) -> None:
        """Run one phase over the units, largest first."""
        left = sorted(units, key=lambda unit: -int(unit.get("num_bytes", 0)))
        deaths = 0
        while left:
            done, error = self._attempt(phase, left, context)
            deaths = 0 if done else deaths + 1
            left = [unit for unit in left if unit["name"] not in done]
            if error is not None:
                raise error
            if deaths >= MAX_DEATHS:
                raise EnvironmentProblem(
                    f"a worker process died {deaths} times in a row (stage {phase}, "
                    f"{left[0]['name']}).\n  Most often the machine is out of memory: run with "
                    "fewer --workers; what is finished is kept."
                )

    def _attempt(
        self, phase: str, units: list[Unit], context: Context
    ) -> tuple[set[str], BaseException | None]:
        """Run units until all are done or a process dies; return what is done, and an error."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_initialise_worker,
                initargs=(os.getpid(),),
            )
        done: set[str] = set()
        running: dict[Future[None], list[Unit]] = {}
        shares = _shares(units, self._workers)
        try:
            for share in shares:
                with held_back():  # it starts a process, which would complain of half a start
                    future = self._pool.submit(run_in_memory, phase, share, context)
                running[future] = share
                if len(running) > self._workers:
                    _collect(running, done)
            while running:
                _collect(running, done)
        except BrokenProcessPool:
            self.close()
            return done, None
        except BaseException as error:
            for future in running:
                future.cancel()
            if not isinstance(error, Exception):
                self._kill()
            return done, error
        return done, None

    def _kill(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Stop the processes."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _collect(running: dict[Future[None], list[Unit]], done: set[str]) -> None:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    broken: BaseException | None = None
    for future in finished:
        share = running.pop(future)
        error = future.exception()
        if error is None:
            done.update(str(unit["name"]) for unit in share)
        elif broken is None or isinstance(broken, BrokenProcessPool):
            broken = error
    if broken is not None:
        raise broken


def _shares(units: list[Unit], workers: int) -> Iterator[list[Unit]]:
    """Hand out units in shrinking shares: few pipelines to start, and cores that end together."""
    at = 0
    while at < len(units):
        size = max(1, (len(units) - at) // (2 * workers))
        yield units[at : at + size]
        at += size


def _initialise_worker(parent: int) -> None:
    """Make a worker quiet, and let it die with its parent, however that dies."""
    logging.disable(logging.WARNING)
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Cluster:
    """The graph on an existing engine, which must reach the same storage as this process."""

    def __init__(self, runner: str, options: Iterable[str]) -> None:
        """Take the engine's name and its own options (`--flink_master=...`)."""
        self._runner, self._options = runner, list(options)

    def run(self, phase: str, units: Sequence[Unit], context: Context) -> None:
        """Run one phase as one job."""
        if not units:
            return
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        options = PipelineOptions([f"--runner={_BEAM_RUNNERS[self._runner]}", *self._options])
        try:
            pipeline = beam.Pipeline(options=options)
            graph(pipeline, phase, units, {**context, "progress": None})
        except (ValueError, ImportError) as error:
            raise ConfigError(
                f"--runner {self._runner}: {error}\n"
                "  Give the engine's own options after `--`, as in Beam's manual."
            ) from error
        _explained(lambda: self._submitted(pipeline), context)

    def _submitted(self, pipeline: beam.Pipeline) -> Any:  # noqa: ANN401
        """Hand the job to the engine.

        Raises:
            EnvironmentProblem: it does not take it (not reachable, no Java, no job server).
        """
        try:
            return pipeline.run()
        except Exception as error:  # of Beam, gRPC, a socket, a job server: each has its own
            first = str(error).strip().partition("\n")[0] or type(error).__name__
            raise EnvironmentProblem(
                f"--runner {self._runner}: the engine could not be started or reached: {first}\n"
                "  Check its own options after `--`, and that it runs; what is finished is kept."
            ) from error

    def close(self) -> None:
        """Nothing is held."""


def engine(runner: str, *, workers: int, options: Iterable[str] = ()) -> Engine:
    """Return the engine of that name.

    Raises:
        ConfigError: koine doesn't know it, or knows that it loses data.
    """
    if "dask" in runner.lower():
        raise ConfigError(
            "--runner dask: refused, since Beam's Dask runner silently drops output (what is "
            "emitted when a bundle ends, all sinks but one).\n  Use `local`, `flink` or `spark`."
        )
    if runner not in RUNNERS:
        raise ConfigError(f"--runner {runner}: unknown.\n  Known: {', '.join(RUNNERS)}.")
    options = list(options)
    if runner in ("local", "in-process") and options:
        raise ConfigError(
            f"--runner {runner} takes no options of its own (found {' '.join(options)})."
        )
    if runner == "local":
        return Local(workers)
    if runner == "in-process":
        return InProcess()
    _check_installed(runner)
    return Cluster(runner, options)


def _check_installed(runner: str) -> None:
    """Check that the Python side of an engine is installed.

    Raises:
        EnvironmentProblem: it is not.
    """
    if runner == "dataflow" and "google.cloud" not in sys.modules:
        try:
            import apache_beam.runners.dataflow.internal.apiclient  # noqa: F401
        except ImportError as error:
            raise EnvironmentProblem(
                "--runner dataflow needs Beam's Google Cloud part.\n"
                "  Install it: pip install 'apache-beam[gcp]'"
            ) from error
