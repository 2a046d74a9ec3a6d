"""A run folder is read back, found by its name, and refused in one line when it cannot be
understood.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from project.engine.errors import UserError
from project.engine.reports.finding import find_runs
from project.engine.reports.run import Run
from tests.conftest import Project
from tests.engine.reports.conftest import MakeRun


def damage(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None  # type: ignore[return-value]


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def other_predictions(folder: Path) -> None:
    np.savez(
        folder / "predictions-val.npz",
        id=np.arange(3),
        target=np.zeros(3, int),
        prediction=np.zeros((3, 4), np.float32),
    )


def cut_predictions(folder: Path) -> None:
    whole = (folder / "predictions-val.npz").read_bytes()
    (folder / "predictions-val.npz").write_bytes(whole[: len(whole) // 2])


def pickled_predictions(folder: Path) -> None:
    np.savez(
        folder / "predictions-val.npz",
        id=np.array([{}], dtype=object),
        target=np.zeros(1),
        prediction=np.zeros(1),
    )


def uneven_predictions(folder: Path) -> None:
    np.savez(
        folder / "predictions-val.npz", id=np.arange(3), target=np.zeros(2), prediction=np.zeros(3)
    )


def only_the_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def another_folder(folder: Path) -> None:
    only_the_folder(folder)
    (folder / "photo.jpg").write_text("")


def not_a_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 20)}]\n" for i in range(1, 9)
)
MISTAKES: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing there": (shutil.rmtree, "run: no such folder"),
    "empty": (only_the_folder, "no run in it; a run folder has a config.yaml"),
    "another folder": (another_folder, "no run in it"),
    "a file": (not_a_folder, "no run in it"),
    "no config": (remove("config.yaml"), "half written, it has no config.yaml"),
    "no description": (remove("run.json"), "half written, it has no run.json"),
    "half a description": (
        damage("run.json", '{"seed": 0, "sta'),
        "run.json: not JSON, half written or damaged",
    ),
    "a description of nothing": (damage("run.json", "[]"), "run.json: expected keys and values"),
    "half a config": (damage("config.yaml", "data: {class_path"), "config.yaml:1: not YAML"),
    "another config": (
        damage("config.yaml", "lr: 0.1"),
        "no data and no model; was another version's run written here?",
    ),
    "a text": (damage("config.yaml", "hello"), "config.yaml: expected keys"),
    "a costly config": (
        damage("config.yaml", BOMB),
        "config.yaml: its aliases (*name) make more of it than a config has",
    ),
    "another spec": (
        damage("run.json", '{"spec": {"shape": [1]}}'),
        "spec is not the description of data",
    ),
    "another description": (
        damage("run.json", '{"layers": {"a": 1}}'),
        "run.json: layers is not what this version writes there",
    ),
    "other metrics": (
        damage("metrics.csv", "iteration,loss\n1,2\n"),
        "metrics.csv: no columns step and epoch",
    ),
    "an epoch that is no number": (
        damage("epochs.csv", "epoch,step,train/loss\n0,1,2\nnan,2,1\n"),
        "epochs.csv:3: epoch is no number",
    ),
    "a step without an end": (
        damage("metrics.csv", "step,epoch,train/loss\n1e999,1,2\n"),
        "metrics.csv:2: step is no number",
    ),
    "metrics that are none": (
        damage("metrics.csv", "step,epoch,a\n1,0,2\n2,0,x\n3,0,1\n"),
        "metrics.csv:3: not 3 numbers",
    ),
    "half results": (damage("results.json", "{"), "results.json: not JSON"),
    "half the predictions": (
        cut_predictions,
        "predictions-val.npz: damaged, or not written by a run",
    ),
    "predictions with code in them": (
        pickled_predictions,
        "predictions-val.npz: damaged, or not written by a run",
    ),
    "predictions of different lengths": (
        uneven_predictions,
        "predictions-val.npz: its columns differ in length",
    ),
    "predictions of another run": (
        other_predictions,
        "are not for 10 classes; are they another run's?",
    ),
    "half the samples": (damage("samples.npz", "x"), "samples.npz: damaged"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_folder_that_is_no_run_is_one_line(
    mistake: str, real_runs: dict[str, Path], project: Project, tmp_path: Path
) -> None:
    shutil.copytree(real_runs["class"], tmp_path / "run")
    change, message = MISTAKES[mistake]
    change(tmp_path / "run")
    code, _, err = project("report run")
    assert message in err
    assert (code, err.count("\n")) == (2, 1)


def test_a_run_is_read_back(real_runs: dict[str, Path]) -> None:
    run = Run(real_runs["class"])
    assert (run.kind, run.task, run.seed, run.state, run.monitor) == (
        "classes",
        "Classification",
        0,
        "finished",
        "val/accuracy",
    )
    assert (
        run.splits() == ["val", "test"]
        and run.settings["model.net"] == "LeNet"
        and run.settings["data.size"] == 12
    )
    predictions, samples = run.predictions("val"), run.samples("val")
    assert (
        predictions.prediction.shape == (179, 10)
        and samples is not None
        and samples["input"].shape[1:] == (1, 12, 12)
    )
    assert (
        run.metric("val/accuracy") == run.results["best"]["value"] and run.metric("nothing") is None
    )
    places, values = run.curve("train/loss")
    assert places.tolist() == [0.5, 1.0, 1.5, 2.0] and len(values) == 4
    assert np.array_equal(
        values, run.step_metrics["train/loss"][~np.isnan(run.step_metrics["train/loss"])]
    )


def test_a_run_that_still_goes_on_is_read_up_to_its_last_whole_row(make_run: MakeRun) -> None:
    folder = make_run("a/000", state="running")
    (folder / "results.json").unlink()
    with (folder / "metrics.csv").open("a") as file:
        file.write("25,2")
    run = Run(folder)
    assert run.step_metrics["step"].tolist() == [5, 10, 15, 20]
    assert run.metrics == {"train/loss": 1.0}


def test_a_curve_with_fewer_rows_than_epochs_is_that_of_the_epochs(make_run: MakeRun) -> None:
    folder = make_run("a/000")
    (folder / "metrics.csv").write_text("step,epoch,train/loss\n15,1,1.5\n")
    places, values = Run(folder).curve("train/loss")
    assert (places.tolist(), values.tolist()) == ([1, 2], [2, 1])


FOUND = {
    "runs": ["a/000", "a/001", "b/000", "b/deep/er/000"],
    "runs/a": ["a/000", "a/001"],
    "runs/*/000": ["a/000", "b/000"],
    "runs/b/000": ["b/000"],
    "runs/a runs/a/001": ["a/000", "a/001"],
}


@pytest.mark.parametrize("words", FOUND)
def test_runs_are_found_by_folder_root_and_pattern(words: str, make_run: MakeRun) -> None:
    for name in FOUND["runs"]:
        make_run(f"runs/{name}")
    (Path("runs") / "notes").mkdir()
    assert [path.relative_to("runs").as_posix() for path in find_runs(words.split())] == FOUND[
        words
    ]


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"runs/\*: no such folder"):
        find_runs(["runs/*"])


def test_the_metrics_of_validation_are_all_of_the_best_checkpoint(make_run: MakeRun) -> None:
    folder = make_run("a/000")
    results = {
        "last": {"val/accuracy": 0.7, "val/loss": 1.0, "train/loss": 0.2},
        "best": {
            "monitor": "val/accuracy",
            "value": 0.9,
            "step": 20,
            "metrics": {"val/accuracy": 0.9, "val/loss": 0.6},
        },
        "test": {"test/accuracy": 0.8, "step": 10, "checkpoint": "best.ckpt"},
    }
    (folder / "results.json").write_text(json.dumps(results))
    run = Run(folder)
    assert (run.metric("val/accuracy"), run.metric("val/loss")) == (0.9, 0.6)
    assert run.metric("test/accuracy") is None, "it was of a checkpoint before the best"
    results["test"]["step"] = 20
    (folder / "results.json").write_text(json.dumps(results))
    assert Run(folder).metric("test/accuracy") == 0.8


@pytest.mark.parametrize("emptied", [True, False], ids=["emptied", "taken out"])
@pytest.mark.parametrize("part", ["layers", "initialised"])
def test_a_description_with_a_key_taken_out_or_emptied_is_one_line(
    part: str, emptied: bool, make_run: MakeRun, project: Project
) -> None:
    folder = make_run("a/000")
    make_run("a/001")
    path = folder / "run.json"
    about = json.loads(path.read_text())
    about["layers"] = [{"name": "a", "kind": "Linear", "output": [1], "parameters": 2}]
    about["initialised"] = {
        "layers": {"a": {"shape": [1], "mean": 0, "std": 1, "min": 0, "max": 1}}
    }
    row = about["layers"][0] if part == "layers" else about["initialised"]["layers"]["a"]
    key = "parameters" if part == "layers" else "mean"
    row[key] = None
    if not emptied:
        del row[key]
    path.write_text(json.dumps(about))
    code, _, err = project("report", [str(folder)])
    assert (code, err.count("\n")) == (2, 1) and f"{part} is not what this version writes" in err
    code, out, _ = project("report", [str(folder.parent)])
    assert code == 0 and "001" in out, "one damaged run fells no table"
