"""Where a sweep is remembered: a journal file, or a PostgreSQL server that many machines share.

Both give Optuna its storage, let one process at a time change it, and know who of those that run
trials is still alive. Neither needs a clock: the operating system frees a file's lock with the
process that held it, however it ended, and PostgreSQL frees an advisory lock with its connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend

from ..errors import UserError, clip
from ..locks import lock


class Storage(Protocol):
    """What a sweep asks of its memory."""

    optuna: BaseStorage
    owner: str  # the name under which this process runs trials

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """While this is held no other process changes anything."""

    def is_alive(self, owner: str) -> bool:
        """Whether the process of that name still runs."""

    def close(self) -> None:
        """Give the name back."""


def open_storage(address: str | None, folder: Path, name: str) -> Storage:
    """The storage at an address: a PostgreSQL URL, a journal file, or by default a journal in the
    sweep's folder.

    Raises:
        UserError: it is neither, or cannot be reached.
    """
    if address and "://" in address:
        if not re.match(r"postgres(ql)?(\+psycopg)?://", address):
            raise UserError(
                f"--storage {clip(address)}: expected a file, or postgresql://user@host/database"
            )
        from .database import Database

        return Database(address, name)
    path = Path(address) if address else folder / "journal.log"
    if path.is_dir():
        raise UserError(f"--storage {path}: a folder; expected a file, as in {path}/journal.log")
    if address and not path.parent.is_dir():
        raise UserError(f"--storage {path}: there is no folder {path.parent}")
    return JournalFile(path)


class Journal(BaseJournalBackend):
    """Optuna's journal, one JSON value a line, so that its own JournalFileBackend and the dashboard
    can read it.

    Optuna's locks are files that stay behind when their process is killed, and are then broken
    after 30 seconds by a clock. This lock dies with its process; what is written inside one
    `transaction` reaches the file in one piece; and a last line that a crash left half written is
    cut off before the next.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offsets = [0]  # where each line begins, and the next will
        self.pending: list[dict[str, Any]] | None = None  # written in the transaction under way

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        known = min(log_number_from, len(self.offsets) - 1)
        with open(self.path, "rb") as file:
            file.seek(self.offsets[known])
            for number, line in enumerate(file, known):
                if not line.endswith(b"\n"):
                    break  # another process is writing it
                if number + 1 == len(self.offsets):
                    self.offsets.append(self.offsets[number] + len(line))
                if number >= log_number_from:
                    try:
                        yield json.loads(line)
                    except ValueError:
                        raise UserError(
                            f"{self.path}:{number + 1}: damaged; "
                            f"{clip(line.decode(errors='replace'))!r}"
                        ) from None
        if self.pending is not None:
            yield from self.pending[max(0, log_number_from - len(self.offsets) + 1) :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self.transaction():
            assert self.pending is not None
            self.pending += json.loads(json.dumps(logs))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock; what is appended is seen at once here, and by others when this ends."""
        if self.pending is not None:  # inside another
            yield
            return
        with lock(self.path.with_suffix(".lock"), wait=True):
            self.pending = []
            try:
                yield
            finally:
                self._write(self.pending)
                self.pending = None

    def _write(self, logs: Iterable[dict[str, Any]]) -> None:
        text = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in logs).encode()
        if not text:
            return
        with open(self.path, "r+b") as file:
            end = _after_last_line(file)
            file.truncate(end)
            file.seek(end)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def _after_last_line(file: IO[bytes]) -> int:
    """Where the last whole line of a file ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


class JournalFile:
    """A journal file, and beside it a lock file for each process that runs trials of it."""

    def __init__(self, path: Path) -> None:
        self.owners = path.with_suffix(".owners")
        self.owner = uuid.uuid4().hex
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self.journal = Journal(path)
            self.optuna: BaseStorage = JournalStorage(self.journal)
            self.owners.mkdir(exist_ok=True)
            self._lock = lock(self.owners / self.owner)
        except OSError as error:
            raise UserError(
                f"the journal {path}: {error.strerror}; --storage names another file or a server"
            ) from None
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError):
            raise UserError(
                f"{path}: not a journal of Optuna's; --storage names another file or a server"
            ) from None

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        return self.journal.transaction()

    def is_alive(self, owner: str) -> bool:
        if owner == self.owner:
            return True
        # A journal may name anything as an owner; only a name of ours is a file to look at.
        if not isinstance(owner, str) or not re.fullmatch(r"[0-9a-f]{32}", owner):
            return False
        path = self.owners / owner
        if not path.is_file():
            return False
        try:
            held = lock(path)
        except OSError:
            return True
        held.close()
        path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        self._lock.close()
        (self.owners / self.owner).unlink(missing_ok=True)
