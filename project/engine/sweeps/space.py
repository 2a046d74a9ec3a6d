"""The space of a sweep: which settings vary, over which values; keys are the options of the command
line.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..cli.arguments import as_text
from ..cli.settings import GROUPS
from ..cli.yamltext import read_yaml
from ..errors import UserError, clip, suggest

FIXED = ("name", "run.root")  # what places a trial on disk belongs to the sweep
RANGE = {"low", "high", "log", "step"}
Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Parameter:
    """A setting that varies: over `values`, or from `low` to `high` (inclusive), on a log scale or
    in steps.
    """

    key: str
    where: str  # as its writer knows it, for messages
    values: tuple[Scalar, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None

    def distribution(self) -> Any:
        """What Optuna draws it from."""
        from optuna import distributions

        if self.values:
            return distributions.CategoricalDistribution(self.values)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return distributions.IntDistribution(self.low, self.high, self.log, int(self.step or 1))
        return distributions.FloatDistribution(self.low, self.high, self.log, self.step)

    def every(self) -> tuple[Scalar, ...]:
        """All of its values; none where they cannot be counted."""
        if self.values or self.step is None:
            return self.values
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(round(self.low + i * self.step, 12) for i in range(count))

    def samples(self) -> tuple[Scalar, ...]:
        """The values to check before anything is tried: all that are named, or the ends of the
        range.
        """
        return self.values or tuple(dict.fromkeys((self.low, self.high)))


@dataclass(frozen=True)
class Space:
    parameters: tuple[Parameter, ...]

    def distributions(self) -> dict[str, Any]:
        return {parameter.key: parameter.distribution() for parameter in self.parameters}

    def size(self) -> int | None:
        """The number of combinations; None where a range has no step."""
        counts = [len(parameter.every()) for parameter in self.parameters]
        return math.prod(counts) if all(counts) else None

    def combination(self, number: int) -> dict[str, Scalar]:
        """The combination of this number, the last parameter changing fastest."""
        chosen: dict[str, Scalar] = {}
        for parameter in reversed(self.parameters):
            number, place = divmod(number, len(parameter.every()))
            chosen[parameter.key] = parameter.every()[place]
        return {parameter.key: chosen[parameter.key] for parameter in self.parameters}

    def to_check(self) -> list[dict[str, Scalar]]:
        """Combinations in which every value occurs at least once under every class that it may be
        an argument of.
        """
        keys = [parameter.key for parameter in self.parameters]
        heads = [p for p in self.parameters if any(key.startswith(f"{p.key}.") for key in keys)]
        others = [p for p in self.parameters if p not in heads]
        found = []
        for classes in itertools.product(*(head.samples() for head in heads)):
            for row in range(max((len(p.samples()) for p in others), default=1)):
                chosen = dict(zip((head.key for head in heads), classes, strict=True))
                chosen |= {p.key: p.samples()[min(row, len(p.samples()) - 1)] for p in others}
                found.append({key: chosen[key] for key in keys})
        return found

    def short_names(self) -> dict[str, str]:
        """The shortest end of each key that no other has: lr for model.optimizer.lr."""
        parts = {parameter.key: parameter.key.split(".") for parameter in self.parameters}
        names = {}
        for key, words in parts.items():
            length = 1
            while any(
                other != key and words[-length:] == parts[other][-length:] for other in parts
            ) and length < len(words):
                length += 1
            names[key] = ".".join(words[-length:])
        return names


def read_space(tree: Any, say: Callable[[str], str]) -> Space:
    """A space from `{key: values}`.

    Args:
        tree: As in the YAML file.
        say: How the writer knows a key of it.

    Raises:
        UserError: there is none, or an entry is neither values nor a range.
    """
    if not isinstance(tree, dict) or not tree:
        raise UserError(
            f"{say('')}: nothing varies; --space.model.optimizer.lr '[0.1, 0.01]' tries two "
            "learning rates"
        )
    return Space(
        tuple(read_parameter(str(key), value, say(str(key))) for key, value in tree.items())
    )


def read_parameter(key: str, value: Any, where: str) -> Parameter:
    """One entry of a space.

    Raises:
        UserError: it is neither a list of values nor a range.
    """
    top = key.partition(".")[0]
    if top not in GROUPS:
        raise UserError(
            f"{where}: not an option of fit; {suggest(top, GROUPS, 'there are')}, as in "
            "model.optimizer.lr"
        )
    if key in FIXED:
        raise UserError(
            f"{where}: {key} says where a run lies, which the sweep does itself; leave it out"
        )
    if isinstance(value, list):
        values = tuple(item if isinstance(item, Scalar) else json.dumps(item) for item in value)
        if not values:
            raise UserError(f"{where}: an empty list; give at least one value")
        twice = next((item for i, item in enumerate(values) if item in values[:i]), None)
        if twice is not None:
            raise UserError(f"{where}: the value {clip(twice)} stands there twice")
        return Parameter(key, where, values)
    if not isinstance(value, dict) or not {"low", "high"} <= set(value):
        hint = (
            "; a colon needs a space behind it"
            if isinstance(value, dict) and any(":" in str(key) for key in value)
            else ""
        )
        raise UserError(
            f"{where}: expected values, as in [0.1, 0.01], or a range, as in {{low: 1e-5, high: "
            f"1, log: true}}{hint}"
        )
    if wrong := set(value) - RANGE:
        raise UserError(
            f"{where}.{sorted(wrong)[0]}: unknown; a range has {', '.join(sorted(RANGE))}"
        )
    return _range(key, value, where)


def _range(key: str, value: dict[str, Any], where: str) -> Parameter:
    low, high, step, log = value["low"], value["high"], value.get("step"), value.get("log", False)
    for name, number in (("low", low), ("high", high), ("step", step)):
        if (number is not None or name != "step") and (
            isinstance(number, bool) or not isinstance(number, int | float)
        ):
            raise UserError(f"{where}.{name}: expected a number, got {clip(number)!r}")
        if number is not None and not math.isfinite(number):
            raise UserError(f"{where}.{name}: expected a finite number, got {number}")
    if not isinstance(log, bool):
        raise UserError(f"{where}.log: expected true or false, got {clip(log)!r}")
    if low >= high:
        raise UserError(f"{where}: low {low} is not below high {high}")
    if log and low <= 0:
        raise UserError(f"{where}: a log scale starts above 0, low is {low}")
    if step is not None and (log or step <= 0 or step > high - low):
        raise UserError(
            f"{where}.step: expected a step between 0 and high - low, and not on a log scale, "
            f"got {step}"
        )
    if not all(isinstance(number, int) for number in (low, high, step or 1)):
        low, high, step = float(low), float(high), None if step is None else float(step)
    return Parameter(key, where, (), low, high, log, step)


# ---------------------------------------------------------------------- values as text


def as_label(value: Scalar) -> str:
    """A value as short as a table or a folder wants it: a class by its name and arguments, a number
    with four digits.
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    text = as_text(value)
    if not text.startswith("{"):
        return text
    tree = read_yaml(text, "")
    given = ",".join(
        f"{name}={argument}" for name, argument in (tree.get("init_args") or {}).items()
    )
    return str(tree.get("class_path", "")).rpartition(".")[2] + (f"({given})" if given else "")


def folder_name(number: int, parameters: dict[str, Scalar], names: dict[str, str]) -> str:
    """`003-lr=0.01,hidden=64`: the name of a trial's run folder."""
    words = ",".join(f"{names[key]}={as_label(value)}" for key, value in parameters.items())
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9._=,+()-]', '', words)[:100]}".rstrip(",.-")


def in_words(parameters: dict[str, Scalar], names: dict[str, str]) -> str:
    return "  ".join(f"{names[key]} {as_label(value)}" for key, value in parameters.items())


def differing(one: Sequence[Parameter], other: Sequence[Parameter]) -> str | None:
    """The first key in which two spaces differ, if they do."""
    for a, b in itertools.zip_longest(one, other):
        if a is None or b is None or (a.key, a.distribution()) != (b.key, b.distribution()):
            return (a or b).key
    return None
