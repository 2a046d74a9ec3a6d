"""Images of one person, or of one time, are never parted among the splits; copies are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from project.data.files import FileImages
from project.data.folders import ImageFolder
from project.data.listed import CSVImages
from project.engine.errors import UserError
from tests.conftest import Project

PEOPLE = 12


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two classes of photos of twelve people, five of each; their lists."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    lines = []
    for person in range(PEOPLE):
        for number in range(5):
            label = "ab"[(person + number) % 2]
            path = Path(f"photos/{label}/p{person:02d}_{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 255, (6, 6)).astype(np.uint8)).save(path)
            day = f"2024-{1 + person:02d}-0{1 + number}"
            lines.append(f"{label}/{path.name},{label},person {person},{day}")
    Path("list.csv").write_text("\n".join(["file,label,person,day", *lines]) + "\n")
    Path("person.csv").write_text(
        "\n".join(
            ["file,person", *(f"{line.split(',')[0]},{line.split(',')[2]}" for line in lines)]
        )
        + "\n"
    )


WAYS: dict[str, tuple[type[FileImages], dict[str, Any]]] = {
    "a pattern of paths": (ImageFolder, {"group": "p([0-9]+)_"}),
    "decoded when needed": (ImageFolder, {"group": "p([0-9]+)_", "cache": False}),
    "a column beside the files": (ImageFolder, {"group": "person", "split_file": "../person.csv"}),
    "a column of the list": (CSVImages, {"group": "person", "labels": "../list.csv"}),
    "a pattern of a list": (CSVImages, {"group": "p([0-9]+)", "labels": "../list.csv"}),
}


def made(kind: type[FileImages], options: dict[str, Any], **more: Any) -> FileImages:
    own = {"images": "."} if kind is CSVImages else {}
    data = kind(root="photos", **own, **options, **more)
    for stage in ("fit", "test"):
        data.setup(stage)
    return data


def people(data: FileImages, split: str) -> set[str]:
    rows = data.loaded(split).rows.tolist()
    return {Path(data.listed["train"][row].file).name[:3] for row in rows}


@pytest.mark.parametrize("name", WAYS)
def test_nobody_is_in_two_splits(name: str) -> None:
    data = made(*WAYS[name])
    parts = [people(data, split) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == PEOPLE and all(parts)


@pytest.mark.parametrize("name", WAYS)
def test_nobody_is_in_two_folds(name: str) -> None:
    tested = [
        people(made(*WAYS[name], folds=3, fold=fold, validation=0.2), "test") for fold in range(3)
    ]
    assert sum(map(len, tested)) == len(set.union(*tested)) == PEOPLE


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (CSVImages, {"time": "day", "labels": "../list.csv"}),
        (ImageFolder, {"time": r"p([0-9]+)_"}),
    ],
)
def test_the_past_trains_and_the_future_tests(
    kind: type[FileImages], options: dict[str, Any]
) -> None:
    data = made(kind, options)
    order = [people(data, split) for split in ("train", "val", "test")]
    assert max(order[0]) <= min(order[1]) and max(order[1]) <= min(order[2])


def test_an_image_of_nobody_is_one_of_a_group_too() -> None:
    lines = Path("list.csv").read_text().replace("person 0,", ",")
    Path("list.csv").write_text(lines)
    data = made(CSVImages, {"group": "person", "labels": "../list.csv"})
    assert people(data, "train") | people(data, "val") | people(data, "test") == {
        f"p{i:02d}" for i in range(PEOPLE)
    }


MISTAKES: dict[str, tuple[type[FileImages], dict[str, Any], str]] = {
    "no brackets": (ImageFolder, {"group": "p[0-9]+"}, "expected a column of the CSV, or brackets"),
    "not in a path": (ImageFolder, {"group": "q([0-9]+)"}, "not found in 'a/p00_0.png'"),
    "no column": (CSVImages, {"group": "persn", "labels": "../list.csv"}, "expected a column of"),
    "slow": (ImageFolder, {"group": "((a+)+)+"}, "repeats a repetition"),
    "no date": (CSVImages, {"time": "person", "labels": "../list.csv"}, "'person 0' is no date"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str) -> None:
    kind, options, said = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        made(kind, options)
    assert said in str(caught.value)


def test_copies_across_the_splits_are_counted(project: Project) -> None:
    for part, count, same in (("train", 30, 30), ("val", 6, 0), ("test", 10, 4)):
        for i in range(count):
            path = Path(f"split/{part}/{'ab'[i % 2]}/{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (5, 5), 6 * i if i < same else 255 - i - count).save(path)
    code, out, err = project("show --data ImageFolder --data.root split")
    assert (code, err) == (0, "")
    assert "note      4 of 10 test samples are exactly one of the training samples" in out
    assert out.count("note") == 1
