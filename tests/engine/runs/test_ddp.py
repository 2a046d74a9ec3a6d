"""Two processes on one machine: the figures of one, each sample exactly once, and an end also with
uneven shares.
"""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY

TWO = "--trainer.accelerator cpu --trainer.devices 2 --trainer.strategy ddp"


def command(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in processes of its own; killed after two minutes, so that none is ever left
    over.
    """
    return subprocess.run(
        [sys.executable, "-m", "project", *words.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow  # five processes that each import torch
def test_two_processes_train_and_evaluate_like_one(tmp_path: Path) -> None:
    # 1,257 training samples and 180 for validation: neither rank's share is a whole number of
    # batches.
    done = command(
        "fit --data.size 12 --data.validation 0.101 --trainer.max_epochs 2 --run.tensorboard "
        "false --run run "
        f"--model.schedule Cosine --trainer.log_every_n_steps 1 {TWO}",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "run/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 + 2, "one process writes"
    rates = [float(row["lr"]) for row in rows if row["lr"]]
    assert rates == pytest.approx(
        [0.001 * 0.5 * (1 + math.cos(math.pi * step / 20)) for step in range(20)]
    )
    figures, ids = [], []
    for devices in (1, 2):
        done = command(
            f"validate --ckpt_path run --trainer.accelerator cpu --trainer.devices {devices}",
            tmp_path,
        )
        assert done.returncode == 0, done.stderr
        figures.append(json.loads((tmp_path / "run/results.json").read_text())["val"])
        with np.load(tmp_path / "run/predictions-val.npz") as kept:
            ids.append(kept["id"])
    assert figures[0]["val/accuracy"] == figures[1]["val/accuracy"]
    assert abs(figures[0]["val/loss"] - figures[1]["val/loss"]) < 1e-6
    assert len(ids[1]) == len(set(ids[1].tolist())) and (ids[0] == ids[1]).all()


@pytest.mark.slow
def test_a_killed_epoch_of_two_processes_counts_what_both_have_seen(tmp_path: Path) -> None:
    words = (
        f"fit --data.size 12 --data.batch_size 8 --model.net MLP --run.tensorboard false "
        f"--run.report false --run.save_every 5 --trainer.max_epochs 1 {TWO} --run"
    )
    assert command(f"{words} whole", tmp_path).returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "project", *words.split(), "killed"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not (tmp_path / "killed/checkpoints/step-000000030.ckpt").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = command(f"{words} killed", tmp_path)
    assert done.returncode == 0 and "continuing killed from step" in done.stdout, done.stderr
    rows = []
    for name in ("whole", "killed"):
        with open(tmp_path / name / "epochs.csv", newline="") as file:
            rows += list(csv.DictReader(file))
    assert rows[0]["train/accuracy"] == rows[1]["train/accuracy"]
    assert rows[0]["train/loss"] == rows[1]["train/loss"]
