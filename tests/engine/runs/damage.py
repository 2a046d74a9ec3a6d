"""Damage the files of a run at random, and run every command that reads them.

    python -m tests.engine.runs.damage --count 1000

Each command must end with code 0 or with one line and code 2; none may write a traceback, and a
run that continues must end like the undamaged one.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

from tests.engine.captured import captured, fault_of, run_script
from tests.engine.runs.equal import differing

RUN = (
    "fit --data.size 8 --trainer.max_epochs 2 --trainer.limit_train_batches 4 --run.threads 1 "
    "--trainer.limit_val_batches 2 --run.tensorboard false --run.save_every 3 --run.report true"
)
# file -> the commands that read it, and continue or not
READERS = {
    "config.yaml": ("report {0}", "report {1}", "fit --config {0}/config.yaml --run {2}"),
    "run.json": ("report {0}", "report {1}", "compare {1}", "fit --run {0} --trainer.max_epochs 3"),
    "results.json": ("report {0}", "report {1}", "fit --run {0} --trainer.max_epochs 3"),
    "metrics.csv": ("report {0}", "report {1}", "fit --run {0} --trainer.max_epochs 3"),
    "epochs.csv": ("report {0}", "report {1}", "fit --run {0} --trainer.max_epochs 3"),
    "predictions-val.npz": ("report {0}", "compare {1}"),
    "samples*.npz": ("report {0}",),
    "checkpoints/best.ckpt": ("test --ckpt_path {0}", "predict --ckpt_path {0}"),
    "checkpoints/step-*.ckpt": ("fit --run {0} --trainer.max_epochs 3",),
}
# what a value of JSON or a cell of CSV may be instead
INSTEAD = ["", "null", "-1", "1e999", "nan", '"x"', "[]", "{}", "0", "true", "\u00e9", "9" * 40]


def mutated(text: bytes, draw: random.Random) -> bytes:
    """A file with one thing wrong."""
    kind = draw.randrange(7)
    at = draw.randrange(len(text) + 1)
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + bytes([draw.randrange(256)]) + text[at + 1 :]
    if kind == 2:
        return text[:at] + draw.randbytes(draw.randrange(1, 20)) + text[at:]
    lines = text.split(b"\n")
    if kind == 3 and len(lines) > 2:
        del lines[draw.randrange(len(lines) - 1)]
        return b"\n".join(lines)
    if kind == 4 and len(lines) > 2:
        i, j = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[i], lines[j] = lines[j], lines[i]
        return b"\n".join(lines)
    for mark in draw.sample([b": ", b","], 2):
        parts = text.split(mark)
        if len(parts) > 1:
            i = draw.randrange(1, len(parts))
            rest = parts[i].partition(b"\n")
            parts[i] = draw.choice(INSTEAD).encode() + rest[1] + rest[2]
            return mark.join(parts)
    return b""


def damage(count: float, seed: int, folder: Path) -> bool:
    """Damage so many files and print what went wrong; true when nothing did."""
    os.chdir(folder)
    for name in ("a", "b"):
        assert captured(f"{RUN} --name runs/{name} --run whole/{name}".split())[0] == 0
    assert captured("test --ckpt_path whole/a".split())[0] == 0
    shutil.copytree("whole/a", "longer")
    assert captured("fit --run longer --trainer.max_epochs 3".split())[0] == 0
    found: Counter[str] = Counter()
    for number in range(int(count)):
        draw = random.Random(f"{seed}/{number}")
        pattern = draw.choice(list(READERS))
        words = draw.choice(READERS[pattern])
        shutil.rmtree("now", ignore_errors=True)
        shutil.rmtree("new", ignore_errors=True)
        shutil.copytree("whole", "now")
        path = draw.choice(sorted(Path("now/a").glob(pattern)))
        path.write_bytes(mutated(path.read_bytes(), draw))
        code, _, err = captured(words.format("now/a", "now", "new").split())
        fault = fault_of(code, err, Path("new"))
        if code == 0 and "--run now/a" in words:
            others = [
                part for part in differing(Path("now/a"), Path("longer")) if path.name not in part
            ]
            fault = f"continues otherwise: {others}" if others else ""
        if fault:
            found[f"{pattern}: {words.split()[0]}: {fault}"] += 1
            print(f"{seed}/{number}  {pattern}  {words}: {fault}", flush=True)
    print(f"{count} files damaged, {sum(found.values())} faults of {len(found)} kinds", flush=True)
    return not found


if __name__ == "__main__":
    run_script(__doc__, damage, "--count", 1000)
