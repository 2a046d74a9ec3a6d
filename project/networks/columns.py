"""The columns of a table as a network takes them."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from project.engine import DataSpec, UserError

Ways = Literal["plain", "periodic", "piecewise"]
WAVES, WIDTH, BINS = 24, 16, 48  # of each number


class Columns(nn.Module):
    """The columns of a table as one vector: numbers in one of three ways, categories one-hot or
    embedded.

    Takes (B, columns) floats whose last columns hold category codes; returns (B, width).

    Args:
        spec: The table's description.
        embed_above: Categories with more codes than this get a learnt embedding instead of one-hot.
        sparse: Let an embedding's gradient hold only the rows that a batch has met.
        numbers: As they are (plain), or by `Periodic` or `Piecewise`.

    Raises:
        UserError: `sparse`, and no column is embedded; the data is no table with numbers.
    """

    def __init__(
        self,
        spec: DataSpec,
        embed_above: int = 16,
        sparse: bool = False,
        numbers: Ways = "plain",
    ) -> None:
        super().__init__()
        self.cardinalities = spec.cardinalities
        self.numbers = len(spec.columns) - len(self.cardinalities)
        if numbers != "plain" and self.numbers < 1:
            raise UserError(f"`model.net.numbers` {numbers}: the data has no columns of numbers")
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
        kinds = {"periodic": Periodic, "piecewise": Piecewise}
        self.shown = kinds[numbers](self.numbers) if numbers in kinds else None
        self.width = self.numbers * (WIDTH if self.shown else 1) + sum(widths)

    def forward(self, columns: Tensor) -> Tensor:
        numbers = columns[:, : self.numbers]
        parts = [numbers if self.shown is None else self.shown(numbers).flatten(1)]
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

    @property
    def wants_a_look(self) -> bool:
        return isinstance(self.shown, Piecewise)

    def first_look(self, columns: Tensor) -> None:
        """Place the quantiles by training rows (N, columns)."""
        if isinstance(self.shown, Piecewise):
            self.shown.place(columns[:, : self.numbers])


class Periodic(nn.Module):
    """Numbers through sines and cosines of learnt lengths: (B, n) to (B, n, WIDTH).

    Source: Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning, 2022
    (arXiv:2203.05556), the form PLR with a linear layer that the numbers share.

    Args:
        count: n.
        spread: The deviation of the first frequencies.
    """

    def __init__(self, count: int, spread: float = 1.0) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(spread * torch.randn(count, WAVES))
        self.linear = nn.Linear(2 * WAVES, WIDTH)

    def forward(self, numbers: Tensor) -> Tensor:
        angles = 2 * math.pi * numbers.unsqueeze(2) * self.frequencies
        return self.linear(torch.cat([angles.cos(), angles.sin()], 2)).relu()


class Piecewise(nn.Module):
    """Numbers by where they lie among the quantiles of the training rows: (B, n) to (B, n, WIDTH).

    A number is written as BINS shares: 1 in the bins it is above, the part it has come in its own,
    0 in those it is below; each number has a linear layer of its own. Source: Gorishniy et al.,
    2022 (arXiv:2203.05556).

    Args:
        count: n.
    """

    edges: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("edges", torch.linspace(-2, 2, BINS + 1).repeat(count, 1))
        bound = BINS**-0.5
        self.weight = nn.Parameter(torch.empty(count, BINS, WIDTH).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, WIDTH).uniform_(-bound, bound))

    def place(self, numbers: Tensor) -> None:
        """Set the edges of the bins from training rows (N, n).

        A value that alone would fill a bin, such as the 0 of a column that is mostly 0, is one edge
        and no more: the others are the quantiles of the rest.
        """
        for edges, column in zip(self.edges, numbers.double().T, strict=True):
            values, counts = column.unique(return_counts=True)
            alone = values[counts > len(column) / BINS]
            rest = column[~torch.isin(column, alone)]
            places = torch.linspace(0, 1, BINS + 1 - len(alone), dtype=torch.float64)
            between = torch.quantile(rest, places) if len(rest) else alone[-1:].expand(len(places))
            edges.copy_(torch.cat([alone, between]).sort().values)

    def forward(self, numbers: Tensor) -> Tensor:
        left, right = self.edges[:, :-1], self.edges[:, 1:]
        width = right - left  # 0 where many rows are equal
        share = (numbers.unsqueeze(2) - left) / torch.where(width > 0, width, 1)
        share = torch.where(width > 0, share, (numbers.unsqueeze(2) >= left).to(share.dtype))
        # beyond the first and the last edge the line goes on
        first = share[..., :1].clamp(max=1)
        last = share[..., -1:].clamp(min=0)
        share = torch.cat([first, share[..., 1:-1].clamp(0, 1), last], 2)
        return torch.einsum("bnk,nkw->bnw", share, self.weight) + self.bias


def _embedding_width(codes: int) -> int:
    """About the square root of the number of codes, bounded."""
    return min(32, round(1.6 * codes**0.5))
