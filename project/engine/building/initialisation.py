"""First weights by rules: the functions of torch.nn.init, chosen by pattern."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn import init

from ..errors import UserError, suggest
from .rules import match

FUNCTIONS = {
    name: getattr(init, f"{name}_")
    for name in (
        *(
            "uniform",
            "normal",
            "trunc_normal",
            "constant",
            "ones",
            "zeros",
            "eye",
            "dirac",
            "orthogonal",
            "sparse",
        ),
        *("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"),
    )
}


@dataclass(frozen=True)
class InitRule:
    """A rule of initialisation.

    Args:
        match: Regular expression for parameter names (features.0.weight) or layer types
            (Conv2d.weight).
        init: A function of torch.nn.init without its underscore, e.g. kaiming_normal.
        options: Its arguments; `gain` may be the name of a nonlinearity.
    """

    match: str
    init: str
    options: Mapping[str, Any] | None = None


def initialise(net: nn.Module, rules: Sequence[InitRule]) -> dict[str, list[str]]:
    """Set the first weights by rules; what no rule takes keeps the default of its layer.

    Returns what each rule took: its text -> parameter names.

    Raises:
        UserError: a rule takes nothing, names no function, or does not suit a parameter it takes.
    """
    taken = match([rule.match for rule in rules], net, "`model.init`")
    parameters = dict(net.named_parameters())
    for rule, names in zip(rules, taken, strict=True):
        if rule.init not in FUNCTIONS:
            raise UserError(
                f"`model.init`: unknown function {rule.init!r}; "
                f"{suggest(rule.init, FUNCTIONS, 'functions')}"
            )
        function, options = FUNCTIONS[rule.init], dict(rule.options or {})
        known = set(inspect.signature(function).parameters) - {"tensor", "generator"}
        for option in set(options) - known:
            raise UserError(
                f"`model.init`: {rule.init} has no option {option!r}; "
                f"{suggest(option, known, 'it has')}"
            )
        for name in names:
            try:
                if isinstance(options.get("gain"), str):
                    options["gain"] = init.calculate_gain(options["gain"])
                function(parameters[name], **options)
            except (ValueError, TypeError, RuntimeError) as error:
                shape = "x".join(map(str, parameters[name].shape))
                raise UserError(
                    f"`model.init`: {rule.init} does not suit {name} of {shape}: {error}"
                ) from None
    return {f"{rule.match}: {rule.init}": names for rule, names in zip(rules, taken, strict=True)}
