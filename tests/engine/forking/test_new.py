"""A project of one's own: under its own name, green, with files of its own; and this one renamed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from project.engine.forking.codemod import renamed
from tests.conftest import REPOSITORY, Project

OLD = re.compile(r"""(-m |import |from |["']|/ ")project\b(?![:"']? ?= )|\bproject[./][a-z_]""")
TINY = (
    "--data.size 8 --model.net MLP --trainer.max_epochs 1 --run.threads 1 --run.tensorboard false "
    "--run.report false"
)
SKELETONS = {
    "network": ("Hawk", "networks"),
    "data": ("FeatherPictures", "data"),
    "task": ("Naming", "tasks"),
    "loss": ("Focal", "training"),
}


def run(folder: Path, *words: str) -> str:
    """The output of Python in a folder, whose packages come first."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def birds(project: Project, tmp_path: Path) -> Path:
    code, out, err = project("new", [str(tmp_path / "birds")], "--holder Ada --year 2031")
    assert (code, err) == (0, "") and "python -m birds fit" in out
    return tmp_path / "birds"


def test_a_new_project_has_its_own_name_everywhere(birds: Path) -> None:
    assert git(birds, "status", "--porcelain") == ""
    assert len(git(birds, "log", "--oneline").splitlines()) == 1
    found = []
    for name in git(birds, "ls-files").splitlines():
        if name.startswith("birds/engine/") or name.endswith((".gz", ".png", ".svg", ".toml")):
            continue
        lines = (birds / name).read_text().splitlines()
        found += [f"{name}: {line}" for line in lines if OLD.search(line)]
    assert found == []
    about = tomllib.loads((birds / "pyproject.toml").read_text())
    assert about["project"]["name"] == "birds" and about["tool"]["mypy"]["packages"] == ["birds"]
    assert {"dev", "parquet"} <= set(about["project"]["optional-dependencies"])
    assert set(about["tool"]["template"]) == {"source", "version"}
    assert "2031 Ada" in (birds / "LICENSE").read_text()
    engine = sorted(
        path.relative_to(REPOSITORY / "project")
        for path in (REPOSITORY / "project" / "engine").rglob("*.py")
    )
    for path in engine:
        assert (birds / "birds" / path).read_bytes() == (REPOSITORY / "project" / path).read_bytes()


@pytest.mark.slow
def test_each_skeleton_trains_and_passes_its_test_and_a_renamed_project_goes_on(
    birds: Path,
) -> None:
    for kind, (name, _) in SKELETONS.items():
        run(birds, "-m", "birds", "new", kind, name)
    tests = [
        str(path)
        for _, room in SKELETONS.values()
        for path in (birds / "tests" / room).glob("*")
        if path.stem in ("test_hawk", "test_feather_pictures", "test_naming", "test_focal")
    ]
    assert len(tests) == 4
    run(birds, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests)
    run(birds, "-m", "birds", "fit", *TINY.split(), "--run", "before")
    git(birds, "add", "-A")
    git(birds, "commit", "-q", "-m", "four files")
    run(birds, "-m", "birds", "rename", "owls")
    assert not (birds / "birds").exists()
    out = run(birds, "-m", "owls", "fit", "--run", "before", "--trainer.max_epochs", "2")
    assert "continuing before from step" in out and "python -m owls test" in out
    run(
        birds,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "tests/networks/test_hawk.py",
    )


@pytest.mark.slow
def test_a_minimal_project_is_green(project: Project, tmp_path: Path) -> None:
    keep = "--keep mlp,regression --name tiny"
    assert project("new", [str(tmp_path / "small")], keep)[0] == 0
    fork = tmp_path / "small"
    assert sorted(path.name for path in (fork / "configs").glob("*.yaml")) == ["lenet.yaml"]
    rooms = {path.name for path in (fork / "tiny").glob("[dnt]*/*") if path.name[0] != "_"}
    kept = {"augment.py", "classification.py", "digits.py", "digits.csv.gz", "lenet.py", "mlp.py"}
    assert rooms == kept | {"regression.py", "schedules.py"}
    assert not (fork / "tiny" / "lessons").exists()
    out = run(fork, "-m", "tiny", "list")
    assert "Regression" in out and "CNN" not in out
    run(fork, "-m", "tiny", "new", "network", "Hawk")
    run(fork, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider")
    run(fork, "-m", "ruff", "check", "tiny", "tests")


# (file, a line of it, the line under the name birds)
LINES = [
    ("project/a.py", "from project.engine import Task", "from birds.engine import Task"),
    ("project/__init__.py", '"project.networks.fused": "",', '"project.networks.fused": "",'),
    ("tests/a.py", 'setattr("project.data.folders.f", 1)', 'setattr("birds.data.folders.f", 1)'),
    ("tests/a.py", 'ROOT / "project" / "lessons"', 'ROOT / "birds" / "lessons"'),
    ("tests/a.py", "def test(project: Project) -> None:", "def test(project: Project) -> None:"),
    ("README.md", "python -m project fit", "python -m birds fit"),
    ("README.md", "run = project.fit(1)  # project/data/", "run = birds.fit(1)  # birds/data/"),
    ("README.md", "A project: pyproject.toml", "A project: pyproject.toml"),
    ("pyproject.toml", 'name = "project"', 'name = "birds"'),
    ("pyproject.toml", "[tool.project]", "[tool.project]"),
    ("pyproject.toml", "[project.scripts]", "[project.scripts]"),
    ("configs/a.yaml", "callbacks: [project.a.B]", "callbacks: [birds.a.B]"),
    ("pyproject.toml", '{ attr = "project.__version__" }', '{ attr = "birds.__version__" }'),
    ("configs/a.yaml", "net: project.networks.hawk.Hawk", "net: birds.networks.hawk.Hawk"),
]


@pytest.mark.parametrize(("file", "line", "expected"), LINES)
def test_the_package_is_renamed_and_the_word_is_not(file: str, line: str, expected: str) -> None:
    assert renamed(line, Path(file), "project", "birds") == expected


# what is asked -> what the one line says
MISTAKES = {
    "new": "new: expected a folder, got nothing",
    "new a b c": "new: expected a folder, got a b c",
    "new full": "full: it is there and not empty; name another folder",
    "new x --name torch": "torch: a package of this name is there already, and would be hidden",
    "new x --name random": "random: a package of this name is there already",
    "new x --name tests": "tests: a package of this name is there already",
    "new x --name 2birds": "'2birds' is no name for a package",
    "new x --name class": "'class' is no name for a package",
    "new x --name": "--name: expected a value",
    "new x --nam y": "--nam: unknown option; did you mean --name?",
    "new x --keep LeNat": "--keep LeNat: no such name; did you mean LeNet",
    "new x --year soon": "--year soon: expected a year, as in 2026",
    "new network hawk": "'hawk': a class begins with a capital letter, as in Hawk",
    "new network LeNet": "LeNet: there is a network of this name already",
    "new netwrk Hawk": "new netwrk: did you mean network?",
    "update now": "update: unexpected now; --from now names a template",
    "update --form x": "--form: unknown option; did you mean --from",
    "update --from nowhere": "--from nowhere: neither a folder nor a repository",
    "update --from full": "engine.json, which `new` writes",
    "rename": "rename: expected a name, got nothing",
    "rename project": "it is called project already",
    "rename torch": "torch: a package of this name is there already",
    "rename Birds": "'Birds' is no name for a package",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_made(words: str, project: Project) -> None:
    Path("full").mkdir()
    Path("full/file").touch()
    before = sorted(Path().rglob("*"))
    code, _, err = project(words)
    assert (code, err.count("\n")) == (2, 1) and MISTAKES[words] in err
    assert sorted(Path().rglob("*")) == before
