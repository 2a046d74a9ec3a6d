"""scripts/slurm.sh starts the command that can be repeated, waits for the run to be saved, and
queues it again.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "slurm.sh"


def place(folder: Path, python: str) -> dict[str, str]:
    """A folder with a Slurm and a Python that only note what they are asked; the environment that
    finds them.
    """
    programs = {
        "srun": 'echo "srun $SLURM_JOB_NAME $*" >> calls\nexec "$@"',
        "scontrol": 'echo "scontrol $*" >> calls',
        "fakepython": python,
    }
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHON": "fakepython",
        "SLURM_JOB_ID": "42",
    }


@pytest.mark.parametrize("code", [0, 2, 4, 137, 138, 143])
def test_only_a_run_stopped_by_the_time_limit_is_queued_again(code: int, tmp_path: Path) -> None:
    words = ["c.yaml", "runs/a b", "--model.optimizer.lr", "0.1"]
    done = subprocess.run(
        [SCRIPT, *words],
        cwd=tmp_path,
        env=place(tmp_path, f"exit {code}"),
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == code
    first, *others = (tmp_path / "calls").read_text().splitlines()
    assert (
        first == "srun interactive fakepython -m project fit --config c.yaml --run runs/a b "
        "--model.optimizer.lr 0.1"
    )
    assert others == (["scontrol requeue 42"] if code == 138 else [])


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signalled_shell_waits_for_the_run_to_be_saved(
    number: signal.Signals, tmp_path: Path
) -> None:
    saves = (
        "trap 'sleep 0.3; touch saved; exit 138' USR1\necho ready\nwhile true; do sleep 0.05; done"
    )
    words, environment = [SCRIPT, "c.yaml", "run"], place(tmp_path, saves)
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None and job.stdout.readline() == b"ready\n"
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(job.pid)], capture_output=True, text=True
        )
        os.kill(job.pid, number)  # the shell first, as when Slurm signals the whole job
        os.kill(int(children.stdout.split()[0]), signal.SIGUSR1)
        job.stdout.read()
    assert job.returncode == 138
    assert (tmp_path / "saved").exists() and "scontrol requeue 42" in (
        tmp_path / "calls"
    ).read_text()


def test_without_a_folder_it_says_how_it_is_called(tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPT, "c.yaml"],
        cwd=tmp_path,
        env=place(tmp_path, ""),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "usage: sbatch scripts/slurm.sh CONFIG FOLDER [--KEY VALUE]...\n",
    )


def test_the_options_of_the_job_ask_for_a_signal_before_its_end_and_for_a_further_try() -> None:
    options = [
        line.removeprefix("#SBATCH --")
        for line in SCRIPT.read_text().splitlines()
        if line.startswith("#SBATCH")
    ]
    assert {"signal=USR1@120", "requeue", "open-mode=append", "ntasks=1"} <= set(options)
