"""What a network is made of: its layers, the shapes they answer with, their parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError, clip
from ..spec import DataSpec


@dataclass(frozen=True)
class LayerInfo:
    """A part of a network.

    name: its path in the network.
    kind: its class.
    output: the shape of its answer to one sample; None where it was not asked, or does not answer
        with a tensor.
    parameters: how many numbers it learns, those of its parts among them.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    parameters: int


@contextlib.contextmanager
def watched(net: nn.Module) -> Iterator[dict[str, tuple[int, ...]]]:
    """Notes the shape of what each part outputs to one sample, while the network is called on a
    batch.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                shapes[name] = tuple(output.shape[1:])

        return hook

    handles = [part.register_forward_hook(note(name)) for name, part in net.named_modules()]
    try:
        yield shapes
    finally:
        for handle in handles:
            handle.remove()


def layers(net: nn.Module, shapes: dict[str, tuple[int, ...]], most: int = 16) -> list[LayerInfo]:
    """The parts of a network in their order, at most `most` of them where that is possible.

    As deep as there is room; before a level is left out, the parts are that neither learn nor
    change a shape.
    """
    parts = dict(net.named_modules())
    deepest = max(name.count(".") for name in parts)
    for depth in range(deepest, -1, -1):
        every = _down_to(depth, parts, shapes)
        telling = [
            layer
            for n, layer in enumerate(every)
            if layer.parameters or layer.output != every[n - 1].output or not n
        ]
        for chosen in (every, telling):
            if len(chosen) <= most:
                return chosen
    return telling


def _down_to(
    depth: int, parts: dict[str, nn.Module], shapes: dict[str, tuple[int, ...]]
) -> list[LayerInfo]:
    """The parts at a depth, those above it that have no parts, and those that have parameters
    beside their parts'.
    """
    names = []
    for name, part in parts.items():
        inner, has_own = bool(list(part.children())), bool(list(part.parameters(recurse=False)))
        level = name.count(".") if name else -1
        if level == depth or (level < depth and (not inner or has_own)):
            names.append(name)
    found = []
    for name in names:
        part = parts[name]
        others = any(
            other != name and other.startswith(f"{name}." if name else "") for other in names
        )
        parameters = sum(parameter.numel() for parameter in part.parameters(recurse=not others))
        if parameters or name in shapes:
            found.append(
                LayerInfo(name or "(itself)", type(part).__name__, shapes.get(name), parameters)
            )
    return found


def fitted_layers(net: nn.Module, spec: DataSpec, wanted: Sequence[int | None]) -> list[LayerInfo]:
    """The layers of a network that fits the data, found by two samples of zeros: a misfit is one
    line, and not a traceback later.

    Raises:
        UserError: inputs or outputs do not fit.
    """
    name, training = type(net).__name__, net.training
    try:
        with torch.no_grad(), watched(net) as shapes:
            answer = net.eval()(*(torch.zeros(2, *shape) for shape in spec.inputs))
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UserError(
            f"{name} does not fit inputs of {spec.shape()}: {clip(error, 160)}"
        ) from error
    finally:
        net.train(training)
    got = tuple(answer.shape[1:])
    fits = len(answer) == 2 and len(got) >= len(wanted)
    if not fits or any(side not in (None, have) for side, have in zip(wanted, got, strict=False)):
        asked = " x ".join("any" if side is None else str(side) for side in wanted)
        raise UserError(f"{name} outputs {got}; this data needs {asked}")
    return layers(net, shapes)
