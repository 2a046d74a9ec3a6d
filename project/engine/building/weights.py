"""First weights that come from another network, and what the first weights of a network are
like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import UserError
from .rules import layer_of, match


def take_weights(
    net: nn.Module, weights: Mapping[str, Tensor], fresh: str | None, source: str
) -> list[str]:
    """Give a network the weights of another, but for what `fresh` matches: that starts as the
    network was built.

    A pattern like those of all rules. Running statistics go with their layer; weights that only the
    other network has must match as well. Returns the names of the parameters that were taken.

    Raises:
        UserError: the pattern takes nothing, or what it leaves does not fit.
    """
    kept = set(match([fresh], net, "--fresh")[0]) if fresh else set()
    parameters = {name for name, _ in net.named_parameters()}
    layers = {layer_of(name) for name in kept}

    def is_fresh(name: str) -> bool:
        if name in parameters:
            return name in kept
        return layer_of(name) in layers or bool(fresh and re.fullmatch(fresh, name))

    given = {name: value for name, value in weights.items() if not is_fresh(name)}
    wanted = {name: value for name, value in net.state_dict().items() if not is_fresh(name)}
    if found := misfit(given, wanted):
        name, reason = found
        message = f"{source}: they do not fit {type(net).__name__}: {reason}"
        if given.keys() & wanted.keys():  # else it is another network altogether
            layer = f"{layer_of(name)}.*" if layer_of(name) else name
            message += f"; --fresh '{f'{fresh}|' if fresh else ''}{layer}' leaves that out"
        raise UserError(message)
    net.load_state_dict(given, strict=False)
    return [name for name in given if name in parameters]


def misfit(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """The first of some weights that is not what a module has, and how they differ; None when they
    fit.
    """
    for name, tensor in wanted.items():
        if name not in weights:
            return name, f"it has {name} {tuple(tensor.shape)}, they do not"
        if weights[name].shape != tensor.shape:
            return (
                name,
                f"{name} is {tuple(tensor.shape)} in it and {tuple(weights[name].shape)} in them",
            )
    surplus = next((name for name in weights if name not in wanted), None)
    return (
        (surplus, f"they have {surplus} {tuple(weights[surplus].shape)}, it does not")
        if surplus
        else None
    )


def statistics(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Shape, mean, standard deviation, least and greatest value of every parameter, to six
    digits.
    """
    found = {}
    for name, parameter in net.named_parameters():
        values = parameter.detach().float()
        numbers = {
            "mean": values.mean(),
            "std": values.std(correction=0),
            "min": values.min(),
            "max": values.max(),
        }
        found[name] = {"shape": list(values.shape)} | {
            key: float(f"{float(value):.6g}") for key, value in numbers.items()
        }
    return found


def describe(net: nn.Module, initialised: Mapping[str, list[str]]) -> dict[str, Any]:
    """How the first weights were set and what they are like, in plain values; what nothing set has
    its layer's default.
    """
    return {
        "rules": {how: list(names) for how, names in initialised.items()},
        "layers": statistics(net),
    }
