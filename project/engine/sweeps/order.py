"""What the parent of a sweep and its workers say to each other: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cli.classes import Tree
from ..registry import PROGRAM
from .space import Scalar


@dataclass(frozen=True)
class TrialSpec:
    """A trial to run, from its beginning or from where it was interrupted."""

    number: int
    parameters: dict[str, Scalar]
    base: Path  # the config of all trials
    folder: Path
    assignments: list[tuple[str, str]]  # --key value over the base
    monitor: str
    direction: str
    description: Tree  # for run.json

    @property
    def command(self) -> str:
        """The same as a command of its own."""
        import shlex

        words = [word for key, text in self.assignments for word in (f"--{key}", text)]
        return shlex.join([*PROGRAM.split(), "fit", "--config", str(self.base), *words])


@dataclass(frozen=True)
class Report:
    """The end of an epoch: the number of epochs so far, the monitored value, and how many are
    planned.
    """

    epoch: int
    value: float | None
    epochs: int | None


@dataclass(frozen=True)
class Findings:
    """What there is to say of a sweep, for its page."""

    name: str
    folder: Path
    monitor: str
    direction: str
    names: dict[str, str]  # key of each parameter -> its short name
    log: list[str]  # the keys of those on a log scale
    rows: list[dict[str, Any]]  # the trials, the best first
    importances: dict[str, float]  # key -> share, the largest first
    retrain: str

    def counts(self) -> dict[str, int]:
        """How many trials ended in each way, where some did."""
        states = [row["state"] for row in self.rows]
        return {
            state: states.count(state)
            for state in ("complete", "pruned", "failed")
            if state in states
        }


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: complete, pruned, failed or interrupted; `value` is the best that was
    reported.
    """

    state: str
    value: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    reason: str = ""
    signal: int = 0  # the number of the one that interrupted it
