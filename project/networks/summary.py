"""What a network is made of: its layers, the shapes they answer with, their parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """A part of a network.

    name: its path in the network.
    kind: its class.
    output: the shape of its answer to one sample; None where it was not asked, or does not answer with a tensor.
    parameters: how many numbers it learns, those of its parts among them.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    parameters: int


@contextlib.contextmanager
def watched(net: nn.Module) -> Iterator[dict[str, tuple[int, ...]]]:
    """Notes the shape of what each part answers to one sample, while the network is called on a batch."""
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


def layers(net: nn.Module, shapes: dict[str, tuple[int, ...]], most: int = 16) -> list[Layer]:
    """The parts of a network in their order: as deep as they are at most `most`, but at least the outermost."""
    parts = {name: part for name, part in net.named_modules() if name}
    depths = {name: name.count(".") for name in parts}
    chosen: list[str] = []
    for depth in range(max(depths.values(), default=0) + 1):
        deeper = [
            name
            for name, part in parts.items()
            if depths[name] == depth or (depths[name] < depth and (not list(part.children()) or _own(part)))
        ]
        if chosen and len(deeper) > most:
            break
        chosen = deeper
    return [
        Layer(name, type(parts[name]).__name__, shapes.get(name), _parameters(parts[name], name, chosen))
        for name in chosen
        if name in shapes or _parameters(parts[name], name, chosen)
    ]


def _own(part: nn.Module) -> bool:
    """Whether a part with parts of its own has parameters beside theirs."""
    return bool(list(part.parameters(recurse=False)))


def _parameters(part: nn.Module, name: str, chosen: list[str]) -> int:
    """The parameters of a part; only its own where its parts stand in the list as well."""
    recurse = not any(other.startswith(f"{name}.") for other in chosen)
    return sum(parameter.numel() for parameter in part.parameters(recurse=recurse))
