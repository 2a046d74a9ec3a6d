"""The cache of decoded images: right pixels, never out of date, never half written, bounded."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as reference

from project.engine.errors import UserError
from project.engine.loading import cache
from project.engine.loading.arrays import Arrays
from project.engine.loading.cache import cached_images, common_shape, decode, header, user_folder

RED, BLUE = (255, 0, 0), (0, 0, 255)


def noise(width: int = 12, height: int = 10, seed: int = 0) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def smooth(size: int) -> Image.Image:
    """A photo-like image: no pixel differs much from its neighbours."""
    y, x = np.mgrid[0:size, 0:size] / size
    waves = [np.sin(9 * x + 4 * y), np.cos(7 * y), np.sin(11 * x * y)]
    return Image.fromarray(((np.stack(waves, 2) + 1) * 127).astype(np.uint8))


def files(folder: Path, count: int = 3) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i}.png" for i in range(count)]
    for i, name in enumerate(names):
        noise(seed=i).save(folder / name)
    return names


def build(root: Path, names: list[str], **options: Any) -> np.ndarray:
    settings: dict[str, Any] = {
        "size": 8,
        "channels": None,
        "folder": Path("kept"),
        "gigabytes": 1.0,
    } | options
    return cached_images(root, names, **settings)


def entries() -> list[str]:
    return sorted(path.name for path in Path("kept").glob("images-*"))


# ---------------------------------------------------------------------- pixels


def test_an_image_is_resized_like_torchvision() -> None:
    image = noise(50, 40)
    image.save("a.png")
    ours = torch.from_numpy(decode(Path("a.png"), (16, 16, 3)).copy()).permute(2, 0, 1)
    theirs = reference.resize(
        torch.from_numpy(np.array(image)).permute(2, 0, 1), [16, 16], antialias=True
    )
    assert (ours.int() - theirs.int()).abs().max() <= 1


def test_a_large_jpeg_decoded_at_a_fraction_looks_the_same() -> None:
    image = smooth(1000)
    image.save("a.jpg", quality=95)
    assert (
        np.abs(
            decode(Path("a.jpg"), (32, 32, 3)).astype(int) - np.asarray(image.resize((32, 32), 2))
        ).mean()
        < 2
    )


def transparent_palette() -> Image.Image:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([*RED, *BLUE])
    image.info["transparency"] = 0
    return image


@pytest.mark.parametrize(
    ("image", "channels", "pixel"),
    [
        (Image.new("1", (4, 4), 1), 1, [255]),
        (Image.new("L", (4, 4), 100), 1, [100]),
        (Image.new("LA", (4, 4), (100, 255)), 1, [100]),
        (Image.new("LA", (4, 4), (100, 0)), 1, [255]),
        (Image.fromarray(np.full((4, 4), 0x6400, dtype=np.uint16)), 1, [100]),
        (Image.new("RGB", (4, 4), RED), 3, [255, 0, 0]),
        (Image.new("RGBA", (4, 4), (*RED, 255)), 3, [255, 0, 0]),
        (Image.new("RGBA", (4, 4), (*RED, 0)), 3, [255, 255, 255]),
        (Image.new("RGB", (4, 4), RED).convert("P"), 3, [255, 0, 0]),
        (transparent_palette(), 3, [255, 255, 255]),
    ],
    ids=[
        "bits",
        "grey",
        "opaque grey",
        "clear grey",
        "16 bits",
        "colour",
        "opaque",
        "clear",
        "palette",
        "clear palette",
    ],
)
def test_every_kind_of_image_becomes_grey_or_colour(
    image: Image.Image, channels: int, pixel: list[int]
) -> None:
    image.save("a.png")
    assert header(Path("a.png")) == (4, 4, channels)
    assert decode(Path("a.png"), (4, 4, channels))[1, 1].tolist() == pixel
    assert decode(Path("a.png"), (2, 2, 1)).shape == (2, 2, 1)
    assert decode(Path("a.png"), (2, 2, 3)).shape == (2, 2, 3)


def test_an_image_stands_upright_as_its_camera_was_held() -> None:
    image = Image.new("RGB", (40, 20), BLUE)
    image.paste(RED, (0, 0, 20, 20))  # the left half, which is the top when the camera was turned
    exif = Image.Exif()
    exif[cache.ORIENTATION] = 6
    image.save("a.jpg", exif=exif, quality=95)
    height, width, _ = header(Path("a.jpg"))
    pixels = decode(Path("a.jpg"), (height, width, 3))
    assert (height, width) == (40, 20)
    assert pixels[5, 10, 0] > 200 and pixels[35, 10, 2] > 200


# ---------------------------------------------------------------------- files that are no good


def png_of(width: int, height: int) -> bytes:
    """A PNG that says how large it is and has no pixels: reading them would fail in another way."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def cut(suffix: str) -> bytes:
    noise(60, 60).save(f"whole{suffix}")
    return Path(f"whole{suffix}").read_bytes()[:-400]


def floats() -> bytes:
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save("floats.tif")
    return Path("floats.tif").read_bytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: b"", "not an image of a known format"),
        (lambda: b"hello, I am not an image", "not an image of a known format"),
        (
            lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
            "not an image of a known format",
        ),
        (lambda: cut(".jpg"), "cannot be read: .*truncated"),
        (lambda: cut(".png"), "cannot be read: .*truncated"),
        (floats, "floating-point pixels"),
        (lambda: png_of(10_000, 10_000), "more than 89,478,485 pixels"),
        (lambda: png_of(60_000, 60_000), "more than 89,478,485 pixels"),
    ],
    ids=["empty", "text", "postscript", "cut jpeg", "cut png", "floats", "large", "bomb"],
)
def test_an_unreadable_image_is_named(content: Callable[[], bytes], reason: str) -> None:
    names = files(Path("in"))
    Path("in/1.png").write_bytes(content())
    with pytest.raises(UserError, match=f"^in/1.png: .*{reason}"):
        build(Path("in"), names)
    assert entries() == []


def test_all_unreadable_images_are_named_at_once() -> None:
    names = files(Path("in"), 5)
    for name in ("1.png", "3.png"):
        Path("in", name).write_bytes(cut(".png"))
    with pytest.raises(UserError, match=r"^in/1.png: .* \(and 1 more: in/3.png\)$"):
        build(Path("in"), names)


def test_images_of_different_sizes_need_a_size() -> None:
    noise(12, 10).save("a.png")
    noise(13, 10).save("b.png")
    with pytest.raises(UserError, match=r"a.png 12x10 and b.png 13x10.*size 64"):
        common_shape([Path("a.png"), Path("b.png")], None, None, 1)
    assert common_shape([Path("a.png"), Path("b.png")], 8, None, 1) == (8, 8, 3)


# ---------------------------------------------------------------------- the cache


def test_the_cache_holds_what_decoding_gives() -> None:
    names = files(Path("in"), 40)
    kept = build(Path("in"), names, threads=3)
    assert kept.shape == (40, 8, 8, 3)
    assert all(
        np.array_equal(kept[i], decode(Path("in", name), (8, 8, 3))) for i, name in enumerate(names)
    )


def test_a_second_run_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    names = files(Path("in"))
    first = build(Path("in"), names)
    monkeypatch.setattr(cache, "decode", None)
    monkeypatch.setattr(cache, "header", None)
    assert np.array_equal(build(Path("in"), names), first)


def rewrite() -> None:
    """Other pixels in a file of the same size and the same date."""
    path = Path("in/0.bmp")
    state = path.stat()
    path.write_bytes(path.read_bytes()[:-60] + bytes(60))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (rewrite, {}),
        (lambda: shutil.copy("in/1.bmp", "in/0.bmp"), {}),
        (lambda: None, {"size": 9}),
        (lambda: None, {"channels": 1}),
        (lambda: None, {"names": ["1.bmp", "0.bmp"]}),
        (lambda: None, {"names": ["0.bmp"]}),
    ],
    ids=["new pixels, old date", "new file", "size", "channels", "order", "fewer"],
)
def test_a_change_is_never_answered_from_an_old_entry(
    change: Callable[[], Any], options: dict[str, Any]
) -> None:
    Path("in").mkdir()
    for i in range(2):
        noise(seed=i).save(f"in/{i}.bmp")
    arguments: dict[str, Any] = {"names": ["0.bmp", "1.bmp"]}
    build(Path("in"), **arguments)
    change()
    kept = build(Path("in"), **arguments | options)
    expected = [
        decode(Path("in", name), kept.shape[1:])
        for name in options.get("names", arguments["names"])
    ]
    assert np.array_equal(kept, np.stack(expected))


def test_the_least_recently_used_entry_makes_room() -> None:
    names = files(Path("in"))
    each = 3 * 16 * 16 * 3 + 128
    old, used = (build(Path("in"), names, size=16, channels=channels) for channels in (3, None))
    del old, used
    first, second = sorted(Path("kept").glob("images-*.npy"))
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    build(Path("in"), names[::-1], size=16, gigabytes=2.5 * each / 1e9)
    assert first.name not in entries() and second.name in entries() and len(entries()) == 2


def test_files_that_are_not_ours_stay() -> None:
    Path("kept").mkdir()
    np.save("kept/mine.npy", np.zeros(100_000))
    build(Path("in"), files(Path("in")), gigabytes=1e-6)
    assert Path("kept/mine.npy").is_file()


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not() -> None:
    Path("kept").mkdir()
    for name, age in (("images-a.1.part", 1), ("images-b.2.part", 2**40)):
        Path("kept", name).write_bytes(b"half")
        if age == 1:
            os.utime(Path("kept", name), (age, age))
    build(Path("in"), files(Path("in")))
    assert [name for name in entries() if name.endswith(".part")] == ["images-b.2.part"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "only a start": lambda whole: whole[:8],
    "cut": lambda whole: whole[:-50],
    "a header that is no Python": lambda whole: whole.replace(b"{'descr'", b"{{'desc("),
    "signed bytes": lambda whole: whole.replace(b"'|u1'", b"'|i1'"),
    "a count below zero": lambda whole: whole.replace(b"'shape': (3", b"'shape': (-3", 1),
    "fewer images": lambda whole: whole.replace(b"'shape': (", b"'shape': (1,+", 1),
    "another count": lambda whole: whole.replace(b"'shape': (3", b"'shape': (2"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_entry_is_made_anew(name: str) -> None:
    names = files(Path("in"))
    whole = build(Path("in"), names).copy()
    (entry,) = Path("kept").glob("images-*.npy")
    damaged = DAMAGES[name](entry.read_bytes())
    assert damaged != entry.read_bytes()
    entry.write_bytes(damaged)
    assert np.array_equal(build(Path("in"), names), whole)


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))


def folder_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("kept").write_text("")


def write_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "replace", replace)


@pytest.mark.parametrize(
    ("trouble", "gigabytes", "message"),
    [
        (
            lambda monkeypatch: None,
            1e-8,
            "allows 1e-08: raise it, lower size, or .*cache false",
        ),
        (
            full_disk,
            1.0,
            "GB free: give another folder with cache FOLDER, or .*cache false",
        ),
        (folder_is_a_file, 1.0, "kept: .*cache FOLDER, and cache false"),
        (write_fails, 1.0, "No space left on device; another folder .*cache FOLDER"),
    ],
    ids=["limit", "full", "file", "write"],
)
def test_no_room_is_one_line_with_the_way_out(
    trouble: Callable[[pytest.MonkeyPatch], None],
    gigabytes: float,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trouble(monkeypatch)
    with pytest.raises(UserError, match=message):
        build(Path("in"), files(Path("in")), gigabytes=gigabytes)
    assert entries() == []


PROCESS = """
import sys
from pathlib import Path
from project.engine.loading import cache
decode, decoded = cache.decode, []
cache.decode = lambda path, shape: decoded.append(path) or decode(path, shape)
sys.stdin.readline()
images = cache.cached_images(Path("in"), [f"{i}.png" for i in range(60)], 8, 3, Path("kept"), 1.0, 2)
print(int(images.sum()), len(decoded))
"""


def test_two_processes_at_once_decode_each_image_once() -> None:
    names = files(Path("in"), 60)
    repository = Path(cache.__file__).parents[3]
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    environment = os.environ | {"PYTHONPATH": str(repository)}
    both = [
        subprocess.Popen([sys.executable, "-c", PROCESS], env=environment, **pipes)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    sums, counts = zip(*(map(int, out.split()) for out, _ in answers), strict=True)
    assert set(sums) == {int(build(Path("in"), names, channels=3).sum())}
    assert sum(counts) == 60
    assert len(entries()) == 1


def test_arrays_read_the_cache_without_a_copy() -> None:
    kept = build(Path("in"), files(Path("in")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        images = torch.from_numpy(kept).permute(0, 3, 1, 2)
    arrays = Arrays(images, torch.zeros(3))
    assert arrays.stored[0].data_ptr() == kept.ctypes.data
    assert arrays.shapes == ((3, 8, 8),)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("/somewhere", "/somewhere"), ("", "~/.cache"), ("relative", "~/.cache")],
)
def test_the_cache_is_kept_where_the_user_keeps_caches(
    value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert user_folder() == Path(expected).expanduser() / "project" / "images"
