"""Give every option of `fit` every odd value, and run it for two steps.

    python -m tests.engine.cli.options --share 0.1

Each must train or end with one line and code 2; none may write a traceback or leave a folder of a
run that was refused.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

from project.engine.cli.arguments import leaves_with_class
from tests.engine.captured import all_hold, captured, fault_of, run_script

ODD = ["0", "-1", "null", "nan", "[]", "", "word", "1e30", "true", "{}", "[0.1,0.2]", "-0.5", "3"]
BASES = {
    "pictures": "--data.size 8 --data.augment Crop --model.schedule Cosine",
    "table": "--data CSVTable --data.root . --data.file t.csv --model.net MLP",
    "numbers": "--data CSVTable --data.root . --data.file n.csv --model Regression --model.net MLP",
}
SHORT = {
    "trainer.max_steps": "2",
    "trainer.limit_val_batches": "1",
    "run.threads": "1",
    "run.root": "runs",
    "run.report": "false",
}
SECONDS = 20


def options(base: str) -> Iterator[str]:
    code, printed, said = captured(["fit", *base.split(), "--print_config"])
    assert code == 0, said
    for path, _ in leaves_with_class(yaml.safe_load(printed)):
        yield ".".join(path)


def check(share: float, seed: int, folder: Path) -> bool:
    """Try a share of all pairs of an option and a value; true when nothing went wrong."""
    os.chdir(folder)
    rows = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(60)]
    Path("t.csv").write_text("\n".join(["x,y,target", *rows]) + "\n")
    Path("n.csv").write_text("\n".join(["x,y,target", *(r[:-1] + "1.5" for r in rows)]) + "\n")
    draw = random.Random(seed)
    cases = (
        (f"{name} --{option} {value!r}", (base, option, value))
        for name, base in BASES.items()
        for option in options(base)
        for value in ODD
        if draw.random() <= share
    )
    return all_hold(cases, tried)


def tried(case: tuple[str, str, str]) -> str:
    """What is wrong with how `fit` ended, with a base, an option and its value."""
    base, option, value = case
    shutil.rmtree("runs", ignore_errors=True)
    settings = SHORT | {option: value}
    words = [word for key, text in settings.items() for word in (f"--{key}", text)]
    code, _, err = captured(["fit", *base.split(), *words], SECONDS)
    return fault_of(code, err, Path("runs"))


if __name__ == "__main__":
    run_script(__doc__, check, "--share", 1)
