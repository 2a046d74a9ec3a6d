"""A lock file is held by one process, and is free the moment that process is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from project.engine import locks


@pytest.fixture(params=["fcntl", "filelock"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Systems with fcntl, and those without, where filelock holds the file."""
    if request.param == "filelock":
        monkeypatch.setattr(locks, "fcntl", None)
    yield request.param


def hold(path: Path, pipe: Connection) -> None:
    with locks.lock(path):
        pipe.send("held")
        pipe.recv()


def test_a_lock_ends_with_the_process_that_was_killed(system: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    context = multiprocessing.get_context("fork")  # it inherits which system it is
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(path, theirs))
    process.start()
    assert ours.recv() == "held"
    with pytest.raises(BlockingIOError):
        locks.lock(path)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    locks.lock(path, wait=True).close()


def test_a_lock_that_was_given_back_is_free(system: str, tmp_path: Path) -> None:
    first = locks.lock(tmp_path / "lock")
    first.close()
    with locks.lock(tmp_path / "lock"):
        pass
