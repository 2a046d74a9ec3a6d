"""docs/extending.md, followed word for word in a fresh fork: every file of it, and its tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Project
from tests.engine.forking.test_new import run

PATH = r"`((?:project|tests)/[\w/]+\.py)`"
BLOCK = re.compile(rf"(?s){PATH}(?:(?!```|{PATH}).)*?```python\n(.*?)```")
ROW = re.compile(
    r"Its line in `(\w+)` of `(project/\w+/__init__\.py)`:\n\n```python\n(.*?)```", re.S
)


@pytest.mark.slow
def test_the_page_leads_to_files_whose_tests_pass(project: Project, tmp_path: Path) -> None:
    assert project("new", [str(tmp_path / "birds")])[0] == 0
    fork, page = tmp_path / "birds", (REPOSITORY / "docs/extending.md").read_text()
    tests = []
    for section in page.split("\n## ")[1:]:
        for table, file, row in ROW.findall(section):
            path = fork / file.replace("project/", "birds/", 1)
            head, mark, rest = path.read_text().partition(f"{table}")
            first, newline, rows = rest.partition("\n")
            path.write_text(f"{head}{mark}{first}{newline}{row}{rows}")
        for file, _, code in BLOCK.findall(ROW.sub("", section)):
            path = fork / file.replace("project/", "birds/", 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = re.sub(r"\bproject\.(?=engine|tasks|networks|training)", "birds.", code)
            path.write_text(text)
            tests += [file] if file.startswith("tests/") else []
    assert len(tests) == 6
    run(fork, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests)
    run(fork, "-m", "ruff", "check", "--ignore", "D,I", "birds")
