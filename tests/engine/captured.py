"""A command in this process as the fuzzing scripts judge it, and their own command line."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import TypeVar

from project.__main__ import main

Case = TypeVar("Case")


class TooLong(BaseException):
    """No OSError, as TimeoutError is, which somebody on the way might catch."""


def captured(words: list[str], seconds: int = 60) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; a traceback is code 1, a command that hangs 124."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,  # with a number, as a terminal has
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        except TooLong:
            code = 124
        except BaseException:
            code = 1
            err.write(traceback.format_exc())
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
    return code, *texts


def fault_of(code: int, err: str, root: Path) -> str:
    """What is wrong with how a command ended; empty where it is done, or refused in one line.

    Args:
        code: Its exit code.
        err: What it wrote to stderr.
        root: Where it would have left the folder of a run.
    """
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    if code not in (0, 2, 4) or "Traceback" in err:  # 4: the loss is not finite
        return err.strip().splitlines()[-1][:150] if err.strip() else f"code {code}"
    if code and len(errors) != 1:
        return f"not one line: {err[:200]!r}"
    if code == 2 and list(root.glob("**/run.json")):
        return f"refused, and a folder is left: {errors[0][:100]}"
    return ""


def all_hold(cases: Iterable[tuple[str, Case]], judge: Callable[[Case], str]) -> bool:
    """Judge each case and print what is wrong with it, by its name; true when nothing is."""
    found: Counter[str] = Counter()
    number = 0
    for number, (name, case) in enumerate(cases, 1):
        if number % 250 == 0:
            print(f"{number} so far", flush=True)
        if fault := judge(case):
            found[fault] += 1
            print(f"{name}: {fault}", flush=True)
    print(f"{number} tried, {sum(found.values())} faults of {len(found)} kinds", flush=True)
    return not found


def run_script(
    about: str, check: Callable[[float, int, Path], bool], option: str, default: float
) -> None:
    """The command line of a fuzzing script: how much, a seed, a folder that is thrown away; exit
    code 1 where something went wrong.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(option, type=float, default=default, dest="amount")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        sys.exit(0 if check(given.amount, given.seed, Path(place)) else 1)
