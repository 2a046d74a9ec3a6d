"""The default run gives the values it always gave, so that a refactoring that changes a bit is
seen.

Where torch, the CPU's capability and the threads are those of the records, the bits must be those
of one: two CPUs of one capability gave one loss with another last bit. Elsewhere the values must be
equal within 1e-3. After a change that is meant to change them, `python -m
tests.template.test_golden` replaces the records.
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
    records, now = json.loads(RECORD.read_text()), golden(tmp_path / "run")
    same = [one["rows"] for one in records if one["machine"] == now["machine"]]
    print("compared bit for bit" if same else f"compared within 1e-3: {now['machine']}")
    if same:
        assert now["rows"] in same
        return
    assert len(now["rows"]) == len(records[0]["rows"])
    for row, wanted in zip(now["rows"], records[0]["rows"], strict=True):
        assert row == pytest.approx(wanted, abs=1e-3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        new = golden(Path(place) / "run")
    RECORD.write_text(json.dumps([new], indent=1) + "\n")
