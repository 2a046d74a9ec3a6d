"""The digits that come with the package, so that a first run needs no download.

1,797 handwritten digits of 8x8 pixels with values 0..16: the test part of "Optical Recognition of
Handwritten Digits", E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository,
https://doi.org/10.24432/C50P49, licence CC BY 4.0. The file is a gzipped CSV, a row of 64 pixels
and the digit for each sample.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch

from project.engine import Arrays, ImageData

FILE = Path(__file__).parent / "digits.csv.gz"


class Digits(ImageData):
    """1,797 handwritten digits of 8x8; a fixed fifth is the test split."""

    splits = ("train",)

    def load(self, split: str) -> Arrays:
        with gzip.open(FILE, "rt") as file:
            table = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.float32))
        images = table[:, :64].mul(255 / 16).round().to(torch.uint8).reshape(-1, 1, 8, 8)
        return Arrays(self.resize_and_convert(images), table[:, 64].long())
