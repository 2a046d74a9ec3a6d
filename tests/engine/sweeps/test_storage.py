"""The journal outlives kills: whole lines, whole transactions, locks that die with their process;
Optuna can read it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from project.engine.sweeps.storage import Journal, JournalFile

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[JournalFile]:
    opened = JournalFile(tmp_path / "journal.log")
    yield opened
    opened.close()


def reopened(path: Path) -> optuna.Study:
    """What another process finds in a journal."""
    return optuna.load_study(storage=JournalStorage(Journal(path)), study_name="s")


def forked(work: Callable[[], None]) -> int:
    """A process that does some work and then sleeps until it is killed."""
    child = os.fork()
    if child:
        return child
    work()
    Path("ready").touch()
    time.sleep(60)
    os._exit(0)


def kill(child: int) -> None:
    while not Path("ready").exists():
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_optuna_itself_reads_what_is_written(storage: JournalFile, tmp_path: Path) -> None:
    study = optuna.create_study(storage=storage.optuna, study_name="s")
    with storage.exclusive():
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        study.tell(trial, 0.5)
    theirs = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    assert optuna.load_study(storage=theirs, study_name="s").trials == study.trials


def test_a_transaction_is_seen_inside_it_and_outside_all_at_once(
    storage: JournalFile, tmp_path: Path
) -> None:
    study = optuna.create_study(storage=storage.optuna, study_name="s")
    before = (tmp_path / "journal.log").read_bytes()
    with storage.exclusive():
        trial = study.ask()
        trial.set_user_attr("owner", "me")
        assert study.trials[0].user_attrs == {"owner": "me"}
        assert (tmp_path / "journal.log").read_bytes() == before
    other = reopened(tmp_path / "journal.log")
    assert other.trials == study.trials and len(other.trials) == 1


@pytest.mark.parametrize("cut", [1, 7])
def test_a_last_line_half_written_is_cut_off(
    cut: int, storage: JournalFile, tmp_path: Path
) -> None:
    study = optuna.create_study(storage=storage.optuna, study_name="s")
    study.ask()
    path = tmp_path / "journal.log"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[0][:-cut])
    reopened(path).ask()
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["op_code"] for line in lines] == [0, 4, 4]
    assert path.read_bytes().startswith(whole)


def test_a_lock_dies_with_its_process(storage: JournalFile, tmp_path: Path) -> None:
    def hold() -> None:
        Journal(tmp_path / "journal.log").transaction().__enter__()

    kill(forked(hold))
    with storage.exclusive():  # waits for ever where a lock is left behind
        pass


def test_who_is_alive_is_told_by_locks(storage: JournalFile, tmp_path: Path) -> None:
    owners = tmp_path / "journal.owners"

    def live() -> None:
        forked_storage.append(JournalFile(tmp_path / "journal.log"))

    forked_storage: list[JournalFile] = []
    child = forked(live)
    while not Path("ready").exists():
        time.sleep(0.01)
    (other,) = {path.name for path in owners.iterdir()} - {storage.owner}
    assert storage.is_alive(storage.owner) and storage.is_alive(other)
    kill(child)
    assert (
        not storage.is_alive(other) and not storage.is_alive("") and not storage.is_alive("nobody")
    )
    assert {path.name for path in owners.iterdir()} == {storage.owner}
    storage.close()
    assert list(owners.iterdir()) == []


@pytest.mark.parametrize(
    "owner", ["{victim}", "../victim", "victim", 3, None, ["victim"], "a" * 32]
)
def test_an_owner_that_is_no_name_of_ours_touches_no_file(
    owner: object, storage: JournalFile, tmp_path: Path
) -> None:
    victims = [tmp_path / "victim", storage.owners / "victim", storage.owners.parent / "victim"]
    for victim in victims:
        victim.write_text("precious")
    named = owner.format(victim=victims[0]) if isinstance(owner, str) else owner
    assert not storage.is_alive(named)  # type: ignore[arg-type]
    assert all(victim.read_text() == "precious" for victim in victims)
