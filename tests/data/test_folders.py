"""Folders of images and CSVs of file and label: every layout is read, every mistake is one line."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from project.data import files, folders
from project.data.folders import ImageFolder
from project.data.listed import CSVImages
from project.engine.bases.images import Normalise, statistics
from project.engine.errors import UserError
from project.engine.loading.arrays import Arrays, ItemDataset
from tests.conftest import Project, the_rest_slow


def image(path: str, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    """An image whose pixels depend on its path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list(path.encode())).integers(
        0, 256, (*size[::-1], 3), dtype=np.uint8
    )
    Image.fromarray(pixels).convert(mode).save(path)


def images(*paths: str) -> None:
    for path in paths:
        image(path)


def text(path: str, *lines: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join(lines) + "\n")


def files_of(data: folders.FileImages) -> dict[str, list[tuple[str, str]]]:
    return {
        split: [(Path(sample.file).as_posix(), sample.label) for sample in part]
        for split, part in data.listed.items()
    }


# ---------------------------------------------------------------------- layouts


def plain_folders() -> ImageFolder:
    images("d/cat/1.jpg", "d/cat/deeper/2.JPG", "d/dog/1.PNG", "d/dog/.hidden.png", "d/dog/._1.png")
    images("d/.ipynb_checkpoints/1.png", "d/__MACOSX/dog/1.png", "d/beside.png")
    text("d/cat/notes.txt", "no image")
    return ImageFolder(root="d")


def split_folders() -> ImageFolder:
    images(
        "d/train/cat/1.jpg",
        "d/train/dog/1.jpg",
        "d/Valid/cat/2.jpg",
        "d/Valid/dog/2.jpg",
        "d/test/cat/3.jpg",
        "d/test/dog/3.jpg",
    )
    text("d/notes/readme.txt", "no classes")
    return ImageFolder(root="d")


def a_class_called_train() -> ImageFolder:
    images("d/bus/1.jpg", "d/train/1.jpg")
    return ImageFolder(root="d")


def linked_folders() -> ImageFolder:
    images("elsewhere/1.jpg", "d/dog/1.jpg")
    Path("d/cat").symlink_to(Path("elsewhere").absolute())
    return ImageFolder(root="d")


def split_file() -> ImageFolder:
    images(
        "d/images/cat/1.jpg", "d/images/dog/1.jpg", "d/images/dog/unused.jpg", "d/images/cat/2.jpg"
    )
    text(
        "d/split.csv",
        "split,who,file",
        "train,me,cat/1.jpg",
        "Train,me,./dog/1.jpg",
        "testing,you,cat\\2.jpg",
    )
    return ImageFolder(root="d", images="images", split_file="split.csv")


def plain_csv() -> CSVImages:
    images("d/images/1.jpg", "d/images/2.jpg")
    text("d/labels.csv", "name,label,more", "2.jpg, 7,x", "1.jpg,07,y", "", "1.jpg,07,z")
    return CSVImages(root="d")


def named_columns() -> CSVImages:
    images("d/1.jpg", "d/2.jpg", "d/3.jpg")
    text("d/all.csv", "id;class;file;part", "0;a;1.jpg;train", "1;b;2.jpg;val", "2;a;3.jpg;test")
    columns = {"file_column": "file", "label_column": "class", "split_column": "part"}
    return CSVImages(root="d", images=".", labels="all.csv", read={"sep": ";"}, **columns)


def without_header() -> CSVImages:
    images("d/images/1.jpg", "d/images/2.jpg")
    text("d/labels.csv", "1.jpg,a", "2.jpg,b")
    return CSVImages(root="d", read={"header": False})


def listed_splits() -> CSVImages:
    images(*(f"d/images/{i}.jpg" for i in range(4)))
    text("d/labels.csv", "file,label", *(f"{i}.jpg,a" for i in range(4)))
    text("d/train.txt", "2.jpg", "0.jpg", "")
    text("d/test.txt", "3.jpg")
    return CSVImages(root="d", train_list="train.txt", test_list="test.txt")


def listed_test_only() -> CSVImages:
    images("d/images/0.jpg", "d/images/1.jpg")
    text("d/labels.csv", "file,label", "0.jpg,a", "1.jpg,a")
    text("d/test.txt", "1.jpg")
    return CSVImages(root="d", test_list="test.txt")


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (
            plain_folders,
            {"train": [("cat/1.jpg", "cat"), ("cat/deeper/2.JPG", "cat"), ("dog/1.PNG", "dog")]},
        ),
        (
            split_folders,
            {
                "train": [("train/cat/1.jpg", "cat"), ("train/dog/1.jpg", "dog")],
                "val": [("Valid/cat/2.jpg", "cat"), ("Valid/dog/2.jpg", "dog")],
                "test": [("test/cat/3.jpg", "cat"), ("test/dog/3.jpg", "dog")],
            },
        ),
        (a_class_called_train, {"train": [("bus/1.jpg", "bus"), ("train/1.jpg", "train")]}),
        (linked_folders, {"train": [("cat/1.jpg", "cat"), ("dog/1.jpg", "dog")]}),
        (
            split_file,
            {"train": [("cat/1.jpg", "cat"), ("dog/1.jpg", "dog")], "test": [("cat/2.jpg", "cat")]},
        ),
        (plain_csv, {"train": [("2.jpg", "7"), ("1.jpg", "07")]}),
        (
            named_columns,
            {"train": [("1.jpg", "a")], "val": [("2.jpg", "b")], "test": [("3.jpg", "a")]},
        ),
        (without_header, {"train": [("1.jpg", "a"), ("2.jpg", "b")]}),
        (listed_splits, {"train": [("0.jpg", "a"), ("2.jpg", "a")], "test": [("3.jpg", "a")]}),
        (listed_test_only, {"train": [("0.jpg", "a")], "test": [("1.jpg", "a")]}),
    ],
)
def test_every_layout_is_read(
    layout: Callable[[], folders.FileImages], expected: dict[str, list[tuple[str, str]]]
) -> None:
    data = layout()
    assert files_of(data) == expected
    assert tuple(data.splits) == tuple(expected)


# ---------------------------------------------------------------------- mistakes


def folder(*paths: str, **options: Any) -> ImageFolder:
    images(*paths)
    return ImageFolder(root="d", **options)


def link(path: str, target: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).symlink_to(target)


def with_link(path: str, target: str) -> ImageFolder:
    data = folder("d/cat/1.jpg", "d/dog/1.jpg")
    link(path, target)
    return data


def with_split_file(*rows: str) -> ImageFolder:
    images("d/cat/1.jpg", "d/dog/1.jpg", "d/loose.jpg")
    text("d/split.csv", "file,split", *rows)
    return ImageFolder(root="d", split_file="split.csv")


def empty_class() -> ImageFolder:
    text("d/bird/notes.txt", "no image")
    return folder("d/cat/1.jpg", "d/dog/1.jpg")


def pipe_named_like_an_image() -> ImageFolder:
    data = folder("d/cat/1.jpg", "d/dog/1.jpg")
    os.mkfifo("d/cat/2.jpg")
    return data


def same_split_twice() -> ImageFolder:
    data = folder("d/train/cat/1.jpg", "d/train/dog/1.jpg")
    link("d/test", "train")
    return data


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: ImageFolder(root="d"), "root d: there is no such folder"),
        (
            lambda: folder("d/cat/1.jpg", images="pictures"),
            "images: there is no folder d/pictures",
        ),
        (
            lambda: folder("d/1.jpg"),
            "d: no class folders; expected images as d/CLASS/*.jpg or d/train/CLASS/*.jpg",
        ),
        (
            lambda: folder("d/images/cat/1.jpg"),
            "d/images is the only class folder; is root the folder of",
        ),
        (empty_class, "d/bird: a class folder without images (.jpg, .jpeg, .png, ...)"),
        (
            lambda: folder("d/train/a/1.jpg", "d/train/b/1.jpg", "d/tset/a/1.jpg"),
            "d/tset: unknown split 'tset'; did you mean test?",
        ),
        (
            lambda: folder("d/val/a/1.jpg", "d/val/b/1.jpg", "d/valid/a/1.jpg"),
            "d/valid: there is another folder for the val split",
        ),
        (
            lambda: folder("d/test/a/1.jpg", "d/test/b/1.jpg"),
            "d: no image belongs to the train split; there is test",
        ),
        (lambda: with_link("d/cat/more.jpg", "nowhere.jpg"), "d/cat/more.jpg: a link to nothing"),
        (lambda: with_link("d/cat/self", "self"), "d/cat/self: a link to nothing"),
        (lambda: with_link("d/bird", "nowhere"), "d/bird: a link to nothing"),
        (lambda: with_link("d/cat/up", ".."), "d/cat/up: a link to a folder that is read already"),
        (lambda: with_link("d/puppy", "dog"), "d/puppy: a link to a folder that is read already"),
        (same_split_twice, "d/test and d/train are the same folder"),
        (pipe_named_like_an_image, "d/cat/2.jpg: not a file"),
        (lambda: folder("d/a/1.jpg", split_file="no.csv"), "d/no.csv: No such file or directory"),
        (
            lambda: with_split_file("cat/1.jpg,trian"),
            "d/split.csv:2: unknown split 'trian'; did you mean train?",
        ),
        (
            lambda: with_split_file("cat/1.jpg,train", "loose.jpg,train"),
            "d/split.csv:3: loose.jpg: it lies in no class folder",
        ),
        (lambda: with_split_file(), "d/split.csv: no images are listed"),
    ],
)
def test_a_mistake_in_folders_is_one_line(mistake: Callable[[], ImageFolder], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        mistake().setup("fit")


def csv(*rows: str, head: str = "file,label,split", **options: Any) -> CSVImages:
    images("d/images/1.jpg", "d/images/2.jpg", "d/outside.jpg")
    text("d/labels.csv", head, *rows)
    return CSVImages(root="d", **{"split_column": "split"} | options)


def lists(**contents: str) -> CSVImages:
    for name, content in contents.items():
        text(f"d/{name}.txt", *content.split())
    return csv(
        "1.jpg,a",
        "2.jpg,b",
        head="file,label",
        split_column=None,
        **{name: f"{name}.txt" for name in contents},
    )


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: CSVImages(root="d"), "root d: there is no such folder"),
        (lambda: csv(labels="none.csv"), "d/none.csv: No such file or directory"),
        (lambda: csv(images="photos"), "images: there is no folder d/photos"),
        (
            lambda: csv(label_column="lable"),
            "label_column lable: d/labels.csv has no such column; did you mean label?",
        ),
        (
            lambda: csv("1.jpg;a;train", head="file;label;split"),
            "label_column 1: d/labels.csv has no such column; it has one",
        ),
        (
            lambda: csv("1.jpg,a,train", "3.jpg,a,train"),
            "d/labels.csv:3: there is no file d/images/3.jpg",
        ),
        (
            lambda: csv("3.jpg,a,train", "4.jpg,a,train"),
            "d/labels.csv:2: there is no file d/images/3.jpg (2 lines are wrong)",
        ),
        (
            lambda: csv("1.jpg,a,train", "1.jpg,b,train"),
            "d/labels.csv:3: 1.jpg is listed before with label 'a', split train",
        ),
        (
            lambda: csv("1.jpg,a,train", "1.jpg,a,test"),
            "d/labels.csv:3: 1.jpg is listed before with label 'a', split train",
        ),
        (
            lambda: csv("../outside.jpg,a,train"),
            "d/labels.csv:2: '../outside.jpg' leads out of the folder of the images, d/images",
        ),
        (
            lambda: csv("x/..\\../outside.jpg,a,train"),
            "d/labels.csv:2: '../outside.jpg' leads out of the folder",
        ),
        (lambda: csv(f"{Path('d/outside.jpg').absolute()},a,train"), "d/labels.csv:2: '/"),
        (lambda: csv("C:\\1.jpg,a,train"), "d/labels.csv:2: 'C:/1.jpg' leads out of the folder"),
        (lambda: csv("1.jpg,,train"), "d/labels.csv:2: 1.jpg: the label is missing"),
        (lambda: csv(" ,a,train"), "d/labels.csv:2: the file name is missing"),
        (lambda: csv("1.jpg,a,"), "d/labels.csv:2: unknown split ''; splits are: test, train, val"),
        (lambda: csv("1.jpg,a"), "d/labels.csv:2: 2 fields separated by ',', the header has 3"),
        (
            lambda: csv("1.jpg,a,b,train"),
            "d/labels.csv:2: 4 fields separated by ',', the header has 3",
        ),
        (
            lambda: csv("1.jpg,a,train", "2.jpg,new,val"),
            "class 'new' is not among the 1 classes of the training split",
        ),
        (
            lambda: csv("1.jpg,a,test"),
            "d/images: no image belongs to the train split; there is test",
        ),
        (
            lambda: csv(val_list="val.txt"),
            "split_column and val_list both name the splits",
        ),
        (lambda: lists(val_list="9.jpg"), "d/val_list.txt:1: 9.jpg is not in d/labels.csv"),
        (
            lambda: lists(val_list="1.jpg", test_list="2.jpg 1.jpg"),
            "d/test_list.txt:2: 1.jpg is in the val list too",
        ),
        (
            lambda: csv(split_column=None, val_list="none.txt"),
            "val_list d/none.txt: No such file or directory",
        ),
    ],
)
def test_a_mistake_in_a_csv_is_one_line(mistake: Callable[[], CSVImages], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        mistake().setup("fit")


@pytest.mark.parametrize("cache", [True, False])
def test_a_broken_image_is_found_before_training(cache: bool) -> None:
    data = folder(*(f"d/{label}/{i}.png" for label in "ab" for i in range(10)), cache=cache)
    Path("d/b/3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^d/b/3\.png: not an image"):
        data.setup("fit")


# ---------------------------------------------------------------------- what comes out


def many(count: int = 20, size: tuple[int, int] = (8, 8)) -> None:
    for label in ("cat", "dog", "owl"):
        for i in range(count):
            image(f"d/{label}/{i}.png", size)


def test_classes_are_the_folders_of_the_training_split() -> None:
    many()
    data = ImageFolder(root="d", size=4)
    data.setup("fit")
    assert (data.spec.names, data.spec.inputs, data.spec.outputs) == (
        ("cat", "dog", "owl"),
        ((3, 4, 4),),
        3,
    )
    train, val = data._parts["train"], data._parts["val"]
    assert isinstance(train, Arrays) and isinstance(train.targets, torch.Tensor)
    assert set(train.rows.tolist()).isdisjoint(val.rows.tolist())
    assert (
        torch.bincount(train.targets[train.rows]).tolist() == list(data.spec.counts) == [14, 14, 14]
    )


def test_images_read_one_by_one_give_the_same_batches() -> None:
    many(size=(9, 7))
    kept, fresh = ImageFolder(root="d", size=6), ImageFolder(root="d", size=6, cache=False)
    for data in (kept, fresh):
        data.setup("fit")
    assert isinstance(kept._parts["train"], Arrays) and isinstance(
        fresh._parts["train"], ItemDataset
    )
    assert kept.spec == fresh.spec
    for loader in ("train_dataloader", "val_dataloader"):
        batches = list(zip(getattr(kept, loader)(), getattr(fresh, loader)(), strict=True))
        assert batches
        for one, other in batches:
            assert torch.equal(one.inputs, other.inputs) and one.inputs.dtype == torch.uint8
            assert torch.equal(one.targets, other.targets) and torch.equal(one.ids, other.ids)
    assert (
        kept.preprocessing == fresh.preprocessing
    )  # fewer images than are sampled, so the statistics are the same


def test_statistics_of_many_images_read_one_by_one_are_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("project.engine.bases.images.SAMPLED", 16)
    monkeypatch.setattr(files, "decode", counted := Counted(files.decode))
    many()
    data = ImageFolder(root="d", size=6, cache=False)
    part = data._raw("train")
    assert isinstance(part, ItemDataset)
    mean, std = statistics(part)
    assert counted.calls <= 17
    everything = torch.stack([part.dataset[row][0] for row in part.rows.tolist()])
    pixels = Normalise(mean, std)(everything)
    assert pixels.mean().abs() < 0.1 and abs(pixels.std() - 1) < 0.1


class Counted:
    """A function that knows how often it was called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.function(*arguments)


def test_grey_validation_images_get_the_channels_of_training() -> None:
    images("d/train/a/1.png", "d/train/b/1.png")
    for path in ("d/val/a/2.png", "d/val/b/2.png"):
        image(path, mode="L")
    data = ImageFolder(root="d")
    data.setup("fit")
    val = data._parts["val"]
    assert isinstance(val, Arrays) and val.shapes == data.spec.inputs == ((3, 8, 8),)


@pytest.mark.parametrize(
    ("modes", "channels", "expected"),
    [("LL", None, 1), ("L1", 3, 3), (["L", "RGB"], None, 3), (["RGB"] * 2, 1, 1)],
)
def test_channels_are_those_of_the_images_unless_said(
    modes: list[str], channels: int | None, expected: int
) -> None:
    image("d/a/1.png", mode=modes[0])
    image("d/b/1.png", mode=modes[1])
    data = ImageFolder(root="d", channels=channels)
    loaded = data.load("train")
    assert isinstance(loaded, Arrays) and loaded.shapes == ((expected, 8, 8),)


def test_a_test_reads_the_test_split_alone() -> None:
    trained = split_folders()
    trained.setup("fit")
    shutil.rmtree("d/train")
    shutil.rmtree("d/Valid")
    later = ImageFolder(root="d")
    later.restore(trained.preprocessing)
    later.setup("test")
    (batch,) = later.test_dataloader()
    assert batch.targets.tolist() == [0, 1]


def test_folders_that_systems_make_are_no_classes_and_hold_no_images() -> None:
    for name in (
        "@eaDir",
        "lost+found",
        "$RECYCLE.BIN",
        "__pycache__",
        "System Volume Information",
    ):
        images(f"d/{name}/1.png", f"d/cat/{name}/1.png")
    images("d/cat/1.jpg", "d/dog/1.png")
    text("d/cat/Thumbs.db", "x")
    assert files_of(ImageFolder(root="d")) == {
        "train": [("cat/1.jpg", "cat"), ("dog/1.png", "dog")]
    }


def test_what_is_not_taken_for_an_image_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    images("d/cat/1.jpg", "d/dog/1.png")
    shutil.copy("d/cat/1.jpg", "d/cat/2.jfif")
    text("d/dog/notes.txt", "x")
    text("d/dog/without", "x")
    data = ImageFolder(root="d")
    assert files_of(data)["train"][1] == ("cat/2.jfif", "cat")
    assert "not taken for images: 1 .txt, 1 without ending" in capsys.readouterr().err


@pytest.mark.parametrize("written", ["{}", "{}.png", "./{}"])
def test_a_list_may_leave_out_the_ending_or_compose_letters_otherwise(written: str) -> None:
    name = unicodedata.normalize("NFD", "Übung")
    images(f"d/images/{name}.png", "d/images/b.png")
    listed = written.format(unicodedata.normalize("NFC", "Übung"))
    text("d/labels.csv", "file,label", f"{listed},a", "b.png,b")
    assert files_of(CSVImages(root="d"))["train"] == [(f"{name}.png", "a"), ("b.png", "b")]


def test_a_name_without_ending_that_means_two_files_is_refused() -> None:
    images("d/images/a.png", "d/images/a.jpg")
    text("d/labels.csv", "file,label", "a,x")
    with pytest.raises(UserError, match="there is no file"):
        _ = CSVImages(root="d").listed


def test_labels_are_numbers_where_the_task_is_for_numbers(project: Project) -> None:
    many()
    names = sorted(path.relative_to("d").as_posix() for path in Path("d").rglob("*.png"))
    rows = [f"{name},{i / 4}" for i, name in enumerate(names)]
    text("d/labels.csv", "file,label", *rows)
    words = (
        "fit --data CSVImages --data.root d --data.images . --model Regression --model.net MLP "
        "--trainer.max_epochs 1 --run.report false --run.tensorboard false --run run"
    )
    code, _, err = project(words)
    assert (code, err) == (0, "")
    text("d/labels.csv", "file,label", *rows[:-1], f"{names[-1]},large")
    code, _, err = project(words.replace("--run run", "--run other"))
    assert (code, err.count("\n")) == (2, 1) and "the label 'large' is not a number" in err


@pytest.mark.parametrize("where", the_rest_slow(["new", "new/any", "new/test"], "new/any"))
def test_pictures_without_class_folders_are_predicted_by_their_files(
    where: str, project: Project
) -> None:
    many()
    fit = "fit --data ImageFolder --data.root d --data.size 8 --trainer.max_epochs 1"
    assert project(fit, "--run.report false --run.tensorboard false --run run")[0] == 0
    images(f"{where}/a.png", f"{where}/b.png")
    code, _, err = project("predict --ckpt_path run --data.root new")
    assert (code, err) == (0, "")
    head, *rows = Path("predictions.csv").read_text().splitlines()
    assert head.startswith("id,file,prediction") and "target" not in head
    below = "" if where == "new" else f"{where[4:]}/"
    assert [row.split(",")[1] for row in rows] == [f"{below}a.png", f"{below}b.png"]


def test_from_the_command_line_to_a_test(project: Callable[..., tuple[int, str, str]]) -> None:
    many()
    settings = (
        "--data ImageFolder --data.root d --data.size 12 --data.cache kept --model.net MLP "
        "--trainer.max_epochs 1"
    )
    code, out, err = project("fit", settings, "--run.threads 1 --run.tensorboard false --name run")
    assert code == 0, err
    assert len(list(Path("kept").glob("images-*.npy"))) == 1
    code, out, err = project("test --ckpt_path runs/run/000 --data.cache false")
    assert code == 0 and "test/accuracy" in out, err
    (Path("d") / "cat" / "3.png").write_bytes(b"")
    code, out, err = project("fit", settings, "--run.threads 1")
    assert (
        code == 2
        and err.startswith("error: d/cat/3.png: not an image")
        and len(err.splitlines()) == 1
    )


def test_statistics_of_floats_are_those_of_the_same_bytes() -> None:
    images = torch.randint(256, (20, 3, 5, 7), dtype=torch.uint8)
    same = (
        statistics(Arrays(images.to(kind), torch.zeros(20)))
        for kind in (torch.uint8, torch.float32)
    )
    assert next(same) == next(same)
