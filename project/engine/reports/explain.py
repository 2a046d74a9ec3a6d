"""`explain`: where in an image a run looks, and how much each column of a table counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..bases.images import ImageData
from ..bases.task import Task
from ..building.explaining import heatmaps
from ..cli.evaluation import load
from ..cli.settings import Settings, from_assignments
from ..errors import UserError
from ..loading.inputs import TABLES, paths_of
from ..runs.files import write_text
from ..runs.reasons import importance_of
from ..spec import Batch
from . import plots
from .page import page
from .parts import Part, Picture, Pictures, Section
from .pictures import beside, data_uri, heated, pixels
from .predictions import columns

MOST = 200  # images of a page
BLOCK = 32


def explain(checkpoint: Path, word: str | None, output: Path) -> None:
    """Write a page of why a run answers as it does.

    Args:
        checkpoint: A run folder or a checkpoint file.
        word: Images as `predict --input` takes them, or a table with its target; None takes the
            validation split.
        output: The page.

    Raises:
        UserError: it is no run of images or tables, or an input cannot be read.
    """
    task = load(checkpoint)
    table = None if word is None else Path(word).expanduser().absolute()
    is_table = table is not None and table.suffix.lower() in TABLES
    if table is not None and is_table is isinstance(task.reader, ImageData):
        raise UserError(f"--input {word}: the run was trained on {type(task.reader).__name__}")
    if table is not None and is_table:
        settings = Settings()
        given = [("data.root", str(table.parent)), ("data.test_file", table.name)]
        settings.add(from_assignments(given))
        task = load(checkpoint, settings)
    name = f"{type(task.net).__name__} of {checkpoint}"
    make = of_images if isinstance(task.reader, ImageData) else of_columns
    output.parent.mkdir(parents=True, exist_ok=True)
    with plots.drawn(page=True):
        sections = [Section(title, list(parts)) for title, parts in make(task, word)]
        write_text(output, page(f"Why: {name}", sections, {"run": str(checkpoint)}, {}))
    print(output)


def of_images(task: Task, word: str | None) -> Iterator[tuple[str, Iterator[Part]]]:
    """Each image beside what of it spoke for the answer."""
    data = task.reader
    if len(data.spec.inputs) > 1 or data.spec.target == "mask":
        raise UserError("explain is for one image, and an answer to the whole of it")
    if word is None:
        data.prepare_data()
        data.setup("validate")
        part = data.loaded("val")
        rows = part.rows[torch.linspace(0, len(part) - 1, min(len(part), BLOCK)).long()]
        images, names = part.fetch(rows)[0], [f"#{row}" for row in rows.tolist()]
    else:
        paths = paths_of(word)
        if len(paths) > MOST:
            print(f"{len(paths):,} images; the page has the first {MOST}")
        images, _ = data.accept(paths[:MOST])
        names = [Path(path).name for path in paths[:MOST]]
    yield "Where it looked", pictures(task, images, names)


def pictures(task: Task, images: torch.Tensor, names: Sequence[str]) -> Iterator[Part]:
    """Raw images (N, C, H, W) with their names."""
    columns = task.answer_columns(task.answer(images))
    found = []
    for rows in torch.arange(len(images)).split(BLOCK):
        batch = Batch(images[rows], torch.zeros(len(rows)), rows, (0, 0))
        heat = heatmaps(task, task.reader.prepared(batch).inputs)
        if heat is None:
            raise UserError(f"{type(task.net).__name__} has no convolution to look through")
        for i, row in enumerate(rows.tolist()):
            image = pixels(images[row].numpy())
            assert image is not None
            warm = heated(image, (heat[i] * 255).to(torch.uint8).numpy())
            said = [_text(values[row]) for values in columns.values()]
            found.append(Picture(data_uri(beside(image, warm)), [names[row], " ".join(said)]))
    yield Pictures(found, note="Beside an image, where it spoke for the answer.")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def of_columns(task: Task, word: str | None) -> Iterator[tuple[str, Iterator[Part]]]:
    """How much worse the answers become without each column."""
    data, split = task.reader, "val" if word is None else "test"
    data.prepare_data()
    data.setup("validate" if word is None else "test")
    if not data.targets_known:
        raise UserError(f"{word}: explain compares answers with the target, which is missing")
    found = importance_of(task, data, split, data.loaded(split).rows)
    if not found:
        raise UserError(f"{type(data).__name__}: explain is for images, and tables of 20 rows on")
    yield "Columns", columns(found)
