"""CSV files are read by column, and a wrong one is told with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from project.engine.errors import UserError
from project.engine.loading.csvfile import CSVFile, Numbers, Texts
from project.engine.loading.csvoptions import ReadOptions

MISSING = ("?", "NA")
PLAIN: dict[str, Any] = {}


def read(path: Path, given: dict[str, Any], **columns: Any) -> CSVFile:
    return CSVFile(path, ReadOptions(given)).read(**columns)


def write(text: str | bytes, name: str = "t.csv") -> Path:
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def cells(file: CSVFile, name: str) -> list[object]:
    """A column as it was meant: numbers or texts, None where missing."""
    column = file.columns[name]
    if isinstance(column, Numbers):
        return [None if np.isnan(value) else value for value in column.values.tolist()]
    return [column.texts[code] if code >= 0 else None for code in column.codes.tolist()]


@pytest.mark.parametrize(
    ("text", "format", "expected"),
    [
        ("a,b\n1,x\n2.5,y\n", PLAIN, {"a": [1, 2.5], "b": ["x", "y"]}),
        ("a,b\r\n1,x\r\n2,y\r\n", PLAIN, {"a": [1, 2], "b": ["x", "y"]}),
        ("a,b\n1,x\n2,y", PLAIN, {"a": [1, 2], "b": ["x", "y"]}),
        ("\ufeffa,b\n1,x\n", PLAIN, {"a": [1], "b": ["x"]}),
        ("\n\na,b\n1,x\n\n  \n2,y\n\n\n", PLAIN, {"a": [1, 2], "b": ["x", "y"]}),
        ("a;b\n1;x,y\n", {"sep": ";"}, {"a": [1], "b": ["x,y"]}),
        ("a\tb\n1\tx y\n", {"sep": "tab"}, {"a": [1], "b": ["x y"]}),
        (" a , b\n 1 , x \n2,x\n", PLAIN, {"a": [1, 2], "b": ["x", "x"]}),
        (
            '"a","b, c"\n"1","x ""y"""\n2,"two\nlines"\n',
            PLAIN,
            {"a": [1, 2], "b, c": ['x "y"', "two\nlines"]},
        ),
        ("1,x\n2,y\n", {"header": False}, {"0": [1, 2], "1": ["x", "y"]}),
        (
            "|comment, \" '\n|\n1,x\n|more\n2,y\n",
            {"header": False, "comment": "|"},
            {"0": [1, 2], "1": ["x", "y"]},
        ),
        (
            "a,b\n?,x\n,NA\n 3 , ? \n-1e3,\n",
            PLAIN,
            {"a": [None, None, 3, -1000], "b": ["x", None, None, None]},
        ),
        ("a,b\nnan,?\n1,x\n", {"keep_default_na": False}, {"a": [None, 1], "b": ["?", "x"]}),
        ("ä,b\n1,grün\n".encode("latin-1"), {"encoding": "latin-1"}, {"ä": [1], "b": ["grün"]}),
        ("a,b\n1,x\n".encode("utf-16"), {"encoding": "utf-16"}, {"a": [1], "b": ["x"]}),
    ],
)
def test_a_file_is_read_as_it_is_meant(
    text: str | bytes, format: dict[str, Any], expected: dict[str, list[object]]
) -> None:
    file = read(write(text), format)
    assert {name: cells(file, name) for name in file.columns} == expected
    assert file.size == len(next(iter(expected.values())))


@pytest.mark.parametrize("numbers_first", [True, False])
@pytest.mark.parametrize("rows", [2, 200_000])  # pandas guesses again every few ten thousand rows
def test_a_column_with_one_text_keeps_all_its_texts_as_written(
    rows: int, numbers_first: bool
) -> None:
    parts = [["007", "1.0", ""] * rows, ["x"] * 1200]
    column = [cell for part in parts[:: 1 if numbers_first else -1] for cell in part]
    file = read(write("a,b\n" + "".join(f"{cell},1\n" for cell in column)), PLAIN)
    assert cells(file, "a") == [cell or None for cell in column]
    assert cells(file, "b") == [1] * len(column)


def test_a_column_is_text_when_asked_and_absent_when_skipped() -> None:
    file = read(write("a,b,c\n01,1,1\n02,2,2\n"), PLAIN, texts={"a"}, skip={"c"})
    assert cells(file, "a") == ["01", "02"] and set(file.columns) == {"a", "b"}


@pytest.mark.parametrize(
    ("values", "whole"),
    [("1\n-2\n", True), ("1\n2.0\n", False), ("1\n1e3\n", False), ("1\n\n?\n", True)],
)
def test_whole_numbers_are_told_from_floats_by_how_they_are_written(
    values: str, whole: bool
) -> None:
    rows = "".join(f"{value},x\n" for value in values.split("\n")[:-1])
    column = read(write("a,b\n" + rows), PLAIN).columns["a"]
    assert isinstance(column, Numbers) and column.whole == whole


def test_texts_become_numbers_where_they_are() -> None:
    column = Texts(np.array([1, 0, -1, 2], np.int32), ["x", "1.5", "-2"], {})
    assert np.array_equal(column.numbers(ReadOptions()), [1.5, np.nan, np.nan, -2], equal_nan=True)


@pytest.mark.parametrize(
    ("text", "format", "message"),
    [
        ("", PLAIN, "t.csv: the file is empty"),
        ("\n \n", PLAIN, "t.csv: the file is empty"),
        ("# x\n", {"comment": "#"}, "t.csv: the file is empty"),
        ("a,b\n", PLAIN, "t.csv: no rows, only a header"),
        ("a,b\n1,2\n\n3\n", PLAIN, "t.csv:4: 1 field separated by ',', the header has 2"),
        ("a,b\n1,2\n3,4,5\n", PLAIN, "t.csv:3: 3 fields separated by ',', the header has 2"),
        (
            "#\n1,2\n3\n",
            {"header": False, "comment": "#"},
            "t.csv:3: 1 field separated by ',', the first line has 2",
        ),
        ('a,b\n1,"x\ny"\n3\n', PLAIN, "t.csv:4: 1 field"),
        ('a,b\n1,2\n3,"x\n5,6\n7,8\n', PLAIN, "t.csv:3: a quote in this line is not closed"),
        ('a,b\n1,2\n"3,x\n"5,6\n', PLAIN, "t.csv:3: a quote in this line is not closed"),
        (
            'a,b\n"3,x\n5",6,7\n',
            PLAIN,
            "t.csv:2: 3 fields separated by ',', the header has 2; a quote in this line is not "
            "closed?",
        ),
        ("a,b,a\n1,2,3\n", PLAIN, "t.csv: the header has 'a' 2 times: rename one"),
        (
            "1,2,1\n1,2,3\n",
            PLAIN,
            "t.csv: the header has '1' 2 times: rename one; its first line is '1, 2, 1': if that "
            "is data, ",
        ),
        (
            "a,b\n1,2\n".encode("utf-16"),
            PLAIN,
            "t.csv: not UTF-8 text; if it is UTF-16, say read.encoding utf-16",
        ),
        ("a,b\n1,2\n".encode("utf-16-le"), PLAIN, "t.csv: not UTF-8 text; if it is UTF-16"),
        (
            "a,b\n1,2\n3,grün\n".encode("latin-1"),
            PLAIN,
            "t.csv:3: '3,grün' is not utf-8; save the file as UTF-8, or name its",
        ),
        ("ä,b\n1,2\n".encode("latin-1"), PLAIN, "t.csv:1: 'ä,b' is not utf-8"),
        ("a,b\n1,2\n", {"encoding": "utf-99"}, "read.encoding utf-99: unknown"),
        ("a,b\n1,2\n", {"sep": ";;"}, "read.sep ';;': expected one character"),
        ("a,b\n1,2\n", {"sep": ""}, "read.sep '': expected one character"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(
    text: str | bytes, format: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(write(text), format)
    assert message in str(caught.value)


def test_a_fault_far_below_names_its_line() -> None:
    lines = ["a,b", *(f"{i},{i}" for i in range(2000))]
    lines[1501] = "1,2,3"
    with pytest.raises(UserError, match=r"^t\.csv:1502: 3 fields"):
        read(write("\n".join(lines)), PLAIN)


@pytest.mark.parametrize("values", [("1", "x"), ("1", "inf"), ("?", "-inf"), ("1e999", "1")])
def test_a_value_that_is_no_finite_number_names_its_line(values: tuple[str, ...]) -> None:
    line = 5 if values[1] != "1" else 3
    file = read(write("a,b\n\n{},1\n#\n{},2\n".format(*values)), {"comment": "#"})
    with pytest.raises(
        UserError, match=rf"^t.csv:{line}: '?[\w-]+'? in column 'a' is (not a number|infinite); so"
    ):
        file.numbers("a", "; so")


def test_a_missing_file_is_told() -> None:
    with pytest.raises(UserError, match=r"none\.csv: No such file"):
        read(Path("none.csv"), PLAIN)


@pytest.mark.parametrize(
    ("column", "text", "format", "found"),
    [
        ("b", "a,b,2\n", PLAIN, "b"),
        (1, "a,b,2\n", PLAIN, "b"),
        ("1", "a,b,2\n", PLAIN, "b"),
        (-1, "a,b,2\n", PLAIN, "2"),
        (2, "a,2,b\n", PLAIN, "2"),
        (-1, "5,6,7\n", {"header": False}, "2"),
    ],
)
def test_a_column_is_found_by_name_and_then_by_number(
    column: int | str, text: str, format: dict[str, Any], found: str
) -> None:
    path = write(text)
    assert CSVFile(path, ReadOptions(format)).find(column, "`data.target`") == found


@pytest.mark.parametrize(
    ("column", "text", "format", "hint"),
    [
        ("prise", "size,price\n", PLAIN, "did you mean price?"),
        ("x", "size,price\n", PLAIN, "it has: price, size"),
        (2, "size,price\n", PLAIN, "it has: price, size"),
        (-3, "size,price\n", PLAIN, "it has: price, size"),
        (
            "price",
            "size;price\n",
            PLAIN,
            "it has one column, 'size;price': is it read.sep ';'?",
        ),
        (
            "price",
            "size\tprice\n",
            PLAIN,
            "it has one column, 'size price': is it read.sep 'tab'?",
        ),
        (
            "price",
            "5.1,red\n",
            PLAIN,
            "its first line is '5.1, red': if that is data, say read.header false",
        ),
        (
            "price",
            "size,price\n",
            {"header": False},
            "without a header they are the numbers 0 to 1: read.header true",
        ),
    ],
)
def test_an_unknown_column_comes_with_the_way_out(
    column: int | str, text: str, format: dict[str, Any], hint: str
) -> None:
    path = write(text)
    with pytest.raises(UserError) as caught:
        CSVFile(path, ReadOptions(format)).find(column, "`data.target`")
    assert str(caught.value).startswith(
        f"target {column}: t.csv has no such column; "
    ) and hint in str(caught.value)
