"""Disturb runs whose processes others start: torchrun, and a stand-in for Slurm.

    python -m tests.engine.runs.launched --count 10

A rank of torchrun is killed while it trains; a job of Slurm reaches its time limit (SIGUSR1), is
preempted (SIGTERM, then SIGKILL) or loses its node, and is queued again. Each run must end like the
undisturbed one.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from tests.engine.captured import run_script
from tests.engine.runs.equal import differing

REPOSITORY = Path(__file__).parents[3]
TRAINING = (
    "--data.size 8 --trainer.max_epochs 8 --run.tensorboard false --run.report false "
    "--run.save_every 3 --trainer.accelerator cpu --run.threads 1"
)
TORCHRUN = (
    f"--nproc_per_node 2 --max_restarts 5 -m project -- fit {TRAINING} --trainer.devices 2 --run"
)
SECONDS = 180  # of a whole run

# One process for each task, signals passed on to all, the worst exit code.
SRUN = """#!/bin/bash
pids=()
for ((i = 0; i < SLURM_NTASKS; i++)); do
    SLURM_PROCID=$i SLURM_LOCALID=$i SLURM_NODEID=0 "$@" &
    pids+=($!)
done
trap 'kill -USR1 "${pids[@]}" 2>/dev/null' USR1
trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM
code=0
for pid in "${pids[@]}"; do
    wait "$pid"
    one=$?
    while kill -0 "$pid" 2>/dev/null; do
        wait "$pid"
        one=$?
    done
    [ "$one" -gt "$code" ] && code=$one
done
exit "$code"
"""
SCONTROL = """#!/bin/bash
echo "$*" >> "$CALLS"
"""


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | more


def children(parent: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def newest(folder: Path, name: str) -> str:
    """The newest checkpoint of a run: when it changes, the run trains."""
    return max((path.name for path in (folder / name / "checkpoints").glob("step-*")), default="")


# ---------------------------------------------------------------------- torchrun


def start_torchrun(folder: Path, name: str, words: str = TORCHRUN) -> subprocess.Popen[str]:
    with open(folder / f"{name}.txt", "a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *words.split(), name],
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def kill_ranks(folder: Path, name: str, most: int, draw: random.Random) -> int:
    """Run, and kill a rank up to so often while it trains; returns how often it was."""
    process, done, seen = start_torchrun(folder, name), 0, ""
    while done < most and process.poll() is None:
        victims = children(process.pid)
        if newest(folder, name) != seen and victims:
            time.sleep(draw.uniform(0, 0.5))
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(victims), signal.SIGKILL)
                done += 1
            while process.poll() is None and set(children(process.pid)) & set(victims):
                time.sleep(0.02)
            seen = newest(folder, name)
        time.sleep(0.02)
    assert process.wait(SECONDS) == 0, (folder / f"{name}.txt").read_text()[-2000:]
    return done


# ---------------------------------------------------------------------- Slurm


def start_job(folder: Path, name: str, tasks: int) -> subprocess.Popen[str]:
    """What Slurm starts on the first node: the script, in a session of its own."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for program, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (programs / program).write_text(text)
        (programs / program).chmod((programs / program).stat().st_mode | stat.S_IXUSR)
    (folder / "empty.yaml").write_text("name: empty\n")
    slurm = {
        "SLURM_JOB_ID": "4242",
        "SLURM_JOB_NAME": "project",
        "SLURM_NTASKS": str(tasks),
        "SLURM_NTASKS_PER_NODE": str(tasks),
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "127.0.0.1",
        "CALLS": str(folder / f"{name}.calls"),
        "PYTHON": sys.executable,
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    words = [*TRAINING.split(), "--trainer.devices", str(tasks)]
    with open(folder / f"{name}.txt", "a") as output:
        return subprocess.Popen(
            [REPOSITORY / "scripts" / "slurm.sh", "empty.yaml", name, *words],
            cwd=folder,
            env=environment(**slurm),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def preempt(folder: Path, name: str, tasks: int, most: int, draw: random.Random) -> int:
    """Run a job, end it up to so often, queue it again; returns how often it was."""
    done = 0
    while True:
        job, seen = start_job(folder, name, tasks), newest(folder, name)
        while done < most and job.poll() is None and newest(folder, name) == seen:
            time.sleep(0.02)
        if done < most and job.poll() is None:
            time.sleep(draw.uniform(0, 0.5))
            how = draw.choice(["limit", "preempted", "node lost"])
            if how == "node lost":
                os.killpg(job.pid, signal.SIGKILL)
            else:
                os.killpg(job.pid, signal.SIGUSR1 if how == "limit" else signal.SIGTERM)
            done += 1
        code = job.wait(SECONDS)
        text = (folder / f"{name}.txt").read_text()[-2000:]
        if code == 0:
            return done
        calls = folder / f"{name}.calls"
        queued = calls.exists() and calls.read_text() == "requeue 4242\n"
        calls.unlink(missing_ok=True)
        assert (code == 138) == queued, text  # the scheduler itself queues the others again
        assert code in (138, 143, -signal.SIGKILL), (code, text)


def check(count: float, seed: int, folder: Path) -> bool:
    """Disturb runs until each way was tried so often; print what came of it."""
    fine = True
    assert start_torchrun(folder, "whole").wait(SECONDS) == 0
    assert start_job(folder, "single", 1).wait(SECONDS) == 0
    ways = {
        "torchrun, ranks killed": ("whole", lambda n, most, d: kill_ranks(folder, n, most, d)),
        "Slurm, two tasks": ("whole", lambda n, most, d: preempt(folder, n, 2, most, d)),
        "Slurm, one task": ("single", lambda n, most, d: preempt(folder, n, 1, most, d)),
    }
    for way, (like, disturb) in ways.items():
        wanted = count if like == "whole" and "rank" in way else count // 2
        done = runs = equal = 0
        while done < wanted:
            name = f"{way.replace(' ', '_').replace(',', '')}-{runs}"
            done += disturb(name, min(3, wanted - done), random.Random(f"{seed}/{name}"))
            parts = differing(folder / like, folder / name)
            equal, runs = equal + (not parts), runs + 1
            if parts:
                print(f"{name} differs in {parts}", flush=True)
        print(f"{way}: {equal} of {runs} runs equal, disturbed {done} times", flush=True)
        fine = fine and equal == runs
    return fine


if __name__ == "__main__":
    run_script(__doc__, check, "--count", 10)
