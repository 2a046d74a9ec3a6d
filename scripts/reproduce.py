"""Repeat the results table of the README: train each row, test it once, print the figures.

    python scripts/reproduce.py --root data                  # every row
    python scripts/reproduce.py --root data digits iris      # only these
    python scripts/reproduce.py --list

The official test splits are read by `test` alone, after the training has chosen its best epoch by
validation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from project.__main__ import main as project

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Row:
    """A line of the table: a config, what goes over it, which key takes which values, and the
    figure.
    """

    config: str
    figure: str = "test/accuracy"
    words: str = ""
    data: str = ""  # the folder below --root
    key: str = "seed_everything"
    values: tuple[int, ...] = (0, 1, 2)


FIVE = (0, 1, 2, 3, 4)  # where a run is short
ROWS = {
    "digits": Row("lenet", values=FIVE),
    "mnist": Row("lenet", words="--data MNIST --trainer.max_epochs 10"),
    "fashion-cnn": Row("fashion_cnn"),
    "fashion-mlp": Row("fashion_mlp"),
    "cifar": Row("cifar_fast", words="--trainer.precision bf16-mixed"),
    "cifar-94": Row("cifar_94", words="--trainer.precision bf16-mixed"),
    "sign-digits": Row("sign_digits", data="sign_language_digits"),
    "characters": Row("characters", data="handwritten_chars"),
    "housing": Row("housing", "test/r2", data="tables", values=FIVE),
    "adult": Row("adult", data="tables", values=FIVE),
    "adult-tabm": Row(
        "adult",
        words="--model.net TabM --model.net.dropout 0.2 --model.optimizer.lr 0.002",
        data="tables",
        values=FIVE,
    ),
    "wine": Row("wine", "test/r2", data="tables", key="data.split_seed", values=FIVE),
    "wine-linear": Row(
        "wine",
        "test/r2",
        "--model.net.hidden [] --model.net.dropout 0",
        data="tables",
        key="data.split_seed",
        values=FIVE,
    ),
    "iris": Row("iris", data="tables", key="data.split_seed", values=FIVE),
}


KEYS = {"seed_everything": "seeds", "data.split_seed": "splits"}


def run(row: Row, value: int, root: Path, runs: Path, threads: int) -> tuple[float, float]:
    """The test figure of one training, and its seconds."""
    folder = runs / row.config / f"{time.time_ns()}"
    words = [
        "fit",
        "--config",
        str(ROOT / "configs" / f"{row.config}.yaml"),
        *row.words.split(),
        f"--{row.key}",
        str(value),
    ]
    words += ["--run", str(folder), "--run.threads", str(threads)]
    if row.config != "lenet" or row.words:
        words += ["--data.root", str(root / row.data)]
    began = time.monotonic()
    if project(words) or project(["test", "--ckpt_path", str(folder)]):
        raise SystemExit(f"{row.config} failed")
    return json.loads((folder / "results.json").read_text())["test"][
        row.figure
    ], time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", help="names of rows; default: all")
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    given = parser.parse_args()
    if unknown := set(given.rows) - set(ROWS):
        parser.error(f"unknown row {sorted(unknown)[0]!r}; there are {', '.join(ROWS)}")
    if given.list:
        print("\n".join(ROWS))
        return
    lines = []
    for name in given.rows or ROWS:
        row = ROWS[name]
        results = [run(row, value, given.root, given.runs, given.threads) for value in row.values]
        figures = [figure for figure, _ in results]
        seconds = statistics.mean(seconds for _, seconds in results)
        lines.append(
            f"| {name} | {row.figure} | {statistics.mean(figures):.4f} +- "
            f"{statistics.stdev(figures):.4f} | {len(figures)} {KEYS[row.key]} | {seconds:.0f} s |"
        )
        print(lines[-1], flush=True)
    print(
        "\n| row | figure | mean +- deviation | runs | one training and test |"
        "\n|---|---|---|---|---|\n" + "\n".join(lines)
    )


if __name__ == "__main__":
    main()
