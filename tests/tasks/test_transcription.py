"""Sequences: decoding and edit distance as by hand, any place of the blank, and what it learns."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from project.engine.errors import UserError
from project.engine.spec import Batch, DataSpec
from project.networks.mlp import MLP
from project.networks.reader import ColumnReader
from project.tasks.regression import Regression
from project.tasks.transcription import (
    Characters,
    Transcription,
    WholeStrings,
    decode,
    edit_distances,
)
from tests.conftest import Project


def spec(height: int = 8, width: int = 40, names: tuple[str, ...] = ("a", "b", "c")) -> DataSpec:
    return DataSpec(((1, height, width),), len(names), "sequence", names)


def rows(*texts: str, width: int = 0) -> Tensor:
    """Strings of a, b, c as numbers, filled with -1."""
    width = width or max(map(len, texts))
    return torch.tensor(
        [["abc".index(letter) for letter in text] + [-1] * (width - len(text)) for text in texts]
    )


@pytest.mark.parametrize(
    ("columns", "blank", "text"),
    [
        ([0, 1, 1, 0, 2, 0], 0, "ab"),
        ([0, 1, 1, 0, 1, 3], 0, "aac"),
        ([3, 0, 0, 3, 0, 2], 3, "aac"),
        ([0, 0, 0, 0, 0, 0], 0, ""),
        ([2, 1, 0, 1, 1, 3], 1, "bac"),
        ([1, 1, 1, 1, 1, 1], 0, "a"),
    ],
)
def test_repetitions_and_then_blanks_are_left_out(
    columns: list[int], blank: int, text: str
) -> None:
    outputs = nn.functional.one_hot(torch.tensor([columns]), 4).float()
    assert decode(outputs, blank).tolist() == rows(text, width=6).tolist()


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [
        ("abc", "abc", 0),
        ("abc", "", 3),
        ("", "ab", 2),
        ("abc", "acb", 2),
        ("abca", "bca", 1),
        ("aab", "cccab", 3),
        ("", "", 0),
    ],
)
def test_the_edit_distance_is_as_by_hand(first: str, second: str, edits: int) -> None:
    pairs = (
        rows(first, "abcab"),
        rows(second, "abcabc"),
    )  # a second pair that is longer must not change the first
    assert edit_distances(*pairs).tolist() == [edits, 1]
    assert edit_distances(*reversed(pairs)).tolist() == [edits, 1]


def test_edits_are_counted_over_all_characters_and_strings_whole() -> None:
    outputs, truth = rows("abc", "aab", "c", width=9).float(), rows("abc", "ab", "b", width=3)
    characters, strings = Characters(), WholeStrings()
    for metric in (characters, strings):
        metric.update(outputs[:2], truth[:2])
        metric.update(outputs[2:], truth[2:])
    assert float(characters.compute()) == pytest.approx(1 - 2 / 6)
    assert float(strings.compute()) == pytest.approx(1 / 3)


def page(texts: list[str]) -> Batch:
    """Each letter is a bar at a height of its own, with empty columns between."""
    images = torch.zeros(len(texts), 1, 8, 40)
    for image, text in zip(images, texts, strict=True):
        for place, letter in enumerate(text):
            top = 3 * "abc".index(letter)
            image[0, top : top + 2, 10 * place + 2 : 10 * place + 8] = 1
    return Batch(images, rows(*texts, width=4), torch.arange(len(texts)), (0, 0))


@pytest.mark.parametrize("blank", [0, 1, 3])
def test_it_learns_to_read_wherever_the_blank_is(blank: int) -> None:
    task = Transcription(
        lambda made: ColumnReader(made, [8, 16], columns=3), nn.CTCLoss(blank=blank)
    )
    task.build(spec())
    assert task.net(page(["a"]).inputs).shape == (1, 10, 4)
    optimizer = torch.optim.AdamW(task.parameters(), lr=0.02)
    texts = ["abca", "bb", "caab", "acc", "b", "ccba", "aba", "bcbc"]
    task.train()
    for _ in range(50):
        optimizer.zero_grad()
        loss, _, _ = task.step(page(texts))
        loss.backward()
        optimizer.step()
    task.eval()
    _, predictions, targets = task.step(page(texts))
    assert task.to_columns(predictions.float()) == {"prediction": texts}
    assert task.target_columns(targets) == texts


def test_names_of_several_letters_are_told_apart() -> None:
    task = Transcription()
    task.build(spec(names=("left", "right")))
    assert task.target_columns(torch.tensor([[0, 1, -1]])) == ["left right"]


CLASSES = DataSpec(((1, 8, 40),), 3, "class", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (
            Transcription(),
            CLASSES,
            "Transcription needs sequences, the target is of kind 'class': model Classification",
        ),
        (
            Transcription(loss=nn.MSELoss()),
            spec(),
            "loss MSE is not for sequences: use CTC",
        ),
        (Transcription(loss=nn.CTCLoss(blank=4)), spec(), "loss.blank 4: expected 0 to 3"),
        (Transcription(MLP), spec(), r"MLP outputs \(4,\); this data needs any x 4"),
        (
            Transcription(lambda made: ColumnReader(made, [8])),
            spec(),
            r"net.channels \[8\]: expected 2 widths or more",
        ),
        (
            Transcription(lambda made: ColumnReader(made, columns=4)),
            spec(),
            "net.columns 4: expected an odd number",
        ),
        (Transcription(), spec(height=4), "ColumnReader of 3 blocks needs images of at least 8x8"),
        (Regression(), spec(), "Regression needs numbers, .* model Transcription"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_one_line(task: Transcription, data: DataSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task.build(data)


def test_images_too_narrow_for_their_strings_are_one_line() -> None:
    task = Transcription()
    task.build(spec(width=24))
    batch = Batch(torch.zeros(1, 1, 8, 24), rows("abca"), torch.arange(1), (0, 0))
    with pytest.raises(
        UserError, match="answers for 6 columns, 4 characters need 7: make the images wider"
    ):
        task.step(batch)


def test_it_trains_tests_and_predicts_from_the_command_line(
    project: Project, tmp_path: Path
) -> None:
    code, out, err = project(
        "fit --data Bars --model "
        "Transcription "
        "--model.net.channels [4,8] --trainer.max_epochs 1 --run.threads 1 --run.tensorboard "
        "false --name strings"
    )
    assert code == 0, err
    assert "val/characters" in out
    assert project("test --ckpt_path runs/strings/000")[0] == 0
    assert project("predict --ckpt_path runs/strings/000")[0] == 0
    targets = [
        row["target"]
        for row in csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines())
    ]
    assert len(targets) == 64 and all(
        1 <= len(text) <= 3 and set(text) <= {"a", "b"} for text in targets
    )
