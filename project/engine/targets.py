"""The kinds of target: one row each, from which everything else that depends on the kind is read.

A row says how the kind is recognised in a training split, counted, described and written, which
part of a report draws its predictions, and which task is made for it. A new kind is a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .formats import plain
from .spec import IGNORED, DataSpec

FILLER = -1  # fills sequences up to a common length

Names = Sequence[str]


@dataclass(frozen=True)
class TargetKind:
    """What is to be known of a kind of target.

    Args:
        task: Short name of the task that is made for it.
        words: What is predicted, for people; `{}` is the number of names.
        report: The function of reports/predictions.py that draws predictions of this kind.
        fits: Whether targets (N, ...) of a training split are of this kind; asked in the order of
            the table, so that an earlier row may be more special than a later one.
        write: Names and targets (B, ...) to B values for people.
        count: Targets (N, ...) and the number of classes to how often each occurs (classes,);
            None where the kind has no classes: then mean and std of each column are kept instead.
        counted: What `count` counts.
        unknown: A target (...) that stands in where a sample has none.
        is_overlay: Whether a target is drawn over its image instead of written.
        is_of_places: Whether it has an answer for each place; then none speaks for the whole.
    """

    task: str
    words: str
    report: str
    fits: Callable[[Tensor], bool]
    write: Callable[[Names, Tensor], list[Any]]
    unknown: Callable[[DataSpec], Tensor]
    count: Callable[[Tensor, int], Tensor] | None = None
    counted: str = "samples"
    is_overlay: bool = False
    is_of_places: bool = False

    def describe(self, spec: DataSpec) -> str:
        """What is predicted, in a few words: `10 classes`, `numbers: price`."""
        return self.words.format(len(spec.names)) + (
            "" if self.count else ": " + ", ".join(spec.names)
        )

    def text(self, names: Names, target: Any) -> str:
        """Write one target (...) as text."""
        value = self.write(names, torch.as_tensor(target)[None])[0]
        return ", ".join(map(plain, value)) if isinstance(value, list) else plain(value)


def occurrences(targets: Tensor, classes: int) -> Tensor:
    """Count class numbers in targets of any shape; those that are no class do not count."""
    values = targets.flatten().long()
    return torch.bincount(values[(values >= 0) & (values < classes)], minlength=classes)


def write_classes(names: Names, targets: Tensor) -> list[str]:
    """Class numbers (B,) as names; probabilities of blended classes (B, K) with each fraction."""
    if targets.ndim == 1:
        return [names[number] for number in targets.tolist()]
    texts = []
    for row in targets.tolist():
        parts = sorted(zip(row, names, strict=True), reverse=True)
        mixed = parts[0][0] < 0.995
        texts.append(
            " + ".join(f"{name} {part:.2f}" for part, name in parts if part > 0.005)
            if mixed
            else parts[0][1]
        )
    return texts


def write_labels(names: Names, targets: Tensor) -> list[str]:
    """Rows of zeros and ones (B, K) as the names of the ones."""
    return [
        " ".join(name for name, on in zip(names, row, strict=True) if on > 0.5)
        for row in targets.tolist()
    ]


def write_numbers(names: Names, targets: Tensor) -> list[Any]:
    """Numbers (B,), (B, 1) or (B, K) as they are: B numbers, or B lists."""
    return targets.squeeze(-1).tolist() if targets.ndim > 1 else targets.tolist()


def write_masks(names: Names, targets: Tensor) -> list[str]:
    """Masks (B, H, W) as their classes and the fraction of the pixels: `road 0.31, car 0.05`."""
    texts = []
    for mask in targets.long():
        parts = torch.bincount(mask.flatten(), minlength=IGNORED + 1)[:IGNORED] / mask.numel()
        found = zip(names, parts.tolist(), strict=False)
        texts.append(", ".join(f"{name} {part:.2f}" for name, part in found if part > 0))
    return texts


def write_sequences(names: Names, targets: Tensor) -> list[str]:
    """Sequences (B, L), filled with FILLER, as texts; with spaces where a name is a word."""
    between = "" if all(len(name) == 1 for name in names) else " "
    return [
        between.join(names[number] for number in row if number != FILLER)
        for row in targets.long().tolist()
    ]


def are_labels(targets: Tensor) -> bool:
    """Whether targets are several columns of zeros and ones, as floats."""
    return (
        targets.is_floating_point()
        and targets.ndim == 2
        and targets.shape[1] > 1
        and bool(((targets == 0) | (targets == 1)).all())
    )


def are_sequences(targets: Tensor) -> bool:
    """Whether targets are rows of integers of which some are filled up."""
    return not targets.is_floating_point() and targets.ndim == 2 and bool((targets == FILLER).any())


TARGETS: dict[str, TargetKind] = {
    "mask": TargetKind(
        task="Segmentation",
        words="masks of {} classes",
        report="masks",
        fits=lambda targets: targets.ndim == 3 and not targets.is_floating_point(),
        write=write_masks,
        unknown=lambda spec: torch.zeros(spec.inputs[0][1:], dtype=torch.uint8),
        count=occurrences,
        counted="pixels",
        is_overlay=True,
        is_of_places=True,
    ),
    "labels": TargetKind(
        task="Classification",
        words="{} labels",
        report="labels",
        fits=are_labels,
        write=write_labels,
        unknown=lambda spec: torch.zeros(len(spec.names)),
        count=lambda targets, classes: targets.sum(0).long(),
    ),
    "number": TargetKind(
        task="Regression",
        words="numbers",
        report="numbers",
        fits=lambda targets: targets.is_floating_point(),
        write=write_numbers,
        unknown=lambda spec: torch.zeros(len(spec.names)),
    ),
    "sequence": TargetKind(
        task="Transcription",
        words="sequences of {} characters",
        report="sequences",
        fits=are_sequences,
        write=write_sequences,
        is_of_places=True,
        unknown=lambda spec: torch.zeros(1, dtype=torch.int64),
        count=occurrences,
        counted="characters",
    ),
    "count": TargetKind(
        task="Regression",
        words="counts",
        report="numbers",
        fits=lambda targets: targets.ndim == 2,
        write=write_numbers,
        unknown=lambda spec: torch.zeros(len(spec.names), dtype=torch.int64),
    ),
    "class": TargetKind(
        task="Classification",
        words="{} classes",
        report="classes",
        fits=lambda targets: targets.ndim == 1,
        write=write_classes,
        unknown=lambda spec: torch.zeros((), dtype=torch.int64),
        count=occurrences,
    ),
}


def recognise(targets: Tensor) -> str:
    """Return the kind of the targets (N, ...) of a training split.

    Raises:
        ValueError: they are of no kind of the table.
    """
    for kind, row in TARGETS.items():
        if row.fits(targets):
            return kind
    raise ValueError(f"targets of shape {tuple(targets.shape)} are of no kind")


def proposed_names(kind: str, targets: Tensor) -> tuple[str, ...]:
    """Return names for the classes or the columns of targets (N, ...) where the data has none."""
    if TARGETS[kind].count is None or targets.is_floating_point():
        return tuple(f"target{i}" for i in range(targets[:1].numel()))
    known = targets[targets != IGNORED] if kind == "mask" else targets
    return tuple(map(str, range(int(known.max()) + 1)))


def describe(
    inputs: tuple[tuple[int, ...], ...], kind: str, names: tuple[str, ...], targets: Tensor
) -> DataSpec:
    """Return the description of a training split with these targets (N, ...)."""
    if count := TARGETS[kind].count:
        counts = tuple(count(targets, len(names)).tolist())
        return DataSpec(inputs, len(names), kind, names, counts=counts)
    columns = targets.reshape(len(targets), -1).to(torch.float64)
    std, mean = torch.std_mean(columns, 0)
    rounding = 8 * torch.finfo(columns.dtype).eps * columns.abs().amax(0)
    std = torch.where(std > rounding, std, 1.0)  # within rounding of the mean: constant
    scale = zip(mean.tolist(), std.tolist(), strict=True)
    return DataSpec(inputs, len(names), kind, names, scale=tuple(scale))


def unknown(spec: DataSpec, size: int) -> Tensor:
    """Return targets for inputs that have none, so that a task's step can be taken: (size, ...)."""
    one = TARGETS[spec.target].unknown(spec)
    return one.expand(size, *one.shape).clone()


def suited_task(spec: DataSpec) -> str:
    """Return the short name of the task that is made for this data."""
    return TARGETS[spec.target].task
