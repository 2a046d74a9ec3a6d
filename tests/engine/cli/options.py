"""Give every option of `fit` every odd value, and run it for two steps.

    python -m tests.engine.cli.options --share 0.1

Each must train or end with one line and code 2; none may write a traceback or leave a folder of a
run that was refused.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import yaml

from project.__main__ import main
from project.engine.cli.arguments import leaves_with_class

ODD = ["0", "-1", "null", "nan", "[]", "", "word", "1e30", "true", "{}", "[0.1,0.2]", "-0.5", "3"]
BASES = {
    "pictures": "--data.size 8 --data.augment Crop --model.schedule Cosine",
    "table": "--data CSVTable --data.root . --data.file t.csv --model.net MLP",
    "numbers": "--data CSVTable --data.root . --data.file n.csv --model Regression --model.net MLP",
}
SHORT = "--trainer.max_steps 2 --trainer.limit_val_batches 1 --run.threads 1 --run.root runs"
SECONDS = 20


class TooLong(BaseException):
    """No OSError, as TimeoutError is, which somebody on the way might catch."""


def command(words: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; a traceback is code 1, one that hangs 124."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    out, err = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
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
    return code, out.getvalue(), err.getvalue()


def options(base: str) -> Iterator[str]:
    code, printed, said = command(["fit", *base.split(), "--print_config"])
    assert code == 0, said
    for path, _ in leaves_with_class(yaml.safe_load(printed)):
        yield ".".join(path)


def check(share: float, seed: int, folder: Path) -> bool:
    os.chdir(folder)
    rows = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(60)]
    Path("t.csv").write_text("\n".join(["x,y,target", *rows]) + "\n")
    Path("n.csv").write_text("\n".join(["x,y,target", *(r[:-1] + "1.5" for r in rows)]) + "\n")
    draw, done = random.Random(seed), 0
    found: Counter[str] = Counter()
    for name, base in BASES.items():
        for option in options(base):
            for value in ODD:
                if draw.random() > share:
                    continue
                shutil.rmtree("runs", ignore_errors=True)
                given = [w for w in SHORT.split() if not w.startswith(f"--{option}")]
                if len(given) % 2:  # its value stands alone now
                    place = SHORT.split().index(f"--{option}")
                    del given[place]
                code, _, err = command(
                    ["fit", *base.split(), *given, "--run.report", "false", f"--{option}", value]
                    if option != "run.report"
                    else ["fit", *base.split(), *given, f"--{option}", value]
                )
                done += 1
                errors = [line for line in err.splitlines() if line.startswith("error: ")]
                fault = ""
                if code == 1 or "Traceback" in err:
                    fault = err.strip().splitlines()[-1][:150]
                elif code == 124:
                    fault = f"not done in {SECONDS} s"
                elif code == 2 and (len(errors) != 1 or "Traceback" in err):
                    fault = f"not one line: {err[:200]!r}"
                elif code == 2 and list(Path().glob("runs/**/run.json")) and "nan" not in err:
                    fault = f"refused, and a folder is left: {errors[0][:100]}"
                if fault:
                    found[f"{option}: {fault}"] += 1
                    print(f"{name} --{option} {value!r}: {fault}", flush=True)
    print(f"{done} commands, {sum(found.values())} faults of {len(found)} kinds", flush=True)
    return not found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        sys.exit(0 if check(given.share, given.seed, Path(place)) else 1)
