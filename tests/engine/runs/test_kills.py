"""A run that is killed at random moments and started again ends like one that was left alone."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from tests.engine.runs.equal import differing
from tests.engine.runs.kills import killed, start, undisturbed, wait

COMMAND = (
    "fit --data Digits --data.size 28 --data.batch_size 32 --trainer.max_epochs 2 "
    "--run.save_every 7 --run.threads 1 "
    "--model.schedule Cosine --trainer.val_check_interval 0.5 --trainer.log_every_n_steps 5"
).split()


@pytest.mark.slow
def test_three_runs_killed_at_random_end_like_the_undisturbed_one(tmp_path: Path) -> None:
    seconds = undisturbed(COMMAND, tmp_path / "whole")
    kills = 0
    for number in range(3):
        kills += killed(COMMAND, tmp_path / f"run{number}", seconds, random.Random(number))
        assert differing(tmp_path / "whole", tmp_path / f"run{number}") == []
    assert kills > 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_stops_a_run_at_a_save_point_with_its_own_exit_code(
    name: str, tmp_path: Path
) -> None:
    run, output, number = tmp_path / "run", tmp_path / "out.txt", getattr(signal, name)
    child = start(
        [word if word != "2" else "500" for word in COMMAND] + ["--run", str(run)], output
    )
    until = time.monotonic() + 30
    while not (run / "metrics.csv").exists() or (run / "metrics.csv").stat().st_size < 500:
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.01)
    os.kill(child, number)
    assert wait(child, 20) == 128 + number
    stopped = re.search(
        r"stopped at step (\d+); continue: python -m project fit --run", output.read_text()
    )
    assert stopped and (run / "checkpoints" / f"step-{int(stopped[1]):09d}.ckpt").exists()
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
