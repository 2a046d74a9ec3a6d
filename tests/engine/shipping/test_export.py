"""What is exported answers as torch does, is called as its card says, and is nothing otherwise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from project.engine.commands.export import NAMES
from project.engine.shipping import bench
from project.engine.shipping import export as exporting
from tests.conftest import Project, the_rest_slow

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SHORT = (
    "--run.report false --run.tensorboard false --run.threads 1 --trainer.max_epochs 1 "
    "--trainer.limit_train_batches 3 --run run"
)
NETWORKS = {
    "LeNet": "--model.net LeNet",
    "MLP": "--model.net MLP --data.size 8",
    "CNN with batch norm": "--model.net CNN --model.net.batch_norm true --data.size 16",
    "ResNet": "--model.net ResNet --data.size 16",
    "WhitenedCNN": "--model.net WhitenedCNN --model.net.widths [8,8,8] --data.size 16",
    "numbers": "--data Numbers --model Regression --model.net MLP",
    "a class for each pixel": "--data DigitMasks --model Segmentation --model.net UNet "
    "--model.net.channels [4,8]",
    "two inputs": "--data DigitSums --model.net ImageAndNumbers",
    "points": "--model MetricLearning --model.net CNN --data.size 12",
}


@pytest.mark.filterwarnings("ignore")  # of exporters, about what they will be
@pytest.mark.parametrize("name", the_rest_slow(NETWORKS, "LeNet"))
def test_each_network_answers_as_torch_does(name: str, project: Project) -> None:
    code, _, err = project("fit", SHORT, NETWORKS[name])
    assert code == 0, err
    for way in ("onnx", "torch_export", "safetensors"):
        code, out, err = project(f"export --ckpt_path run --to {way} --output {way}")
        assert code == 0, err
        equal, all_of, within = re.search(r"(\d+) of (\d+).* within (\S+)", out).groups()  # type: ignore[union-attr]
        assert equal == all_of and float(within) <= 1e-5
    about = json.loads(Path("onnx/model.json").read_text())
    model = onnx.load("onnx/model.onnx")
    kept = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert kept["names"] == about["names"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", the_rest_slow(("onnx", "torch_export", "safetensors"), "onnx"))
def test_its_time_is_said_beside_torchs(
    way: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SECONDS", 0.0)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    project("fit --model.net MLP --data.size 8", SHORT)
    code, out, err = project(f"export --ckpt_path run --to {way} --output new --bench true")
    assert code == 0, err
    measured = {
        line[:30].strip(): float(line[30:].split()[0].replace(",", ""))
        for line in out.splitlines()[1:]
    }
    assert measured["bytes"] == max(path.stat().st_size for path in Path("new").glob("model.*"))
    for size in bench.SIZES:
        assert measured[f"{way}, {size} at once"] > 0 and measured[f"torch, {size} at once"] > 0
    assert ("seconds to the first answer" in measured) == (way == "onnx")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", ["--data.size 16", NETWORKS["two inputs"]])
def test_the_lines_of_a_card_run(words: str, project: Project, tmp_path: Path) -> None:
    project(f"fit {words}", SHORT.replace("--trainer.limit_train_batches 3", ""))
    Image.fromarray(np.full((40, 30), 200, np.uint8)).save(tmp_path / "image.png")
    for way in {*exporting.WAYS} - {"page"}:
        project(f"export --ckpt_path run --to {way} --output {way}")
        card = (tmp_path / way / "card.md").read_text()
        code = re.search(r"```python\n(.*?)```", card, re.S)
        assert code and len(code[1].splitlines()) <= 16
        Path(way, "image.png").write_bytes((tmp_path / "image.png").read_bytes())
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code[1]], cwd=way, capture_output=True, text=True
        )
        assert done.returncode == 0 and done.stdout.strip(), done.stderr
        assert "val/accuracy: 0." in card


@pytest.mark.filterwarnings("ignore")
def test_answers_that_differ_leave_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project("fit --data.size 16", SHORT)
    monkeypatch.setitem(
        exporting.WAYS,
        "onnx",
        lambda source, example, folder: (
            lambda parts: source.module(torch.from_numpy(parts[0])).numpy() + 1e-3 * parts[0].mean()
        ),
    )
    code, _, err = project("export --ckpt_path run --to onnx --output out")
    assert (code, err.count("\n")) == (2, 1) and "nothing is written" in err
    assert not Path("out").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_wrong_preparation_or_wrong_weights_are_noticed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project("fit --data.size 16", SHORT)
    source = exporting.source_of(Path("run"))
    run = exporting.to_safetensors(source, (), Path())
    assert exporting.compared(source, run).holds
    with torch.no_grad():
        next(source.task.net.parameters()).mul_(1.1)
    assert not exporting.compared(source, run).holds
    source = exporting.source_of(Path("run"))
    source.module.normalise[0].shift += 5
    run = exporting.to_safetensors(source, (), Path())
    assert not exporting.compared(source, run).holds


def test_the_names_of_the_command_are_the_ways() -> None:
    assert tuple(exporting.WAYS) == NAMES


MISTAKES = {
    "export": "export needs --ckpt_path RUN",
    "export --ckpt_path nowhere --to onnx": "no such file or run folder",
    "export --ckpt_path nowhere --to onx": "--to onx: did you mean onnx?",
    "export here --to onnx": "unexpected here",
    "export --too onnx": "--too: unknown option; did you mean --to",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line(words: str, project: Project) -> None:
    code, _, err = project(words)
    assert (code, err.count("\n")) == (2, 1) and MISTAKES[words] in err, err
