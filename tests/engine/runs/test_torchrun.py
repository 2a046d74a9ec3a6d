"""Runs whose processes torchrun or Slurm starts end like undisturbed ones, whatever is killed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.runs.equal import differing
from tests.engine.runs.launched import (
    SECONDS,
    TORCHRUN,
    environment,
    kill_ranks,
    preempt,
    start_torchrun,
)

pytestmark = pytest.mark.slow  # every start imports torch twice


def test_a_killed_rank_or_a_preempted_job_ends_like_the_undisturbed_run(tmp_path: Path) -> None:
    assert start_torchrun(tmp_path, "whole").wait(SECONDS) == 0, (
        tmp_path / "whole.txt"
    ).read_text()
    assert kill_ranks(tmp_path, "killed", 1, random.Random(0)) > 0
    assert differing(tmp_path / "whole", tmp_path / "killed") == []
    assert preempt(tmp_path, "preempted", 2, 1, random.Random(0)) > 0
    assert differing(tmp_path / "whole", tmp_path / "preempted") == []


def test_without_a_folder_it_says_what_is_missing(tmp_path: Path) -> None:
    words = TORCHRUN.removesuffix(" --run").replace("restarts 5", "restarts 0").split()
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "give them all the same folder with --run FOLDER" in done.stderr
