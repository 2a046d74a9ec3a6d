"""The answers of a run for one split, with some of its samples, and how samples are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from project.errors import UserError
from project.reports.parts import Part, Picture, Pictures, Table
from project.reports.pictures import data_uri, pixels
from project.reports.run import Answers, Run
from project.spec import DataSpec

MOST_SHOWN = 32  # pictures
MOST_COLUMNS = 16  # of a table whose worst rows are shown with their inputs


@dataclass
class Case:
    """The answers of a run for one split, and some of the samples."""

    run: Run
    split: str
    spec: DataSpec
    answers: Answers
    samples: dict[str, np.ndarray] | None

    @property
    def targets(self) -> Tensor:
        return torch.from_numpy(self.answers.target)

    @property
    def predictions(self) -> Tensor:
        return torch.from_numpy(self.answers.prediction).float()

    def check(self, fits: bool, expected: str) -> None:
        """Refuse answers that cannot be this run's.

        Raises:
            UserError: they do not fit the description of the data.
        """
        if not fits:
            shapes = f"predictions {self.answers.prediction.shape} and targets {self.answers.target.shape}"
            path = self.run.folder.predictions(self.split)
            raise UserError(f"{path}: {shapes} are not {expected}; are they another run's?")


def worst_first(case: Case) -> list[int]:
    """Positions among the samples of the worst, the worst first."""
    assert case.samples is not None
    chosen = np.flatnonzero(case.samples["worst"])
    return [int(i) for i in chosen[np.argsort(-case.samples["error"][chosen], kind="stable")]]


def first_ones(case: Case) -> list[int]:
    """Positions among the samples of those that the split begins with, not chosen for their error."""
    assert case.samples is not None
    ids = case.samples["id"]
    begins = ids == case.answers.id[: len(ids)]
    return list(range(len(ids) if begins.all() else int(begins.argmin())))


def shown(
    case: Case, chosen: list[int], lines: Callable[[int], list[str]], wrong: np.ndarray | None, title: str
) -> Iterator[Part]:
    """Samples as pictures with lines below, or as rows where they are no pictures; nothing where none is chosen."""
    samples = case.samples
    assert samples is not None
    chosen = list(dict.fromkeys(chosen))[:MOST_SHOWN]
    images = {i: image for i in chosen if (image := pixels(samples["input"][i])) is not None}
    pictures = [Picture(data_uri(image), lines(i), wrong is not None and bool(wrong[i])) for i, image in images.items()]
    if pictures:
        yield Pictures(pictures, title=title)
        return
    head, rows = ["true", "answer", "sample", "error"], [[*lines(i), float(samples["error"][i])] for i in chosen]
    if samples["input"].ndim == 2 and samples["input"].shape[1] <= MOST_COLUMNS:
        width = samples["input"].shape[1]
        head += case.spec.columns if len(case.spec.columns) == width else [f"input {i}" for i in range(width)]
        rows = [[*row, *(float(value) for value in samples["input"][i])] for row, i in zip(rows, chosen, strict=True)]
    if rows:
        yield Table(head, rows, title=title)


def listed(values: Any) -> str:
    """Numbers of a row as text."""
    return ", ".join(f"{float(value):.5g}" for value in np.atleast_1d(values))
