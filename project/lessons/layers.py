"""Layers written out by hand: what torch's own compute, in a few lines each, and three that hold
their parameters differently.

After Zhang, Lipton, Li, Smola: Dive into Deep Learning, chapters 6 (custom layers, parameter
management) and 7 (convolutions, padding and stride, pooling), https://d2l.ai.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from project.engine import UserError, suggest

Size = int | tuple[int, int]


def windows(images: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Every position of a window that slides over images, as a view that copies nothing.

    Args:
        images: (B, C, H, W).
        kernel: Height and width of the window.
        stride: Rows and columns from one position to the next.

    Returns:
        (B, C, rows, columns, kernel height, kernel width), with rows = (H - kernel height) //
        stride + 1, columns alike.
    """
    return images.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])


class CrossCorrelation2d(nn.Module):
    """What nn.Conv2d computes: each output is the sum of a window of the images times a kernel,
    plus a bias.

    (B, in_channels, H, W) to (B, out_channels, rows, columns), with rows = (H + 2 padding - kernel)
    // stride + 1. Parameters have the names, shapes and first values of nn.Conv2d, so that the two
    can take each other's place.

    Args:
        in_channels: Channels of the images.
        out_channels: Number of kernels.
        kernel_size: Side of the kernels, or height and width.
        stride: Step of the window, or steps down and across.
        padding: Zeros on every side, or above and below, and left and right.
        bias: Add a learnt number to each output channel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = _pair(kernel_size), _pair(stride), _pair(padding)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        if self.bias is not None:
            bound = self.weight[0].numel() ** -0.5
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, images: Tensor) -> Tensor:
        down, across = self.padding
        seen = windows(F.pad(images, (across, across, down, down)), self.kernel, self.stride)
        outputs = torch.einsum("bcyxij,ocij->boyx", seen, self.weight)
        return outputs if self.bias is None else outputs + self.bias[:, None, None]

    def extra_repr(self) -> str:
        out_channels, in_channels, *_ = self.weight.shape
        return (
            f"{in_channels}, {out_channels}, kernel={self.kernel}, stride={self.stride}, "
            f"padding={self.padding}"
        )


class Pool2d(nn.Module):
    """What nn.MaxPool2d and nn.AvgPool2d compute: the maximum or the mean of each window.

    (B, C, H, W) to (B, C, rows, columns), with rows = (H + 2 padding - kernel) // stride + 1.

    Args:
        kernel: Side of the window, or height and width.
        stride: Step of the window, or steps down and across; null is the window's own size, so that
            none overlap.
        padding: Frame of the images, or above and below, and left and right, at most half the
            window: it never is the maximum, and counts as zeros in the mean.
        mode: "max" or "average".

    Raises:
        UserError: the padding is larger than half the window, which then could hold nothing else.
    """

    def __init__(
        self,
        kernel: Size,
        stride: Size | None = None,
        padding: Size = 0,
        mode: Literal["max", "average"] = "max",
    ) -> None:
        super().__init__()
        self.kernel, self.padding, self.mode = _pair(kernel), _pair(padding), mode
        self.stride = self.kernel if stride is None else _pair(stride)
        if any(2 * frame > side for frame, side in zip(self.padding, self.kernel, strict=True)):
            raise UserError(
                f"Pool2d: padding {self.padding} is larger than half the window {self.kernel}"
            )

    def forward(self, images: Tensor) -> Tensor:
        down, across = self.padding
        frame = float("-inf") if self.mode == "max" else 0.0
        seen = windows(
            F.pad(images, (across, across, down, down), value=frame), self.kernel, self.stride
        ).flatten(-2)
        return seen.max(-1).values if self.mode == "max" else seen.mean(-1)

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride={self.stride}, padding={self.padding}, mode={self.mode}"


class MeanSubtract(nn.Module):
    """Values less their mean: (...) to the same shape; it has no parameters.

    Args:
        dims: Dimensions over which the mean is taken; null is all. (1, 2, 3) takes one mean for
            each image, so that the answer for an image does not depend on what else is in the
            batch.
    """

    def __init__(self, dims: Sequence[int] | None = None) -> None:
        super().__init__()
        self.dims = None if dims is None else tuple(dims)

    def forward(self, values: Tensor) -> Tensor:
        return values - values.mean(self.dims, keepdim=True)


class MatrixList(nn.Module):
    """Matrices in an nn.ParameterList, applied in turn: (..., sizes[0]) to (..., sizes[-1]).

    Args:
        sizes: Widths before, between and after the matrices: [64, 32, 10] is one of 64x32 and one
            of 32x10.
        activation: Comes between two matrices; null leaves their plain product.
    """

    def __init__(self, sizes: Sequence[int], activation: nn.Module | None = None) -> None:
        super().__init__()
        self.matrices = nn.ParameterList(
            [_matrix(before, after) for before, after in pairwise(sizes)]
        )
        self.activation = activation or nn.Identity()

    def forward(self, values: Tensor) -> Tensor:
        for number, matrix in enumerate(self.matrices):
            values = (self.activation(values) if number else values) @ matrix
        return values


class MatrixDict(nn.Module):
    """Matrices in an nn.ParameterDict, of which each call chooses one: (..., width) to (...,
    widths[choice]).

    Those that are not chosen get no gradient: on several devices that asks for Lightning's strategy
    ddp_find_unused_parameters_true.

    Args:
        width: Width of the values that come in.
        widths: Name of each matrix and the width it makes, e.g. {linear1: 4, linear2: 1}.

    Raises:
        UserError: a name that no parameter can have.
    """

    def __init__(self, width: int, widths: Mapping[str, int]) -> None:
        super().__init__()
        if wrong := [name for name in widths if "." in name or hasattr(nn.ParameterDict, name)]:
            raise UserError(
                f"a matrix cannot be called {wrong[0]!r}; choose a name without dots, such as "
                "linear1"
            )
        self.matrices = nn.ParameterDict(
            {name: _matrix(width, after) for name, after in widths.items()}
        )

    def forward(self, values: Tensor, choice: str = "linear1") -> Tensor:
        """The values times the matrix of that name.

        Raises:
            UserError: there is no such matrix.
        """
        if choice not in self.matrices:
            raise UserError(
                f"there is no matrix {choice!r}; "
                f"{suggest(choice, self.matrices.keys(), 'there are')}"
            )
        return values @ self.matrices[choice]


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _matrix(before: int, after: int) -> nn.Parameter:
    """A matrix that keeps the variance of what ReLU leaves (He, Zhang, Ren, Sun: Delving Deep into
    Rectifiers, 2015).
    """
    return nn.Parameter(nn.init.normal_(torch.empty(before, after), std=(2 / before) ** 0.5))
