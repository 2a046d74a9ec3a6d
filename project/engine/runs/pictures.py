"""Pictures that are cheap enough to be drawn while a run goes on: with PIL, in a few
milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SIDE, LARGEST_CELL, SMALLEST_CELL = 480, 40, 5  # pixels
MARGIN, LETTER = 4, 6  # pixels: around everything, and the width of a letter


def confusion_picture(matrix: Tensor, names: Sequence[str]) -> NDArray[np.uint8]:
    """A confusion matrix (C, C) as a picture (H, W, 3): truth in rows, prediction in columns,
    shaded by the share of the row.
    """
    classes = len(matrix)
    cell = max(SMALLEST_CELL, min(LARGEST_CELL, SIDE // classes))
    labels = [name if len(name) <= 14 else name[:13] + "." for name in names] if cell >= 12 else []
    left = MARGIN + (max(map(len, labels)) * LETTER + MARGIN if labels else 0)
    top = MARGIN + 14 + (14 if labels else 0)
    shares = (matrix / matrix.sum(1, keepdim=True).clamp_min(1)).numpy()
    depth = np.sqrt(shares)[:, :, None]  # so that a few errors are seen
    shade = (255 - depth * (215, 140, 60)).astype(np.uint8)
    picture = Image.new(
        "RGB", (max(left + cell * classes + MARGIN, 210), top + cell * classes + MARGIN), "white"
    )
    picture.paste(Image.fromarray(shade.repeat(cell, 0).repeat(cell, 1)), (left, top))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default()
    draw.text((MARGIN, MARGIN), "rows: truth, columns: prediction", fill="black", font=font)
    for number, label in enumerate(labels):
        middle = cell * number + cell // 2
        draw.text((left - MARGIN, top + middle), label, fill="black", font=font, anchor="rm")
        draw.text(
            (left + middle, top - MARGIN),
            label[: cell // LETTER],
            fill="black",
            font=font,
            anchor="ms",
        )
    if cell >= 24:
        for row, column in matrix.nonzero().tolist():
            ink = "white" if shares[row, column] > 0.5 else "black"
            place = (left + cell * column + cell // 2, top + cell * row + cell // 2)
            draw.text(place, short(int(matrix[row, column])), fill=ink, font=font, anchor="mm")
    return np.asarray(picture)


def short(count: int) -> str:
    """A count in at most four letters: `987`, `12k`, `3M`."""
    return (
        str(count)
        if count < 10_000
        else f"{count // 1000}k"
        if count < 1_000_000
        else f"{count // 1_000_000}M"
    )
