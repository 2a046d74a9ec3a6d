"""What TensorBoard is given to draw: pictures of a batch, a confusion matrix, histograms, and at
which epochs.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from project.data.digits import Digits
from project.engine.runs.pictures import confusion_picture
from project.engine.runs.tensorboard import histogram, is_due
from project.engine.spec import Batch


def test_without_augmentation_the_pictures_are_those_of_the_data() -> None:
    data = Digits(size=12)
    data.setup("fit")
    images = data.fetch("val", data.val_dataloader().dataset.rows[:9])[0]  # type: ignore[attr-defined]
    assert isinstance(images, torch.Tensor)
    prepared = data.on_after_batch_transfer(
        Batch(images, torch.zeros(9), torch.arange(9), (0, 0)), 0
    ).inputs
    assert torch.equal(data.pictures(prepared), images)  # type: ignore[arg-type]


def test_a_confusion_picture_is_darkest_where_most_of_a_row_is() -> None:
    matrix = torch.tensor([[8, 2], [0, 10]])
    picture = confusion_picture(matrix, ["no", "yes"]).astype(int).sum(2)
    height, width = picture.shape
    squares = picture[height - 4 - 80 : height - 4]
    left = next(column for column in range(width) if squares[5, column] < 700)
    shades = [
        [squares[40 * row + 3, left + 40 * column + 3] for column in (0, 1)] for row in (0, 1)
    ]
    assert shades[0][0] < shades[0][1] < shades[1][0] == 765 and shades[1][1] < shades[0][0]


@pytest.mark.parametrize(
    ("values", "least", "most"),
    [
        (torch.linspace(-1, 2, 31), -1, 2),
        (torch.full((5,), 3.0), 2.5, 3.5),
        (torch.tensor([1.0, torch.nan, torch.inf, 2.0]), 1, 2),
        (torch.sparse_coo_tensor([[0, 2]], [1.0, 2.0], (4,), check_invariants=True), 1, 2),
        (torch.zeros(3, dtype=torch.bfloat16), -0.5, 0.5),
    ],
)
def test_a_histogram_counts_every_finite_value(
    values: torch.Tensor, least: float, most: float
) -> None:
    found = histogram(values)
    assert found is not None and (found["min"], found["max"]) == (least, most)
    dense = values.coalesce().values() if values.is_sparse else values
    finite = dense[dense.isfinite()].float()
    wanted, _ = np.histogram(finite.numpy(), np.array([least, *found["bucket_limits"]]))
    assert sum(found["bucket_counts"]) == found["num"] == len(finite)
    assert (
        np.abs(np.cumsum(wanted) - np.cumsum(found["bucket_counts"])).max() <= 1
    )  # a value on an edge may fall on either side


def test_of_what_is_not_finite_there_is_no_histogram() -> None:
    assert histogram(torch.full((3,), torch.nan)) is None


def test_pictures_thin_out_as_a_run_goes_on() -> None:
    due = [epoch for epoch in range(1, 2501) if is_due(epoch, 2345)]
    assert due[:100] == list(range(1, 101)) and due[100:190] == list(range(110, 1001, 10))
    assert due[190:] == [*range(1100, 2301, 100), 2345, 2400, 2500]
