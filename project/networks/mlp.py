"""A multilayer perceptron for images and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU}


class Columns(nn.Module):
    """The columns of a table as one vector: numbers as they are, categories one-hot or embedded.

    Takes (B, columns) floats whose last columns hold category codes; returns (B, width).

    Args:
        spec: The table's description.
        embed_above: Categories with more codes than this get a learnt embedding instead of one-hot.
        sparse: Let an embedding's gradient hold only the rows that a batch has met.

    Raises:
        UserError: `sparse`, and no column is embedded.
    """

    def __init__(self, spec: DataSpec, embed_above: int = 16, sparse: bool = False) -> None:
        super().__init__()
        self.cardinalities = spec.cardinalities
        self.numbers = len(spec.columns) - len(self.cardinalities)
        widths = [_embedding_width(n) if n > embed_above else n for n in self.cardinalities]
        self.embeddings = nn.ModuleDict(
            {
                str(i): nn.Embedding(n, width, sparse=sparse)
                for i, (n, width) in enumerate(zip(self.cardinalities, widths, strict=True))
                if n > embed_above
            }
        )
        if sparse and not self.embeddings:
            most = max(self.cardinalities)
            raise UserError(
                f"`model.net.sparse`: no column is embedded; `model.net.embed_above` {most - 1} "
                "embeds the largest"
            )
        self.width = self.numbers + sum(widths)

    def forward(self, columns: Tensor) -> Tensor:
        parts = [columns[:, : self.numbers]]
        codes = columns[:, self.numbers :].long()
        for i, n in enumerate(self.cardinalities):
            code = codes[:, i]
            key = str(i)
            parts.append(
                self.embeddings[key](code)
                if key in self.embeddings
                else F.one_hot(code, n).to(columns.dtype)
            )
        return torch.cat(parts, dim=1)


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
        sparse: bool = False,
    ) -> None:
        super().__init__(spec)
        if sparse and not spec.cardinalities:
            raise UserError(
                "`model.net.sparse`: the data has no categorical columns, so there is nothing to "
                "embed"
            )
        self.inputs: nn.Module = (
            Columns(spec, embed_above, sparse) if spec.cardinalities else Flat()
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


def _embedding_width(codes: int) -> int:
    """About the square root of the number of codes, bounded."""
    return min(32, round(1.6 * codes**0.5))
