"""`stats` prints the statistics that fit uses, and those of the whole training split, of data with
known ones.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from project.data import vision
from project.engine.loading.arrays import Arrays
from tests.conftest import Project

WHITE = {"every other": [], "one more": [2]}


@pytest.fixture(params=WHITE)
def halves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """MNIST is 20 images of which every other is black and every other, and perhaps one more,
    white.
    """

    def load(data: vision.MNIST, split: str) -> Arrays:
        images = torch.zeros(20, 1, 4, 4, dtype=torch.uint8)
        images[1::2] = 255
        images[WHITE[request.param]] = 255
        return Arrays(images, torch.arange(20) % 2)

    monkeypatch.setattr(vision.MNIST, "load", load)
    monkeypatch.setattr(vision.MNIST, "missing", lambda data: [])
    return str(request.param)


def statistics(out: str) -> dict[str, list[str]]:
    """The rows of the table of statistics by their first word."""
    lines = out[out.index("\ninput ") :].partition("\nnote ")[0].strip().splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines[1:]}


def test_images_of_a_known_mean_and_deviation(halves: str, project: Project) -> None:
    code, out, err = project("stats --data MNIST --data.validation 0.2")
    assert code == 0, err
    assert "fit trains on 16 of the 20 samples of the training split" in out
    assert "fit mean   fit std   published mean   published std" in out
    fit_mean, _, mean, std = statistics(out)["grey"]
    if halves == "every other":
        assert (fit_mean, mean, std) == ("0.5000", "0.5000", "0.5000")
    else:
        assert (mean, std) == ("0.5500", "0.4975")  # 11 of 20
        assert fit_mean in ("0.5000", "0.5625")  # the one more is held out, or it is one of 9 of 16


@pytest.mark.parametrize("has_header", [True, False])
def test_the_columns_of_a_table(has_header: bool, project: Project, tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        [i % 2, 1000 * (i % 2) + 500, "ab"[i % 2], i % 2 * 2.5] for i in range(40)
    ]
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([["x", "big", "letter", "y"]] * has_header + rows)
    words = (
        "--data CSVTable --data.root . --data.file t.csv --data.target -1 --data.read.header "
        f"{str(has_header).lower()}"
    )
    code, out, err = project("stats", words)
    assert code == 0, err
    assert "fit trains on 28 of the 40 samples" in out and "whole mean   whole std" in out
    names = ("x", "big") if has_header else ("0", "1")
    table = statistics(out)
    assert tuple(table) == names
    assert table[names[0]][2:] == ["0.5000", "0.5000"] and table[names[1]][2:] == [
        "1,000",
        "500.0000",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    {
        "--data Numbers": "the inputs are not normalised",
        "--data DigitSums": "fit trains on 5,032 of the 5,032 samples",
        "--help": "usage: python -m project stats",
    }.items(),
)
def test_other_data_say_what_they_are(words: str, said: str, project: Project) -> None:
    code, out, err = project("stats", words)
    assert code == 0, err
    assert said in out
    assert all(len(line) <= 130 and line == line.rstrip() for line in out.splitlines())
