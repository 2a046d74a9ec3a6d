"""What a continued run takes from where: nothing is lost, nothing is taken twice, nothing is taken
that has changed.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from pathlib import Path

import pytest
import yaml
from torch import Tensor

from project.engine import Batch
from project.tasks.classification import Classification
from tests.conftest import REPOSITORY, Project, the_rest_slow
from tests.engine.runs.equal import differing

SMALL = (
    "--data.size 8 --data.batch_size 64 --model.net MLP --model.net.hidden [8] --run.threads 1 "
    "--run.report false --run.tensorboard false --run.save_every 7"
)


def back_to(run: Path, step: int) -> None:
    """The run as a kill right after the checkpoint of this step left it."""
    for path in (run / "checkpoints").glob("step-*.ckpt"):
        if int(path.stem[5:]) > step:
            path.unlink()
    for name in ("results.json", "predictions-val.npz", "samples.npz"):
        (run / name).unlink(missing_ok=True)


@pytest.fixture
def keeps_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("project.engine.runs.checkpoints.KEEP", 1000)


@pytest.mark.parametrize("part", ["early_stopping", "ema"])
def test_the_same_command_appends_no_callback_twice(
    part: str, keeps_all: None, project: Project, tmp_path: Path
) -> None:
    config = str(REPOSITORY / "configs" / "parts" / f"{part}.yaml")
    words = (["fit", "--config", config], SMALL, "--trainer.max_epochs 2 --run")
    assert project(*words, "run")[0] == 0
    shutil.copytree("run", "killed")
    back_to(tmp_path / "killed", 21)
    code, out, err = project(*words, "killed")
    assert (code, err) == (0, "") and "continuing killed from step 21" in out
    assert differing(tmp_path / "run", tmp_path / "killed") == []
    written = yaml.safe_load((tmp_path / "killed/config.yaml").read_text())
    assert len(written["trainer"]["callbacks"]) == 1


def test_predictions_of_the_last_validation_survive_a_kill_after_it(
    keeps_all: None, project: Project, tmp_path: Path
) -> None:
    words = f"fit {SMALL} --trainer.max_epochs 3 --trainer.check_val_every_n_epoch 2 --run"
    assert project(words, "run")[0] == 0
    assert (tmp_path / "run/predictions-val.npz").is_file()
    assert (tmp_path / "run/samples.npz").is_file()


def test_a_run_prolonged_and_killed_before_its_next_checkpoint_stays_prolonged(
    project: Project, tmp_path: Path
) -> None:
    assert project(f"fit {SMALL} --trainer.max_epochs 1 --run run")[0] == 0
    config = tmp_path / "run/config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 1", "max_epochs: 2"))
    code, out, err = project("fit --run run")
    assert (code, err) == (0, "") and "continuing run from step 20" in out
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["epochs"] == 2


def test_a_page_that_was_lost_is_written_by_the_same_command(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project.engine.commands import report

    written: list[Path] = []
    monkeypatch.setattr(
        "project.engine.commands.fit.write_page",
        lambda folder: written.append(folder.path) if report.is_due(folder) else None,
    )
    words = SMALL.replace("--run.report false", "--run.report true")
    assert project(f"fit {words} --trainer.max_epochs 1 --run run")[0] == 0
    assert project("fit --run run")[0] == 0  # finished, but without its page
    assert [path.name for path in written] == ["run", "run"]
    (tmp_path / "run/report.html").write_text("whole")
    later = time.time() + 5
    os.utime(tmp_path / "run/report.html", (later, later))
    assert project("fit --run run")[0] == 0
    assert len(written) == 2


def write_table(path: Path, flipped: bool = False, rows: int = 200) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["x", "y", "kind"])
        table.writerows([i % 7, i % 11, "ab"[(i % 2) ^ flipped]] for i in range(rows))


@pytest.mark.parametrize("change", ["labels flipped", "rows added", "rows removed"])
def test_data_that_have_changed_are_refused(
    change: str, keeps_all: None, project: Project, tmp_path: Path
) -> None:
    write_table(tmp_path / "t.csv")
    words = (
        "fit --data CSVTable --data.root . --data.file t.csv --data.target kind --model.net MLP "
        "--run.threads 1 --run.report false --run.tensorboard false --run.save_every 1 --run run "
        "--trainer.max_epochs 2"
    )
    assert project(words)[0] == 0
    back_to(tmp_path / "run", 2)
    sizes = {"rows added": 240, "rows removed": 160}
    write_table(tmp_path / "t.csv", change == "labels flipped", sizes.get(change, 200))
    code, _, err = project(words)
    assert code == 2 and err.count("\n") == 1
    assert "data are not those that run began with" in err and "--weights run" in err


def test_a_misspelt_folder_trains_nothing(project: Project, tmp_path: Path) -> None:
    assert project(f"fit {SMALL} --trainer.max_epochs 1 --run runs/mine")[0] == 0
    code, _, err = project("fit --run runs/mien --trainer.max_epochs 4")
    assert code == 2 and "did you mean runs/mine?" in err
    assert not (tmp_path / "runs/mien").exists()


def test_a_run_that_failed_before_its_first_checkpoint_keeps_its_config(
    project: Project, tmp_path: Path
) -> None:
    assert project(f"fit {SMALL} --trainer.max_epochs 1 --run run")[0] == 0
    shutil.rmtree(tmp_path / "run/checkpoints")
    code, out, err = project("fit --run run --trainer.max_epochs 2")
    assert (code, err) == (0, "")
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert written["data"]["init_args"]["size"] == 8 and "epoch 2, step 40" in out


def test_two_averages_of_the_weights_are_refused(project: Project) -> None:
    both = (
        '[{"class_path":"EMAWeightAveraging","init_args":{"decay":0.9}},'
        '{"class_path":".engine.runs.averaging.SWA","init_args":{"start":1}}]'
    )
    code, _, err = project("fit", SMALL, ["--trainer.callbacks", both], "--run run")
    assert code == 2 and "both average the weights; keep one" in err


def test_loaders_made_anew_each_epoch_begin_at_their_first_batch(
    keeps_all: None, project: Project, tmp_path: Path
) -> None:
    words = (
        f"fit {SMALL} --trainer.max_epochs 3 --trainer.reload_dataloaders_every_n_epochs 1 --run"
    )
    assert project(words, "run")[0] == 0
    shutil.copytree("run", "killed")
    back_to(tmp_path / "killed", 14)
    code, out, err = project(words, "killed")
    assert (code, err) == (0, "") and "step 60" in out
    assert differing(tmp_path / "run", tmp_path / "killed") == []


def test_a_clock_set_back_does_not_keep_a_run_waiting(
    keeps_all: None, project: Project, tmp_path: Path
) -> None:
    words = f"fit {SMALL} --trainer.max_epochs 1 --run run".replace(
        "tensorboard false", "tensorboard true"
    )
    assert project(words)[0] == 0
    (events,) = (tmp_path / "run").glob("events.out.tfevents.*")
    first, _, rest = events.name.partition("tfevents.")
    later = f"{first}tfevents.{int(time.time()) + 3600}.{rest.partition('.')[2]}"
    events.rename(events.with_name(later))
    back_to(tmp_path / "run", 7)
    began = time.monotonic()
    code, _, err = project(words)
    assert (code, err) == (0, "") and time.monotonic() - began < 60
    names = sorted(path.name for path in (tmp_path / "run").glob("events.out.tfevents.*"))
    assert len(names) == 2 and later not in names


def test_data_of_another_kind_are_refused_at_a_test(project: Project, tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv")
    assert project(f"fit {SMALL} --trainer.max_epochs 1 --run run")[0] == 0
    for command in ("test", "predict"):
        code, _, err = project(
            f"{command} --ckpt_path run --data CSVTable --data.root . --data.file t.csv "
            "--data.target kind"
        )
        assert code == 2 and err.count("\n") == 1, err


@pytest.mark.parametrize("name", ["target", "id", "y"])
def test_predictions_stand_beside_ids_and_targets_whatever_the_target_is_called(
    name: str, project: Project, tmp_path: Path
) -> None:
    with open(tmp_path / "t.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["x", name])
        table.writerows([i % 13, i % 13 * 0.1 + 6] for i in range(200))
    words = (
        f"fit --data CSVTable --data.root . --data.file t.csv --data.target {name} "
        "--model Regression --run.threads 1 --trainer.max_epochs 1 --run.report false "
        "--run.tensorboard false --run run"
    )
    assert project(words)[0] == 0
    assert project("predict --ckpt_path run")[0] == 0
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    predicted = name if name == "y" else f"predicted {name}"
    assert list(rows[0]) == ["id", predicted, "target"]
    truth = {f"{value * 0.1 + 6:.4g}" for value in range(13)}
    assert {f"{float(row['target']):.4g}" for row in rows} <= truth
    assert all(len(row["target"]) <= 6 for row in rows)
    assert [row["id"] for row in rows] == [str(int(row["id"])) for row in rows]


@pytest.mark.slow
def test_r2_keeps_its_digits_where_the_mean_is_large(project: Project, tmp_path: Path) -> None:
    import numpy as np

    draw = np.random.default_rng(0)
    x = draw.normal(size=600)
    for offset in (1e3, 1e5):
        y = x + draw.normal(size=600) * 0.5 + offset
        with open(tmp_path / "t.csv", "w", newline="") as file:
            csv.writer(file).writerows([["x", "y"], *zip(x, y, strict=True)])
        run = f"run{offset:g}"
        words = (
            "--data CSVTable --data.root . --data.file t.csv --data.target y --model Regression "
            "--model.net.hidden [] --model.optimizer.lr 0.05 --run.threads 1 "
            f"--trainer.max_epochs 10 --run.report false --run.tensorboard false --run {run}"
        )
        assert project("fit", words)[0] == 0
        assert project("test --ckpt_path", run)[0] == 0
        value = json.loads((tmp_path / run / "results.json").read_text())["test"]["test/r2"]
        with np.load(tmp_path / run / "predictions-test.npz") as kept:
            truth = kept["target"].astype(np.float64).ravel()
            answer = kept["prediction"].astype(np.float64).ravel()
        exact = 1 - ((truth - answer) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
        assert value == pytest.approx(exact, abs=2e-3) and 0.6 < value < 0.95


def test_a_test_on_a_file_that_has_changed_since_training_is_refused(project: Project) -> None:
    """Its rows would be split otherwise: some of those that were trained on would be tested."""
    rows = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(100)]
    Path("t.csv").write_text("\n".join(["x,y,target", *rows]) + "\n")
    words = (
        "--data CSVTable --data.root . --data.file t.csv --model.net MLP --trainer.max_epochs 1 "
        "--run.report false --run.tensorboard false --run run"
    )
    assert project("fit", words)[0] == 0
    assert project("test --ckpt_path run")[0] == 0
    Path("t.csv").write_text("\n".join(["x,y,target", *sorted(rows)]) + "\n")
    code, _, err = project("test --ckpt_path run")
    assert (code, err.count("\n")) == (2, 1)
    assert "the train data are not those that run began with" in err
    shutil.copy("t.csv", "other.csv")
    code, _, err = project("test --ckpt_path run --data.file other.csv")
    assert code == 0, "another file is named: it is taken"


@pytest.mark.parametrize(
    "change", the_rest_slow(["a digit", "a row out", "rows swapped"], "a digit")
)
def test_metrics_that_were_changed_by_hand_are_not_continued(change: str, project: Project) -> None:
    words = "--data.size 8 --trainer.limit_train_batches 4 --run.report false --run run"
    assert project("fit", words, "--trainer.max_epochs 2 --run.tensorboard false")[0] == 0
    path = Path("run/metrics.csv")
    head, *lines = path.read_text().splitlines()
    if change == "a digit":
        lines[0] = lines[0].translate(str.maketrans("123", "456"))
    elif change == "a row out":
        del lines[1]
    else:
        lines[:2] = lines[1::-1]
    path.write_text("\n".join([head, *lines]) + "\n")
    code, _, err = project("fit --run run --trainer.max_epochs 3")
    assert (code, err.count("\n")) == (2, 1) and "not as the checkpoint has left it" in err


ELSEWHERE = {
    "a callback": "--trainer.callbacks ModelCheckpoint --trainer.callbacks.dirpath elsewhere",
    "a file name": "--trainer.callbacks ModelCheckpoint --trainer.callbacks.dirpath run/more "
    "--trainer.callbacks.filename ../../x",
    "a logger": "--trainer.logger CSVLogger --trainer.logger.save_dir elsewhere",
    "a profiler": "--trainer.profiler SimpleProfiler --trainer.profiler.dirpath elsewhere "
    "--trainer.profiler.filename times",
}


@pytest.mark.parametrize("kind", the_rest_slow(ELSEWHERE, "a logger"))
def test_a_run_of_a_stranger_writes_into_its_folder_alone(
    kind: str, project: Project, tmp_path: Path
) -> None:
    code, _, err = project(f"fit {SMALL} --run run --trainer.max_epochs 1", ELSEWHERE[kind])
    assert code == 0, err
    for made in (*tmp_path.glob("elsewhere"), *tmp_path.glob("x*")):
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    code, _, err = project("fit --run run --trainer.max_epochs 2")
    assert (code, len(err.splitlines())) == (2, 1), err
    assert "outside of the run" in err
    assert not [*tmp_path.glob("elsewhere"), *tmp_path.glob("x*")]
    code, _, err = project("fit --run run --trainer.max_epochs 2", ELSEWHERE[kind])
    assert code == 0, err


def test_a_place_inside_its_folder_is_no_matter(project: Project) -> None:
    inside = "--trainer.logger CSVLogger --trainer.logger.save_dir run/more"
    project(f"fit {SMALL} --run run --trainer.max_epochs 1", inside)
    code, _, err = project("fit --run run --trainer.max_epochs 2")
    assert code == 0, err


class Odd(Classification):
    """A task whose step gives its loss what that has no use for."""

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        logits = self(batch.inputs)
        return self.loss(logits, batch.targets[:-1]), logits, batch.targets


def test_checkpoints_copied_alone_say_what_can_be_done_with_them(project: Project) -> None:
    assert project(f"fit {SMALL} --run whole")[0] == 0
    shutil.copytree("whole/checkpoints", "copied/checkpoints")
    code, _, err = project("fit --run copied --trainer.max_epochs 9")
    assert (code, err.count("\n")) == (2, 1) and "from its weights with --weights" in err, err
    assert project(f"fit {SMALL} --weights copied --run new")[0] == 0


def test_a_loss_that_does_not_fit_is_one_line_and_no_folder(project: Project) -> None:
    code, _, err = project(f"fit {SMALL} --model {__name__}.Odd --run new/run")
    assert (code, len(err.splitlines())) == (2, 1), err
    assert "--model.loss: CrossEntropyLoss does not fit the predictions and targets of Odd" in err
    assert not Path("new").exists()


def test_the_seconds_of_a_prolonged_run_are_those_of_all_its_commands(
    project: Project, tmp_path: Path
) -> None:
    for epochs in ("1", "2"):
        project(f"fit {SMALL} --run run --trainer.max_epochs {epochs}")
    with open("run/epochs.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    seconds = json.loads(Path("run/results.json").read_text())["seconds"]
    assert seconds == pytest.approx(float(last["run_seconds"]), abs=0.5)
    assert seconds >= float(last["run_seconds"])
