"""A run as a user meets it: figures that repeat, files that are whole, folders that are one's
own.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from project.engine.errors import UserError
from project.engine.runs.checkpoints import fault
from project.engine.runs.files import csv_line, write_atomic
from project.engine.runs.folder import RunFolder
from project.engine.runs.records import CSVRows
from tests.conftest import Project

TINY = (
    "--data.size 12 --data.batch_size 128 --model.net MLP --run.threads 1 --trainer.max_epochs 2 "
    "--trainer.log_every_n_steps 3"
)


def figures(out: str) -> dict[str, str]:
    return dict(line.split() for line in out.splitlines() if line[:4] in ("test", "val/"))


def test_a_checkpoint_gives_the_same_figures_each_time_and_the_best_validation_again(
    project: Project, tmp_path: Path
) -> None:
    project("fit --run run", TINY)
    first, second = (figures(project("test --ckpt_path run")[1]) for _ in range(2))
    assert first == second and set(first) == {"test/accuracy", "test/loss"}
    project("validate --ckpt_path run")
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["val"]["val/accuracy"] == results["best"]["value"]
    assert results["test"]["test/loss"] == pytest.approx(float(first["test/loss"]), abs=1e-6)


def test_a_run_folder_holds_what_the_design_says(project: Project, tmp_path: Path) -> None:
    project("fit --name mine", TINY)
    run = tmp_path / "runs/mine/000"
    assert yaml.safe_load((run / "config.yaml").read_text())["name"] == "mine"
    description = json.loads((run / "run.json").read_text())
    assert (
        description["state"] == "finished"
        and description["seed"] == 0
        and description["threads"] == 1
    )
    with open(run / "epochs.csv", newline="") as file:
        epochs = list(csv.DictReader(file))
    assert [row["epoch"] for row in epochs] == ["0", "1"]
    assert {
        "train/loss",
        "train/accuracy",
        "val/loss",
        "val/accuracy",
        "lr",
        "epoch_seconds",
    } <= set(epochs[0])
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["train/loss"]] == ["3", "6", "9", "12", "15", "18"]
    assert [row["step"] for row in rows if row["val/loss"]] == ["10", "20"]
    with np.load(run / "predictions-val.npz") as saved:
        accuracy = (saved["prediction"].argmax(1) == saved["target"]).mean()
    assert accuracy == pytest.approx(float(rows[-1]["val/accuracy"]))
    assert list(run.glob("events.out.tfevents.*"))
    for path in (run / "checkpoints").glob("*.ckpt"):
        assert fault(path) is None
        torch.load(path, weights_only=True)


def test_the_written_config_repeats_the_run_bit_for_bit(project: Project, tmp_path: Path) -> None:
    project("fit --run one", TINY)
    project("fit --config one/config.yaml --run two")
    one, two = (
        torch.load(tmp_path / run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
        for run in ("one", "two")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (tmp_path / "one/metrics.csv").read_bytes() == (
        tmp_path / "two/metrics.csv"
    ).read_bytes()


def test_predictions_name_each_sample_and_class(project: Project, tmp_path: Path) -> None:
    project("fit --run run", TINY)
    project("test --ckpt_path run")
    code, out, _ = project("predict --ckpt_path run --output out/p.csv")
    assert code == 0 and "360 predictions in out/p.csv" in out
    with open(tmp_path / "out/p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    right = sum(row["prediction"] == row["target"] for row in rows)
    accuracy = json.loads((tmp_path / "run/results.json").read_text())["test"]["test/accuracy"]
    assert right / len(rows) == pytest.approx(accuracy)
    assert all(0.1 <= float(row["probability"]) <= 1 for row in rows)


def test_weights_of_another_run_start_a_new_one(project: Project, tmp_path: Path) -> None:
    project("fit --run old", TINY)
    code, _, err = project("fit --weights old --model.optimizer.lr 1e-12 --run new", TINY)
    assert code == 0, err
    best = [
        json.loads((tmp_path / run / "results.json").read_text())["best"]["value"]
        for run in ("old", "new")
    ]
    assert best[0] == best[1] > 0.3


@pytest.mark.parametrize(
    "switch", ["--trainer.fast_dev_run true", "--trainer.overfit_batches 2", "--run.compile false"]
)
def test_switches_of_the_trainer_work(switch: str, project: Project, tmp_path: Path) -> None:
    code, _, err = project("fit", TINY, switch)
    assert code == 0, err
    assert (tmp_path / "runs").exists() != ("fast_dev_run" in switch)


@pytest.mark.slow
def test_overfitting_two_batches_sees_the_same_batches_each_epoch(
    project: Project, tmp_path: Path
) -> None:
    project(
        "fit --run run --trainer.overfit_batches 1 --trainer.max_epochs 40 --model.optimizer.lr "
        "0.01",
        TINY.replace("--trainer.max_epochs 2", ""),
    )
    with open(tmp_path / "run/epochs.csv", newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["train/accuracy"]) > 0.95


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    project: Project, tmp_path: Path
) -> None:
    code, _, err = project("fit --run run --model.optimizer SGD --model.optimizer.lr 1e30", TINY)
    assert code == 4
    assert "not finite at step 2 (epoch 0, batch 1, samples [" in err and err.count("\n") == 1
    for path in (tmp_path / "run/checkpoints").glob("step-*.ckpt"):
        weights = torch.load(path, weights_only=True)["state_dict"]
        assert all(
            torch.isfinite(value).all() for value in weights.values() if value.is_floating_point()
        )


def test_a_folder_has_one_writer(project: Project, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "run", ready, done))
    other.start()
    try:
        assert ready.wait(60)
        code, _, err = project("fit --run run", TINY)
        assert (code, "another process is writing to this run" in err) == (2, True)
    finally:
        done.set()
        other.join(60)


def hold(path: Path, ready: object, done: object) -> None:
    folder = RunFolder(path).open()
    ready.set()  # type: ignore[attr-defined]
    done.wait(60)  # type: ignore[attr-defined]
    folder.close()


def test_simultaneous_starts_get_folders_of_their_own(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        claimed = pool.map(claim, [tmp_path] * 32)
    assert sorted(claimed) == [f"{number:03d}" for number in range(32)]


def claim(root: Path) -> str:
    return RunFolder.claim(root, "name").path.name


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_atomic(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_csv_cell_never_becomes_a_formula() -> None:
    assert csv_line(["=1+1", "-x", "fine", -2.5]) == b"'=1+1,'-x,fine,-2.5\n"


def test_a_negative_number_stays_one_when_a_column_is_new(tmp_path: Path) -> None:
    rows = CSVRows(tmp_path / "rows.csv", ["step"])
    rows.begin(None)
    rows.append({"step": 1, "a": -0.5})
    rows.append({"step": 2, "b": 1.0})
    rows.close()
    assert rows.path.read_text() == "step,a,b\n1,-0.5,\n2,,1.0\n"


def test_ctrl_c_before_the_first_step_is_an_interruption_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("project.engine.bases.task.Task.configure_optimizers", interrupted)
    code, _, _ = project("fit", TINY, "--run run")
    assert code == 130
    assert json.loads(Path("run/run.json").read_text())["state"] == "interrupted"
