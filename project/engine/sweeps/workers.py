"""Who runs the trials: this process, or several that it starts, each with a share of the machine.

The parent alone speaks to the storage, so it needs neither torch nor a network; a worker imports
them once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import connection, get_context, parent_process
from threading import RLock, Thread
from types import FrameType
from typing import Any

from tqdm import tqdm

from ..errors import UserError
from ..runs.signals import STOPPING
from .order import Findings, Outcome, Report, TrialSpec
from .plan import Plan
from .study import Study
from .watch import SweepDisplay

LOOK = 0.2  # seconds between two looks at signals, and
ELSEWHERE = 2.0  # at trials that other machines run
START = "spawn"  # torch does not survive a fork once it has computed or touched a GPU
# seconds a worker has to reach its next save point; the checkpoint before is exact all the same
GRACE = 5.0


class InProcess:
    """Trials one after the other in this process."""

    def __init__(self, debug: bool) -> None:
        self.debug = debug

    def check(self, plan: Plan) -> tuple[str, str]:
        from .check import check

        return check(plan, self.debug)

    def work(self, study: Study, watch: SweepDisplay) -> int:
        """Run what is left; returns the number of the signal that stopped it, or 0."""
        from .trial import run_trial

        def ask(order: TrialSpec, report: Report) -> bool:
            watch.reported(order, report)
            return study.reported(order, report)

        # a look through the half million objects of the libraries after each trial would take 0.1 s
        gc.freeze()
        while True:
            order = study.claim()
            if order is None:
                if study.is_over():
                    return 0
                time.sleep(ELSEWHERE)
                continue
            watch.begun(order)
            outcome = run_trial(order, partial(ask, order))
            study.ended(order, outcome)
            watch.ended(order, outcome)
            if outcome.state == "interrupted":
                return outcome.signal

    def draw(self, found: Findings) -> None:
        from .page import write_page

        write_page(found)

    def close(self) -> None:
        gc.unfreeze()


class Worker:
    """A process that runs trials, and the order it has in hand."""

    def __init__(self, number: int, gpus: list[str]) -> None:
        self.number, self.gpus = number, gpus
        self.order: TrialSpec | None = None
        self.start()

    def start(self) -> None:
        context: Any = get_context(START)
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,))
        with started_with(self.gpus[self.number % len(self.gpus)] if self.gpus else None):
            self.process.start()
        theirs.close()

    def send(self, what: Any) -> None:
        with contextlib.suppress(OSError):  # it has died, which the next look tells
            self.connection.send(what)

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


class WorkerPool:
    """Several workers, each a process of its own with its share of cores and GPUs."""

    def __init__(self, count: int) -> None:
        self.received = 0
        self.before = {number: signal.signal(number, self._handle) for number in STOPPING}
        found = gpus()
        self.workers = [Worker(number, found) for number in range(count)]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            for worker in self.workers:
                worker.process.kill()
        self.received = number

    def check(self, plan: Plan) -> tuple[str, str]:
        """Let a worker check the plan while the others still start."""
        return self._ask_first(plan)

    def draw(self, found: Findings) -> None:
        """Let a worker write the page: it has torch, which the page's parts need, and the parent
        has not.
        """
        self._ask_first(found)

    def _ask_first(self, what: Any) -> Any:
        first = self.workers[0]
        first.send(what)
        while not first.connection.poll(LOOK):
            if self.received:
                raise SystemExit(128 + self.received)
        try:
            answer = first.connection.recv()
        except EOFError:
            raise UserError(
                "a worker died at something else than a trial; --workers 1 shows more"
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def work(self, study: Study, watch: SweepDisplay) -> int:
        """Keep all workers busy; returns the number of the signal that stopped them, or 0."""
        looked, asked, told = -ELSEWHERE, 0.0, False
        while True:
            busy = [worker for worker in self.workers if worker.order is not None]
            if self.received and not asked:
                asked = time.monotonic()
            if (
                asked and not told and time.monotonic() > asked + LOOK
            ):  # a scheduler's signal has reached the workers too:
                told = True  # a second one would end them at once
                for worker in busy:
                    os.kill(worker.process.pid or 0, signal.SIGTERM)
            if asked and time.monotonic() > asked + GRACE:
                for worker in busy:
                    worker.process.kill()
            if (
                not asked
                and (len(busy) < len(self.workers))
                and time.monotonic() - looked > (ELSEWHERE if busy else 0)
            ):
                busy = self._give_out(study, watch)
                looked = time.monotonic()
            if not busy and (asked or study.is_over()):
                return self.received
            ready = connection.wait(
                [worker.connection for worker in self.workers], timeout=LOOK if busy else ELSEWHERE
            )
            for worker in self.workers:
                if worker.connection in ready:
                    self._hear(worker, study, watch, bool(asked))
                    looked = -ELSEWHERE
            watch.look()

    def _give_out(self, study: Study, watch: SweepDisplay) -> list[Worker]:
        for worker in self.workers:
            if worker.order is None:
                worker.order = study.claim()
                if worker.order is None:
                    break
                watch.begun(worker.order)
                worker.send(worker.order)
        return [worker for worker in self.workers if worker.order is not None]

    def _hear(self, worker: Worker, study: Study, watch: SweepDisplay, stopping: bool) -> None:
        order = worker.order
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            if order is not None:
                over = False if stopping else study.died(order)
                outcome = (
                    Outcome("failed", reason="its process died") if over else Outcome("interrupted")
                )
                if not over:
                    study.ended(order, outcome)
                watch.ended(order, outcome)
            worker.order = None
            worker.end()
            if not stopping:
                worker.start()
            return
        assert order is not None
        if isinstance(message, Report):
            watch.reported(order, message)
            worker.send(study.reported(order, message))
        elif isinstance(message, Outcome):
            worker.order = None
            study.ended(order, message)
            watch.ended(order, message)

    def close(self) -> None:
        for worker in self.workers:
            worker.end()
        for number, handler in self.before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def started_with(gpu: str | None) -> Iterator[None]:
    """What a process started meanwhile inherits: one GPU, and no ear for the terminal's Ctrl-C,
    which is its parent's.
    """
    variable, before = "CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES")
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    if gpu is not None:
        os.environ[variable] = gpu
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if gpu is not None:
            os.environ.pop(variable) if before is None else os.environ.update({variable: before})


def gpus() -> list[str]:
    """The GPUs of this machine that may be used, as CUDA_VISIBLE_DEVICES names them; found without
    torch.
    """
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [word for word in given.split(",") if word.strip()]
    if not (program := shutil.which("nvidia-smi")):
        return []
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60).stdout
    return re.findall(r"UUID: (MIG-[\w-]+)", listed) or re.findall(r"UUID: (GPU-[\w-]+)", listed)


def serve(talk: connection.Connection) -> None:
    """The life of a worker: check or run what it is sent, until there is nobody to send
    anything.
    """
    if hasattr(os, "setpgrp"):
        # Ctrl-C reaches a whole group of processes; this one is told by its parent, once
        os.setpgrp()
    Thread(target=follow_parent, daemon=True).start()
    tqdm.set_lock(
        RLock()
    )  # its own is a semaphore of the system, which a process that is killed leaves behind
    from .check import check
    from .page import write_page
    from .trial import run_trial

    do: dict[type, Callable[[Any], Any]] = {
        TrialSpec: lambda order: run_trial(order, ask),
        Plan: partial(attempt, check),
        Findings: partial(attempt, write_page),
    }

    def ask(report: Report) -> bool:
        talk.send(report)
        return talk.recv()

    gc.freeze()
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = talk.recv()
            talk.send(do[type(message)](message))


def attempt(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the exception it raises: one can be sent to another process, a raised
    one cannot.
    """
    try:
        return call(*arguments)
    except UserError as error:
        return error
    except Exception as error:
        error.add_note("in a worker; --workers 1 shows where")
        return error


def follow_parent() -> None:
    """End with the parent, even if it is killed: the next one continues this trial from its
    checkpoint.
    """
    process = parent_process()
    assert process is not None
    process.join()
    os._exit(1)
