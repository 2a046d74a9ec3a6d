"""What each process of a run has for itself, in a checkpoint that one of them writes."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist


def of_each_rank(value: Any) -> Any:
    """What every process has, as a checkpoint holds it; called by all of them."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return {"ranks": gathered}


def of_this_rank(saved: Any) -> Any:
    """This process's part of what `of_each_rank` returned."""
    if isinstance(saved, dict) and set(saved) == {"ranks"}:
        return saved["ranks"][dist.get_rank()]
    return saved
