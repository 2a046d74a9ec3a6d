"""The folder of a run: claimed once, written by one process, found by everyone in one place."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ..errors import UserError
from ..locks import lock
from .files import remove


class RunFolder:
    """Where each part of a run lies on disk."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.description = self.path / "run.json"
        self.metrics = self.path / "metrics.csv"
        self.epochs = self.path / "epochs.csv"
        self.results = self.path / "results.json"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self._lock: ExitStack | None = None

    def __str__(self) -> str:
        return str(self.path)

    def predictions(self, split: str) -> Path:
        return self.path / f"predictions-{split}.npz"

    def samples(self, split: str) -> Path:
        return self.path / ("samples.npz" if split == "val" else f"samples-{split}.npz")

    @classmethod
    def claim(cls, root: Path, name: str) -> RunFolder:
        """The next free number under `root/name`; simultaneous starts get different ones."""
        base = root / name
        number = 0
        try:
            base.mkdir(parents=True, exist_ok=True)
            taken = [int(entry.name) for entry in base.iterdir() if entry.name.isdecimal()]
            number = max(taken, default=-1) + 1
            while True:
                try:
                    (base / f"{number:03d}").mkdir()  # without exist_ok this is atomic
                    return cls(base / f"{number:03d}").open()
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise UserError(f"{base}: {error.strerror}; --run FOLDER writes elsewhere") from None

    def open(self) -> RunFolder:
        """Become the folder's only writer, and clear away what a killed one left half written.

        Raises:
            UserError: the folder cannot be written, or another process is training there.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.path / ".lock")
        except BlockingIOError:
            raise UserError(
                f"{self.path}: another process is writing to this run; wait for it or choose "
                "another folder"
            ) from None
        except OSError as error:
            raise UserError(
                f"{self.path}: {error.strerror}; --run FOLDER writes elsewhere"
            ) from None
        for folder in (self.path, self.checkpoints):
            for part in folder.glob("*.part"):
                part.unlink()
        return self

    def discard_if_unused(self, even_begun: bool) -> None:
        """Remove the folder of a run that was refused before its first step, or in it."""
        unused = {"step-000000000.ckpt"} if even_begun else set()
        if self.checkpoints.is_dir() and {p.name for p in self.checkpoints.iterdir()} <= unused:
            remove(self.path)

    def close(self) -> None:
        """Let another process write here."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
