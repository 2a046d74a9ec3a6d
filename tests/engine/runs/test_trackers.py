"""A tracker has one run of a run here, with each row of metrics.csv once, over all kills."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger

from project.engine.runs.trackers import name_of
from tests.conftest import Project
from tests.engine.runs.kills import start, wait

pytestmark = pytest.mark.filterwarnings("ignore")  # what the trackers' own packages say
Rows = list[dict[str, float]]
COMMAND = (
    "fit --data.size 12 --model.net MLP --trainer.max_epochs 8 --trainer.log_every_n_steps 4 "
    "--run.save_every 11 --run.threads 1 --run.tensorboard false --run.report false --run run"
)
KILLS = 5


def rows_of(path: Path) -> Rows:
    with open(path, newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def in_csv(folder: Path) -> list[Rows]:
    return [rows_of(path) for path in folder.glob("store/*/*/metrics.csv")]


def joined(metrics: dict[str, Any]) -> Rows:
    """Rows from the values of each metric, which have a step; training and validation of one step
    are two rows.
    """
    rows: dict[tuple[float, bool], dict[str, float]] = {}
    epochs = sorted((one.step, one.value) for one in metrics.pop("epoch"))
    for name, values in metrics.items():
        for one in values:
            row = rows.setdefault((one.step, name.startswith("val/")), {"step": one.step})
            assert name not in row, "a row came twice"
            row[name] = one.value
    for key, (_, epoch) in zip(sorted(rows), epochs, strict=True):
        rows[key]["epoch"] = epoch
    return [rows[key] for key in sorted(rows)]


def in_mlflow(folder: Path) -> list[Rows]:
    mlflow = pytest.importorskip("mlflow")
    client, found = mlflow.MlflowClient(f"sqlite:///{folder}/store.db"), []
    for run in client.search_runs(["1"]):
        names = run.data.metrics
        found.append(joined({n: client.get_metric_history(run.info.run_id, n) for n in names}))
        assert run.info.status == "FINISHED" and run.data.params["model.net"] == "MLP"
    return found


def records(log: bytes) -> Iterator[bytes]:
    """What is in a file of Weights & Biases: LevelDB's log format behind seven bytes."""
    place, part = 7, b""
    while place + 7 <= len(log):
        if (left := -place % 2**15) < 7 and left:
            place += left
            continue
        size, kind = int.from_bytes(log[place + 4 : place + 6], "little"), log[place + 6]
        part += log[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield part
            part = b""


def in_tensorboard(folder: Path) -> list[Rows]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = []
    for path in folder.glob("store/*/*"):
        board = accumulator.EventAccumulator(str(path), {"scalars": 0})
        board.Reload()
        names = {*board.Tags()["scalars"]} - {"hp_metric"}
        found.append(joined({name: board.Scalars(name) for name in names}))
    return found


def in_wandb(folder: Path) -> list[Rows]:
    record = pytest.importorskip("wandb.proto.wandb_internal_pb2").Record
    found: dict[str, Rows] = {}
    for path in sorted(folder.glob("store/wandb/offline-run-*/*.wandb")):
        rows = found[path.stem] = []  # the last folder of a run has all of it
        for data in records(path.read_bytes()):
            one = record.FromString(data)
            if one.WhichOneof("record_type") == "history":
                row = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json)
                    for item in one.history.item
                }
                if "trainer/global_step" in row:
                    assert row["_step"] == len(rows)
                    row = {k: v for k, v in row.items() if k[0] != "_"}
                    rows.append({"step": row.pop("trainer/global_step"), **row})
    return [*found.values()]


# a logger of Lightning's -> its arguments, and the rows of each run in its store
STORES: dict[str, tuple[str, Callable[[Path], list[Rows]]]] = {
    "CSVLogger": ("--trainer.logger.save_dir store", in_csv),
    "MLFlowLogger": ("--trainer.logger.tracking_uri sqlite:///store.db", in_mlflow),
    "TensorBoardLogger": ("--trainer.logger.save_dir store", in_tensorboard),
    "WandbLogger": ("--trainer.logger.offline true --trainer.logger.save_dir store", in_wandb),
}


def kill_at(words: list[str], rows: int) -> bool:
    """Run the command until metrics.csv has so many rows; False if it ended before."""
    child, path = start(words, Path("output.txt")), Path("run/metrics.csv")
    while wait(child, 0.002) is None:
        if path.is_file() and path.read_bytes().count(b"\n") > rows:
            os.kill(child, signal.SIGKILL)
            wait(child)
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("name", STORES)
def test_five_kills_leave_one_run_with_the_rows_of_metrics_csv(
    name: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, read = STORES[name]
    read(tmp_path / "nothing") if name != "MLFlowLogger" else pytest.importorskip("mlflow")
    monkeypatch.setenv("WANDB_SILENT", "true")
    words = [*COMMAND.split(), "--trainer.logger", name, *options.split()]
    kills = 0
    for number in range(1, KILLS + 1):
        kills += kill_at(words, 8 * number)
        time.sleep(1.1)  # Weights & Biases names a folder by the second
    assert kills == KILLS, Path("output.txt").read_text()[-2000:]
    assert wait(start(words, Path("output.txt"))) == 0, Path("output.txt").read_text()[-2000:]
    wanted = rows_of(Path("run/metrics.csv"))
    (found,) = read(tmp_path)
    assert len(found) == len(wanted) == 48
    bits32 = name == "TensorBoardLogger"
    for a, b in zip(wanted, found, strict=True):
        assert b == (pytest.approx(a, rel=1e-6) if bits32 else a)
    (tracker,) = json.loads(Path("run/run.json").read_text())["trackers"]
    assert tracker["class"] == name and "id" in tracker
    if isinstance(tracker["id"], str):  # a run that repeats the config is another one there
        assert tracker["id"] not in Path("run/config.yaml").read_text()


def test_a_class_derived_from_a_tracker_goes_on_as_it_does() -> None:
    assert name_of(type("Mine", (CSVLogger,), {})) == "CSVLogger"
    assert name_of(type("Other", (), {})) == "Other"


def test_mlflow_alone_is_kept_beside_the_runs(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    words = COMMAND.replace("--trainer.max_epochs 8", "--trainer.max_epochs 1")
    code, _, err = project(f"{words} --run.root store --trainer.logger MLFlowLogger")
    assert code == 0, err
    (tmp_path / "store/mlflow.db").rename(tmp_path / "store.db")
    (found,) = in_mlflow(tmp_path)
    assert found == [dict(row) for row in rows_of(Path("run/metrics.csv"))]
    assert "tracking_uri: null" in Path("run/config.yaml").read_text()


def test_a_tracker_that_cannot_be_reached_is_one_line_and_leaves_no_run(project: Project) -> None:
    pytest.importorskip("mlflow")
    words = COMMAND.replace("--run run", "")
    code, _, err = project(
        f"{words} --trainer.logger MLFlowLogger --trainer.logger.tracking_uri sqlite:////dev/null/x.db"
    )
    assert code == 2 and err.splitlines()[-1].startswith("error: --trainer.logger MLFlowLogger: ")
    code, _, err = project(f"{words} --run.root /dev/null/x --trainer.logger MLFlowLogger")
    assert code == 2 and err.splitlines()[-1].startswith("error: /dev/null/x: "), err
    assert not list(Path("runs").rglob("run.json"))
