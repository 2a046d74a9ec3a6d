"""Command lines that are wrong by chance: every option of every command with every odd value, and
words left out, doubled, exchanged or misspelt.

    python -m tests.engine.cli.lines --count 1000

Each must do its work or end with one line and code 2; none may write a traceback, and one that is
refused leaves no file. The options of `fit` are tried by tests/engine/cli/options.py; `new`,
`rename` and `update` change a project, and have tests of their own.
"""

from __future__ import annotations

import importlib
import os
import random
import re
import shutil
from pathlib import Path

from project.engine.commands import COMMANDS
from project.engine.registry import ENGINE
from tests.engine.captured import all_hold, captured, fault_of, run_script
from tests.engine.cli.options import ODD
from tests.engine.runs.damage import SHORT, TABLE, prepare

GOOD = {
    "fit": f"fit {TABLE} {SHORT} --run new/x",
    "validate": "validate --ckpt_path now/a",
    "test": "test --ckpt_path now/b",
    "predict": "predict --ckpt_path now/a --input t.csv --output answers.csv --top 2",
    "explain": "explain --ckpt_path now/a --output why.html",
    "export": "export --ckpt_path now/a --to safetensors --output exported",
    "lr-find": f"lr-find {TABLE} {SHORT} --steps 20 --output rates.png",
    "batch-size": f"batch-size {TABLE} {SHORT} --min_batch 4 --max_batch 8 --rounds 1",
    "profile": f"profile {TABLE} {SHORT} --steps 4 --output steps.png",
    "check": f"check {TABLE} {SHORT}",
    "baseline": f"baseline {TABLE} {SHORT} --output baseline.json",
    "kfold": f"kfold {TABLE} {SHORT} --folds 2 --run new/folds",
    "stats": f"stats {TABLE}",
    "report": "report now --sort val/loss --output table.csv",
    "sweep": f"sweep --name s --run.root new {TABLE} {SHORT} --space.model.optimizer.lr [0.1,0.2]",
    "compare": "compare now/a now/b --metric val/loss",
    "show": f"show {TABLE} --output samples.png",
    "list": "list networks",
}
SECONDS = 60


def options(command: str) -> list[str]:
    """The options that a command's help names."""
    module = importlib.import_module(f"{ENGINE}.commands.{COMMANDS[command][0]}")
    text = module.HELP[command] if isinstance(module.HELP, dict) else module.HELP
    found = re.findall(r"(?<![\w-])--[a-z_.]*[a-z](?![\w.]*[A-Z])", text)
    return sorted(set(found) - {"--ckpt_path"})


def odd_lines() -> list[list[str]]:
    """Each option of each command but `fit` with each odd value."""
    return [
        [*words.split(), option, value]
        for command, words in GOOD.items()
        if command != "fit"
        for option in options(command)
        for value in ODD
    ]


def mutated(words: list[str], draw: random.Random) -> list[str]:
    """A command line with one or two things wrong."""
    words = list(words)
    for _ in range(draw.choice([1, 1, 2])):
        at = draw.randrange(len(words))
        word, kind = words[at], draw.randrange(8)
        if kind == 0:
            del words[at]
        elif kind == 1:
            words.insert(at, word)
        elif kind == 2:
            other = draw.randrange(len(words))
            words[at], words[other] = words[other], word
        elif kind == 3 and word:
            place = draw.randrange(len(word))
            words[at] = word[:place] + word[place + 1 :]
        elif kind == 4:
            place = draw.randrange(len(word) + 1)
            words[at] = word[:place] + draw.choice("aZ0-_.=[{'\"\\ \u00e9\n\x1b") + word[place:]
        elif kind == 5:
            words[at] = draw.choice(ODD)
        elif kind == 6:
            words.insert(at, draw.choice(["--", "-", "--x", "--=", "--a.b=c", "--help.x", "\x00"]))
        else:
            words[at] = word.swapcase()
        if not words:
            break
    return words


def tried(words: list[str]) -> str:
    """What is wrong with how a command line ended; empty where nothing is."""
    for folder in ("now", "new"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree("whole", "now")
    before = set(Path.cwd().rglob("*"))
    code, _, err = captured(words, SECONDS)
    left = set(Path.cwd().rglob("*")) - before
    fault = fault_of(code, err, Path("new"))
    if not fault and code == 2 and left:
        fault = f"refused, and left {sorted(str(path.relative_to(Path.cwd())) for path in left)}"
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return fault


def check(count: float, seed: int, folder: Path) -> bool:
    """Try so many of the odd lines, or all, and as many mutated ones; true when nothing went
    wrong.
    """
    os.chdir(folder)
    prepare()
    shutil.rmtree("longer")
    draw = random.Random(seed)
    odd = odd_lines()
    draw.shuffle(odd)
    good = list(GOOD.values())
    lines = odd[: int(count)] + [
        mutated(draw.choice(good).split(), draw) for _ in range(int(count))
    ]
    return all_hold(((str(words), words) for words in lines), tried)


if __name__ == "__main__":
    run_script(__doc__, check, "--count", 1000)
