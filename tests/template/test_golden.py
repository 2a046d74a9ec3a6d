"""The default run gives the values it always gave, so that a refactoring that changes a bit is
seen.

Where torch, the CPU's capability and the threads are those of the record, the bits must be equal;
elsewhere the values within 1e-3. After a change that is meant to change them, `python -m
tests.test_golden` records them anew.
"""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from project.__main__ import main

RECORD = Path(__file__).with_name("lenet.json")
COMMAND = (
    "fit --data Digits --data.size 28 --model.net LeNet --model.net.dropout 0.1 --model.schedule "
    "Cosine --trainer.max_epochs 1 "
    "--trainer.log_every_n_steps 5 --trainer.accelerator cpu --run.threads 1 --run.tensorboard "
    "false"
)


def golden(run: Path) -> dict[str, Any]:
    """The values of a run, and what their bits depend on."""
    assert main([*COMMAND.split(), "--run", str(run)]) == 0
    with open(run / "metrics.csv", newline="") as file:
        rows = [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
    machine = {
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
    return {"machine": machine, "rows": rows}


def test_the_default_run_gives_the_recorded_values(tmp_path: Path) -> None:
    record, now = json.loads(RECORD.read_text()), golden(tmp_path / "run")
    exact = record["machine"] == now["machine"]
    print(
        "compared bit for bit"
        if exact
        else f"compared within 1e-3: {record['machine']} and {now['machine']}"
    )
    assert len(now["rows"]) == len(record["rows"])
    for row, wanted in zip(now["rows"], record["rows"], strict=True):
        assert row == (wanted if exact else pytest.approx(wanted, abs=1e-3))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        RECORD.write_text(json.dumps(golden(Path(place) / "run"), indent=1) + "\n")
