"""TensorBoard: what is written is what metrics.csv says, it survives a kill, it shows what it
should, it changes nothing.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from project.data.digits import Digits
from project.engine.cli.machine import quiet
from project.engine.errors import UserError
from project.engine.runs.folder import RunFolder
from project.engine.runs.tensorboard import Board, Events
from tests.conftest import Project
from tests.engine.runs.equal import differing
from tests.engine.runs.kills import start, wait

TINY = (
    "--data.size 12 --data.batch_size 128 --run.threads 1 --trainer.max_epochs 2 "
    "--trainer.log_every_n_steps 3 --run.save_every 5"
)
OF_A_CLOCK = {"epoch/seconds", "epoch/run_seconds", "epoch/samples_per_second"}


def read(run: Path) -> EventAccumulator:
    found = EventAccumulator(
        str(run), size_guidance=dict.fromkeys(("scalars", "images", "histograms", "tensors"), 0)
    )
    found.Reload()
    return found


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def curve(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def check_curves(run: Path) -> None:
    """Every value of metrics.csv is there as float32, at its step, in its order, once; and nothing
    else but what is of epochs.
    """
    events, metrics = read(run), rows(run / "metrics.csv")
    names = [name for name in metrics[0] if name != "step"]
    for name in names:
        wanted = [
            (int(row["step"]), float(np.float32(float(row[name])))) for row in metrics if row[name]
        ]
        assert curve(events, name) == wanted, name
    others = set(events.Tags()["scalars"]) - set(names)
    epochs = rows(run / "epochs.csv")
    for name in (name for name in others if name.startswith("epoch/") and name not in OF_A_CLOCK):
        column = [
            (int(row["step"]), float(row[f"train/{name.removeprefix('epoch/')}"])) for row in epochs
        ]
        assert curve(events, name) == [
            (step, pytest.approx(value, abs=2e-6)) for step, value in column
        ]
    assert OF_A_CLOCK | {"epoch/loss", "epoch/accuracy"} <= others
    for name in OF_A_CLOCK:
        assert [step for step, value in curve(events, name) if value > 0] == [
            int(row["step"]) for row in epochs
        ]
    assert {name for name in others if not name.startswith("epoch/")} == {"best/val/accuracy"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, with augmentation; beside it one that learns nothing."""
    from project.__main__ import main

    folder = tmp_path_factory.mktemp("board") / "run"
    words = ["fit", *TINY.split(), "--data.augment", "[Crop]", "--run.report", "false"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*words, "--run", str(folder)]) == 0
        assert (
            main([*words, "--run", str(folder.parent / "slow"), "--model.optimizer.lr", "1e-9"])
            == 0
        )
    return folder


def test_the_curves_are_those_of_metrics_csv(run: Path) -> None:
    check_curves(run)


@pytest.mark.slow
@pytest.mark.parametrize("flushed", [True, False], ids=["events on disk", "events in memory"])
def test_a_killed_and_continued_run_shows_one_curve(
    flushed: bool, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Board.on_train_batch_start

    def killed_at_13(self: Board, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        whole(self, trainer, module, batch, batch_idx)
        if trainer.global_step == 13:
            if flushed:
                self.events.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    words = ["fit", *TINY.split(), "--run", "run"]
    with monkeypatch.context() as patched:
        patched.setattr(Board, "on_train_batch_start", killed_at_13)
        assert wait(start(words, tmp_path / "out.txt"), 60) == -signal.SIGKILL
    assert "continuing run from step 10" in project(words)[1]
    check_curves(tmp_path / "run")
    events = read(tmp_path / "run")
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 2
    assert [event.step for event in events.Images("training batch")] == [1, 11]
    assert [event.step for event in events.Histograms("weights/features.0.weight")] == [10, 20]
    project("fit --run run --trainer.max_epochs 3")
    with pytest.raises(
        AssertionError, match="best"
    ):  # prolonged, it has a best figure for each end: nothing else is there twice
        check_curves_but_best(tmp_path / "run")


def check_curves_but_best(run: Path) -> None:
    check_curves(run)
    assert [step for step, _ in curve(read(run), "best/val/accuracy")] == [30], "best"


def test_files_of_one_second_or_of_a_clock_set_back_stay_in_their_order(tmp_path: Path) -> None:
    ahead = int(time.time()) + 1000
    names = [f"{ahead}.host.9.0", f"{ahead + 1}.host.8.0", f"{ahead + 1}.host.8.1"]
    for number, name in enumerate(names):
        (tmp_path / f"events.out.tfevents.{name}").write_text(str(number))
    events = Events(RunFolder(tmp_path), 5)
    _ = events.experiment
    events.finalize("")
    found = sorted(tmp_path.glob("events.out.tfevents.*"))
    assert [path.read_text() for path in found[:3]] == ["0", "1", "2"] and len(found) == 4
    seconds = [int(path.name.split(".")[3]) for path in found]
    assert len({*seconds}) == 4 and seconds == sorted(seconds) and seconds[-1] < ahead


def test_an_attempt_killed_before_its_first_checkpoint_leaves_nothing_behind(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    events = Events(RunFolder(tmp_path / "run"), None)
    events.log_metrics({"train/loss": 9.0}, 3)
    events.finalize("")
    project("fit", TINY, "--run run")
    check_curves(tmp_path / "run")


def test_a_new_run_from_an_older_checkpoint_takes_the_curves_along(
    project: Project, tmp_path: Path
) -> None:
    project("fit", TINY, "--run run")
    code, _, err = project(
        "fit --ckpt_path", tmp_path / "run/checkpoints/step-000000015.ckpt", "--run other"
    )
    assert code == 0, err
    check_curves(tmp_path / "other")


def test_pictures_show_what_the_network_sees_and_what_it_takes_for_what(run: Path) -> None:
    events = read(run)
    (first, second) = events.Images("training batch")
    assert (first.step, second.step) == (1, 11)  # the epochs 1 and 2; 3 would have none
    grid = np.asarray(Image.open(io.BytesIO(first.encoded_image_string)).convert("L"))
    assert grid.shape == (4 * 12, 8 * 12)
    data = Digits(size=12, batch_size=128)
    data.setup("fit")
    plain = data.fetch(
        "train", data.train_dataloader().dataset.rows[data.train_sampler.samples(0)[:32]]
    )[0]  # type: ignore[attr-defined]
    shown = grid.reshape(4, 12, 8, 12).swapaxes(1, 2).reshape(32, 12, 12)
    moved = [
        not np.array_equal(one, other[0].numpy()) for one, other in zip(shown, plain, strict=True)
    ]
    assert sum(moved) > 16  # a crop that moves by up to four pixels leaves one of 81 where it is
    assert shown.sum() > 0.4 * plain.sum()
    confusion = events.Images("val/confusion")
    assert [event.step for event in confusion] == [10, 20]
    assert Image.open(io.BytesIO(confusion[0].encoded_image_string)).size > (400, 400)


def test_there_are_histograms_of_every_weight_and_gradient_per_epoch(run: Path) -> None:
    events = read(run)
    weights = torch.load(sorted((run / "checkpoints").glob("step-*"))[-1], weights_only=True)[
        "state_dict"
    ]
    names = [name.removeprefix("net.") for name in weights if name.startswith("net.")]
    wanted = {f"{group}/{name}" for group in ("weights", "gradients") for name in names}
    assert set(events.Tags()["histograms"]) == wanted
    for tag in wanted:
        assert [event.step for event in events.Histograms(tag)] == [10, 20]
    last = events.Histograms("weights/features.0.weight")[-1].histogram_value
    values = weights["net.features.0.weight"]
    assert (last.num, last.min, last.max) == (
        values.numel(),
        float(values.min()),
        float(values.max()),
    )
    assert last.sum == pytest.approx(float(values.sum()), abs=1e-4)


def test_the_graph_and_the_texts_are_there(run: Path) -> None:
    events = read(run)
    nodes = {node.op for node in events.Graph().node}
    assert "aten::_convolution" in nodes and "aten::linear" in nodes
    (config,) = events.Tensors("config/text_summary")
    text = config.tensor_proto.string_val[0].decode()
    assert yaml.safe_load(text.strip("`").removeprefix("yaml")) == yaml.safe_load(
        (run / "config.yaml").read_text()
    )
    assert (
        "python -m project"
        in events.Tensors("command/text_summary")[0].tensor_proto.string_val[0].decode()
    )


def test_runs_are_compared_by_their_parameters_and_figures(run: Path) -> None:
    contents = read(run).PluginTagToContent("hparams")
    parts = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(content)
        for tag, content in contents.items()
    }
    values = parts["_hparams_/session_start_info"].session_start_info.hparams
    assert (
        values["model.net"].string_value == "LeNet"
        and values["data.batch_size"].number_value == 128
    )
    assert values["model.optimizer.lr"].number_value == 0.001 and "data.root" not in values
    assert parts["_hparams_/session_end_info"].session_end_info.status == 1
    best = json.loads((run / "results.json").read_text())["best"]["value"]
    assert curve(read(run), "best/val/accuracy") == [(20, pytest.approx(best))]


NETWORK = """
import torch
from torch import nn
from project.engine.bases.network import Network

class Odd(Network):
    '''Draws numbers and counts its calls, in evaluation too; one kind of it cannot be traced.'''

    def __init__(self, spec, traceable: bool = True):
        super().__init__(spec)
        self.traceable = traceable
        self.last = nn.Linear(144, spec.outputs)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        if torch.jit.is_tracing() and not self.traceable:
            raise RuntimeError("not to be traced")
        self.calls += 1
        return self.last(images.flatten(1) + 0.01 * torch.rand(144))
"""


@pytest.mark.parametrize("traceable", [True, False])
def test_a_run_ends_with_the_same_bits_with_tensorboard_and_without(
    traceable: bool, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import project.networks as networks

    (tmp_path / "odd.py").write_text(NETWORK)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "project.networks.odd", raising=False)
    net = f"--model.net project.networks.odd.Odd --model.net.traceable {str(traceable).lower()}"
    outs = []
    for on in ("true", "false"):
        code, out, err = project("fit", TINY, net, f"--run.tensorboard {on} --run {on}")
        assert (code, err) == (0, "")
        outs.append(out)
    assert differing(tmp_path / "true", tmp_path / "false") == []
    assert not list((tmp_path / "false").glob("events*"))
    notes = [line for line in outs[0].splitlines() if line.startswith("note      TensorBoard")]
    assert notes == (
        []
        if traceable
        else ["note      TensorBoard shows no graph: Odd cannot be traced (not to be traced)"]
    )
    assert "graph" not in outs[1] and "Error" not in outs[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "has"),
    {
        "--model.net MLP --model.loss BCEWithLogits --data YesNo": {"val/confusion"},
        "--data Numbers --model Regression": set(),
        "--data DigitMasks --data.size 16 --model Segmentation": {
            "training batch",
            "val/confusion",
        },
        "--data Bars --model Transcription": {"training batch"},
        "--data ImagesAndNumbers --model.net ImageAndNumbers": {"training batch", "val/confusion"},
    }.items(),
)
def test_every_kind_of_data_shows_what_it_has(
    words: str, has: set[str], project: Project, tmp_path: Path
) -> None:
    code, _, err = project(
        "fit",
        TINY.replace("--data.size 12 ", ""),
        words,
        "--trainer.max_epochs 1 --run run".replace("1", "2"),
    )
    assert code == 0, err
    events = read(tmp_path / "run")
    assert set(events.Tags()["images"]) == has and events.Tags()["graph"]


def test_where_tensorboard_is_not_installed_a_note_says_so(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    code, out, err = project("fit", TINY, "--run run")
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if "not installed" in line] == [
        "note      TensorBoard is not installed, nothing is written for it: pip install tensorboard"
    ]
    assert not list((tmp_path / "run").glob("events*"))


def test_a_folder_that_is_gone_stops_the_run_with_one_line(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Board.on_train_epoch_end

    def remove(self: Board, trainer: Any, module: Any) -> None:
        shutil.rmtree(tmp_path / "run")
        whole(self, trainer, module)

    monkeypatch.setattr(Board, "on_train_epoch_end", remove)
    code, _, err = project("fit", TINY, "--run run")
    assert (code, err.count("\n")) == (2, 1), err
    assert "No such file" in err and "same command continues the run" in err


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    events = Events(RunFolder(tmp_path), None)
    events.log_metrics({"a": 1.0}, 1)
    events.flush()
    file = next(tmp_path.glob("events*"))
    file.unlink()
    file.symlink_to("/dev/full")
    with quiet(False), pytest.raises(UserError, match=r"No space left on device; the same command"):
        for step in range(1000):
            events.log_metrics({"a": 1.0}, step)
            events.flush()
    events.finalize("failed")


@pytest.fixture
def server(run: Path) -> Iterator[str]:
    """TensorBoard over the folder of the run, on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        run.parent,
        "--host",
        "127.0.0.1",
        "--port",
        port,
    ]
    words += ["--load_fast", "false", "--reload_interval", 1]
    with open(run.parent / "server.txt", "w") as log:
        process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait(20)


def ask(url: str, body: Any = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        content = answer.read()
    return json.loads(content) if "json" in answer.headers["Content-Type"] else content


def test_tensorboard_itself_shows_the_run(server: str, run: Path) -> None:
    until = time.monotonic() + 90
    while True:
        with contextlib.suppress(OSError):
            if (
                ask(f"{server}data/runs") == ["run", "slow"]
                and len(ask(f"{server}data/plugin/scalars/tags")) == 2
            ):
                break
        assert time.monotonic() < until, (run.parent / "server.txt").read_text()
        time.sleep(0.2)
    assert b"<title>TensorBoard" in ask(server)
    data = f"{server}data/plugin/"
    metrics = rows(run / "metrics.csv")
    points = ask(f"{data}scalars/scalars?run=run&tag=val%2Floss")
    assert [(step, value) for _, step, value in points] == [
        (int(row["step"]), float(np.float32(float(row["val/loss"]))))
        for row in metrics
        if row["val/loss"]
    ]
    (first, *_) = ask(f"{data}images/images?run=run&tag=training%20batch&sample=0")
    picture = ask(f"{data}images/individualImage?{first['query']}")
    assert Image.open(io.BytesIO(picture)).size == (96, 48)
    assert [
        point[1]
        for point in ask(f"{data}histograms/histograms?run=run&tag=weights%2Ffeatures.0.weight")
    ] == [10, 20]
    assert b"classifier" in ask(f"{data}graphs/graph?run=run&conceptual=false")
    assert "config/text_summary" in ask(f"{data}text/tags")["run"]
    experiment = ask(f"{data}hparams/experiment", {})
    assert [info["name"] for info in experiment["hparamInfos"] if info.get("differs")] == [
        "model.optimizer.lr"
    ]
    assert experiment["hparamInfos"][0]["name"] == "model.optimizer.lr"
    assert {"val/accuracy", "best/val/accuracy"} <= {
        info["name"]["tag"] for info in experiment["metricInfos"]
    }
    columns = [{"metric": {"tag": "best/val/accuracy"}, "order": "ORDER_DESC"}]
    asked = {
        "allowedStatuses": ["STATUS_SUCCESS"],
        "colParams": columns,
        "startIndex": 0,
        "sliceSize": 10,
    }
    sessions = ask(f"{data}hparams/session_groups", asked)["sessionGroups"]
    assert [
        (session["name"], session["hparams"]["model.optimizer.lr"]) for session in sessions
    ] == [("run", 0.001), ("slow", 1e-9)]
    best = json.loads((run / "results.json").read_text())["best"]["value"]
    values = {value["name"]["tag"]: value["value"] for value in sessions[0]["metricValues"]}
    assert values["best/val/accuracy"] == pytest.approx(best)
