"""Damage the files of a run at random, and run every command that reads them.

    python -m tests.engine.runs.damage --count 1000

Each command must end with code 0 or with one line and code 2; none may write a traceback, and a
run that continues must end like the undamaged one.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

from PIL import Image

from tests.engine.captured import all_hold, captured, fault_of, run_script
from tests.engine.runs.equal import differing

SHORT = (
    "--model.net MLP --model.net.hidden [4] --data.batch_size 8 --trainer.max_epochs 2 "
    "--trainer.limit_train_batches 4 --trainer.limit_val_batches 2 --run.threads 1 "
    "--run.tensorboard false --run.save_every 3 --run.report false"
)
TABLE = "--data CSVTable --data.root . --data.file t.csv"
PICTURES = "--data ImageFolder --data.root pictures --data.cache now/cache"
SWEEP = f"sweep --name s --run.root now/sweeps {TABLE} {SHORT} --space.model.optimizer.lr [0.1,0.2]"
PROLONGED = "fit --run now/a --trainer.max_epochs 3"
# file -> the commands that read it; those that draw a page take longest and come less often
READERS = {
    "a/config.yaml": ("report now", "fit --config now/a/config.yaml --run new"),
    "a/run.json": ("report now/a", "report now", "compare now", PROLONGED, PROLONGED),
    "a/results.json": ("report now/a", "report now", "compare now", PROLONGED, PROLONGED),
    "a/metrics.csv": ("report now/a", "report now", PROLONGED, PROLONGED, PROLONGED),
    "a/epochs.csv": ("report now/a", "report now", PROLONGED, PROLONGED, PROLONGED),
    "a/predictions-val.npz": ("report now/a", "compare now", "compare now"),
    "a/samples*.npz": ("report now/a",),
    "a/checkpoints/best.ckpt": ("test --ckpt_path now/a", "predict --ckpt_path now/a"),
    "a/checkpoints/step-*.ckpt": (PROLONGED,),
    "sweeps/s/journal.log": (SWEEP,),
    "sweeps/s/*.json": (SWEEP,),
    "cache/*.npy": ("test --ckpt_path now/pictures", f"fit {PICTURES} {SHORT} --run new"),
}
FILES = (2, 4, 4, 4, 4, 2, 1, 4, 6, 4, 1, 2)  # how often each is drawn
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


def prepare() -> None:
    """Make what is damaged: two runs of a table, one of pictures, a sweep; and a longer run."""
    rows = [f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(60)]
    Path("t.csv").write_text("\n".join(["x,y,target", *rows]) + "\n")
    for i in range(24):
        path = Path("pictures", "ab"[i % 2], f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 6), 10 * i).save(path)
    made = [
        *(f"fit {TABLE} {SHORT} --name runs/{name} --run now/{name}" for name in "ab"),
        "test --ckpt_path now/a",
        f"fit {PICTURES} {SHORT} --run now/pictures",
        SWEEP,
    ]
    for words in made:
        code, _, err = captured(words.split())
        assert code == 0, err
    shutil.copytree("now", "whole")
    assert captured(PROLONGED.split())[0] == 0
    shutil.move("now/a", "longer")


def damage(count: float, seed: int, folder: Path) -> bool:
    """Damage so many files and print what went wrong; true when nothing did."""
    os.chdir(folder)
    prepare()
    places = (f"{seed}/{number}" for number in range(int(count)))
    return all_hold(((place, place) for place in places), tried)


def tried(place: str) -> str:
    """Damage the file that a place draws, run a command that reads it, and say what is wrong with
    how that ended.
    """
    draw = random.Random(place)
    (pattern,) = draw.choices(list(READERS), FILES)
    words = draw.choice(READERS[pattern])
    shutil.rmtree("now")
    shutil.rmtree("new", ignore_errors=True)
    shutil.copytree("whole", "now")
    path = draw.choice(sorted(Path("now").glob(pattern)))
    path.write_bytes(mutated(path.read_bytes(), draw))
    code, _, err = captured(words.split())
    fault = fault_of(code, err, Path("new"))
    if code == 0 and words == PROLONGED:
        others = [
            part
            for part in differing(Path("now/a"), Path("longer"))
            if path.name not in part and part != "loops"  # begun epochs: by where it continues
        ]
        fault = f"continues otherwise: {others}" if others else ""
    return f"{pattern}  {words}: {fault}" if fault else ""


if __name__ == "__main__":
    run_script(__doc__, damage, "--count", 1000)
