"""What is held out parts no group and comes after what is trained on, where the data say so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from project.data.table import CSVTable
from project.engine.errors import UserError
from project.engine.loading.arrays import Arrays
from project.engine.loading.splits import fold_of, held_out
from tests.conftest import Project

SHARES = {"val": 0.1, "test": 0.2}


def samples(count: int = 600) -> Arrays:
    draw = torch.Generator().manual_seed(0)
    whole = Arrays(torch.rand(count, 3), torch.randint(0, 4, (count,), generator=draw))
    whole.groups = torch.randint(0, 40, (count,), generator=draw)
    return whole


def test_a_group_is_in_one_part_alone() -> None:
    whole = samples()
    assert whole.groups is not None
    parts = held_out(whole, SHARES, 0)
    assert sum(map(len, parts.values())) == len(whole)
    groups = {name: set(whole.groups[rows].tolist()) for name, rows in parts.items()}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not groups[one] & groups[other]
    assert len(parts["test"]) / len(whole) == pytest.approx(0.2, abs=0.06)
    assert not torch.equal(parts["test"], held_out(whole, SHARES, 1)["test"])


def test_folds_part_no_group_and_cover_all() -> None:
    whole = samples()
    assert whole.groups is not None
    folds = [fold_of(whole, number, 5, 0)[0] for number in range(5)]
    assert torch.cat(folds).sort().values.tolist() == list(range(len(whole)))
    groups = [set(whole.groups[rows].tolist()) for rows in folds]
    assert sum(map(len, groups)) == len(set().union(*groups))
    with pytest.raises(UserError, match="only 40 groups"):
        fold_of(whole, 0, 41, 0)


def test_the_past_trains_and_the_future_tests() -> None:
    whole = samples()
    whole.groups, whole.times = None, torch.randperm(600).double() // 2  # two of each time
    parts = held_out(whole, SHARES, 0)
    times = {name: whole.times[rows] for name, rows in parts.items()}
    assert times["train"].max() < times["val"].min() and times["val"].max() < times["test"].min()
    assert len(parts["test"]) == 120 and len(parts["val"]) == 60
    with pytest.raises(UserError, match="the future tests, once"):
        fold_of(whole, 0, 5, 0)


ROWS = [f"p{i % 20},{2000 + i // 12}-{i % 12 + 1:02d}-01,{i % 7},{'ab'[i % 2]}" for i in range(240)]


@pytest.mark.parametrize("option", ["group person", "time date"])
def test_a_column_of_a_table_decides_and_is_no_input(option: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["person,date,x,target", *ROWS]) + "\n")
    what, column = option.split()
    drop = {"group": ["date"], "time": ["person"]}[what]
    data = CSVTable(root=str(tmp_path), file="t.csv", drop=drop, **{what: column})
    data.setup("fit")
    data.setup("test")
    assert data.spec.columns == ("x",)
    lines = {split: [ROWS[row] for row in data.loaded(split).rows] for split in ("train", "test")}
    place = 0 if what == "group" else 1
    values = {split: [line.split(",")[place] for line in part] for split, part in lines.items()}
    assert not set(values["train"]) & set(values["test"])
    if what == "time":
        assert max(values["train"]) < min(values["test"])


MISTAKES = {
    "--data.group nobody": "--data.group nobody: t.csv has no such column",
    "--data.time x --data.folds 3": "the past trains and the future tests, once",
    "--data.time person --data.drop [date]": "--data.time: 'p0' is no date",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line(words: str, project: Project) -> None:
    Path("t.csv").write_text("\n".join(["person,date,x,target", *ROWS]) + "\n")
    code, _, err = project(
        "fit --data CSVTable --data.root . --data.file t.csv --model.net MLP", words
    )
    assert (code, err.count("\n")) == (2, 1) and MISTAKES[words] in err, err
