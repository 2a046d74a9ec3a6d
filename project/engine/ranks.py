"""What each process of a run has for itself, in a checkpoint that one of them writes."""

from __future__ import annotations

import os
from typing import Any

import torch.distributed as dist


def meet_again() -> None:
    """Let the processes that torchrun has started again meet at a store of their own.

    Its store keeps the addresses of those that were killed from one attempt to the next, and gloo
    then waits for them (torch 2.15; with torch's TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 it does not).
    """
    attempt = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    if attempt and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
        os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + attempt)


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
