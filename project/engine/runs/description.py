"""Where and from what a run is made, for run.json."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch

from ..registry import PROGRAM


def environment() -> dict[str, Any]:
    """Where a run happens: versions, threads, the kind of host."""
    import torchmetrics

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": L.__version__,
        "torchmetrics": torchmetrics.__version__,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Commit and uncommitted changes of the code; empty outside a repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20
        )
        return done.stdout if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD").strip()
        return {"commit": commit, "diff": git("diff", "HEAD")[:200_000]} if commit else {}
    except (OSError, subprocess.TimeoutExpired):
        return {}


def command_line() -> str:
    return " ".join([PROGRAM, *sys.argv[1:]])
