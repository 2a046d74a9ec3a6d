"""Image files decoded and resized once, into a memory-mapped array on disk that the next epoch and
the next run read.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import UserError, clip
from ..locks import lock

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

VERSION = 1  # of the pixels: to be raised when the same files would give other ones
FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "GIF",
    "TIFF",
    "WEBP",
    "PPM",
)  # for others PIL would start programs such as Ghostscript
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
ORIENTATION = 0x0112  # the EXIF field in which a camera notes how it was held
ABANDONED = 3600.0  # seconds without a write after which an unfinished file belongs to nobody

Shape = tuple[int, int, int]  # height, width, channels
Result = TypeVar("Result")


# ---------------------------------------------------------------------- one file


def header(path: Path) -> Shape:
    """Height, width and channels (1 or 3) of an image as a person sees it, from its first bytes.

    Raises:
        UserError: it is no image, or so large that decoding it would exhaust the memory.
    """
    with _opened(path) as image:
        width, height = image.size
        if image.format in ("JPEG", "MPO") and image.getexif().get(ORIENTATION, 1) >= 5:
            width, height = height, width
        return height, width, 1 if image.mode in GREY else 3


def decode(path: Path | str, shape: Shape) -> NDArray[np.uint8]:
    """The pixels of an image: (H, W, C) uint8, upright, transparency laid on white, resized like
    torchvision's Resize.

    Raises:
        UserError: it cannot be read to its end.
    """
    height, width, _ = shape
    with _opened(path) as image:
        # a large JPEG is decoded at a fraction of its size, and several times faster
        image.draft(None, (2 * width, 2 * height))
        return pixels_of(image, shape)


def pixels_of(image: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    """The pixels of an open image: (H, W, C) uint8, as `decode` gives those of a file."""
    height, width, channels = shape
    image.load()  # of some formats the orientation stands behind the pixels
    tagged = image.info or hasattr(image, "tag_v2")  # a plain PNG is not, and asked often
    if tagged and image.getexif().get(ORIENTATION, 1) != 1:  # exif_transpose copies in any case
        image = ImageOps.exif_transpose(image)
    upright = _plain(image, channels)
    if upright.size != (width, height):
        upright = upright.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(upright).reshape(shape)


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Any kind of image as 8-bit grey or colour."""
    if image.mode.startswith("I"):  # 16 bits, which PIL would clip instead of scaling
        values = np.asarray(image).astype(np.int64)
        if values.max(initial=0) > 255:  # else they are 8 bits in a file of 16 or 32
            values >>= 8
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels; store it with 8 or 16 bits")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator[ImageFile]:
    """An image file; whatever goes wrong with it names the file."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(
            f"{path}: more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels; make the image smaller"
        ) from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: not an image of a known format ({', '.join(FORMATS)})") from None
    except Exception as error:  # a damaged file makes a decoder raise almost anything
        raise UserError(f"{path}: the image cannot be read: {clip(error, 100)}") from error


# ---------------------------------------------------------------------- many files


def common_shape(
    paths: Sequence[Path], size: int | None, channels: int | None, threads: int
) -> Shape:
    """The shape all images get: (size, size) or the one size they have; grey where they all are,
    unless channels say so.

    Raises:
        UserError: images that are not readable, or of different sizes and no size to resize them
            to.
    """
    if size is not None:  # an image in colour settles it; whether each can be read, decoding tells
        for path in paths if channels is None else ():
            channels = header(path)[2]
            if channels > 1:
                break
        return size, size, channels or 1
    shapes = list(_each(header, paths, threads, "looking at images"))
    height, width, _ = shapes[0]
    other = next((i for i, shape in enumerate(shapes) if shape[:2] != (height, width)), None)
    if other is not None:
        raise UserError(
            f"the images have different sizes, {paths[0]} {width}x{height} and "
            f"{paths[other]} {shapes[other][1]}x"
            f"{shapes[other][0]}: give the size they are to have with `data.size`, for "
            "example `data.size` 64"
        )
    deep = channels or max(depth for _, _, depth in shapes)
    return height, width, deep


def cached_images(
    root: Path,
    names: Sequence[str],
    size: int | None,
    channels: int | None,
    folder: Path,
    gigabytes: float,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """The images of these names below root as one read-only, memory-mapped array: (N, H, W, C)
    uint8.

    An entry belongs to the names, sizes and times of the files and to what is asked of them, so it
    is never out of date. The least recently used entries make room for a new one.

    Raises:
        UserError: an image cannot be read, the entry would be larger than `gigabytes`, or the
            folder cannot be written.
    """
    entry = folder / f"images-{_fingerprint(root, names, size, channels)}.npy"
    paths = [root / name for name in names]
    try:
        if (images := _mapped(entry, len(names))) is None:
            folder.mkdir(parents=True, exist_ok=True)
            with _only_one(folder):
                if (
                    images := _mapped(entry, len(names))
                ) is None:  # else another process has been quicker
                    shape = common_shape(paths, size, channels, threads)
                    _make_room(folder, len(names) * math.prod(shape), gigabytes)
                    _write(entry, paths, shape, threads)
                    images = _mapped(entry, len(names))
    except OSError as error:
        raise UserError(
            f"the cache of decoded images, {folder}: {error.strerror}; another folder is given "
            "with `data.cache` FOLDER, "
            "and `data.cache` false does without"
        ) from error
    assert images is not None
    return images


def user_folder() -> Path:
    """Where decoded images are kept by default."""
    below = Path(os.environ.get("XDG_CACHE_HOME", ""))
    parent = below if below.is_absolute() else Path.home() / ".cache"
    return parent / __name__.partition(".")[0] / "images"


def _each(
    work: Callable[[Path], Result], paths: Sequence[Path], threads: int, doing: str
) -> Iterator[Result]:
    """The results in order, computed a little ahead in threads; files that fail are reported
    together, at the end.
    """
    from tqdm import tqdm

    def attempt(path: Path) -> Result | UserError:
        try:
            return work(path)
        except UserError as error:
            return error

    failed: list[UserError] = []
    bar = tqdm(
        total=len(paths), desc=doing, unit=" images", leave=False, disable=None
    )  # None: only on a terminal
    with ThreadPoolExecutor(threads) as pool, bar, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for result in _in_order(pool, attempt, paths, 8 * threads):
            bar.update()
            if isinstance(result, UserError):
                failed.append(result)
            else:
                yield result
    if failed:
        more = [str(error).partition(": ")[0] for error in failed[1:]]
        raise UserError(
            f"{failed[0]}"
            + (f" (and {len(more)} more: {clip(', '.join(more), 300)})" if more else "")
        )


def _in_order(
    pool: Executor, work: Callable[[Path], Result], paths: Iterable[Path], ahead: int
) -> Iterator[Result]:
    """Results in order, of which no more than `ahead` are waiting in memory."""
    waiting: deque[Future[Result]] = deque()
    for path in paths:
        waiting.append(pool.submit(work, path))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    for future in waiting:
        yield future.result()


# ---------------------------------------------------------------------- the cache on disk


def _fingerprint(root: Path, names: Sequence[str], size: int | None, channels: int | None) -> str:
    digest = hashlib.blake2b(repr((VERSION, size, channels)).encode(), digest_size=16)
    for name in names:
        try:
            state = (root / name).stat()
        except OSError as error:
            raise UserError(f"{root / name}: {error.strerror}") from None
        # The time of the last change (ctime) tells apart what was written again under an old date.
        digest.update(repr((name, state.st_size, state.st_mtime_ns, state.st_ctime_ns)).encode())
    return digest.hexdigest()


def _mapped(entry: Path, count: int) -> NDArray[np.uint8] | None:
    """An entry of so many images, marked as used now; None where there is none or it is damaged."""
    try:
        images = np.lib.format.open_memmap(entry, mode="r")
    except (FileNotFoundError, ValueError, OverflowError, SyntaxError, TokenError, TypeError):
        return None  # numpy reads the header as Python
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != count:
        return None
    with contextlib.suppress(OSError):  # a folder may be shared and not ours to write
        os.utime(entry)
    return images


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """One process decodes, the others wait for its result; the lock ends with the process."""
    with contextlib.ExitStack() as held:
        # some network folders have no locks; then both decode, which is only slower
        with contextlib.suppress(OSError):
            held.enter_context(lock(folder / "lock", wait=True))
        yield


def _make_room(folder: Path, needed: int, gigabytes: float) -> None:
    """Delete the least recently used entries, and what killed processes left, until the new one
    keeps to the limit.
    """
    limit = int(gigabytes * 1e9)
    if needed > limit:
        raise UserError(
            f"the decoded images take {needed / 1e9:.2g} GB, `data.cache_gigabytes` allows "
            f"{gigabytes:g}: raise it, lower "
            "`data.size`, or read the images one by one with `data.cache` false"
        )
    entries: list[tuple[float, int, Path]] = []
    for path in folder.glob("images-*"):
        with contextlib.suppress(OSError):
            state = path.stat()
            if path.suffix == ".part" and time.time() - state.st_mtime > ABANDONED:
                path.unlink()
            elif path.suffix == ".npy":
                entries.append((state.st_mtime, state.st_size, path))
    kept = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if kept + needed <= limit:
            break
        with contextlib.suppress(OSError):  # Windows keeps a file that is being read
            path.unlink()
            kept -= size
    if (free := shutil.disk_usage(folder).free) < needed:
        raise UserError(
            f"the decoded images take {needed / 1e9:.2g} GB, {folder} has {free / 1e9:.2g} GB "
            "free: give another folder with "
            "`data.cache` FOLDER, or read the images one by one with `data.cache` false"
        )


def _write(entry: Path, paths: Sequence[Path], shape: Shape, threads: int) -> None:
    """Decode into a file beside the entry and rename it, so that nobody ever sees half of it."""
    part = entry.with_name(f"{entry.stem}.{os.getpid()}.part")
    try:
        with (
            open(part, "wb") as file
        ):  # written in order: a full disk is then an error, in a memory map it would be a crash
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *shape)}
            )
            for pixels in _each(
                lambda path: decode(path, shape), paths, threads, "decoding images"
            ):
                file.write(np.ascontiguousarray(pixels).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, entry)
    finally:
        part.unlink(missing_ok=True)
