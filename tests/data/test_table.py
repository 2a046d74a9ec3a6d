"""Tables: what is learnt comes from the training rows alone, is plain values, and is all that
another file needs.
"""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from project.data.table import CSVTable
from project.engine.errors import UserError
from project.engine.loading.arrays import Arrays
from tests.conftest import Project

HEADER = "size,rooms,colour,price"


def rows(count: int = 60, seed: int = 0) -> list[list[str]]:
    """Rows of two numbers, a text and a price that follows from them."""
    draw = random.Random(seed)
    table = []
    for i in range(count):
        size, rooms, colour = (
            draw.gauss(50, 10),
            draw.randint(1, 5),
            ["red", "green", "blue"][i % 3],
        )
        table.append(
            [f"{size:.2f}", str(rooms), colour, f"{size * rooms + 20 * (colour == 'red'):.2f}"]
        )
    return table


def write(table: list[list[str]], name: str = "t.csv", head: str = HEADER) -> None:
    Path(name).write_text("".join(f"{line}\n" for line in [head, *map(",".join, table)] if line))


def make(**options: Any) -> CSVTable:
    return CSVTable(**{"root": ".", "file": "t.csv", "target": "price"} | options)


def split(data: CSVTable, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, targets and row numbers of a split."""
    part = data.part(name)
    assert isinstance(part, Arrays) and isinstance(part.targets, Tensor)
    return part.inputs(part.rows), part.targets[part.rows], part.rows


# ---------------------------------------------------------------------- encoding


def test_numbers_are_standardised_by_the_training_rows_and_texts_become_codes() -> None:
    table = rows()
    write(table)
    data = make()
    inputs, targets, ids = split(data, "train")
    assert data.spec.columns == ("size", "rooms", "colour") and data.spec.cardinalities == (4,)
    assert (
        data.spec.inputs == ((3,),)
        and data.spec.names == ("price",)
        and data.spec.target == "number"
    )
    assert inputs.dtype == torch.float32 and targets.shape == (len(ids), 1)
    torch.testing.assert_close(inputs[:, :2].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs[:, :2].std(0, correction=0), torch.ones(2))
    for split_name in ("train", "val", "test"):
        inputs, targets, ids = split(data, split_name)
        written = [table[i] for i in ids.tolist()]
        mean, std = (data.preprocessing["numbers"]["size"][key] for key in ("mean", "std"))
        torch.testing.assert_close(
            inputs[:, 0] * std + mean, torch.tensor([float(row[0]) for row in written])
        )
        assert inputs[:, 2].tolist() == [
            1 + sorted(["red", "green", "blue"]).index(row[2]) for row in written
        ]
        torch.testing.assert_close(targets[:, 0], torch.tensor([float(row[3]) for row in written]))
    mean, std = data.spec.scale[0]
    prices = np.array([float(table[i][3]) for i in split(data, "train")[2].tolist()])
    assert (mean, std) == pytest.approx((prices.mean(), prices.std()), rel=1e-5)


def test_counts_stay_whole() -> None:
    table = rows()
    write(table)
    data = make(target="rooms", target_type="count")
    _, targets, ids = split(data, "test")
    assert targets.dtype == torch.int64 and targets.tolist() == [
        [int(table[i][1])] for i in ids.tolist()
    ]
    _, targets, _ = split(data, "train")
    assert (data.spec.target, data.spec.names) == ("count", ("rooms",))
    assert data.spec.scale[0][0] == pytest.approx(float(targets.double().mean()))


def test_nothing_is_learnt_from_the_held_out_rows() -> None:
    table = rows()
    write(table)
    before = make()
    train = set(split(before, "train")[2].tolist())
    for i in set(range(len(table))) - train:
        table[i] = ["9999", "", "violet", "77777.0"]
    write(table)
    after = make()
    assert set(split(after, "train")[2].tolist()) == train
    assert after.preprocessing == before.preprocessing
    inputs, _, _ = split(after, "test")
    assert (inputs[:, 0] > 100).all() and (inputs[:, 1] == 0).all() and (inputs[:, 2] == 0).all()


def test_a_missing_number_is_the_mean_and_has_an_indicator_if_training_has_missing_ones() -> None:
    table = rows()
    for i in range(0, 60, 4):
        table[i][1] = ["", "?"][i % 8 // 4]
    write(table)
    write([["", "", "", "1.0"], ["50", "3", "red", "2.0"]], "new.csv")
    data = make(test_file="new.csv")
    inputs, _, ids = split(data, "train")
    assert data.spec.columns == ("size", "rooms", "rooms is missing", "colour")
    missing = ids % 4 == 0
    assert torch.equal(inputs[:, 2], missing.float()) and (inputs[missing, 1] == 0).all()
    inputs, _, _ = split(data, "test")
    assert inputs[0].tolist() == [0, 0, 1, 0] and inputs[1, 2] == 0 and inputs[1, 3] == 3


def test_numbers_by_quantiles_are_normal_scores_that_outliers_do_not_move() -> None:
    sklearn = pytest.importorskip("sklearn.preprocessing")
    draw = np.random.default_rng(0)
    skewed, tied = np.exp(2 * draw.normal(size=800)), draw.integers(0, 4, 800)
    table = [
        [f"{a!r}", str(b), "" if i == 5 else "1", f"{a + b}"]
        for i, (a, b) in enumerate(zip(skewed.tolist(), tied.tolist(), strict=True))
    ]
    table[0][0] = "1e12"
    write(table, head="skewed,tied,constant,price")
    data = make(scale="quantile", validation=0.0, test=0.0)
    inputs, _, ids = split(data, "train")
    values = np.array([[float(row[0]), float(row[1])] for row in table])[ids]
    fitted = sklearn.QuantileTransformer(n_quantiles=800, output_distribution="normal")
    wanted = torch.from_numpy(fitted.fit_transform(values)).clamp(-3.3, 3.3)
    inner = wanted[:, 0].abs() < 2.5
    torch.testing.assert_close(
        inputs[inner, 0].double(), wanted[inner, 0], atol=2e-3, rtol=0, check_dtype=False
    )
    middle = (values[:, 1] > 0) & (values[:, 1] < 3)  # the ends of ties are drawn to the middle
    torch.testing.assert_close(
        inputs[middle, 1].double(), wanted[middle, 1], atol=2e-2, rtol=0, check_dtype=False
    )
    assert inputs[:, 0].abs().max() < 3.5 and (inputs[:, 2] == 0).all()
    new, _ = data.accept([{"skewed": -1e9, "tied": 1, "constant": 7}])
    assert new[0, 0] == inputs[:, 0].min() and new[0, 2] == 0


@pytest.mark.parametrize(("min_count", "cardinality"), [(1, 5), (2, 4), (21, 0)])
def test_rare_texts_share_the_code_of_unseen_ones(min_count: int, cardinality: int) -> None:
    table = rows()
    table[0][2] = "once"
    write(table)
    data = make(min_count=min_count, validation=0.0, test=0.0)
    if not cardinality:
        with pytest.raises(
            UserError, match=r"no value of colour occurs 21 times .* drop '\[colour\]'"
        ):
            split(data, "train")
        return
    inputs, _, _ = split(data, "train")
    assert data.spec.cardinalities == (cardinality,)
    assert (inputs[0, 2] == 0) == (min_count == 2) and (inputs[1:, 2] > 0).all()


def test_a_constant_column_stays_small_on_other_values() -> None:
    write([["7.5", *row[1:]] for row in rows()])
    write([["8.5", "1", "red", "1.0"]], "new.csv")
    data = make(test_file="new.csv")
    assert (split(data, "train")[0][:, 0] == 0).all() and split(data, "test")[0][0, 0] == 1


def test_a_column_of_numbers_can_be_categories() -> None:
    write(rows())
    data = make(categorical=["rooms"])
    inputs, _, ids = split(data, "train")
    assert data.spec.columns == ("size", "rooms", "colour") and data.spec.cardinalities == (6, 4)
    assert inputs[:, 1].tolist() == [float(rows()[i][1]) for i in ids.tolist()]


def test_columns_are_dropped_by_name_and_number() -> None:
    write([[str(i), *row] for i, row in enumerate(rows())], head="," + HEADER)
    with pytest.raises(UserError, match=r"t.csv: column 0 has no name, .*drop \[0\]"):
        split(make(), "train")
    data = make(drop=[0, "colour"])
    split(data, "train")
    assert data.spec.columns == ("size", "rooms") and data.spec.cardinalities == ()


# ---------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("target", "target_type", "kind", "names"),
    [
        ("price", "auto", "number", ("price",)),
        ("colour", "auto", "class", ("blue", "green", "red")),
        ("rooms", "class", "class", ("1", "2", "3", "4", "5")),
        ("rooms", "number", "number", ("rooms",)),
        (-1, "number", "number", ("price",)),
        (1, "class", "class", ("1", "2", "3", "4", "5")),
    ],
)
def test_the_kind_of_the_target(
    target: int | str, target_type: str, kind: str, names: tuple[str, ...]
) -> None:
    table = rows()
    write(table)
    data = make(target=target, target_type=target_type)
    _, targets, ids = split(data, "train")
    assert (data.spec.target, data.spec.names, data.spec.outputs) == (kind, names, len(names))
    if kind == "class":
        column = HEADER.split(",").index(target) if isinstance(target, str) else target
        assert [names[i] for i in targets.tolist()] == [table[i][column] for i in ids.tolist()]
        assert data.spec.counts == tuple(torch.bincount(targets).tolist())


def test_classes_that_are_numbers_are_in_the_order_of_numbers() -> None:
    write([[*row[:3], str(i % 11)] for i, row in enumerate(rows())])
    data = make(target_type="class")
    split(data, "train")
    assert data.spec.names == tuple(map(str, range(11)))


def test_held_out_shares_have_the_same_share_of_every_class() -> None:
    write([[*row[:3], "rare" if i % 10 == 0 else "common"] for i, row in enumerate(rows(200))])
    data = make()
    counts = {
        name: torch.bincount(split(data, name)[1]).tolist() for name in ("train", "val", "test")
    }
    assert counts == {"train": [126, 14], "val": [18, 2], "test": [36, 4]}


# ---------------------------------------------------------------------- other files


def uci(table: list[list[str]], name: str, first: str = "", suffix: str = "") -> None:
    """As the UCI repository has them: no header, a space before each field, a blank last line."""
    Path(name).write_text(first + "".join(", ".join(row) + suffix + "\n" for row in table) + "\n")


def test_the_files_of_uci_adult_are_read_as_they_are() -> None:
    train = [[*row[:3], [">50K", "<=50K"][i % 3 > 0]] for i, row in enumerate(rows())]
    train[3][2] = "?"
    test = [["40.5", "2", "green", ">50K"], ["?", "2", "?", "<=50K"]]
    uci(train, "adult.data")
    uci(test, "adult.test", first="|1x3 Cross validator\n", suffix=".")
    data = make(
        file="adult.data",
        test_file="adult.test",
        read={"header": False, "comment": "|"},
        target=3,
        label_suffix=".",
    )
    split(data, "train")
    assert data.spec.names == ("<=50K", ">50K")
    inputs, targets, _ = split(data, "test")
    assert (
        targets.tolist() == [1, 0] and inputs[0, 2] == 2 and inputs[1, 2] == 0 and inputs[1, 0] == 0
    )


def test_another_file_needs_nothing_but_what_was_fitted() -> None:
    write(rows())
    write(
        [["x", "red", "55.5", "3", "9.5"], ["y", "mauve", "45.5", "1", "8.5"]],
        "new.csv",
        "extra,colour,size,rooms,price",
    )
    data = make(test_file="new.csv")
    expected = split(data, "test")
    Path("t.csv").unlink()
    again = make(test_file="new.csv")
    again.restore(json.loads(json.dumps(data.preprocessing)))
    for ours, theirs in zip(split(again, "test"), expected, strict=True):
        assert torch.equal(ours, theirs)
    assert again.spec == data.spec


def test_categories_and_classes_that_look_like_numbers_in_another_file_stay_what_they_were() -> (
    None
):
    write(
        [
            ["01" if i % 2 else "A", *row[1:3], "no" if i % 3 else "1"]
            for i, row in enumerate(rows())
        ]
    )
    write([["01", "2", "red", "1"], ["1", "3", "red", "1"]], "new.csv")
    data = make(test_file="new.csv")
    inputs, targets, _ = split(data, "test")
    assert data.spec.columns == ("rooms", "size", "colour") and data.spec.names == ("1", "no")
    assert inputs[:, 1].tolist() == [1, 0] and targets.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("new", "head", "message"),
    [
        (
            [["many", "2", "red", "1.0"]],
            HEADER,
            "new.csv:2: 'many' in column 'size' is not a number; read.na_values names",
        ),
        (
            [["1", "inf", "red", "1.0"]],
            HEADER,
            "new.csv:2: 'inf' in column 'rooms' is infinite; read.na_values names",
        ),
        (
            [["1", "2", "red", "1.0"], ["1", "2", "red", ""]],
            HEADER,
            "new.csv:3: the target 'price' is missing; complete the line",
        ),
        ([["1", "2", "red", "nan"]], HEADER, "new.csv:2: the target 'price' is missing"),
        ([["1", "2", "red", "-inf"]], HEADER, "new.csv:2: '-inf' in column 'price' is infinite"),
        (
            [["1", "2", "red", "dear"]],
            HEADER,
            "new.csv:2: 'dear' in column 'price' is not a number",
        ),
        (
            [["1", "2", "red"]],
            "size,rooms,colour",
            "new.csv: no column 'price', which the training had; it has: ",
        ),
        (
            [["1", "2", "red", "1.0"]],
            "size,room,colour,price",
            "no column 'rooms', which the training had; did you mean room?",
        ),
        ([], HEADER, "new.csv: no rows, only a header"),
    ],
)
def test_another_file_that_does_not_fit_is_told_with_its_line(
    new: list[list[str]], head: str, message: str
) -> None:
    write(rows())
    write(new, "new.csv", head)
    data = make(test_file="new.csv")
    split(data, "train")
    with pytest.raises(UserError) as caught:
        split(data, "test")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            "violet",
            "the label 'violet' is not among those of the training split; there are: blue, "
            "green, red",
        ),
        ("gren", "did you mean green?"),
        ("red.", "label_suffix '.' cuts the end off"),
        ("", "the target 'colour' is missing"),
    ],
)
def test_a_label_that_training_has_not_seen_is_told_with_its_line(label: str, message: str) -> None:
    write(rows())
    write([["1", "2", "red", "1.0"], ["1", "2", label, "1.0"]], "new.csv")
    data = make(test_file="new.csv", target="colour")
    with pytest.raises(UserError) as caught:
        split(data, "test")
    assert str(caught.value).startswith("new.csv:3: ") and message in str(caught.value)


# ---------------------------------------------------------------------- mistakes


def spoilt(row: int, column: int, value: str) -> list[list[str]]:
    table = rows()
    table[row][column] = value
    return table


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (
            rows(),
            {"target": "rooms"},
            "target_type: the target 'rooms' holds whole numbers (1, 2, 3, 4, 5): say "
            "class, number or count",
        ),
        (
            rows(),
            {"target": "prize"},
            "target prize: t.csv has no such column; did you mean price or size?",
        ),
        (
            rows(),
            {"drop": ["colr"]},
            "drop colr: t.csv has no such column; did you mean colour?",
        ),
        (rows(), {"drop": ["price"]}, "drop price: that is the target"),
        (
            rows(),
            {"drop": ["size", "rooms", "colour"]},
            "t.csv: no column is left beside the target 'price'",
        ),
        (rows(), {"categorical": [7]}, "categorical 7: t.csv has no such column"),
        (
            rows(),
            {"file": "s.csv"},
            "file s.csv: there is no file s.csv; did you mean t.csv?",
        ),
        (
            rows(),
            {"root": "nowhere"},
            "root nowhere: there is no folder nowhere, where file t.csv should be",
        ),
        (
            rows(),
            {"target_type": "class"},
            "the target 'price' has 60 classes in 60 training rows; target names another",
        ),
        (
            [[*row[:2], "red", row[3]] for row in rows()],
            {"target": "colour"},
            "the target 'colour' has 1 class in 42 training rows",
        ),
        (
            [["", *row[1:]] for row in rows()],
            {},
            "t.csv: no value of size occurs 2 times in the training split",
        ),
        (
            [[*row[:2], f"no{i}", row[3]] for i, row in enumerate(rows())],
            {},
            "t.csv: no value of colour occurs 2 times",
        ),
        (spoilt(20, 3, ""), {}, "t.csv:22: the target 'price' is missing"),
        (
            spoilt(20, 3, "dear"),
            {},
            "t.csv:22: 'dear' in column 'price' is not a number, but most of the column is; if "
            "they are cl",
        ),
        (spoilt(20, 0, "*"), {}, "t.csv:22: '*' in column 'size' is not a number"),
        (spoilt(20, 0, "1e999"), {}, "t.csv:22: 'inf' in column 'size' is infinite"),
        (
            rows(),
            {"read": {"header": False}, "target": 3},
            "t.csv:1: 'price' in column '3' is not a number; if this line names the columns",
        ),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(
    table: list[list[str]], options: dict[str, Any], message: str
) -> None:
    write(table)
    with pytest.raises(UserError) as caught:
        split(make(**options), "train")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "hint"),
    [(r, "read.na_values names the texts that mean a missing value") for r in range(6)],
)
def test_a_text_among_numbers_is_told_in_whatever_split_it_lies(row: int, hint: str) -> None:
    write(spoilt(row, 0, "n.k."))
    with pytest.raises(
        UserError,
        match=rf"^t.csv:{row + 2}: 'n\.k\.' in column 'size' is not a number.*; {hint}",
    ):
        make().setup("fit")
    data = make(read={"na_values": ["n.k."]})
    data.setup("fit")
    assert data.preprocessing["numbers"]["size"]["mean"] == pytest.approx(50, abs=5)


# ---------------------------------------------------------------------- the command line


def test_fit_test_and_predict_from_the_command_line(project: Project) -> None:
    write(rows(200))
    options = (
        "--data CSVTable --data.root . --data.file t.csv --data.target price --model Regression "
        "--model.optimizer.lr 0.02"
    )
    code, _, err = project(
        "fit", options, "--trainer.max_epochs 20 --run r --run.tensorboard false"
    )
    assert code == 0, err
    results = json.loads(Path("r/results.json").read_text())
    assert results["last"]["val/r2"] > 0.9
    write(rows(20, seed=1), "new.csv")
    Path("t.csv").unlink()
    code, out, err = project("test --ckpt_path r --data.test_file new.csv")
    assert code == 0, err
    assert float(out.split("test/r2")[1].split()[0]) > 0.8
    code, _, err = project("predict --ckpt_path r --data.test_file new.csv --output p.csv")
    assert code == 0, err
    assert len(Path("p.csv").read_text().splitlines()) == 21


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "task", "columns"),
    [
        ("price", "Regression", ["id", "price"]),
        ("colour", "Classification --model.net MLP", ["id", "prediction", "probability"]),
    ],
)
def test_a_table_without_its_target_is_predicted_alike(
    target: str, task: str, columns: list[str], project: Project
) -> None:
    write(rows(200))
    options = (
        f"--data CSVTable --data.root . --data.file t.csv --data.target {target} --model {task}"
    )
    code, _, err = project("fit", options, "--trainer.max_epochs 1 --run r --run.tensorboard false")
    assert code == 0, err
    whole, names = rows(20, seed=1), HEADER.split(",")
    place = names.index(target)
    write(whole, "whole.csv")
    write(
        [row[:place] + row[place + 1 :] for row in whole],
        "bare.csv",
        ",".join(name for name in names if name != target),
    )
    for name in ("whole", "bare"):
        code, _, err = project(
            f"predict --ckpt_path r --data.test_file {name}.csv --output {name}-out.csv"
        )
        assert code == 0, err
    with open("whole-out.csv", newline="") as known, open("bare-out.csv", newline="") as unknown:
        first, second = list(csv.reader(known)), list(csv.reader(unknown))
    assert (
        second[0] == columns
        and [row[: len(columns)] for row in first] == second
        and len(second) == 21
    )
    code, _, err = project("test --ckpt_path r --data.test_file bare.csv")
    assert code == 2
    assert (
        f"bare.csv: no column {target!r}, which the training had" in err
        and "predict does without the target" in err
    )
    write([row[1:] for row in whole], "less.csv", HEADER.partition(",")[2])
    code, _, err = project("predict --ckpt_path r --data.test_file less.csv")
    assert code == 2 and "no column 'size', which the training had" in err


def test_a_mistake_on_the_command_line_ends_with_code_2(project: Project) -> None:
    write(spoilt(20, 3, ""))
    code, _, err = project(
        "fit --data CSVTable --data.root . --data.file t.csv --data.target price --model Regression"
    )
    assert (
        code == 2
        and err
        == "error: t.csv:22: the target 'price' is missing; complete the line or delete it; "
        "--data.drop_unlabelled true leaves such rows out\n"
    )


def test_a_parquet_file_is_the_same_table(project: Project) -> None:
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    table = rows()
    write(table)
    frame = pandas.read_csv("t.csv")
    frame.to_parquet("t.parquet")
    for name in ("t.csv", "t.parquet"):
        words = (
            f"fit --data CSVTable --data.root . --data.file {name} --data.target price --model Regression "
            f"--model.net MLP --name {name[2:]} --trainer.max_epochs 1 --run.report false --run.threads 1"
        )
        code, _, err = project(words)
        assert (code, err) == (0, "")
    runs = [Path("runs", name, "000") for name in ("csv", "parquet")]
    assert (runs[0] / "metrics.csv").read_bytes() == (runs[1] / "metrics.csv").read_bytes()


def test_a_file_that_is_no_parquet_is_one_line(project: Project) -> None:
    pytest.importorskip("pyarrow")
    Path("t.parquet").write_text("a,b\n1,2\n")
    code, _, err = project("fit --data CSVTable --data.root . --data.file t.parquet")
    assert (code, err.count("\n")) == (2, 1) and "t.parquet: not a Parquet file" in err
