"""TorchvisionData datasets are read as they lie on disk, and files that are missing or damaged are one
line.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision import datasets

from project.data.vision import CIFAR10, MNIST, FashionMNIST, TorchvisionData
from project.engine.errors import UserError
from project.engine.randomness import generator

SIZES = {"train": 100, "test": 30}


def pixels(split: str, *shape: int) -> np.ndarray:
    return torch.randint(
        256, (SIZES[split], *shape), generator=generator(split), dtype=torch.uint8
    ).numpy()


def classes(split: str) -> np.ndarray:
    return np.arange(SIZES[split], dtype=np.uint8) % 10


def idx(array: np.ndarray) -> bytes:
    """The array as an IDX file: a magic number, the sizes, the values."""
    return (
        bytes([0, 0, 8, array.ndim])
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
        + array.tobytes()
    )


def write_idx(folder: Path) -> None:
    folder.mkdir(parents=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(pixels(split, 28, 28)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(classes(split)))


def write_cifar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files like the published ones, and the checksums torchvision holds them to."""
    folder.mkdir(parents=True)
    images, labels = pixels("train", 3072), classes("train").tolist()
    content = {
        f"data_batch_{i + 1}": {"data": images[i::5], "labels": labels[i::5]} for i in range(5)
    }
    content["test_batch"] = {"data": pixels("test", 3072), "labels": classes("test").tolist()}
    content["batches.meta"] = {"label_names": list(CIFAR10.names)}
    sums = {}
    for name, value in content.items():
        (folder / name).write_bytes(pickle.dumps(value))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(
        datasets.CIFAR10,
        "train_list",
        [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)],
    )
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", datasets.CIFAR10.meta | {"md5": sums["batches.meta"]}
    )


def write(kind: type[TorchvisionData], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind is CIFAR10:
        write_cifar(root / kind.folder, monkeypatch)
    else:
        write_idx(root / kind.folder)


@pytest.mark.parametrize(
    ("kind", "options", "shape"),
    [
        (MNIST, {}, (1, 28, 28)),
        (MNIST, {"size": 32, "channels": 3}, (3, 32, 32)),
        (FashionMNIST, {}, (1, 28, 28)),
        (CIFAR10, {}, (3, 32, 32)),
        (CIFAR10, {"size": 16, "channels": 1}, (1, 16, 16)),
    ],
)
def test_the_files_become_splits_of_the_asked_shape(
    kind: type[TorchvisionData],
    options: dict[str, int],
    shape: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(kind, tmp_path, monkeypatch)
    data = kind(root=str(tmp_path), download=False, **options)
    data.setup("fit")
    data.setup("test")
    assert data.spec.inputs == (shape,) and data.spec.outputs == 10
    assert data.spec.names == kind.names
    assert [len(data.part(split)) for split in ("train", "val", "test")] == [90, 10, 30]


def test_images_and_classes_stay_together_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(tmp_path / "MNIST/raw")
    mnist = MNIST(root=str(tmp_path)).load("test")
    assert torch.equal(
        mnist.inputs(mnist.rows).squeeze(1), torch.from_numpy(pixels("test", 28, 28))
    )
    assert isinstance(mnist.targets, torch.Tensor) and torch.equal(
        mnist.targets, torch.from_numpy(classes("test")).long()
    )
    write_cifar(tmp_path / "cifar-10-batches-py", monkeypatch)
    cifar = CIFAR10(root=str(tmp_path)).load("train")
    rows = np.concatenate([np.arange(100)[i::5] for i in range(5)])
    assert torch.equal(cifar.inputs(cifar.rows), torch.from_numpy(pixels("train", 3, 32, 32)[rows]))
    assert isinstance(cifar.targets, torch.Tensor) and torch.equal(
        cifar.targets, torch.from_numpy(classes("train")[rows]).long()
    )


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10])
def test_nothing_is_downloaded_when_the_files_are_there(
    kind: type[TorchvisionData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(kind, tmp_path, monkeypatch)
    monkeypatch.setattr(kind.source, "download", lambda self: pytest.fail("asked the network"))
    kind(root=str(tmp_path)).prepare_data()


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10])
@pytest.mark.parametrize("download", [True, False])
def test_missing_files_are_one_line_that_says_where_they_go(
    kind: type[TorchvisionData], download: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(self: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(kind.source, "download", unreachable)
    data = kind(root="data", download=download)
    with pytest.raises(UserError) as error:
        data.prepare_data()
        data.load("train")
    message = str(error.value)
    assert f"there is no data/{kind.folder}/{kind.files[0]}" in message
    assert all(name in message for name in kind.files)
    assert ("no route to host" if download else "download true") in message
    assert "\n" not in message


LABELS, IMAGES = "MNIST/raw/train-labels-idx1-ubyte", "MNIST/raw/train-images-idx3-ubyte"


@pytest.mark.parametrize(
    ("kind", "file", "content"),
    [
        (MNIST, IMAGES, b""),
        (MNIST, IMAGES, idx(pixels("train", 28, 28))[:-5]),
        (MNIST, IMAGES, b"<html>not found</html>"),
        (MNIST, LABELS, idx(classes("train")[:-1])),
        (MNIST, LABELS, idx(classes("train") + 1)),
        (CIFAR10, "cifar-10-batches-py/data_batch_3", b"junk"),
        (CIFAR10, "cifar-10-batches-py/batches.meta", b"junk"),
    ],
    ids=[
        "empty",
        "cut short",
        "a web page",
        "too few classes",
        "a class too many",
        "changed",
        "meta changed",
    ],
)
def test_damaged_files_are_one_line(
    kind: type[TorchvisionData],
    file: str,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(kind, tmp_path, monkeypatch)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(
        UserError, match=f"{kind.__name__}: the files in .*{kind.folder} are damaged"
    ) as error:
        kind(root=str(tmp_path)).load("train")
    assert "\n" not in str(error.value)
