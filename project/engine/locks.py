"""Locks between processes, as files: one ends with its process, however that ended."""

from __future__ import annotations

import contextlib
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: filelock holds the file instead
    fcntl = None  # type: ignore[assignment]


def lock(path: Path, wait: bool = False) -> contextlib.ExitStack:
    """Hold a lock file for as long as this process lives, or until the returned stack is closed.

    Args:
        path: The file; it is made where it is missing.
        wait: Wait for whoever holds it.

    Raises:
        BlockingIOError: another process holds it, and `wait` is false.
        OSError: the file cannot be written, or its file system has no locks.
    """
    with contextlib.ExitStack() as held:
        if fcntl is not None:
            # lockf, and not the flock of filelock: it ends with the process that took it, while
            # flock lives on in the loader workers that inherited the file from a killed one.
            file = held.enter_context(open(path, "ab"))
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        else:
            from filelock import FileLock, Timeout

            try:
                held.enter_context(FileLock(path, timeout=-1 if wait else 0))
            except Timeout:
                raise BlockingIOError(f"{path}: another process holds it") from None
        return held.pop_all()
