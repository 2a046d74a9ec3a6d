"""`check` finds faults that were planted, and none in what is well."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Project, the_rest_slow

DIGITS = "--data.size 12 --run.threads 1 --trainer.max_epochs 5"
MLP = f"{DIGITS} --model.net MLP --model.net.hidden [64]"
TABLE = (
    "--data CSVTable --data.root . --data.file t.csv --data.target y --model.net MLP "
    "--run.threads 1 --trainer.max_epochs 5 --data.drop"
)
FOLDER = f"--data ImageFolder {DIGITS} --model.net MLP --data.batch_size 16 --data.root"
DEEP = (
    f"{DIGITS} --model.net MLP --model.net.hidden [64,64,64,64,64,64,64,64] --model.net.activation"
)
NORMAL = '--model.init [{"match":".*weight","init":"normal","options":{"std":0.001}}]'
LOW = '--model.init [{"match":"layers.0.bias","init":"constant","options":{"val":-50}}]'

# what is planted -> what is said of it
PLANTED = {
    f"{FOLDER} copied": "40% of the test samples are exactly one of the training samples",
    f"{FOLDER} rare": "fewer than 5 training samples of: c",
    f"{FOLDER} black": "of the images are of one colour",
    f"{TABLE} [leak,n,twice]": "column 'same' is constant",
    f"{TABLE} [same,n,twice]": "column 'leak' alone gives the target away",
    f"{TABLE} [same,y] --model Regression".replace(
        "target y", "target n"
    ): "column 'twice' alone gives the target away",
    f"{MLP} --model.monitor val/f1": "--model.monitor: nothing reports 'val/f1'",
    f"{MLP} --model.schedule StepLR --model.schedule.step_size 99": "StepLR never moves in 5 moves",
    f"{MLP} --model.schedule CosineAnnealingLR --model.schedule.T_max 2 --trainer.max_epochs 5": (
        "CosineAnnealingLR rises again before the end"
    ),
    f"{MLP} --model.net.dropout 0.99": "one batch cannot be learnt by heart",
    f"{MLP} --model.optimizer SGD --model.optimizer.lr 30": "a lower --model.optimizer.lr",
    f"{MLP} {LOW}": "layers.1: 100% of its units answer 0 to everything",
    f"{DEEP} tanh {NORMAL}": "its gradient is",
}


@pytest.fixture(autouse=True)
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table with a constant and a telling column; folders with copies, rare classes, black."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    lines = ["a,b,same,leak,y,n,twice"]
    for _ in range(400):
        a, b = draw.normal(size=2)
        y = a + 0.5 * b + 0.5 * draw.normal() > 0
        leak = (3 if y else -3) + 0.1 * draw.normal()
        lines.append(
            f"{a:.3f},{b:.3f},14.62,{leak:.3f},{'yes' if y else 'no'},"
            f"{2 * a + b:.3f},{4 * a + 2 * b:.2f}"
        )
    Path("t.csv").write_text("\n".join(lines) + "\n")

    def picture(path: str, black: bool = False) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 1 if black else 255, (12, 12)).astype(np.uint8)
        Image.fromarray(pixels).save(path)

    for i in range(50):
        label = "ab"[i % 2]
        picture(f"copied/train/{label}/{i}.png")
        picture(f"rare/{label}/{i}.png")
        picture(f"black/{label}/{i}.png", black=i % 3 == 0)
    for i in range(10):
        picture(f"copied/test/{'ab'[i % 2]}/{i}.png")
        if i < 4:
            same = Path(f"copied/train/{'ab'[i % 2]}/{i}.png").read_bytes()
            Path(f"copied/test/{'ab'[i % 2]}/{i}.png").write_bytes(same)
    for i in range(3):
        picture(f"rare/c/{i}.png")


@pytest.mark.parametrize("words", the_rest_slow(PLANTED, *list(PLANTED)[3:8]))
def test_a_planted_fault_is_found(words: str, project: Project) -> None:
    code, out, err = project("check", words)
    assert code == 0, err
    assert PLANTED[words] in out, out
    assert not Path("runs").exists()


WELL = {
    "digits": "--run.threads 1 --data.size 16 --model.optimizer.lr 0.002",
    "a table": f"{TABLE} [same,leak,n,twice]",
    "numbers": f"{TABLE} [same,leak,y,twice] --data.target n --model Regression",
    "masks": "--data DigitMasks --model Segmentation --model.net UNet --model.net.channels [4,8] "
    "--run.threads 1 --model.optimizer.lr 0.01",
}


@pytest.mark.parametrize("name", the_rest_slow(WELL, "a table"))
def test_nothing_is_found_in_what_is_well(name: str, project: Project) -> None:
    words = WELL[name].replace("--data.target y ", "") if name == "numbers" else WELL[name]
    code, out, err = project("check", words)
    assert code == 0, err
    assert out.endswith("nothing found\n") and "a step takes" in out, out
    assert re.search(r"the process has taken [\d,]+ MB of memory", out)
