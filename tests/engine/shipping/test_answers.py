"""A trained run answers new inputs as a person has them: right, or in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from project import load
from project.__main__ import main
from project.data.digits import Digits
from project.engine.bases.task import Task
from project.engine.errors import UserError
from project.engine.shipping import streams
from tests.conftest import Project

SHORT = "--run.report false --run.tensorboard false --run.threads 1"
ROWS = [f"{i % 9},{'ab'[i % 2]},{'yes' if i % 2 else 'no'}" for i in range(120)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of digits, one of a table of classes, one of numbers."""
    folder = tmp_path_factory.mktemp("shipping")
    (folder / "t.csv").write_text("\n".join(["x,letter,target", *ROWS]) + "\n")
    numbers = [f"{i % 9},{'ab'[i % 2]},{2.5 * (i % 9) + 0.5}" for i in range(120)]
    (folder / "n.csv").write_text("\n".join(["x,letter,target", *numbers]) + "\n")
    table = f"--data CSVTable --data.root {folder} --model.net MLP --model.optimizer.lr 0.03"
    for name, words in {
        "digits": "--data.size 16 --model.optimizer.lr 0.003 --trainer.max_epochs 8",
        "table": f"{table} --data.file t.csv --trainer.max_epochs 20",
        "numbers": f"{table} --data.file n.csv --model Regression --trainer.max_epochs 20",
    }.items():
        assert main(["fit", *words.split(), *SHORT.split(), "--run", str(folder / name)]) == 0
    return folder


@pytest.fixture(scope="module")
def digits(runs: Path) -> Task:
    return load(runs / "digits")


def picture(number: int) -> tuple[np.ndarray, str]:
    """A digit of 64x64 pixels with its name."""
    data = Digits(size=64)
    data.setup("fit")
    inputs, targets = data.fetch("train", torch.tensor([number]))
    assert isinstance(inputs, torch.Tensor)
    return inputs[0, 0].numpy(), str(int(targets[0]))


ODD: dict[str, Callable[[np.ndarray], Any]] = {
    "of another size": lambda a: Image.fromarray(a).resize((100, 100)),
    "in colour": lambda a: Image.fromarray(a).convert("RGB"),
    "with an alpha channel": lambda a: Image.fromarray(a).convert("RGBA"),
    "in CMYK": lambda a: Image.fromarray(a).convert("RGB").convert("CMYK"),
    "of 16 bits": lambda a: Image.fromarray(a.astype(np.uint16) * 256),
    "an array": lambda a: a,
    "an array with channels last": lambda a: np.stack([a] * 3, 2),
    "an array with channels first": lambda a: np.stack([a] * 3, 0),
    "a tensor": lambda a: torch.tensor(a)[None],
}


@pytest.mark.parametrize("kind", ODD)
def test_a_picture_is_read_however_it_comes(kind: str, digits: Task) -> None:
    array, name = picture(0)
    answer = digits.predict(ODD[kind](array), top=3)
    assert answer["prediction"] == name and 0.5 < answer["probability"] <= 1
    assert answer["probability"] >= answer["probability 2"] >= answer["probability 3"]


def test_a_turned_photo_is_read_upright(digits: Task, tmp_path: Path) -> None:
    array, name = picture(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # held to the right
    turned = Image.fromarray(array).rotate(90)
    turned.save(tmp_path / "a.jpg", exif=exif, quality=95)
    assert digits.predict(tmp_path / "a.jpg")["prediction"] == name


def test_several_inputs_are_answered_like_each_alone(digits: Task, tmp_path: Path) -> None:
    arrays = [picture(number)[0] for number in (0, 8, 11)]
    answers = digits.predict(arrays)
    assert [a["prediction"] for a in answers] == [digits.predict(a)["prediction"] for a in arrays]


WRONG = {
    "floats": (lambda: np.zeros((8, 8)), "expected whole numbers 0 to 255"),
    "a word": (lambda: "nowhere.png", "nowhere.png"),
    "a vector": (lambda: np.zeros(5, np.uint8), "expected \\(H, W\\)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_picture_is_one_line(kind: str, digits: Task) -> None:
    make, said = WRONG[kind]
    with pytest.raises(UserError, match=said):
        digits.predict(make())


def test_rows_are_answered_in_any_form(runs: Path) -> None:
    task = load(runs / "table")
    assert task.predict({"x": 3, "letter": "b"})["prediction"] == "yes"
    frame = pd.DataFrame({"extra": [1, 2], "letter": ["a", "b"], "x": [3, 4]})  # another order
    assert [row["prediction"] for row in task.predict(frame)] == ["no", "yes"]
    columns = {"x": [1, 2, 3], "letter": ["a", "a", "never seen"]}
    assert len(task.predict(columns)) == 3
    with pytest.raises(UserError, match="no column 'letter'"):
        task.predict({"x": 3})


def test_numbers_come_in_the_units_of_the_target(runs: Path) -> None:
    answer = load(runs / "numbers").predict({"x": 4, "letter": "a"})
    assert answer["target"] == pytest.approx(10.5, abs=2.5)


# ---------------------------------------------------------------------- predict --input


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(4):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)[0]).save(path)
    (folder / "notes.md").write_text("no image")
    return folder


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("word", ["photos", "photos/a/*.png", "list.txt"])
def test_new_images_become_rows(
    word: str, ending: str, runs: Path, photos: Path, project: Project
) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    Path("list.txt").write_text("photos/a/0.png\nphotos/b/1.png\n")
    run = [str(runs / "digits")]
    code, out, err = project(
        "predict --ckpt_path", run, f"--input {word} --output p.{ending}", "--top 2"
    )
    assert code == 0, err
    readers = {"csv": pd.read_csv, "parquet": pd.read_parquet}
    if ending == "jsonl":
        rows = pd.DataFrame([json.loads(line) for line in Path("p.jsonl").read_text().splitlines()])
    else:
        rows = readers[ending](f"p.{ending}")
    assert len(rows) == (4 if word == "photos" else 2) and f"{len(rows)} predictions" in out
    assert list(rows) == ["file", "prediction", "probability", "prediction 2", "probability 2"]


def test_a_file_that_cannot_be_read_stops_it_or_is_left_out(
    runs: Path, photos: Path, project: Project
) -> None:
    (photos / "a" / "broken.png").write_bytes((photos / "a" / "0.png").read_bytes()[:60])
    run = [str(runs / "digits")]
    code, _, err = project("predict --ckpt_path", run, "--input photos --output p.csv")
    assert (code, err.count("\n")) == (2, 1) and "broken.png" in err and "--on_error skip" in err
    assert not Path("p.csv").exists() and not Path("p.csv.part").exists()
    code, out, err = project(
        "predict --ckpt_path", run, "--input photos --output p.csv --on_error skip"
    )
    assert code == 0 and "4 predictions in p.csv, 1 left out" in out, err


def test_a_table_is_predicted_without_its_target(runs: Path, project: Project) -> None:
    Path("new.csv").write_text("letter,x\nb,3\na,4\n")
    code, _, err = project(
        "predict --ckpt_path", [str(runs / "table")], "--input new.csv --output p.csv"
    )
    assert code == 0, err
    assert list(pd.read_csv("p.csv")["prediction"]) == ["yes", "no"]


def test_rows_come_in_blocks_as_from_a_whole_file(
    runs: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{i},{'abz'[i % 3]},{'' if i % 7 == 3 else i}" for i in range(50)]
    Path("new.csv").write_text("\n".join(["more,letter,x", *rows]) + "\n")
    pd.read_csv("new.csv").to_parquet("new.parquet")
    said = []
    for size, name in ((20_000, "new.csv"), (7, "new.csv"), (7, "new.parquet")):
        monkeypatch.setattr(streams, "ROWS", size)
        code, out, err = project(
            "predict --ckpt_path", [str(runs / "table")], f"--input {name} --output p.csv --top 2"
        )
        assert code == 0 and "50 predictions in p.csv" in out, err
        said.append(pd.read_csv("p.csv"))
    assert list(said[0]["id"]) == list(range(50))
    assert {"prediction", "probability", "prediction 2", "probability 2"} <= {*said[0]}
    for other in said[1:]:
        pd.testing.assert_frame_equal(said[0], other, rtol=1e-5)


def test_usual_words_for_a_missing_number_are_taken_as_in_training(
    runs: Path, project: Project
) -> None:
    Path("new.csv").write_text("letter,x\na,4\na,-\nb,3\n")
    code, out, err = project(
        "predict --ckpt_path", [str(runs / "table")], "--input new.csv --output p.csv"
    )
    assert code == 0, err
    assert list(pd.read_csv("p.csv")["prediction"])[::2] == ["no", "yes"]
    assert "'-' taken for missing numbers" in out + err
    model = load(runs / "table")
    assert [row["prediction"] for row in model.predict(pd.read_csv("new.csv"))][::2] == [
        "no",
        "yes",
    ]


# a table that is not as it was -> what the line says; rows are counted through the blocks
TABLES = {
    "letter,y\na,1\n": "no column 'x', which the training had",
    "letter,x\n" + "a,1\n" * 9 + "b,word\n": "new.csv:11: 'word' in column 'x' is not a number",
    "letter,x\na,1,2\n": "new.csv:2: 3 fields",
    "letter,x\n": "no rows, only a header",
    "": "the file is empty",
}


@pytest.mark.parametrize("text", TABLES)
def test_a_table_that_is_not_as_it_was_is_one_line(
    text: str, runs: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ROWS", 4)
    Path("new.csv").write_text(text)
    code, _, err = project("predict --ckpt_path", [str(runs / "table")], "--input new.csv")
    assert (code, err.count("\n")) == (2, 1) and TABLES[text] in err, err
    assert not Path("predictions.csv").exists() and not Path("predictions.csv.part").exists()


def test_the_place_and_the_precision_are_those_asked_for(
    runs: Path, photos: Path, project: Project
) -> None:
    said = {}
    for precision in ("32-true", "bf16-mixed"):
        code, _, err = project(
            "predict --ckpt_path",
            [str(runs / "digits")],
            "--input photos --trainer.accelerator cpu --trainer.devices 1 --trainer.precision",
            [precision],
        )
        assert code == 0, err
        said[precision] = pd.read_csv("predictions.csv")
    one, other = said.values()
    assert (one["file"] == other["file"]).all()
    far = (one["probability"] - other["probability"]).abs()
    assert 0 < far.max() < 0.05


MISTAKES = {
    "--input empty": "no image in it",
    "--input nowhere": "no such file, folder or pattern",
    "--input photos --top none": "--top none: expected a whole number",
    "--input photos --on_error ask": "--on_error ask: skip or stop",
    "--input photos --output p.xls": "unknown ending '.xls'",
    "--input photos --trainer.max_epochs 3": "of its settings only --data.KEY",
    "--input photos --trainer.precision bf16-true": "did you mean bf16-mixed or 32-true?",
    "--input photos --trainer.devices 2": "answers on one device",
    "--input photos --trainer.devices [9]": "--trainer.accelerator",
    "--input photos --trainer.accelerator abacus": "--trainer.accelerator abacus",
    "--input t.csv": "the run was trained on Digits",
    "--on_error skip": "--on_error is for what --input names",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line(words: str, runs: Path, photos: Path, project: Project) -> None:
    Path("empty").mkdir()
    code, _, err = project("predict --ckpt_path", [str(runs / "digits")], words)
    assert (code, err.count("\n")) == (2, 1) and MISTAKES[words] in err, err
