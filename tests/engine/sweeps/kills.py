"""Kill sweeps with SIGKILL at random moments, parent or worker, repeat their command, compare with
the undisturbed sweep.

    python -m tests.engine.sweeps.kills --sweeps 20 --kills 100

Processes are forked from one that has imported everything, so that the random moments fall into the
sweep and not into its imports; `--spawn` starts workers as the command itself does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from project.engine.sweeps import workers
from tests.engine.runs.equal import differing
from tests.engine.runs.kills import start, wait

COMMON = (
    "sweep --name s --data.size 12 --trainer.max_epochs 3 --trainer.limit_train_batches 12 "
    "--trainer.limit_val_batches 2 "
    "--run.tensorboard false --run.report false --run.threads 1 --run.save_every 5 "
    "--data.batch_size 32 "
    "--trainer.log_every_n_steps 4"
)
SPACE = '--space.model.optimizer.lr {"low":0.0001,"high":0.1,"log":true} --space.model.net.dropout [0,0.5]'
# A sweep whose trials depend on those before them is the same again only with one worker.
SWEEPS = {
    "grid, 2 workers": "--workers 2 --space.model.optimizer.lr [0.1,0.01,0.001,0.0001] "
    "--space.model.net.dropout [0,0.5]",
    "seeds, 2 workers": "--workers 2 --seeds 3 --space.model.optimizer.lr "
    "[0.1,0.01,0.001,0.0001] --space.model.net.dropout [0,0.5]",
    "tpe and asha": f"--sampler tpe --sampler.n_startup_trials 3 --pruner asha {SPACE}",
    "random, 2 workers": f"--workers 2 --sampler random {SPACE}",
}


def children(parent: int) -> list[int]:
    """The worker processes of a sweep."""
    with contextlib.suppress(OSError):
        return [
            int(child)
            for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        ]
    return []


def command(name: str, root: Path, trials: int) -> list[str]:
    return [
        *COMMON.split(),
        *SWEEPS[name].split(),
        "--trials",
        str(trials),
        "--run.root",
        str(root),
    ]


def undisturbed(name: str, root: Path, trials: int = 8) -> float:
    """Run a sweep without a kill; returns its seconds."""
    began = time.monotonic()
    code = wait(start(command(name, root, trials), root.with_suffix(".txt")), 300)
    if code != 0:
        raise RuntimeError(f"exit code {code}: {root.with_suffix('.txt').read_text()}")
    return time.monotonic() - began


def killed(
    name: str, root: Path, seconds: float, draw: random.Random, kills: int, trials: int = 8
) -> int:
    """Run a sweep, kill its parent or a worker up to so often, and let it finish; returns how often
    it was killed.
    """
    output, words, done = root.with_suffix(".txt"), command(name, root, trials), 0
    parent = start(words, output)
    for _ in range(kills):
        if wait(parent, draw.uniform(0.02, seconds / kills)) is not None:
            break
        victims = children(parent)
        if victims and draw.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(victims), signal.SIGKILL)
        else:
            os.kill(parent, signal.SIGKILL)
            wait(parent)
            parent = start(words, output)
        done += 1
    else:
        if wait(parent, 300) is None:
            os.kill(parent, signal.SIGKILL)
            raise RuntimeError(f"it does not end: {output.read_text()[-500:]}")
    code = wait(start(words, output), 300)  # the same command once more changes nothing
    if code != 0:
        raise RuntimeError(f"exit code {code}: {output.read_text()[-1000:]}")
    return done


def unlike(one: Path, other: Path) -> list[str]:
    """In what two sweeps differ: trials, their runs, their results, how often each was begun and
    ended.
    """
    found = []
    a, b = summary(one), summary(other)
    found += [
        f"{key}: {a.get(key)} and {b.get(key)}"
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]
    for folder in sorted(path.name for path in (one / "s").glob("[0-9]*")):
        if not (other / "s" / folder / "run.json").is_file():
            continue
        found += [
            f"{folder}: {part}" for part in differing(one / "s" / folder, other / "s" / folder)
        ]
        predictions = [root / "s" / folder / "predictions-val.npz" for root in (one, other)]
        if predictions[0].exists() and predictions[0].read_bytes() != predictions[1].read_bytes():
            found.append(f"{folder}: predictions")
    return found


def summary(root: Path) -> dict[str, object]:
    """What a sweep came to, without clocks."""
    rows = json.loads((root / "s" / "results.json").read_text())["trials"]
    told: dict[str, object] = {"folders": sorted(path.name for path in (root / "s").glob("[0-9]*"))}
    for row in rows:
        told[f"trial {row['trial']}"] = [
            row[key] for key in ("state", "value", "seeds", "parameters", "epochs", "reason")
        ]
    told["order"] = [row["trial"] for row in rows]
    journal = [json.loads(line) for line in (root / "s" / "journal.log").read_text().splitlines()]
    told["begun"] = sum(entry["op_code"] == 4 for entry in journal)
    told["ended"] = sorted(
        entry["trial_id"] for entry in journal if entry["op_code"] == 6 and entry["state"] != 0
    )
    told["states"] = sorted(
        json.loads(path.read_text())["state"] for path in (root / "s").glob("[0-9]*/run.json")
    )
    return told


def report(sweeps: int, kills: int, seed: int, folder: Path) -> bool:
    """Kill so many sweeps so often and print how many end like the undisturbed one; true when all
    do.
    """
    seconds = {}
    for number, name in enumerate(SWEEPS):
        seconds[name] = undisturbed(name, folder / f"whole-{number}")
        print(f"{name}: undisturbed {seconds[name]:.1f} s", flush=True)
    equal = done = 0
    for number in range(sweeps):
        kind = number % len(SWEEPS)
        name, root = list(SWEEPS)[kind], folder / f"killed-{number}"
        share = -(
            (done - kills) // (sweeps - number)
        )  # what is left, shared by the sweeps that are left
        had = killed(name, root, seconds[name], random.Random(f"{seed}/{number}"), share)
        parts = unlike(folder / f"whole-{kind}", root)
        equal, done = equal + (not parts), done + had
        print(f"sweep {number} ({name}): {had} kills, {parts or 'equal'}", flush=True)
        if not parts:
            shutil.rmtree(root)
    print(f"{equal} of {sweeps} sweeps equal to the undisturbed one after {done} kills", flush=True)
    return equal == sweeps


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spawn", action="store_true")
    given = parser.parse_args()
    if not given.spawn:
        workers.START = "fork"
    with tempfile.TemporaryDirectory() as place:
        sys.exit(0 if report(given.sweeps, given.kills, given.seed, Path(place)) else 1)
