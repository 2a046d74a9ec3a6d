"""The data of a config: a table of its splits, classes and columns, and a picture of a batch before
and after augmentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .. import formats
from ..bases.data import DataModule
from ..bases.images import SAMPLED
from ..cli.screen import show_table
from ..errors import UserError
from ..loading.arrays import Arrays, ItemDataset, copies
from ..spec import Batch, DataSpec, as_tuple
from ..targets import TARGETS
from . import plots
from .pictures import overlay, pixels

SPLITS = ("train", "val", "test")
SAMPLES = 16  # of a picture
COLUMNS, ROWS = 8, 3  # at most; wide pictures stand in fewer columns
MOST_HISTOGRAMS = 12
MOST_ROWS = 60  # of a table of classes or columns


def show(data: DataModule, picture: Path | None) -> None:
    """Print the tables of the data and draw its first training batch.

    Raises:
        UserError: the data cannot be read, or the picture not be written.
    """
    data.prepare_data()
    for stage in ("fit", "test"):
        data.setup(stage)
    print_tables(data)
    print_statistics(data)
    for split, count in copies({name: data.loaded(name) for name in SPLITS}).items():
        print(
            f"note      {count:,} of {len(data.loaded(split)):,} {split} samples are exactly one "
            "of the training samples"
        )
    if picture is None:
        return
    before, after = first_batch(data)
    with plots.drawn():
        is_picture = pixels(as_tuple(before.inputs)[0][0].numpy()) is not None
        figure = drawn_pictures(data, before, after) if is_picture else drawn_columns(data)
        try:
            picture.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(picture, dpi=110)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"--output {picture}: {reason}") from None
    print(picture)


# ---------------------------------------------------------------------- tables


def print_tables(data: DataModule) -> None:
    """Splits with their samples, then classes with their counts, or targets and columns with their
    statistics.
    """
    spec = data.spec
    print(f"{type(data).__name__}: inputs {spec.shape()}, target {spec.target}")
    splits = [[split, f"{len(data.loaded(split)):,}"] for split in SPLITS]
    print_rows(["split", "samples"], splits)
    if spec.counts:
        print_rows(["class", *SPLITS], class_counts(data, spec))
    if spec.scale:
        rows = [
            [name, f"{mean:.5g}", f"{std:.5g}"]
            for name, (mean, std) in zip(spec.names, spec.scale, strict=True)
        ]
        print_rows(["target", "mean", "std"], rows)
    if columns := column_rows(data, spec):
        print_rows(["column", "kind", "missing", "mean", "std", "values"], columns)


def print_statistics(data: DataModule) -> None:
    """Print what the inputs are normalised by, beside the statistics that others publish."""
    trained, whole = data.loaded("train"), data.full_split("train")
    fitted = {"fit": data.preprocessing}
    print(f"\nfit trains on {len(trained):,} of the {len(whole):,} samples of the training split")
    if len(trained) < len(whole):
        name = "published" if "test" in data.splits else "whole"
        fitted[name] = data.fit_preprocessing(whole)
    if isinstance(whole, ItemDataset):
        sampled = min(SAMPLED, len(trained))
        print(f"estimated from {sampled:,} of the samples, since each has to be decoded")
    found = {name: data.statistics(values) for name, values in fitted.items()}
    if not found["fit"]:
        print("the inputs are not normalised")
        return
    heads = [f"{name} {what}" for name in found for what in ("mean", "std")]
    rows = [
        [key, *(formats.statistic(value) for part in found.values() for value in part.get(key, ()))]
        for key in found["fit"]
    ]
    print_rows(["input", *heads], rows)


def class_counts(data: DataModule, spec: DataSpec) -> list[list[str]]:
    """How often each class stands in each split: samples, labels, characters or pixels."""
    counted = [counts_of(data, split, spec) for split in SPLITS]
    return [
        [name, *(f"{counts[i]:,}" if counts is not None else "?" for counts in counted)]
        for i, name in enumerate(spec.names)
    ]


def counts_of(data: DataModule, split: str, spec: DataSpec) -> list[int] | None:
    """The counts of one split; None where only reading every sample would tell."""
    part = data.loaded(split)
    if not isinstance(part, Arrays) or not isinstance(part.targets, Tensor):
        return list(spec.counts) if split == "train" else None
    count = TARGETS[spec.target].count
    targets = part.targets[part.rows]
    return count(targets, len(spec.names)).tolist() if count else None


def column_rows(data: DataModule, spec: DataSpec) -> list[list[str]]:
    """The input columns of a table: kind, share of missing values, mean and deviation, number of
    distinct values.
    """
    numbers: dict[str, Any] = data.preprocessing.get("numbers") or {}
    categories: dict[str, Any] = data.preprocessing.get("categories") or {}
    if not numbers and not categories:
        return []
    part = data.loaded("train")
    assert isinstance(part, Arrays)
    inputs = as_tuple(part.inputs(part.rows))[0]
    encoded = dict(zip(spec.columns, inputs.unbind(1), strict=True))
    rows = []
    for name, how in numbers.items():
        missing = encoded.get(f"{name} is missing")
        share = f"{float(missing.mean()):.1%}" if missing is not None else "0"
        distinct = f"{len(torch.unique(encoded[name])):,}"
        rows.append([name, "number", share, f"{how['mean']:.5g}", f"{how['std']:.5g}", distinct])
    for name, texts in categories.items():
        unseen = f"{float((encoded[name] == 0).float().mean()):.1%}"
        rows.append([name, "category", unseen, "", "", f"{len(texts):,}"])
    return rows


def print_rows(head: list[str], rows: list[list[str]]) -> None:
    """Print a table of at most 80 columns after an empty line; of a long one the beginning."""
    print()
    show_table(head, rows, width=80, limit=MOST_ROWS)


# ---------------------------------------------------------------------- pictures


def first_batch(data: DataModule) -> tuple[Batch, Batch]:
    """The first training batch as it is loaded, and as the network gets it: the way that a Trainer
    takes it.
    """
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.training = True
    data.trainer = trainer
    before = next(iter(data.train_dataloader()))
    copied = tuple(part.clone() for part in as_tuple(before.inputs))
    after = data.on_after_batch_transfer(
        before._replace(inputs=copied if len(copied) > 1 else copied[0]), 0
    )
    return before, after


def drawn_pictures(data: DataModule, before: Batch, after: Batch) -> Figure:
    """Pairs of pictures, before above after, with the target; masks are laid over."""
    spec, kind = data.spec, TARGETS[data.spec.target]
    height, width = as_tuple(before.inputs)[0].shape[2:]
    across = max(1, COLUMNS * height // max(height, width))
    many = min(SAMPLES, ROWS * across)
    first, prepared = as_tuple(before.inputs)[0][:many], as_tuple(after.inputs)[0][:many]
    second = data.pictures(prepared)
    second = prepared if second is None else second
    across = min(across, len(first))
    down = -(-len(first) // across)
    tile = 9.0 / across
    drawing = Figure(
        figsize=(9.0, down * (2 * tile * height / width + 0.55) + 0.5), layout="constrained"
    )
    grid = drawing.subplots(2 * down, across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for i in range(len(first)):
        row, column = divmod(i, across)
        for place, images, batch in ((2 * row, first, before), (2 * row + 1, second, after)):
            image = pixels(images[i].numpy())
            assert image is not None
            if kind.is_overlay:
                image = overlay(image, batch.targets[i].numpy())
            axes = grid[place, column]
            axes.imshow(image, interpolation="nearest")
            text = "" if kind.is_overlay else kind.text(spec.names, batch.targets[i])
            text = formats.shortened(text, 24)
            axes.set_title(text, fontsize=8, fontweight="normal", pad=2)
    seen = as_tuple(after.inputs)[0]
    span = f"values {float(seen.min()):.2f} to {float(seen.max()):.2f}"
    drawing.suptitle(
        f"{type(data).__name__}, first batch: as loaded, and below as the network sees it ({span})",
        fontsize=10,
    )
    return drawing


def drawn_columns(data: DataModule) -> Figure:
    """Histograms of the input columns, as the network sees them, and of the targets, over the
    training split.
    """
    part = data.loaded("train")
    ids = part.rows[torch.linspace(0, len(part) - 1, min(plots.SCATTERED, len(part))).long()]
    inputs, targets = data.fetch("train", ids)
    flat = as_tuple(inputs)[0].flatten(1).float()
    names = data.spec.columns or tuple(f"input {i}" for i in range(flat.shape[1]))
    columns = [(name, flat[:, i].numpy()) for i, name in list(enumerate(names))[:MOST_HISTOGRAMS]]
    if targets.ndim == 1 or targets.shape[-1] == 1:
        columns.append(
            (
                f"target {data.spec.names[0]}" if data.spec.scale else "target",
                targets.flatten().numpy(),
            )
        )
    across = min(4, len(columns))
    down = -(-len(columns) // across)
    drawing = Figure(figsize=(9.0, 1.9 * down + 0.4), layout="constrained")
    for place, (name, values) in enumerate(columns):
        axes = drawing.add_subplot(down, across, place + 1)
        plots.count(axes, values, colour=plots.ORANGE if name.startswith("target") else plots.BLUE)
        axes.set_title(formats.shortened(name, 24), fontsize=9)
        axes.ticklabel_format(scilimits=(-3, 4))
    drawing.suptitle(
        f"{type(data).__name__}, training split: the columns as the network sees them", fontsize=10
    )
    return drawing
