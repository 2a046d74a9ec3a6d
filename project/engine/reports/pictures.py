"""Samples as small pictures, and drawings as parts of a page."""

from __future__ import annotations

import base64
import io
import re

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from ..spec import IGNORED
from .plots import COLOURS, GRID, INK

SIDE = 112  # pixels: larger pictures are made smaller
TINTS = np.array([tuple(bytes.fromhex(colour[1:])) for colour in COLOURS], dtype=np.float32)
UNUSED_IDS = (
    "figure|axes|patch|text|line2d|matplotlib|xtick|ytick|legend|PathCollection|FillBetween"
)


def pixels(sample: np.ndarray) -> np.ndarray | None:
    """A sample as (H, W, 3) uint8: (C, H, W) with 1 or 3 channels, uint8 or any range of floats;
    None if it is no picture.
    """
    if sample.ndim != 3 or sample.shape[0] not in (1, 3):
        return None
    if sample.dtype != np.uint8:
        low, high = float(sample.min()), float(sample.max())
        sample = ((sample - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    return np.repeat(sample, 3 // sample.shape[0], axis=0).transpose(1, 2, 0)


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image with the classes of a mask in colour: (H, W, 3) uint8 and (H, W) class numbers to
    (H, W, 3) uint8.

    The first class, the background, has no colour; ignored pixels are dark.
    """
    mask = mask.astype(np.int64)
    mixed = 0.45 * image + 0.55 * TINTS[(mask - 1) % len(TINTS)]
    shown = np.where((mask == 0)[..., None], image, mixed)
    return np.where((mask == IGNORED)[..., None], image * 0.3, shown).astype(np.uint8)


def heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image, grey, with what a heatmap (H, W) uint8 marks in warm colours: (H, W, 3) uint8."""
    if heat.shape != image.shape[:2]:
        return image
    share = heat[..., None].astype(np.float32) / 255
    grey = image.mean(2, keepdims=True).astype(np.float32).repeat(3, 2)
    colours = matplotlib.colormaps["inferno"](heat)[..., :3].astype(np.float32) * 255
    return ((1 - 0.7 * share) * grey + 0.7 * share * colours).astype(np.uint8)


def beside(*images: np.ndarray) -> np.ndarray:
    """Images of one size in a row, with a gap between them: (H, W, 3) each."""
    gap = np.full((images[0].shape[0], max(1, images[0].shape[1] // 24), 3), 128, np.uint8)
    parts = [part for image in images for part in (image, gap)]
    return np.concatenate(parts[:-1], axis=1)


def data_uri(image: np.ndarray, side: int = SIDE) -> str:
    """An image (H, W, 3) uint8 as the text of an <img src>; photographs as JPEG, small ones as
    PNG.
    """
    picture = Image.fromarray(image)
    is_photograph = max(picture.size) > 64
    picture.thumbnail((side * 4, side))
    stream, kind = io.BytesIO(), "jpeg" if is_photograph else "png"
    picture.save(stream, kind, **({"quality": 88} if is_photograph else {}))
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def svg(figure: Figure, number: int) -> Markup:
    """A drawing as an <svg> that takes its colours of text and lines from the page; `number` sets
    its ids apart from others'.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": str(number), "svg.fonttype": "none"}):
        figure.savefig(
            stream,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            dpi=150,
        )
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(rf' id="(?:{UNUSED_IDS})[\w.]*"', "", text)
    text = re.sub(r"font: ((?:bold )?[\d.]+px) [^;\"]*", r"font: \1 var(--font)", text)
    return Markup(text.replace(INK, "currentColor").replace(GRID, "var(--line)"))
