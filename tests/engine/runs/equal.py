"""When two runs are equal: the same bits in their last checkpoint and the same bytes in
metrics.csv.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from project.engine.runs.checkpoints import step_files
from project.engine.runs.folder import RunFolder


def fingerprint(run: Path) -> dict[str, str]:
    """A hash for each part of a run's last checkpoint, and for its metrics file; clocks and paths
    are left out.
    """
    folder = RunFolder(run)
    checkpoint = torch.load(step_files(folder)[0], weights_only=True)
    checkpoint["callbacks"].pop("Epochs", None)
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


def differing(one: Path, other: Path) -> list[str]:
    """The parts in which two runs differ."""
    a, b = fingerprint(one), fingerprint(other)
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
