"""When two runs are equal: the same bits in their last checkpoint and the same bytes in
metrics.csv.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from project.engine.runs.checkpoints import step_files
from project.engine.runs.folder import RunFolder

OF_A_CLOCK = ("seconds", "samples_per_second")  # ends of names


def fingerprint(run: Path) -> dict[str, str]:
    """A hash for each part of a run's last checkpoint, and for its metrics file; clocks and paths
    are left out.
    """
    folder = RunFolder(run)
    checkpoint = torch.load(step_files(folder)[0], weights_only=True)
    checkpoint["callbacks"].pop("Epochs", None)
    checkpoint["callbacks"].pop("Timer", None)
    for name, state in checkpoint["callbacks"].items():
        if "ModelCheckpoint" in name or "BestCheckpoint" in name:
            checkpoint["callbacks"][name] = {
                key: state[key] for key in ("best_model_score", "current_score")
            }
    parts = {name: _hash(value) for name, value in checkpoint.items() if name != "config"}
    parts |= {f"callback {name}": _hash(value) for name, value in checkpoint["callbacks"].items()}
    parts["metrics.csv"] = hashlib.sha256(folder.metrics.read_bytes()).hexdigest()
    if folder.best.exists():
        parts["best.ckpt"] = _hash(torch.load(folder.best, weights_only=True)["state_dict"])
    return parts


def records(run: Path) -> dict[str, str]:
    """A hash for each other file of a run, without what a clock has a part in."""
    folder = RunFolder(run)
    parts = {}
    for path in sorted(run.glob("*.npz")):
        with np.load(path) as arrays:
            parts[path.name] = _hash({name: torch.from_numpy(arrays[name]) for name in arrays})
    with open(folder.epochs, newline="") as file:
        rows = [
            [value for name, value in row.items() if not name.endswith(OF_A_CLOCK)]
            for row in csv.DictReader(file)
        ]
    parts["epochs.csv"] = _hash(rows)
    results = json.loads(folder.results.read_text())
    parts["results.json"] = _hash({k: v for k, v in results.items() if k != "seconds"})
    if (run / "report.html").exists():
        parts["report.html"] = _hash(_page(run))
    if any(run.glob("events.*")):
        parts["events"] = _hash(_curves(run))
    return parts


def _page(run: Path) -> str:
    """The page but for its paths, its times and what it was made from."""
    text = (run / "report.html").read_text().partition("<h2>What it was made from")[0]
    text = text.replace(str(run.absolute()), "").replace("/".join(run.absolute().parts[-2:]), "")
    drawings = re.split(r"(<svg.*?</svg>)", text, flags=re.S)
    text = "".join(part for part in drawings if "Time per epoch" not in part[:50_000])
    return re.sub(r"seconds [\d.,]+", "", re.sub(r"[#\"][pm][0-9a-f]{10}", "", text))


def _curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    clocks = (*OF_A_CLOCK, "time", "per_sec")
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.endswith(clocks)
    }


def differing(one: Path, other: Path, everything: bool = False) -> list[str]:
    """The parts in which two runs differ; every file that a run leaves when asked for
    everything.
    """
    a, b = fingerprint(one), fingerprint(other)
    if everything:
        a, b = a | records(one), b | records(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def _hash(value: Any) -> str:
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            flat = part.detach().flatten().clone(memory_format=torch.contiguous_format)
            digest.update(flat.view(torch.uint8).numpy().tobytes() if part.numel() else b"")
        elif isinstance(part, dict):
            for key in sorted(part, key=str):
                digest.update(str(key).encode())
                add(part[key])
        elif isinstance(part, (list, tuple)):
            digest.update(f"[{len(part)}]".encode())
            for item in part:
                add(item)
        else:
            digest.update(repr(part).encode())

    add(value)
    return digest.hexdigest()
