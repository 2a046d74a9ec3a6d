"""`predict --input`: a trained run over new images, a batch at a time: memory stays flat."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from ..bases.answering import ANSWERED
from ..bases.images import ImageData, one_image
from ..bases.task import Task
from ..cli.evaluation import load, shortest
from ..errors import UserError, clip
from ..loading.inputs import paths_of
from ..runs.progress import say
from ..runs.rows import RowsFile

NAMED = 5  # files that cannot be read are named, the others counted


def predict_images(
    checkpoint: Path,
    word: str,
    output: Path,
    top: int = 1,
    on_error: Literal["skip", "stop"] = "stop",
) -> None:
    """Predict every image that a word means, and write a row for each.

    Raises:
        UserError: an image cannot be read and `on_error` is "stop", or all of them cannot.
    """
    task = load(checkpoint)
    if not isinstance(task.reader, ImageData):
        raise UserError(
            f"--input {clip(word)}: the run was trained on {type(task.reader).__name__}"
        )
    paths, done, faults = paths_of(word), 0, list[str]()
    bar = tqdm(total=len(paths), desc="predict", unit=" images", leave=False, disable=None)
    with RowsFile(output) as file, bar, torch.inference_mode():
        for block, images in decoded(task.reader, paths):
            good = [i for i, image in enumerate(images) if not isinstance(image, UserError)]
            for image in images:
                if isinstance(image, UserError):
                    if on_error == "stop":
                        raise UserError(f"{image}; --on_error skip leaves it out")
                    faults.append(str(image))
            if good:
                predictions = task.answer(torch.stack([images[i] for i in good]))
                columns: dict[str, list[Any]] = {"file": [str(block[i]) for i in good]}
                columns |= answer_rows(task, predictions, top, [block[i] for i in good], output)
                file.write(columns)
                done += len(good)
            bar.update(len(block))
        if not done:
            raise UserError(f"--input {clip(word)}: none of {len(paths)} images can be read")
    for fault in faults[:NAMED]:
        say(f"left out  {fault}")
    more = f", {len(faults):,} left out" if faults else ""
    say(f"{done:,} predictions in {output}{more}")


def decoded(data: ImageData, paths: Iterable[Path]) -> Iterator[tuple[list[Path], list[Any]]]:
    """Blocks of paths with their images (C, H, W) uint8, or the error of each that cannot be read;
    the next block is decoded while one is used.
    """
    channels, height, width = data.spec.inputs[0]

    def read(path: Path) -> Any:
        try:
            return one_image(path, (height, width, channels))
        except UserError as error:
            return error

    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
        waiting = None
        for block in _blocks(paths):
            now = block, [pool.submit(read, path) for path in block]
            if waiting:
                yield waiting[0], [future.result() for future in waiting[1]]
            waiting = now
        if waiting:
            yield waiting[0], [future.result() for future in waiting[1]]


def _blocks(paths: Iterable[Path]) -> Iterator[list[Path]]:
    source = iter(paths)
    while block := list(itertools.islice(source, ANSWERED)):
        yield block


def answer_rows(
    task: Task, predictions: torch.Tensor, top: int, names: list[Path], output: Path
) -> dict[str, list[Any]]:
    """The columns of a block; masks are PNG files in a folder beside the output."""
    if task.spec is not None and task.spec.target == "mask":
        folder = output.with_name(f"{output.stem}-masks")
        folder.mkdir(parents=True, exist_ok=True)
        written = [
            _write_mask(folder, path, mask) for path, mask in zip(names, predictions, strict=True)
        ]
        return {**task.to_columns(predictions), "mask": written}
    columns = task.answer_columns(predictions, top)
    return {name: [shortest(value) for value in values] for name, values in columns.items()}


def _write_mask(folder: Path, path: Path, mask: torch.Tensor) -> str:
    """Write a mask of class numbers; one of a name that is there gets a number."""
    from PIL import Image

    target, number = folder / f"{path.stem}.png", 1
    while target.exists():
        target, number = folder / f"{path.stem}-{number}.png", number + 1
    Image.fromarray(mask.to(torch.uint8).numpy()).save(target)
    return str(target)
