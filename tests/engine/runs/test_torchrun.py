"""Under torchrun a run ends like the undisturbed one, whichever of its processes is killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.engine.runs.equal import differing

WORDS = (
    "--nproc_per_node 2 --max_restarts 5 -m project -- fit --data.size 8 --trainer.max_epochs 8 "
    "--run.tensorboard false --run.report false --run.save_every 3 --trainer.accelerator cpu "
    "--trainer.devices 2 --run"
)


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    with open(folder / f"{name}.txt", "a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *WORDS.split(), name],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def ranks(parent: int) -> list[int]:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return [int(child) for child in text.split()]
    return []


def killed(folder: Path, name: str, kills: int, draw: random.Random) -> int:
    """Run, and kill a rank up to so often while it trains; returns how often it was."""
    process, done = start(folder, name), 0
    while done < kills and process.poll() is None:
        begun = (folder / name / "checkpoints").is_dir()
        again = (folder / f"{name}.txt").read_text().count("continuing")
        if begun and again == done and (victims := ranks(process.pid)):
            time.sleep(draw.uniform(0, 0.5))
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(victims), signal.SIGKILL)
                done += 1
        time.sleep(0.02)
    assert process.wait(120) == 0, (folder / f"{name}.txt").read_text()[-2000:]
    return done


@pytest.mark.slow  # every start imports torch twice
def test_a_killed_rank_is_started_again_and_the_run_ends_like_the_undisturbed_one(
    tmp_path: Path,
) -> None:
    assert start(tmp_path, "whole").wait(120) == 0, (tmp_path / "whole.txt").read_text()[-2000:]
    assert killed(tmp_path, "killed", 2, random.Random(0)) > 0
    assert differing(tmp_path / "whole", tmp_path / "killed") == []


@pytest.mark.slow
def test_without_a_folder_it_says_what_is_missing(tmp_path: Path) -> None:
    words = WORDS.removesuffix(" --run").replace("restarts 5", "restarts 0").split()
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "give them all the same folder with --run FOLDER" in done.stderr
