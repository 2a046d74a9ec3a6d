"""A small stand-in for every dataset the configs name, in the folders they name, so that each
config runs offline.
"""

from __future__ import annotations

import csv
import random
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision import models

from tests.data.test_vision import write_cifar, write_idx

ROWS = 200


def write_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill `root` with images and tables of the shape, though not the content, of the real ones."""
    for name in ("MNIST", "FashionMNIST"):
        write_idx(root / name / "raw")
    write_cifar(root / "cifar-10-batches-py", monkeypatch)
    _write_tables(root / "tables")
    _write_sign_language(root / "sign_language_digits")
    _write_characters(root / "handwritten_chars")
    _write_masks(root / "segmentation")


def write_published(text: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights in torch's own cache, under `root`, where a config asks for those that
    torchvision publishes.
    """
    monkeypatch.setenv("TORCH_HOME", str(root))
    for name in re.findall(r"name: (\w+), weights: DEFAULT", text):
        path = (
            root / "hub/checkpoints" / models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(1)
        torch.save(models.get_model(name, weights=None).state_dict(), path)


def _write_csv(path: Path, rows: list[list[object]], **style: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, **style).writerows(rows)  # type: ignore[arg-type]


def _write_tables(folder: Path) -> None:
    draw = random.Random(0)
    columns = "longitude latitude housing_median_age total_rooms total_bedrooms population households median_income".split()
    houses = [[round(draw.gauss(0, 1), 3) for _ in columns] for _ in range(ROWS)]
    housing = [
        [*house, round(sum(house) * 1000.5, 1), draw.choice(["INLAND", "NEAR BAY"])]
        for house in houses
    ]
    _write_csv(
        folder / "housing.csv", [[*columns, "median_house_value", "ocean_proximity"], *housing]
    )
    folder.mkdir(exist_ok=True)
    people = [
        f"{draw.randint(17, 80)}, {draw.choice(['Private', '?', 'State-gov'])}, "
        f"{draw.randint(10**4, 10**5)}, "
        f"{draw.choice(['HS-grad', 'Masters'])}, {draw.randint(1, 16)}, "
        f"{draw.choice(['<=50K', '>50K'])}"
        for _ in range(ROWS)
    ]
    (folder / "adult.data").write_text("\n".join(people) + "\n\n")
    (folder / "adult.test").write_text("|1x3 Cross validator\n" + ".\n".join(people) + ".\n")
    wines = [
        [round(draw.uniform(0, 9), 2), round(draw.uniform(0, 9), 2), draw.randint(3, 8)]
        for _ in range(ROWS)
    ]
    _write_csv(
        folder / "winequality-red.csv",
        [["fixed acidity", "alcohol", "quality"], *wines],
        delimiter=";",
    )
    flowers = [
        [round(draw.gauss(5, 1), 1), round(draw.gauss(3, 1), 1), f"Iris-{draw.choice('abc')}"]
        for _ in range(ROWS)
    ]
    _write_csv(folder / "iris.data", flowers)


def _image(path: Path, size: tuple[int, int], mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = 3 if mode == "RGB" else 1
    pixels = torch.randint(256, (size[1], size[0], channels), dtype=torch.uint8).numpy()
    Image.fromarray(pixels if channels == 3 else pixels[:, :, 0], mode).save(path)


def _write_sign_language(folder: Path) -> None:
    rows: list[list[object]] = [["file", "split", "person"]]
    for number in range(60):
        name = f"{number % 10}/IMG_{number}.JPG"
        _image(folder / "images" / name, (30, 30), "RGB")
        rows.append([name, ("train", "train", "val", "test")[number // 10 % 4], f"p{number}"])
    _write_csv(folder / "split.csv", rows)


def _write_characters(folder: Path) -> None:
    rows: list[list[object]] = [["file", "label", "split"]]
    for number in range(60):
        name = f"{number}.png"
        _image(folder / "images" / name, (32, 32), "L")
        rows.append([name, "ABCDE"[number % 5], ("train", "train", "val", "test")[number // 5 % 4]])
    _write_csv(folder / "labels.csv", rows)


def _write_masks(folder: Path) -> None:
    names = (
        "sky building pole road pavement tree sign fence car pedestrian cyclist unlabelled".split()
    )
    rows: list[list[object]] = [["file", "split"]]
    (folder / "masks").mkdir(parents=True)
    for number in range(8):
        _image(folder / "images" / f"{number}.jpg", (32, 24), "RGB")
        mask = torch.randint(len(names), (24, 32), dtype=torch.uint8)
        Image.fromarray(mask.numpy()).save(folder / "masks" / f"{number}.png")
        rows.append([number, ("train", "train", "val", "test")[number % 4]])
    _write_csv(folder / "split.csv", rows)
    _write_csv(folder / "classes.csv", [["value", "name"], *enumerate(names)])  # type: ignore[list-item]
