"""Rules by pattern: one small engine for initialisation, parameter groups and freezing.

A pattern is a regular expression that must match the whole of a parameter's name
(`features.0.weight`), or of its layer's type and its name there (`Conv2d.weight`). The first rule
that matches a parameter takes it; a rule that takes nothing is an error; what no rule takes keeps
its default.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from ..errors import UserError, clip

# Names of parameters are short; within these bounds no expression takes long to fail on one.
LONGEST, MOST_REPETITIONS = 300, 6


def match(patterns: Sequence[str], net: nn.Module, where: str) -> list[list[str]]:
    """The names of the parameters each pattern takes, in the order of the network.

    Raises:
        UserError: a pattern is no regular expression, or takes nothing.
    """
    expressions = [expression(pattern, where) for pattern in patterns]
    by_type = {
        f"{path}.{name}".lstrip("."): f"{type(layer).__name__}.{name}"
        for path, layer in net.named_modules()
        for name, _ in layer.named_parameters(recurse=False)
    }
    names = [name for name, _ in net.named_parameters()]
    taken: list[list[str]] = [[] for _ in patterns]
    for name in names:
        for one, own in zip(expressions, taken, strict=True):
            if one.fullmatch(name) or one.fullmatch(by_type[name]):
                own.append(name)
                break
    for pattern, own in zip(patterns, taken, strict=True):
        if not own:
            raise UserError(
                f"{where}: {clip(pattern)!r} takes no parameter that an earlier rule has left; "
                "names: "
                f"{', '.join(names[:4])}, ...; by type: "
                f"{clip(', '.join(dict.fromkeys(by_type.values())), 120)}"
            )
    return taken


def layer_of(name: str) -> str:
    """The path of the layer that a parameter belongs to."""
    return name.rpartition(".")[0]


def expression(pattern: str, where: str) -> re.Pattern[str]:
    """A regular expression that does not take long on a name.

    Raises:
        UserError: it is none, or might.
    """
    if len(pattern) > LONGEST or len(re.findall(r"[*+}]\??(?=[*+{])|[*+}]\??\)*[*+{]", pattern)):
        raise UserError(f"{where}: {clip(pattern)!r} repeats a repetition; say it more simply")
    if len(re.findall(r"[*+]|\{\d*,", pattern)) > MOST_REPETITIONS:
        raise UserError(f"{where}: {clip(pattern)!r} has more than {MOST_REPETITIONS} repetitions")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"{where}: {clip(pattern)!r} is not a regular expression: {error}"
        ) from None
