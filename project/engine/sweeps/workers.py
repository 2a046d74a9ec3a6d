"""Who runs the trials: this process, or several that it starts, each with a share of the machine.

Each takes its trials from the storage, like the same command on another machine; a parent only
starts workers, starts one again that died, and looks at the storage for what to show.
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
from typing import Any

from tqdm import tqdm

from ..errors import UserError
from ..runs.signals import STOPPING, Signals
from .plan import Plan
from .results import Findings
from .storage import open_storage
from .study import Epoch, Study, TrialSpec

LOOK = 1.0  # seconds between two looks at trials that other processes run
START = "spawn"  # torch does not survive a fork once it has computed or touched a GPU
# seconds a worker has to reach its next save point; the checkpoint before is exact all the same
GRACE = 5.0
SIGNALLED = 0.2  # seconds in which a scheduler's signal has reached the workers too


def check_plan(plan: Plan, debug: bool = False) -> tuple[str, str]:
    from .check import check

    return check(plan, debug)


def draw_page(found: Findings) -> None:
    from .page import write_page

    write_page(found)


def run_trials(study: Study, look: Callable[[], object] = lambda: None) -> int:
    """Run what is left, one trial after the other in this process.

    Args:
        study: Where they come from.
        look: Called when a trial begins or ends, and after each epoch.

    Returns:
        The number of the signal that stopped it, or 0.
    """
    from .trial import run_trial

    def is_pruned(spec: TrialSpec, epoch: Epoch) -> bool:
        pruned = study.is_pruned(spec, epoch)
        look()
        return pruned

    # a look through the half million objects of the libraries after each trial would take 0.1 s
    gc.freeze()
    try:
        while not study.is_over():
            spec = study.claim()
            if spec is None:
                time.sleep(LOOK)
                look()
                continue

            look()
            outcome = run_trial(spec, partial(is_pruned, spec))
            study.ended(spec, outcome)
            look()
            if outcome.state == "interrupted" and outcome.signal:
                return outcome.signal
        return 0
    finally:
        gc.unfreeze()


class InProcess:
    """Trials one after the other in this process."""

    def __init__(self, debug: bool) -> None:
        self.check, self.draw = partial(check_plan, debug=debug), draw_page

    def run(self, study: Study, look: Callable[[], object]) -> int:
        return run_trials(study, look)

    def close(self) -> None:
        pass


class Workers:
    """Several processes, each with its share of cores and GPUs."""

    def __init__(self, count: int) -> None:
        found = gpus()
        self.workers = [
            Worker(found[number % len(found)] if found else None) for number in range(count)
        ]

    def check(self, plan: Plan) -> tuple[str, str]:
        """Let a worker check the plan while the others still start."""
        return self.workers[0].ask(partial(check_plan, plan))

    def draw(self, found: Findings) -> None:
        self.workers[0].ask(partial(draw_page, found))

    def run(self, study: Study, look: Callable[[], object]) -> int:
        """Wait until all trials have ended; returns the number of a signal that came first."""
        job = partial(run_as_worker, study.plan, study.monitor, study.direction)
        signals = Signals()
        before = {number: signal.getsignal(number) for number in STOPPING}
        signals.install()
        try:
            for worker in self.workers:
                worker.send(job)
            while not study.is_over():
                ready = connection.wait([worker.talk for worker in self.workers], timeout=LOOK)
                look()
                if signals.received:
                    self._stop()
                    look()
                    break
                for worker in self.workers:
                    if worker.talk in ready and not worker.is_done():
                        worker.start()
                        worker.send(job)
            return signals.received
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        """Let each worker reach its next save point, if it does so soon."""
        until = time.monotonic() + SIGNALLED
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))
        for worker in self.workers:
            worker.process.terminate()
        until = time.monotonic() + GRACE
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        for worker in self.workers:
            worker.end()


class Worker:
    """A process that does what it is sent, one thing after the other."""

    def __init__(self, gpu: str | None) -> None:
        self.gpu = gpu
        self.start()

    def start(self) -> None:
        context: Any = get_context(START)
        self.talk, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,))
        with started_with(self.gpu):
            self.process.start()
        theirs.close()

    def send(self, call: Callable[[], Any]) -> None:
        with contextlib.suppress(OSError):  # it has died, which the next look tells
            self.talk.send(call)

    def ask(self, call: Callable[[], Any]) -> Any:
        """What a call returns there.

        Raises:
            UserError: the call did, or the process died.
        """
        self.send(call)
        try:
            answer = self.talk.recv()
        except (EOFError, OSError):
            raise UserError(
                "a worker died at something else than a trial; --workers 1 shows more"
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def is_done(self) -> bool:
        """Whether it ran until there was nothing left; False if it died."""
        try:
            answer = self.talk.recv()
        except (EOFError, OSError):
            self.end()
            return False
        if isinstance(answer, BaseException):
            raise answer
        return True

    def end(self) -> None:
        self.talk.close()
        self.process.kill()
        self.process.join()


# ---------------------------------------------------------------------- inside a worker


def serve(talk: connection.Connection) -> None:
    """Do what comes through the pipe, until there is nobody to send anything."""
    if hasattr(os, "setpgrp"):
        # Ctrl-C reaches a whole group of processes; this one hears from its parent, once
        os.setpgrp()
    Thread(target=follow_parent, daemon=True).start()
    # tqdm's own is a semaphore of the system, which a process that is killed leaves behind
    tqdm.set_lock(RLock())
    from . import trial  # noqa: F401 - the long import, while the parent reads and checks

    with contextlib.suppress(EOFError, OSError):
        while True:
            call = talk.recv()
            try:
                answer = call()
            except UserError as error:
                answer = error
            except Exception as error:
                error.add_note("in a worker; --workers 1 shows where")
                answer = error
            talk.send(answer)


def run_as_worker(plan: Plan, monitor: str, direction: str) -> None:
    """Run trials of a sweep that others run too, until none is left or a signal comes."""
    storage = open_storage(plan.storage, plan.folder, plan.name)
    try:
        received = run_trials(Study(plan, storage, monitor, direction))
    finally:
        storage.close()
    if received:
        raise SystemExit(128 + received)


def follow_parent() -> None:
    """End with the parent, even if it is killed: the next one continues this trial from its
    checkpoint.
    """
    process = parent_process()
    assert process is not None
    process.join()
    os._exit(1)


# ---------------------------------------------------------------------- the machine


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
