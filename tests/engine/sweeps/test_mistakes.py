"""A mistake in a sweep is one line that names the key of the space and the way out; nothing is
written or lost.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Project

LR = "--space.model.optimizer.lr"
RANGE = f'{LR} {{"low":1e-5,"high":1,"log":true}}'
FILES = {
    "typo.yaml": "space: {model.optimizer.lrr: [0.1]}\n",
    "value.yaml": "space: {model.optimizer.lr: [0.1, fast]}\n",
    "base.yaml": "config: nowhere.yaml\nspace: {model.optimizer.lr: [0.1]}\n",
    "many.yaml": "space: {model.optimizer.lr: [0.1]}\nworkers: many\n",
    "sampler.yaml": "space: {model.optimizer.lr: [0.1]}\nsampler: {name: tpe}\n",
    "journal.log": "no journal\n",
}

# command line -> what the line must say
MISTAKES = {
    "": "--space: nothing varies; --space.model.optimizer.lr '[0.1, 0.01]'",
    "--epochs 3": "--epochs: unknown option",
    "--config missing.yaml": "--config missing.yaml: No such file",
    # keys and values of the space, as fit would say it
    "--config typo.yaml": "typo.yaml: space.model.optimizer.lrr: AdamW has no such argument; did "
    "you mean lr?",
    "--config value.yaml": "value.yaml: space.model.optimizer.lr: expected a number, got 'fast'",
    "--config base.yaml": "nowhere.yaml: No such file",
    "--config many.yaml": "many.yaml: workers: expected a whole number above 0, got 'many'",
    "--config sampler.yaml": "sampler.yaml: sampler: expected a name (grid, random,",
    f"{LR}r [0.1]": "--space.model.optimizer.lrr: AdamW has no such argument; did you mean lr?",
    f"{LR} [0.1,fast]": "--space.model.optimizer.lr: expected a number, got 'fast'",
    "--space.model.optimizer [SGD,Admw]": "--space.model.optimizer: unknown optimizer 'Admw'; "
    "did you mean AdamW",
    "--space.model.optimizer [SGD,AdamW] --space.model.optimizer.momentum [0.9]": (
        "--space.model.optimizer.momentum: AdamW has no such argument"
    ),
    "--space.data.batch_size [32,0]": "--space.data.batch_size: expected a whole number above 0, "
    "got '0'",
    "--space.trainer.max_epoch [1]": "--space.trainer.max_epoch: unknown key; did you mean "
    "max_epochs",
    "--space.modl.lr [1]": "--space.modl.lr: not an option of fit; did you mean model?",
    "--space.name [a,b]": "--space.name: name says where a run lies",
    # its form
    f"{LR} 0.1": "--space.model.optimizer.lr: expected values, as in [0.1, 0.01], or a range",
    f"{LR} []": "an empty list",
    f"{LR} [0.1,0.1]": "the value 0.1 stands there twice",
    f"{LR} [0.1": "--space.model.optimizer.lr:1: not YAML",
    f"{LR} {{low:1,high:2}}": "a colon needs a space behind it",
    f'{LR} {{"low":1,"high":0.1}}': "low 1 is not below high 0.1",
    f'{LR} {{"low":0,"high":1,"log":true}}': "a log scale starts above 0",
    f'{LR} {{"low":0,"high":1,"step":2}}': "expected a step between 0 and high - low",
    f'{LR} {{"low":0,"high":1,"stp":2}}': "--space.model.optimizer.lr.stp: unknown",
    # sampler, pruner, numbers
    f"{RANGE} --sampler grid": "a grid needs values or a step",
    f"{RANGE}": "the tpe sampler has no end of its own; --trials 30",
    f"{RANGE} --trials 0": "--trials: expected a whole number above 0, got '0'",
    f"{RANGE} --trials 2 --sampler tpee": "--sampler: unknown sampler 'tpee'; did you mean tpe",
    f"{RANGE} --trials 2 --sampler.startup 3": "--sampler.startup: TPESampler has no such "
    "argument; did you mean n_startup_",
    f"{RANGE} --trials 2 --sampler cmaes": "--sampler: cmaes cannot draw from this space: No "
    "module named 'cmaes'",
    f"{RANGE} --trials 2 --pruner medan": "--pruner: unknown pruner 'medan'; did you mean median",
    f"{RANGE} --trials 2 --pruner asha --pruner.min_resource 0": "--pruner: The value of "
    "`min_resource` is 0",
    f"{LR} [0.1] --trials 2": "2 trials of a grid of 1",
    f"{LR} [0.1] --monitor val/acuracy": "--monitor: nothing reports 'val/acuracy'; did you mean "
    "val/accuracy",
    f"{LR} [0.1] --monitor train/accuracy": "the direction of train/accuracy is not known: "
    "--direction minimize or maximize",
    f"{LR} [0.1] --direction up": "--direction: expected one of minimize, maximize, got 'up'",
    # what does not fit together, and the machine
    f"{LR} [0.1] --data.size 4": "LeNet needs images of at least 8x8",
    f"{LR} [0.1] --data MNIST --data.root nowhere --data.download false": "nowhere/MNIST/raw",
    f"{LR} [0.1] --trainer.devices 2": "a trial takes one device; --workers runs several trials",
    "--space.trainer.devices [1,2]": "a trial takes one device; --workers runs several trials",
    # storage
    f"{LR} [0.1] --storage mysql://x/y": "expected a file, or postgresql://user@host/database",
    f"{LR} [0.1] --storage postgresql://me:secret@127.0.0.1:1/x": "postgresql://me:***@127.0.0.1:1/x: connection failed",
    f"{LR} [0.1] --storage .": "a folder; expected a file",
    f"{LR} [0.1] --storage no/journal.log": "there is no folder no",
    f"{LR} [0.1] --storage journal.log": "journal.log:1: damaged; 'no journal'",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    words: str, project: Project, tmp_path: Path
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    code, _, err = project("sweep", words, "--run.threads 1")
    assert MISTAKES[words] in err
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "runs").exists()
    assert {name: (tmp_path / name).read_text() for name in FILES} == FILES
