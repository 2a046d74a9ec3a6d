"""`predict --input`: a trained run over new images, a batch at a time: memory stays flat."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException
from tqdm import tqdm

from ..bases.answering import ANSWERED
from ..bases.images import ImageData
from ..bases.task import Task
from ..cli.evaluation import load, prediction_columns, shortest_of
from ..cli.settings import Settings
from ..errors import UserError, clip, suggest
from ..loading.cache import decode
from ..loading.inputs import TABLES, paths_of
from ..runs.progress import say
from ..runs.rows import RowsFile

SOME = 16  # images that a thread decodes in one go
SMALL = 64 * 64  # values of an image
ROWS = 20_000  # of a table at a time
Block = tuple[dict[str, list[Any]], list[str]]  # columns, and what is wrong with what is left out
NAMED = 5  # files that cannot be read are named, the others counted


def predict(
    checkpoint: Path,
    word: str,
    output: Path,
    settings: Settings,
    top: int = 1,
    on_error: Literal["skip", "stop"] = "stop",
    fabric: Fabric | None = None,
) -> None:
    """Predict every image, or every row of the table, that a word means; write a row for each.

    Args:
        fabric: The device and the precision; default: the CPU's single precision.

    Raises:
        UserError: an image cannot be read and `on_error` is "stop", or all of them cannot; a table
            is not as it was in training.
    """
    task = load(checkpoint, settings)
    fabric = fabric or fabric_of("cpu")
    task.to(fabric.device)
    images, of_rows = isinstance(task.reader, ImageData), Path(word).suffix.lower() in TABLES
    if images is of_rows:
        raise UserError(
            f"--input {clip(word)}: the run was trained on {type(task.reader).__name__}"
        )
    done, faults = 0, list[str]()
    blocks = (
        _images(task, word, top, on_error, output)
        if images
        else _rows(task, Path(word).expanduser(), top)
    )
    with RowsFile(output) as file, torch.inference_mode(), fabric.autocast():
        for columns, wrong in blocks:
            faults += wrong
            if columns:
                file.write(columns)
                done += len(next(iter(columns.values())))
        if not done:
            raise UserError(f"--input {clip(word)}: none of {len(faults)} images can be read")
    for fault in faults[:NAMED]:
        say(f"left out  {fault}")
    more = f", {len(faults):,} left out" if faults else ""
    say(f"{done:,} predictions in {output}{more}")


def fabric_of(
    accelerator: str | None = None, devices: str | None = None, precision: str | None = None
) -> Fabric:
    """The one device and the precision of words as the Trainer takes them.

    Raises:
        UserError: there is no such device, or it is more than one.
    """
    if devices not in (None, "auto", "1") and not re.fullmatch(r"\[\d+\]", devices):
        raise UserError(
            f"--trainer.devices {devices}: predict --input answers on one device, as in 1, or [0] "
            "by its number"
        )
    if precision not in (None, *PRECISIONS):
        known = suggest(str(precision), PRECISIONS, "predict --input knows")
        raise UserError(f"--trainer.precision {precision}: {known}")
    try:
        return Fabric(
            accelerator=accelerator or "auto",
            devices=json.loads(devices) if devices and devices[0] == "[" else 1,
            precision=precision or "32-true",  # type: ignore[arg-type]
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"--trainer.accelerator {accelerator or 'auto'}: {clip(error)}") from error


PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def _images(task: Task, word: str, top: int, on_error: str, output: Path) -> Iterator[Block]:
    """The answers to images, a block at a time, and the faults of those that cannot be read."""
    paths = paths_of(word)
    with tqdm(total=len(paths), desc="predict", unit=" images", leave=False, disable=None) as bar:
        for block, images in decoded(task.reader, paths):
            faults = [str(image) for image in images if isinstance(image, UserError)]
            if faults and on_error == "stop":
                raise UserError(f"{faults[0]}; --on_error skip leaves it out")
            good = [i for i, image in enumerate(images) if not isinstance(image, UserError)]
            columns: dict[str, list[Any]] = {}
            if good:
                names = [block[i] for i in good]
                pixels = torch.from_numpy(np.stack([images[i] for i in good]))
                predictions = task.answer(pixels.permute(0, 3, 1, 2))
                columns = {"file": names}
                columns |= answer_rows(task, predictions, top, names, output)
            yield columns, faults
            bar.update(len(block))


def _rows(task: Task, path: Path, top: int) -> Iterator[Block]:
    """The answers to the rows of a table, a block at a time."""
    done = 0
    with tqdm(desc="predict", unit=" rows", leave=False, disable=None) as bar:
        for inputs in task.reader.accept_file(path, ROWS):
            ids = torch.arange(done, done + len(inputs))
            yield prediction_columns(task, ids, None, task.answer(inputs), top), []
            done += len(inputs)
            bar.update(len(inputs))


def decoded(data: ImageData, paths: Iterable[str]) -> Iterator[tuple[list[str], list[Any]]]:
    """Blocks of paths with their images (H, W, C) uint8, or the error of each that cannot be read;
    the next block is decoded while one is used.
    """
    channels, height, width = data.spec.inputs[0]

    def read(path: str) -> Any:
        try:
            return decode(path, (height, width, channels))
        except UserError as error:
            return error

    threads = torch.get_num_threads()
    # of small ones decoding is Python, in which threads only take turns
    if threads == 1 or channels * height * width < SMALL:
        for block in _blocks(paths, ANSWERED):
            yield block, [read(path) for path in block]
        return

    def read_some(part: list[str]) -> list[Any]:
        return [read(path) for path in part]

    with ThreadPoolExecutor(threads) as pool:
        waiting: list[tuple[list[str], list[Future[list[Any]]]]] = []
        for block in _blocks(paths, ANSWERED):
            waiting.append((block, [pool.submit(read_some, p) for p in _blocks(block, SOME)]))
            if len(waiting) > 1:  # one is decoded while the one before it is used
                yield _decoded(*waiting.pop(0))
        for last in waiting:
            yield _decoded(*last)


def _decoded(block: list[str], parts: list[Future[list[Any]]]) -> tuple[list[str], list[Any]]:
    return block, [image for part in parts for image in part.result()]


def _blocks(paths: Iterable[str], size: int) -> Iterator[list[str]]:
    source = iter(paths)
    while block := list(itertools.islice(source, size)):
        yield block


def answer_rows(
    task: Task, predictions: torch.Tensor, top: int, names: list[str], output: Path
) -> dict[str, list[Any]]:
    """The columns of a block; masks are PNG files in a folder beside the output."""
    if task.spec is not None and task.spec.target == "mask":
        folder = output.with_name(f"{output.stem}-masks")
        folder.mkdir(parents=True, exist_ok=True)
        written = [
            _write_mask(folder, Path(name).stem, mask)
            for name, mask in zip(names, predictions, strict=True)
        ]
        return {**task.to_columns(predictions), "mask": written}
    columns = task.answer_columns(predictions, top)
    return {name: shortest_of(values) for name, values in columns.items()}


def _write_mask(folder: Path, name: str, mask: torch.Tensor) -> str:
    """Write a mask of class numbers; one of a name that is there gets a number."""
    from PIL import Image

    target, number = folder / f"{name}.png", 1
    while target.exists():
        target, number = folder / f"{name}-{number}.png", number + 1
    Image.fromarray(mask.to(torch.uint8).numpy()).save(target)
    return str(target)
