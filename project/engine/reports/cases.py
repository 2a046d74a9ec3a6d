"""The predictions of a run for one split, with some of its samples, and how samples are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..formats import plain as figure
from ..spec import DataSpec
from .parts import Part, Picture, Pictures, Table
from .pictures import beside, data_uri, heated, pixels
from .run import Predictions, Run

MOST_SHOWN = 32  # pictures
MOST_COLUMNS = 16  # of a table whose worst rows are shown with their inputs


class Unfit(UserError):
    """Predictions that do not fit the description of the data."""


@dataclass
class Case:
    """The predictions of a run for one split, and some of the samples."""

    run: Run
    split: str
    spec: DataSpec
    saved: Predictions
    samples: dict[str, np.ndarray] | None

    @property
    def targets(self) -> Tensor:
        return torch.from_numpy(self.saved.target)

    @property
    def predictions(self) -> Tensor:
        return torch.from_numpy(self.saved.prediction).float()

    def check(self, fits: bool, expected: str) -> None:
        """Refuse predictions that cannot be this run's.

        Raises:
            Unfit: they do not fit the description of the data.
        """
        if not fits:
            shapes = (
                f"predictions {self.saved.prediction.shape} and targets {self.saved.target.shape}"
            )
            path = self.run.folder.predictions(self.split)
            raise Unfit(f"{path}: {shapes} are not {expected}; are they another run's?")


def worst_first(case: Case) -> list[int]:
    """Positions among the samples of the worst, the worst first."""
    assert case.samples is not None
    chosen = np.flatnonzero(case.samples["worst"])
    return [int(i) for i in chosen[np.argsort(-case.samples["error"][chosen], kind="stable")]]


def even_ones(samples: dict[str, np.ndarray]) -> list[int]:
    """Positions among the samples of those that were not chosen for their error."""
    chosen = samples.get("even", ~samples["worst"])  # there since 0.2
    return [int(i) for i in np.flatnonzero(chosen)]


def shown(
    case: Case,
    chosen: list[int],
    words: Callable[[int], tuple[str, str]],
    wrong: np.ndarray | None,
    title: str,
) -> Iterator[Part]:
    """Samples with their truth and answer in words, as pictures, or as rows where they are none;
    nothing of no sample.
    """
    samples = case.samples
    assert samples is not None
    chosen = list(dict.fromkeys(chosen))[:MOST_SHOWN]
    images = {i: image for i in chosen if (image := pixels(samples["input"][i])) is not None}
    if (heat := samples.get("heat")) is not None:  # where it looked, beside the image
        images = {
            i: beside(image, heated(image, heat[i])) if heat[i].any() else image
            for i, image in images.items()
        }
    pictures = []
    for i, image in images.items():
        truth, answer = words(i)
        lines = [f"true {truth}", f"answer {answer}", f"#{samples['id'][i]}"]
        pictures.append(Picture(data_uri(image), lines, wrong is not None and bool(wrong[i])))
    if pictures:
        note = "Beside an image, where it spoke for the answer." if heat is not None else ""
        yield Pictures(pictures, title=title, note=note)
        return
    head = ["sample", "true", "answer", "error"]
    rows = [[int(samples["id"][i]), *words(i), float(samples["error"][i])] for i in chosen]
    if samples["input"].ndim == 2 and samples["input"].shape[1] <= MOST_COLUMNS:
        width = samples["input"].shape[1]
        head += (
            case.spec.columns
            if len(case.spec.columns) == width
            else [f"input {i}" for i in range(width)]
        )
        rows = [
            [*row, *(float(value) for value in samples["input"][i])]
            for row, i in zip(rows, chosen, strict=True)
        ]
    if rows:
        yield Table(
            head,
            rows,
            title=title,
            note="Inputs as the network sees them." if len(head) > 4 else "",
        )


def listed(values: Any) -> str:
    """Numbers of a row as text."""
    return ", ".join(figure(float(value)) for value in np.atleast_1d(values))
