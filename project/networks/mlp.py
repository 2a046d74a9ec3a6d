"""A multilayer perceptron for images and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError

from .columns import Columns, Ways

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU}


class Flat(nn.Module):
    """Any inputs, flattened and joined: each (B, ...) to (B, width)."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return (
            inputs[0].flatten(1)
            if len(inputs) == 1
            else torch.cat([part.flatten(1) for part in inputs], dim=1)
        )


class MLP(Network):
    """Linear layers with an activation between them: any inputs, flattened, to (B, outputs).

    Args:
        hidden: Width of each hidden layer; an empty list is a linear model.
        activation: relu, tanh, gelu or silu.
        dropout: Share of the hidden units dropped in training.
        batch_norm: Normalise each hidden layer over the batch.
        embed_above: Of tables: categories with more codes than this are embedded, the others
            one-hot.
        numbers: Of tables: numbers as they are (plain), through waves of learnt lengths (periodic),
            or through the quantiles they lie between (piecewise).
        sparse: Of tables: the embeddings have sparse gradients, as SparseAdam wants them.
    """

    def __init__(
        self,
        spec: DataSpec,
        hidden: Sequence[int] = (256,),
        activation: Literal["relu", "tanh", "gelu", "silu"] = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        embed_above: int = 16,
        numbers: Ways = "plain",
        sparse: bool = False,
    ) -> None:
        super().__init__(spec)
        if sparse and not spec.cardinalities:
            raise UserError(
                "`model.net.sparse`: the data has no categorical columns, so there is nothing to "
                "embed"
            )
        of_a_table = bool(spec.cardinalities) or numbers != "plain"
        self.inputs: nn.Module = (
            Columns(spec, embed_above, sparse, numbers) if of_a_table else Flat()
        )
        width = (
            self.inputs.width
            if isinstance(self.inputs, Columns)
            else sum(map(math.prod, spec.inputs))
        )
        layers: list[nn.Module] = []
        for size in hidden:
            layers.append(nn.Linear(width, size, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(size))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, spec.outputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layers(self.inputs(*inputs))

    @property
    def wants_a_look(self) -> bool:
        return isinstance(self.inputs, Columns) and self.inputs.wants_a_look

    def first_look(self, inputs: Tensor) -> None:
        if isinstance(self.inputs, Columns):
            self.inputs.first_look(inputs)
