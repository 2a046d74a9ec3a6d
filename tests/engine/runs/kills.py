"""Kill runs with SIGKILL at random moments, repeat their command, and compare with the undisturbed
run.

    python -m tests.engine.runs.kills --runs 20 -- fit --config configs/lenet.yaml --data MNIST
    --trainer.max_epochs 1
    python -m tests.engine.runs.kills --settings --runs 2      # each setting of settings.py

Each of the runs is killed up to three times. Processes are forked from one that has imported
everything, so that the random moments fall into the run and not into its imports.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import project.engine.cli.fitting  # noqa: F401 - imported before the fork
from project.__main__ import main
from tests.engine.runs.equal import differing
from tests.engine.runs.settings import MORE, SETTINGS
from tests.engine.runs.settings import command as command_of


def start(argv: Sequence[str], output: Path) -> int:
    """Run a command line in a forked process; returns its process number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        handle = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = (
            os.fdopen(1, "w"),
            os.fdopen(2, "w"),
        )  # a test runner has its own in their place
        code = main(argv)
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, seconds: float | None = None) -> int | None:
    """The exit code, or None when the process outlives the time."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() > end:
            return None
        time.sleep(0.002)


def undisturbed(command: Sequence[str], folder: Path) -> float:
    """Run a command without a kill; returns its seconds."""
    began = time.monotonic()
    code = wait(start([*command, "--run", str(folder)], folder.with_suffix(".txt")))
    if code != 0:
        raise RuntimeError(folder.with_suffix(".txt").read_text())
    return time.monotonic() - began


def killed(
    command: Sequence[str], folder: Path, seconds: float, draw: random.Random, most: int = 3
) -> int:
    """Run a command, kill it up to `most` times, and let it finish; returns how often it was
    killed.
    """
    words, output, kills = [*command, "--run", str(folder)], folder.with_suffix(".txt"), 0
    for _ in range(draw.randint(1, most)):
        child = start(words, output)
        if wait(child, draw.uniform(0.02, seconds)) is not None:
            break
        os.kill(child, signal.SIGKILL)
        wait(child)
        kills += 1
    code = wait(start(words, output))
    if code != 0:
        raise RuntimeError(f"exit code {code}: {output.read_text()[-500:]}")
    return kills


def report(command: Sequence[str], runs: int, seed: object, folder: Path) -> tuple[int, int]:
    """Kill `runs` runs of a command and print how many end like the undisturbed one; returns that
    number, and of the kills.
    """
    seconds = undisturbed(command, folder / "whole")
    again = undisturbed(command, folder / "again")
    if parts := differing(folder / "whole", folder / "again", everything=True):
        print("two undisturbed runs differ in", parts, flush=True)
        return 0, 0
    print(f"undisturbed: {seconds:.1f} s and {again:.1f} s, equal", flush=True)
    equal = kills = 0
    for number in range(runs):
        run = folder / f"killed-{number}"
        kills += killed(command, run, seconds, random.Random(f"{seed}/{number}"))
        parts = differing(folder / "whole", run, everything=True)
        equal += not parts
        if parts:
            print(f"run {number} differs in {parts}", flush=True)
        else:
            shutil.rmtree(run)
    print(
        f"{equal} of {runs} runs equal to the undisturbed run, bit for bit, after {kills} kills",
        flush=True,
    )
    return equal, kills


def over_settings(runs: int, seed: int, only: Sequence[str], folder: Path) -> bool:
    """Kill runs of every setting; true when all end like the undisturbed ones."""
    import tests.conftest  # noqa: F401 - the data that stand in

    os.chdir(folder)
    names = only or [*SETTINGS, *MORE]
    equal = kills = 0
    failed = []
    for name in names:
        print(f"{name}:", flush=True)
        place = folder / name.replace(" ", "_")
        place.mkdir()
        try:
            found = report(command_of(name).split(), runs, f"{seed}/{name}", place)
        except RuntimeError as error:
            print(error, flush=True)
            found = 0, 0
        equal, kills = equal + found[0], kills + found[1]
        failed += [name] if found[0] < runs else []
        shutil.rmtree(place)
    print(
        f"{len(names)} settings: {equal} of {runs * len(names)} runs equal in everything, after "
        f"{kills} kills; not equal: {', '.join(failed) or 'none'}"
    )
    return not failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settings", action="store_true", help="those of settings.py, or named")
    parser.add_argument("command", nargs="*")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if given.settings:
            sys.exit(not over_settings(given.runs, given.seed, given.command, Path(place)))
        sys.exit(report(given.command, given.runs, given.seed, Path(place))[0] < given.runs)
