"""Why a network answered as it did: where in an image, and by which columns of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..randomness import generator

SHUFFLES = 5
MOST_ROWS, MOST_FORWARD = 2000, 50_000  # of a table; rows sent through in all: a second or two
MISSING = " is missing"  # the end of the name of a column that says so of another


@torch.inference_mode(False)
@torch.enable_grad()
def heatmaps(task: Any, inputs: Tensor) -> Tensor | None:
    """How much each place of each image spoke for the network's answer: prepared images
    (N, C, H, W) to (N, H, W) in 0 to 1; None of a network without a convolution that sees places.

    Each place of the last convolution counts by how much it raises the score of the answer, and by
    how active it is. Source: LayerCAM, https://doi.org/10.1109/TIP.2021.3089943
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
            seen[:] = [output]

    convolutions = [module for module in task.net.modules() if isinstance(module, nn.Conv2d)]
    hooks = [module.register_forward_hook(keep) for module in convolutions]
    try:
        with torch.compiler.set_stance("force_eager"):
            answers = task(inputs.clone().requires_grad_() * 1)  # no leaf, which may not be changed
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        return None
    scores = answers.flatten(1) if answers.ndim > 1 else answers.unsqueeze(1)
    best = scores.max(1).values if scores.shape[1] > 1 else scores.squeeze(1).abs()
    (gradient,) = torch.autograd.grad(best.sum(), seen[-1], allow_unused=True)
    if gradient is None:
        return None
    heat = (gradient.relu() * seen[-1].detach().relu()).sum(1, keepdim=True)
    heat = F.avg_pool2d(heat, 3, 1, 1)  # a single place says little
    heat = F.interpolate(heat, inputs.shape[2:], mode="bilinear").squeeze(1)
    return heat / heat.amax((1, 2), keepdim=True).clamp_min(1e-12)


def grouped(columns: Sequence[str]) -> dict[str, list[int]]:
    """The columns that belong together, a number and whether it is missing: name to places."""
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(columns):
        owner = name.removesuffix(MISSING)
        groups.setdefault(owner if owner in columns else name, []).append(place)
    return groups


@torch.no_grad()
def importance(
    loss: Callable[[Tensor], float], rows: Tensor, columns: Sequence[str]
) -> dict[str, list[float]]:
    """How much worse the loss becomes when a column is shuffled among the rows, SHUFFLES times:
    name to rises.

    What two columns say both is counted for neither. Source: Breiman, Random Forests,
    https://doi.org/10.1023/A:1010933404324

    Args:
        loss: The mean loss of rows (N, columns).
        rows: (N, columns), of which as many are used as keep it short.
        columns: Their names.
    """
    groups = grouped(columns)
    rows = rows[: max(100, min(MOST_ROWS, MOST_FORWARD // (SHUFFLES * len(groups))))]
    before, found = loss(rows), dict[str, list[float]]()
    for number, (name, places) in enumerate(groups.items()):
        found[name] = []
        for turn in range(SHUFFLES):
            order = torch.randperm(len(rows), generator=generator(0, number, turn))
            changed = rows.clone()
            changed[:, places] = rows[order][:, places]
            found[name].append(loss(changed) - before)
    return found
