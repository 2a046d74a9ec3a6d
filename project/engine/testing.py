"""What the tests of a project share: a command line that runs in this process, in an empty folder,
on one thread. tests/conftest.py imports all of it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .registry import PACKAGE

Project = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own, so that nothing is written into the repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    return tmp_path


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def project(capfd: pytest.CaptureFixture[str]) -> Project:
    """Run a command line; returns exit code, stdout and stderr.

    Words are split at spaces; a list is taken as it is.
    """
    main = importlib.import_module(f"{PACKAGE}.__main__").main

    def run(*words: object) -> tuple[int, str, str]:
        argv: list[str] = []
        for word in words:
            if isinstance(word, str):
                argv += word.split()
            else:
                argv += word if isinstance(word, list) else [str(word)]
        capfd.readouterr()
        try:
            code = main(argv)
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return run


def pytest_configure() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
