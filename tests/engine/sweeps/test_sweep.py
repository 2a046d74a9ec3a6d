"""A sweep runs what was planned, no more and no less, whatever happens to it."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.engine.cli.arguments import read_arguments
from project.engine.cli.settings import GROUPS
from project.engine.sweeps import workers
from project.engine.sweeps.plan import KEYS, read_plan
from project.engine.sweeps.storage import JournalFile
from project.engine.sweeps.study import Outcome, Study
from tests.conftest import REPOSITORY, Project
from tests.engine.runs.equal import differing
from tests.engine.runs.kills import start, wait
from tests.engine.sweeps.kills import command, killed, undisturbed, unlike
from tests.engine.sweeps.postgres import missing, server

TINY = (
    "--data.size 12 --trainer.max_epochs 1 --trainer.limit_train_batches 2 "
    "--trainer.limit_val_batches 1 "
    "--run.tensorboard false --run.threads 1 --run.report false"
)
LR = "--space.model.optimizer.lr"


def results(folder: Path = Path("runs/s")) -> list[dict[str, Any]]:
    return json.loads((folder / "results.json").read_text())["trials"]


def test_a_sweep_leaves_a_table_and_the_best_as_a_config(project: Project) -> None:
    Path("s.yaml").write_text(
        "data: {class_path: Digits, init_args: {size: 12}}\nspace: {model.optimizer.lr: [0.01, "
        "0.1], model.net: [LeNet, MLP]}\n"
    )
    code, out, err = project("sweep --config s.yaml", TINY.removeprefix("--data.size 12"))
    assert (code, err) == (0, "")
    found = results()
    assert [row["state"] for row in found] == ["complete"] * 4 and sorted(
        row["trial"] for row in found
    ) == [0, 1, 2, 3]
    assert [row["value"] for row in found] == sorted(
        (row["value"] for row in found), reverse=True
    ), "accuracy: the largest first"
    with open("runs/s/results.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["model.net"] for row in table] == [row["parameters"]["model.net"] for row in found]
    best = yaml.safe_load(Path("runs/s/best.yaml").read_text())
    assert (
        best["model"]["init_args"]["optimizer"]["init_args"]["lr"]
        == found[0]["parameters"]["model.optimizer.lr"]
    )
    about = json.loads((Path(found[0]["folder"]) / "run.json").read_text())
    assert about["sweep"] == {
        "name": "s",
        "trial": found[0]["trial"],
        "parameters": found[0]["parameters"],
    }
    assert "best.yaml --seed_everything $seed" in out
    code, _, err = project("fit --config runs/s/best.yaml --run again")
    assert (code, err) == (0, "")
    assert differing(Path("again"), Path(found[0]["folder"])) == [], (
        "the best, trained again, is the same"
    )


@pytest.mark.slow
def test_the_same_command_again_runs_nothing_and_more_trials_are_added(project: Project) -> None:
    words = f'sweep --name s --sampler random {LR} {{"low":0.001,"high":0.1}} {TINY} --trials'
    assert project(words, "2")[0] == 0
    first = results()
    times = {path: path.stat().st_mtime_ns for path in Path("runs/s").glob("*/metrics.csv")}
    assert project(words, "2")[0] == 0 and results() == first
    assert project(words, "3")[0] == 0 and len(results()) == 3
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert [row for row in results() if row["trial"] < 2] == sorted(first, key=results().index)


def test_leaders_get_further_seeds_and_a_value_is_the_mean_over_them(project: Project) -> None:
    words = f"sweep --name s {LR} [0.001,0.003,0.01,0.03,0.1] --seed_everything 7 {TINY}"
    assert project(words)[0] == 0  # as far as it goes with one seed; more may come later
    first = {row["trial"]: row["value"] for row in results()}
    code, out, err = project(words, "--seeds 3")
    assert (code, err) == (0, "")
    found = results()
    assert [row["seeds"] for row in found] == [3, 3, 2, 1, 1]
    ranked = sorted(first, key=lambda number: (-first[number], number))
    assert {row["trial"] for row in found if row["seeds"] > 1} == {*ranked[:3]}
    for row in found:
        name, own = Path(row["folder"]).name, row["parameters"]["model.optimizer.lr"]
        folders = [path for path in Path("runs/s").glob(f"[0-9]*-lr={own:g}*") if path.is_dir()]
        again = sorted(path for path in folders if path.name != name)
        runs = [json.loads((path / "run.json").read_text()) for path in again]
        assert [about["seed"] for about in runs] == [8, 9][: row["seeds"] - 1]
        values = [first[row["trial"]]] + [
            json.loads((path / "results.json").read_text())["best"]["value"] for path in again
        ]
        assert row["value"] == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert "10/10  trial 9" in out and "seed 9" in out
    assert "(the mean of 3 seeds)\n" in Path("runs/s/best.yaml").read_text()
    # what two of them are is the same as by hand, and the same command runs nothing
    times = {path: path.stat().st_mtime_ns for path in Path("runs/s").glob("*/metrics.csv")}
    assert project(words, "--seeds 3")[0] == 0 and results() == found
    assert {path: path.stat().st_mtime_ns for path in times} == times and len(times) == 10
    lr = found[0]["parameters"]["model.optimizer.lr"]
    alone = f"fit --run alone --model.optimizer.lr {lr} --seed_everything 9 {TINY}"
    assert project(alone)[0] == 0
    folder = next(Path("runs/s").glob(f"*-lr={lr:g}-seed2"))
    assert (folder / "metrics.csv").read_bytes() == Path("alone/metrics.csv").read_bytes()
    code, _, err = project(f"sweep --name t --space.seed_everything [1,2] --seeds 3 {TINY}")
    assert (code, err.count("\n")) == (2, 1) and "the space varies seed_everything" in err


# what is changed in a sweep that has begun -> what the refusal says
CHANGES = {
    f"{LR} [0.1,0.2]": "the sweep s began with the space",
    f"{LR} [0.1] --sampler random --trials 1": "the sweep s began with the sampler",
    f"{LR} [0.1] --direction minimize": "the sweep s began with the direction",
    f"{LR} [0.1] --data.batch_size 32": "--data.batch_size: the sweep s began with 'None', now "
    "it is '32'",
    f"{LR} [0.1] --model.net.dropout 0.5": "--model.net.dropout: the sweep s began with 'None', "
    "now it is '0.5'",
}


@pytest.mark.slow
def test_another_sweep_does_not_continue_this_one(project: Project) -> None:
    assert project(f"sweep --name s {LR} [0.1]", TINY)[0] == 0
    before = Path("runs/s/journal.log").read_bytes()
    for change, said in CHANGES.items():
        code, _, err = project(f"sweep --name s {change}", TINY)
        assert (code, err.count("\n")) == (2, 1) and said in err
        assert Path("runs/s/journal.log").read_bytes() == before


# what stands in a journal that has begun -> what stands there instead, and what the refusal says
DAMAGED = {
    '"user_attr":{"sweep":': (
        '"user_attr":{"sweep":7},"was":{"sweep":',
        "the record of the sweep s is",
    ),
    '"monitor":"val/accuracy"': ('"monitor":[]', "the record of the sweep s is damaged"),
    '"settings":"': ('"settings":"{', "the settings of the sweep s"),
    '\\"choices\\": [': ('\\"choices\\": [[', "not a journal of Optuna's"),
}


@pytest.mark.slow
def test_a_damaged_record_of_a_sweep_is_one_line(project: Project) -> None:
    assert project(f"sweep --name s {LR} [0.1]", TINY)[0] == 0
    journal = Path("runs/s/journal.log")
    before = journal.read_text()
    for there, (instead, said) in DAMAGED.items():
        assert there in before
        journal.write_text(before.replace(there, instead))
        code, _, err = project(f"sweep --name s {LR} [0.1]", TINY)
        assert (code, err.count("\n")) == (2, 1) and said in err, err


@pytest.mark.slow
def test_what_does_not_change_the_results_may_change(project: Project) -> None:
    assert project(f"sweep --name s {LR} [0.1]", TINY)[0] == 0
    changed = (
        TINY.replace("--run.threads 1", "--run.threads 2")
        + " --data.root elsewhere --pruner median"
    )
    code, _, err = project(f"sweep --name s {LR} [0.1]", changed)
    assert (code, err) == (0, "")


@pytest.mark.slow
def test_a_failed_trial_is_told_and_the_others_run(project: Project) -> None:
    code, out, err = project(
        "sweep --name s --space.data.size [4,12] ", TINY.replace("--data.size 12", "")
    )
    assert (code, "LeNet needs images of at least 8x8" in err) == (2, True), (
        "known before the first trial, because it is the first"
    )
    code, out, err = project(
        "sweep --name s --space.data.size [12,4] ", TINY.replace("--data.size 12", "")
    )
    assert (code, err) == (0, "")
    good, bad = results()
    assert (good["state"], bad["state"]) == ("complete", "failed")
    assert bad["reason"].startswith("LeNet needs images of at least 8x8")
    assert "trial 1 failed: LeNet needs images of at least 8x8" in out


@pytest.mark.slow
def test_a_bug_in_one_trial_keeps_its_traceback_in_its_folder(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project.networks.lenet import LeNet

    forward = LeNet.forward

    def faulty(self: Any, *inputs: Any) -> Any:
        if self.training and Path("runs/s/001-lr=0.2").exists():
            raise ZeroDivisionError("of the test")
        return forward(self, *inputs)

    monkeypatch.setattr(LeNet, "forward", faulty)
    code, out, _ = project(f"sweep --name s {LR} [0.1,0.2]", TINY)
    assert code == 0 and "trial 1 failed: ZeroDivisionError: of the test" in out
    assert "Traceback" in Path("runs/s/001-lr=0.2/output.txt").read_text()
    assert json.loads(Path("runs/s/001-lr=0.2/run.json").read_text())["state"] == "failed"


def test_when_no_trial_has_a_value_the_sweep_says_why(project: Project) -> None:
    code, _, err = project(
        f"sweep --name s {LR} [1e30,1e31] --model.optimizer SGD --run.save_every 1", TINY
    )
    assert (code, err.count("\n")) == (2, 1)
    assert "error: no trial has a value; the " in err and "not finite" in err


@pytest.mark.slow
def test_a_pruned_trial_says_so_and_can_be_continued(project: Project) -> None:
    rates = f"{LR} [0.01,1e-9]"
    words = (
        "sweep --name s --pruner asha --pruner.reduction_factor 2 --model.optimizer Adam "
        f"{rates} --monitor val/loss"
    )
    code, _, err = project(words, TINY.replace("max_epochs 1", "max_epochs 3"))
    assert (code, err) == (0, "")
    whole, pruned = results()
    assert (whole["state"], pruned["state"], pruned["epochs"]) == ("complete", "pruned", 1)
    run = Path(pruned["folder"])
    assert json.loads((run / "run.json").read_text())["state"] == "pruned"
    code, out, err = project("fit --run", str(run))
    assert (code, err) == (0, "") and f"continuing {run} from step 2" in out
    about = json.loads((run / "run.json").read_text())
    assert about["state"] == "finished" and about["sweep"]["trial"] == 1
    command = about["command"].split()[3:]
    assert project(command, "--run whole")[0] == 0
    assert differing(run, Path("whole")) == []


def test_a_clock_can_be_what_is_monitored(project: Project) -> None:
    code, out, err = project(
        "sweep --name s --space.data.num_workers [0] --monitor epoch_seconds", TINY
    )
    assert (code, err) == (0, "") and "epoch_seconds" in out
    assert 0 < results()[0]["value"] < 60


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_what_is_drawn_depends_on_the_seed_and_the_trials_before(sampler: str) -> None:
    drawn = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        words = f'--name {name} --sampler {sampler} --sampler.seed {seed} --trials 14 {LR} {{"low":1e-4,"high":0.1,"log":true}}'
        plan = read_plan(read_arguments("sweep", words.split(), (), (*GROUPS, *KEYS)))
        values: list[float] = []
        for half in (7, 14):  # as if by two commands, one after the other
            storage = JournalFile(Path(f"{name}.log"))
            study = Study(plan, storage, "val/loss", "minimize")
            while len(values) < half:
                order = study.claim()
                assert order is not None
                values.append(float(order.parameters["model.optimizer.lr"] or 0))
                study.ended(order, Outcome("complete", value=abs(values[-1] - 0.01)))
            storage.close()
        assert study.is_over()
        drawn[name] = values
    assert len(set(drawn["a"])) == 14
    assert drawn["a"] == drawn["b"] and not set(drawn["a"]) & set(drawn["c"])


# ---------------------------------------------------------------------- kills and signals


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that need not import torch once more."""
    monkeypatch.setattr(workers, "START", "fork")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grid, 2 workers", "tpe and asha"])
def test_a_sweep_killed_at_random_ends_like_the_undisturbed_one(
    name: str, forking: None, tmp_path: Path
) -> None:
    seconds = undisturbed(name, tmp_path / "whole", trials=4)
    assert killed(name, tmp_path / "killed", seconds, random.Random(name), 3, trials=4) > 0
    assert unlike(tmp_path / "whole", tmp_path / "killed") == []


@pytest.mark.slow
@pytest.mark.parametrize("name, stop", [("tpe and asha", "SIGINT"), ("grid, 2 workers", "SIGTERM")])
def test_a_signal_stops_a_sweep_and_the_same_command_continues_it(
    name: str, stop: str, forking: None, tmp_path: Path
) -> None:
    root, output, number = tmp_path / "stopped", tmp_path / "stopped.txt", getattr(signal, stop)
    parent = start(command(name, root, 2), output)
    while not list(root.glob("s/*/checkpoints/step-*.ckpt")):
        time.sleep(0.01)
    os.kill(parent, number)
    assert wait(parent, 30) == 128 + number
    assert "the same command continues the sweep" in output.read_text()
    states = [json.loads(path.read_text())["state"] for path in root.glob("s/*/run.json")]
    assert set(states) <= {"interrupted", "finished"}
    assert wait(start(command(name, root, 2), output), 120) == 0
    assert [row["state"] for row in results(root / "s")] == ["complete"] * 2 or "asha" in name


@pytest.mark.slow
def test_a_worker_that_dies_again_and_again_ends_its_trial_only(
    forking: None, project: Project, monkeypatch: Any
) -> None:
    from project.networks.lenet import LeNet

    forward = LeNet.forward

    def fatal(self: Any, *inputs: Any) -> Any:
        if self.training and "lr=0.2" in os.environ.get("ENGINE_RUN_FOLDER", ""):
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(self, *inputs)

    monkeypatch.setattr(LeNet, "forward", fatal)
    code = wait(
        start(f"sweep --name s --workers 2 {LR} [0.1,0.2,0.3] {TINY}".split(), Path("out.txt")), 120
    )
    assert code == 0, Path("out.txt").read_text()
    assert [row["state"] for row in results()] == ["complete", "complete", "failed"]
    assert "its process died 5 times at the same place" in results()[-1]["reason"]


@pytest.mark.slow  # each imports torch
def test_workers_are_processes_that_import_torch_themselves_and_leave_nothing_behind() -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    words = f"sweep --name s {LR} [0.1,0.01] --workers 2 {TINY}".split()
    done = subprocess.run(
        [sys.executable, "-m", "project", *words],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["state"] for row in results()] == ["complete", "complete"]


# ---------------------------------------------------------------------- many machines


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_two_machines_share_a_sweep_through_postgresql(tmp_path: Path) -> None:
    words = f"sweep --name s {LR} [0.1,0.2,0.3,0.4] {TINY} --run.save_every 1".split()
    with server() as address:
        roots = [tmp_path / "one", tmp_path / "other"]
        outputs = [tmp_path / "one.txt", tmp_path / "other.txt"]
        commands = [[*words, "--storage", address, "--run.root", str(root)] for root in roots]
        first, second = (
            start(argv, output) for argv, output in zip(commands, outputs, strict=True)
        )
        while not list(roots[0].glob("s/*/metrics.csv")):
            time.sleep(0.01)
        os.kill(
            first, signal.SIGKILL
        )  # its trial is run by the other, from the beginning: it has no such folder
        wait(first)
        assert wait(second, 120) == 0, outputs[1].read_text()
        assert wait(start(commands[0], outputs[0]), 120) == 0, outputs[0].read_text()
    both = [results(root / "s") for root in roots]
    assert both[0] == both[1] and [row["state"] for row in both[0]] == ["complete"] * 4
    begun = [
        sorted(path.parent.name for path in root.glob("s/[0-9]*/results.json")) for root in roots
    ]
    assert sorted(begun[0] + begun[1]) == sorted(Path(row["folder"]).name for row in both[0]), (
        "each trial was finished once"
    )


# ---------------------------------------------------------------------- memory


@pytest.mark.slow
def test_memory_stays_flat_over_many_trials(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import project.engine.sweeps.trial as module

    run_trial, used = module.run_trial, []

    def measured(*arguments: Any) -> Any:
        outcome = run_trial(*arguments)
        used.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
        return outcome

    monkeypatch.setattr(module, "run_trial", measured)
    code, _, _ = project("sweep --name s --space.seed_everything [0,1,2,3,4,5,6,7,8,9,10,11]", TINY)
    assert code == 0 and len(used) == 12
    assert max(used[6:]) - max(used[:6]) < 8e6, (
        "bytes resident; one trial's tensors, optimizer and data are about as much"
    )


# ---------------------------------------------------------------------- the page


@pytest.mark.slow
def test_the_page_shows_trials_differences_and_curves(project: Project) -> None:
    words = f'sweep --name s --sampler random --trials 5 {LR} {{"low":1e-4,"high":0.1,"log":true}} --space.model.net [LeNet,MLP]'
    code, out, err = project(words, TINY.replace("report false", "report true"))
    assert (code, err) == (0, "") and "page      runs/s/sweep.html" in out
    page = Path("runs/s/sweep.html").read_text()
    assert page.count("<svg") == 5 and all(
        row["parameters"]["model.net"] in page for row in results()
    )
    for words in (
        "Optimisation history",
        "Importance",
        "Parallel coordinates",
        "Slices",
        "val/accuracy of the 5 best",
    ):
        assert words in page
    assert "http" not in page.replace("http://www.w3.org", ""), "nothing is fetched"
    assert "mathdefault" not in page


def test_no_page_where_none_is_wanted(project: Project) -> None:
    assert project(f"sweep --name s {LR} [0.1]", TINY)[0] == 0
    assert not Path("runs/s/sweep.html").exists()
