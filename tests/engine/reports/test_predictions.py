"""What a page says of predictions: metrics that can be checked by hand, and predictions of every odd
shape.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from project.engine.errors import UserError
from project.engine.reports import plots
from project.engine.reports.cases import even_ones, worst_first
from project.engine.reports.page import page
from project.engine.reports.parts import Section, Table
from project.engine.reports.pictures import overlay, pixels
from project.engine.reports.plots import COLOURS
from project.engine.reports.predictions import (
    confused,
    prediction_parts,
    principal_plane,
    reliability_bins,
)
from project.engine.reports.run import Run
from project.engine.runs.predictions import by_turns
from project.engine.spec import IGNORED
from tests.engine.reports.conftest import MakeRun


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def classes(count: int, size: int, *more: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, count, (size, *more))


Odd = tuple[str, str, int, np.ndarray, np.ndarray]
ODD: dict[str, Odd] = {  # task, target, classes, targets, predictions
    "yes or no by one logit": ("Classification", "class", 2, classes(2, 40), random(40)),
    "one sample": ("Classification", "class", 3, classes(3, 1), random(1, 3)),
    "a class that never occurs": ("Classification", "class", 5, classes(3, 30), random(30, 5)),
    "a hundred classes": ("Classification", "class", 100, classes(100, 300), random(300, 100)),
    "all right": (
        "Classification",
        "class",
        3,
        classes(3, 9),
        50 * np.eye(3, dtype=np.float32)[classes(3, 9)],
    ),
    "labels": ("Classification", "labels", 3, classes(2, 50, 3).astype(np.float32), random(50, 3)),
    "two numbers": ("Regression", "number", 2, random(50, 2), random(50, 2) + 1),
    "numbers that are not finite": (
        "Regression",
        "number",
        1,
        random(4, 1),
        np.float32([[1], [np.nan], [np.inf], [0]]),
    ),
    "a number and its deviation": (
        "Regression",
        "number",
        1,
        random(50, 1),
        np.abs(random(50, 2)) + 1,
    ),
    "one number": ("Regression", "number", 1, random(1, 1), random(1, 1)),
    "masks of three classes": (
        "Segmentation",
        "mask",
        3,
        classes(3, 6, 8, 8).astype(np.uint8),
        classes(3, 6, 8, 8),
    ),
    "masks with ignored pixels": (
        "Segmentation",
        "mask",
        2,
        np.full((2, 4, 4), IGNORED, np.uint8),
        classes(2, 2, 4, 4),
    ),
    "sequences": ("Transcription", "sequence", 4, classes(4, 20, 3), classes(4, 20, 5) - 1),
    "points on a line": ("MetricLearning", "class", 2, classes(2, 30), random(30, 1)),
    "equal scores": ("Ranking", "number", 1, random(20, 1), np.zeros(20, np.float32)),
    "a task of a fork": ("Mine", "class", 3, classes(3, 10), random(10, 3)),
}


def write_predictions(folder: Path, odd: Odd) -> Run:
    task, target, count, targets, predictions = odd
    spec = {
        "inputs": [[1, 8, 8]],
        "outputs": count,
        "target": target,
        "names": [f"name {i}" for i in range(count)],
    }
    description = json.loads((folder / "run.json").read_text()) | {"task": task, "spec": spec}
    (folder / "run.json").write_text(json.dumps(description))
    np.savez(
        folder / "predictions-val.npz",
        id=np.arange(len(targets)),
        target=targets,
        prediction=predictions,
    )
    return Run(folder)


@pytest.mark.parametrize("case", ODD)
def test_answers_of_every_shape_become_a_section(case: str, make_run: MakeRun) -> None:
    run = write_predictions(make_run("a/000"), ODD[case])
    with plots.drawn(page=True):
        parts = prediction_parts(run, "val")
        text = page("title", [Section("Predictions", parts)], {}, {})
    assert parts and "nan%" not in text


def test_a_task_of_a_fork_may_answer_in_its_own_way(make_run: MakeRun) -> None:
    predictions = ("class", 3, classes(3, 10), random(10, 7, 2))
    assert (
        prediction_parts(write_predictions(make_run("a/000"), ("Mine", *predictions)), "val") == []
    )
    with pytest.raises(UserError, match="are not for 3 classes"):
        prediction_parts(
            write_predictions(make_run("a/001"), ("Classification", *predictions)), "val"
        )


def table_of(parts: list[Any], title: str) -> list[list[Any]]:
    return next(
        [list(row) for row in part.rows]
        for part in parts
        if isinstance(part, Table) and part.title == title
    )


def test_precision_recall_and_the_confused_are_those_counted_by_hand(make_run: MakeRun) -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    said = np.array([0, 0, 1, 1, 1, 1])
    run = write_predictions(
        make_run("a/000"),
        ("Classification", "class", 3, truth, 9 * np.eye(3, dtype=np.float32)[said]),
    )
    parts = prediction_parts(run, "val")
    assert table_of(parts, "Each class") == [
        ["name 2", 1, "0.0000", "0.0000", "0.0000"],
        ["name 1", 2, "0.5000", "1.0000", "0.6667"],
        ["name 0", 3, "1.0000", "0.6667", "0.8000"],
    ]
    assert sorted(table_of(parts, "Most confused")) == [
        ["name 0", "name 1", 1, "33.3%"],
        ["name 2", "name 1", 1, "100.0%"],
    ]


def test_masks_are_measured_over_all_pixels_together(make_run: MakeRun) -> None:
    truth = np.array([[[0, 0, 1, IGNORED]], [[1, 1, 0, 0]]], dtype=np.uint8)
    said = np.array([[[0, 1, 1, 1]], [[1, 0, 0, 0]]])
    rows = table_of(
        prediction_parts(
            write_predictions(make_run("a/000"), ("Segmentation", "mask", 2, truth, said)), "val"
        ),
        "Each class",
    )
    assert rows[1] == ["name 1", "42.9%", "0.5000", "0.6667", "0.6667", "0.6667"]


def test_the_pairs_of_a_ranking_are_counted(make_run: MakeRun) -> None:
    values, scores = (
        np.array([[1.0], [2.0], [3.0]], np.float32),
        np.array([1.0, 3.0, 2.0], np.float32),
    )
    rows = table_of(
        prediction_parts(
            write_predictions(make_run("a/000"), ("Ranking", "number", 1, values, scores)), "val"
        ),
        "Pairs in their order",
    )
    assert [sum(row[1] for row in rows), sum(row[1] * float(row[2]) for row in rows)] == [3, 2]


def test_strings_are_measured_by_length_and_by_what_was_read_instead(make_run: MakeRun) -> None:
    truth, said = np.array([[0, 1, -1], [0, 1, 2]]), np.array([[0, 1, -1, -1], [0, 3, 2, 2]])
    parts = prediction_parts(
        write_predictions(make_run("a/000"), ("Transcription", "sequence", 4, truth, said)), "val"
    )
    assert table_of(parts, "By length") == [[2, 1, "1.0000"], [3, 1, "0.0000"]]
    assert sorted(table_of(parts, "Most frequent mistakes")) == [
        ["name 1", "name 3", 1],
        ["nothing", "name 2", 1],
    ]


def test_bins_of_confidence_hold_what_falls_into_them() -> None:
    confidence, accuracy, share = reliability_bins(
        torch.tensor([0.95, 0.97, 1.0, 0.5]), torch.tensor([True, False, True, True])
    )
    assert (share[-1], share[7], share.sum()) == (0.75, 0.25, 1)
    assert accuracy[-1] == pytest.approx(2 / 3) and confidence[-1] == pytest.approx(2.92 / 3)


def test_the_most_confused_come_first_and_the_diagonal_never() -> None:
    assert confused(np.array([[9, 1, 0], [3, 9, 0], [0, 2, 9]])) == [(1, 0), (2, 1), (0, 1)]
    assert confused(np.eye(3)) == []


def test_the_plane_of_widest_spread_keeps_the_widest_directions() -> None:
    points = np.random.default_rng(0).standard_normal((500, 4)) * [0.1, 5.0, 0.1, 2.0]
    plane, share = principal_plane(points)
    centred = points - points.mean(0)
    assert share > 0.99
    for found, direction in ((plane[:, 0], 1), (plane[:, 1], 3)):
        assert abs(np.corrcoef(found, centred[:, direction])[0, 1]) > 0.99


def test_an_overlay_colours_all_but_the_background() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    mask = np.array([[0, 1, IGNORED]], np.uint8)
    shown = overlay(image, mask)
    first = [int(0.45 * 100 + 0.55 * value) for value in bytes.fromhex(COLOURS[0][1:])]
    assert shown.tolist() == [[[100] * 3, first, [30] * 3]]


@pytest.mark.parametrize(
    "shape, is_picture", [((1, 4, 4), True), ((3, 4, 4), True), ((2, 4, 4), False), ((4,), False)]
)
def test_only_images_of_one_or_three_channels_are_pictures(
    shape: tuple[int, ...], is_picture: bool
) -> None:
    shown = pixels(random(*shape))
    assert (shown is not None) == is_picture
    assert shown is None or (
        shown.dtype == np.uint8 and shown.shape == (4, 4, 3) and shown.max() >= 254
    )


def test_classes_take_turns_among_the_samples_of_a_page() -> None:
    targets = torch.tensor([0] * 5 + [1] * 2 + [3] * 3)
    assert targets[by_turns(targets)].tolist() == [0, 1, 3, 0, 1, 3, 0, 3, 0, 0]
    assert by_turns(torch.rand(3, 1)).tolist() == [0, 1, 2]


def test_the_worst_samples_are_told_from_the_others(
    real_runs: dict[str, Path], tmp_path: Path
) -> None:
    from project.engine.reports.cases import Case

    shutil.copytree(real_runs["class"], tmp_path / "run")
    run = Run(tmp_path / "run")
    samples = run.samples("val")
    assert run.spec is not None and samples is not None
    case = Case(run, "val", run.spec, run.predictions("val"), samples)
    assert len(even_ones(samples)) == 64
    assert len(set(samples["target"][even_ones(samples)])) == 10
    errors = samples["error"][worst_first(case)]
    assert (
        len(errors) == 32 and (np.diff(errors) <= 0).all() and errors[0] == samples["error"].max()
    )
