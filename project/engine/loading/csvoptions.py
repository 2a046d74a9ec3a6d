"""How a table in a file is written: parameters of pandas.read_csv, checked before it sees them."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError, clip, suggest

if TYPE_CHECKING:
    import pandas as pd

# what pandas takes for missing, and the question mark of the UCI repository
MISSING = "? NA N/A n/a NaN nan -NaN -nan NULL null None <NA> #N/A #NA".split()
# the parameters of pandas.read_csv that can be set: plain values that open and run nothing
KNOWN: dict[str, tuple[type, ...]] = {
    "sep": (str,),
    "decimal": (str,),
    "thousands": (str, type(None)),
    "comment": (str, type(None)),
    "quotechar": (str,),
    "escapechar": (str, type(None)),
    "doublequote": (bool,),
    "encoding": (str,),
    "header": (bool, int, type(None)),
    "skiprows": (int,),
    "nrows": (int, type(None)),
    "na_values": (list, tuple, str, int, float),
    "keep_default_na": (bool,),
}
ONE_CHARACTER = ("decimal", "thousands", "comment", "quotechar", "escapechar")
COMPRESSED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip or Excel", b"\xd0\xcf\x11\xe0": "Excel"}
COMPRESSED |= {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard"}


class ReadOptions:
    """How a file is written: parameters of pandas.read_csv, checked.

    Args:
        given: By pandas' names; `header` false or null means that no line names the columns, `sep`
            may be the word tab, or \\s+ for blanks and tabs mixed.
        option: What the parameters are called in messages.

    Raises:
        UserError: a parameter is unknown, or its value of the wrong kind.
    """

    def __init__(self, given: dict[str, Any] | None = None, option: str = "data.read") -> None:
        self.option, self.given = option, dict(given or {})
        for name, value in self.given.items():
            if name not in KNOWN:
                raise UserError(f"`{option}.{name}`: unknown; {suggest(name, KNOWN, 'known are')}")
            if not isinstance(value, KNOWN[name]) or (name in ONE_CHARACTER and value == ""):
                raise UserError(f"`{option}.{name}` {clip(value)!r}: expected {_kinds(name)}")
            if name in ONE_CHARACTER and value is not None and len(str(value)) != 1:
                raise UserError(f"`{option}.{name}` {clip(value)!r}: expected one character")
        self.sep = {"tab": "\t", "\\t": "\t", " +": r"\s+"}.get(sep := self.get("sep", ","), sep)
        if self.sep != r"\s+" and len(self.sep) != 1:
            raise UserError(
                f"`{option}.sep` {self.sep!r}: expected one character, tab, or \\s+ for blanks and "
                "tabs mixed"
            )
        header = self.get("header", True)
        if header is not None and header not in (0, 1):
            raise UserError(f"`{option}.header` {header}: expected true or false; skiprows skips")
        self.header = header is True or (header == 0 and header is not False)
        self.encoding, self.comment = self.get("encoding", "utf-8"), self.get("comment")
        self.decimal, self.thousands = self.get("decimal", "."), self.get("thousands")
        marks = self.get("na_values", ())
        marks = marks if isinstance(marks, (list, tuple)) else [marks]
        usual = MISSING if self.get("keep_default_na", True) else ()
        self.marks = frozenset({"", *usual, *map(str, marks)})
        self.mark_numbers = {number for mark in self.marks if (number := finite(mark)) is not None}

    def get(self, name: str, default: Any = None) -> Any:
        return self.given.get(name, default)

    def number(self, text: str) -> float | None:
        """The number a text stands for, None where it is none."""
        plain = text.replace(self.thousands or "", "") if self.thousands else text
        try:
            return None if "_" in text else float(plain.replace(self.decimal, "."))
        except ValueError:
            return None

    def is_missing(self, text: str) -> bool:
        """Whether a text means a missing value: -999.0 where -999 does."""
        return text in self.marks or bool(
            self.mark_numbers and self.number(text) in self.mark_numbers
        )


def _kinds(name: str) -> str:
    words = {str: "text", bool: "true or false", int: "a whole number", type(None): "null"}
    return " or ".join(dict.fromkeys(words.get(kind, "a list") for kind in KNOWN[name]))


def finite(text: str) -> float | None:
    """The number a text stands for; None where it is none, or not finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def composed(text: str) -> str:
    """A text in Unicode's composed form, in which macOS does not write file names."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pandas as pd

        return pd.read_parquet(path.absolute(), engine="pyarrow")
    except ImportError:
        raise UserError(f"{path}: Parquet files are read by pyarrow: pip install pyarrow") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        text = getattr(error, "strerror", None) or f"not a Parquet file ({clip(error, 100)})"
        raise UserError(f"{path}: {text}") from None


def existing_file(root: str, name: str, option: str) -> Path:
    """The file of an option.

    Raises:
        UserError: it is not there; suggests what is.
    """
    path = Path(root, Path(name).expanduser())
    if path.is_file():
        return path
    if not path.parent.is_dir():
        raise UserError(
            f"`data.root` {root}: there is no folder {path.parent}, where {option} {name} should be"
        )
    near = suggest(
        path.name, [entry.name for entry in path.parent.iterdir() if entry.is_file()], "there are"
    )
    raise UserError(f"{option} {name}: there is no file {path}; {near}")
