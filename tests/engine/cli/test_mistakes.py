"""A mistake in a command line is one line on stderr that names the thing and the way out, and exit
code 2.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from project.__main__ import main
from tests.conftest import Project

TINY = "--data.size 12 --run.tensorboard false --run.threads 1 --trainer.max_epochs 1"

# The files that stand in the folder where the commands are given.
FILES = {
    "good.yaml": "data: {class_path: Digits, init_args: {size: 12}}\ntrainer: {max_epochs: 1}\n",
    "twice.yaml": "trainer: {max_epochs: 1}\ntrainer: {max_epochs: 2}\n",
    "broken.yaml": "trainer: {max_epochs: 1\nmodel: [",
    "typo.yaml": "model: {class_path: Classification, init_args: {net: {class_path: LeNet, "
    "init_args: {drpout: 0.1}}}}\n",
    "type.yaml": "model: {class_path: Classification, init_args: {optimizer: {class_path: Adam, "
    "init_args: {lr: fast}}}}\n",
    "beside.yaml": "data: {class_path: Digits, batch_size: 7}\n",
    "list.yaml": "- a\n- b\n",
    "group.yaml": "training: {epochs: 3}\n",
    "object.yaml": "data: !!python/object/apply:os.system [ls]\n",
    "evil.yaml": "model: {class_path: Classification, init_args: {net: os.system}}\n",
    "bomb.yaml": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
    "brackets.yaml": "a: " + "[" * 5000,
    "merged.yaml": "run: &a {threads: 1}\ntrainer: {<<: *a, max_stepz: 3}\n",
    "AlexNet": "a file with the name of a class",
    "junk.ckpt": "not a checkpoint",
}

# command line -> what the line must say
MISTAKES = {
    # commands and options
    "ftt": "unknown command 'ftt'; did you mean fit?",
    "list nets": "did you mean networks?",
    "fit max_epochs=3": "'max_epochs=3': expected --KEY VALUE",
    "fit --epochs 3": "--epochs: unknown option",
    "fit --trainer.max_epochs": "--trainer.max_epochs needs a value",
    "fit --trainer.max_epochs 1 --trainer.max_epochs 2": "--trainer.max_epochs is given twice: "
    "'1' and '2'",
    "fit --output p.csv": "--output does not belong to fit",
    "test": "test needs --ckpt_path",
    "lr-find --steps few": "--steps: expected a number, got 'few'",
    "lr-find --steps 3": "--steps 3: expected a number of at least 20",
    "lr-find --min_lr 0.1 --max_lr 0.01": "--max_lr 0.01: expected a number of at least 0.2",
    "lr-find --output curve.jpg": "--output curve.jpg: expected the name of a picture, as in "
    "lr-find.png",
    "lr-find --output no/curve.png": "--output no/curve.png: there is no folder no",
    "lr-find --model.optimizer SGD --model.optimizer.lr 0": "--model.optimizer.lr: SGD has no "
    "rate above 0",
    "batch-size --min_batch 0": "--min_batch 0: expected a number of at least 1",
    "batch-size --min_batch 5000": "--min_batch 5000: the training split has 1,258 samples",
    "batch-size --max_batch 4": "--max_batch 4: expected a number of at least 8",
    "batch-size --rounds two": "--rounds: expected a number, got 'two'",
    "kfold --folds 1": "--folds 1: expected a number of at least 2",
    "kfold --folds many": "--folds: expected a number, got 'many'",
    "kfold --trainer.devices 2": "kfold trains on one device; with more, run the folds one by one",
    "fit --data.fold 2": "--data.fold 2: there are no folds, --data.folds 5",
    "fit --data.folds 3 --data.fold 3": "--data.fold 3: of 3 folds the last is 2",
    "fit --data.folds 1": "--data.fold 0: there are no folds, --data.folds 5",
    "fit --data.folds 5000": "--data.folds 5000: there are only 1797 samples",
    "fit --steps 100": "--steps does not belong to fit",
    "stats --data MNIS": "--data: unknown dataset 'MNIS'; did you mean MNIST?",
    "stats --output p.csv": "--output does not belong to stats",
    # files
    "fit --config missing.yaml": "--config missing.yaml: No such file",
    "fit --config god.yaml": "did you mean good.yaml",
    "fit --config twice.yaml": "twice.yaml:2: not YAML: the key 'trainer' is given twice",
    "fit --config broken.yaml": "broken.yaml:2: not YAML",
    "fit --config list.yaml": "list.yaml: expected keys",
    "fit --config group.yaml": "group.yaml: training: unknown key; did you mean trainer",
    "fit --config typo.yaml": "typo.yaml: model.net.drpout: LeNet has no such argument; did you "
    "mean dropout?",
    "fit --config type.yaml": "type.yaml: model.optimizer.lr: expected a number, got 'fast'",
    "fit --config beside.yaml": "beside.yaml: data.batch_size: stands beside class_path",
    "fit --config object.yaml": "object.yaml:1: not YAML: could not determine a constructor",
    "fit --config evil.yaml": "evil.yaml: model.net: 'os.system' may not be imported",
    "fit --config bomb.yaml": "bomb.yaml: its aliases (*name) make more of it than a config has",
    "fit --config brackets.yaml": "brackets.yaml: nested too deeply",
    "fit --config merged.yaml": "merged.yaml: trainer.threads: unknown key",
    "fit --seed_everything -1": "--seed_everything: expected a number from 0 to 4294967295",
    "fit --seed_everything 99999999999": "--seed_everything: expected a number from 0",
    'fit --model.init [{"match":"(.*.*.*)*z","init":"zeros"}]': "repeats a repetition",
    # keys
    "fit --trainer.max_epoch 3": "--trainer.max_epoch: unknown key; did you mean max_epochs",
    "fit --run.save_evry 3": "did you mean save_every?",
    "fit --model.net.widht 3": "--model.net.widht: LeNet has no such argument",
    "fit --model.net MLP --model.net.hiden [3]": "--model.net.hiden: MLP has no such argument; "
    "did you mean hidden?",
    "fit --data.batchsize 3": "--data.batchsize: Digits has no such argument; did you mean "
    "batch_size",
    # classes
    "fit --model.net LeNett": "--model.net: unknown network 'LeNett'; did you mean LeNet",
    "fit --model.net AlexNet": "'AlexNet' is a class and also a file here",
    "fit --model.optimizer.differentiable true": "--model.optimizer: a leaf Variable that",
    "fit --run.root s3://bucket/runs": "--run.root s3://bucket/runs: only local folders",
    "fit --model.net torch.nn.Linear": "'torch.nn.Linear' is no network",
    "fit --model.net project.engine.cli.fitting.os.system": "is not a class that a config may name",
    "fit --model.net null": "--model.net: expected the name of a network",
    "fit --model.optimizer Adamm": "--model.optimizer: unknown optimizer 'Adamm'; did you mean Adam",
    "fit --model.loss CrossEntroppy": "did you mean CrossEntropy",
    "fit --model.schedule Cosin": "did you mean Cosine",
    "fit --data MNITS": "--data: unknown dataset 'MNITS'; did you mean MNIST?",
    "fit --model Classificaton": "did you mean Classification?",
    "fit --trainer.callbacks EarlyStoping": "did you mean EarlyStopping?",
    # values
    "fit --trainer.max_epochs three": "--trainer.max_epochs: expected a whole number or null, "
    "got 'three'",
    "fit --data.batch_size 0": "--data.batch_size: expected a whole number above 0, got '0'",
    "fit --data.size big": "--data.size: expected a whole number above 0 or null, got 'big'",
    "fit --data.validation 1.5": "--data.validation: expected a number from 0 to 1",
    "fit --data.validation 0.9": "lower --data.validation or --data.test",
    "fit --model.net MLP --model.net.hidden wide": "--model.net.hidden: expected a list, as in "
    "[1,2], got 'wide'",
    "fit --model.optimizer.lr fast": "--model.optimizer.lr: expected a number, got 'fast'",
    "fit --model.optimizer.lr -1": "--model.optimizer: Invalid learning rate: -1.0",
    "fit --model.optimizer SGD --model.optimizer.nesterov true": "--model.optimizer: Nesterov "
    "momentum requires a momentum",
    "fit --model.schedule OneCycle": "--model.schedule: OneCycleLR needs max_lr",
    "fit --data.augment [RandomRotation]": "--data.augment: RandomRotation needs degrees",
    "fit --seed_everything true": "--seed_everything: expected a number",
    "fit --data DigitStrings --data.shortest 9": "error: --data.shortest 9 is more than "
    "--data.longest 6",
    "fit --model.loss MultiMargin --model.loss.p 3": "error: the config cannot be built: only p "
    "== 1 and p == 2 supported",
    "fit --model.loss.reduction none": "--model.loss.reduction none: a batch has one loss, so it "
    "is one of mean, sum",
    "fit --model.loss.weight [1,2]": "--model.loss.weight: 2 numbers, expected 10, for 0, 1, 2, "
    "3, 4, 5, 6, 7, 8, 9",
    "fit --model.positive [3,x]": "--model.positive: unknown class 'x'; classes: 0, 1",
    "fit --model Distillation": "--model: Distillation needs teacher; --model.teacher VALUE",
    "fit --model Distillation --model.teacher nowhere": "checkpoint nowhere: no such file or run "
    "folder",
    "fit --data DigitStrings --data.target count": "Classification needs classes, the target is "
    "a count: --model Regression",
    "fit --model.class_weights yes": "expected one of balanced or null",
    "fit --name a/b": "it names a folder under --run.root",
    # rules
    'fit --model.groups [{"match":"features.*","lrr":0.1}]': "--model.groups.lrr: a rule has no "
    "such key; did you mean lr?",
    'fit --model.groups [{"lr":0.1}]': "--model.groups: the rule {'lr': 0.1} needs match",
    'fit --model.groups {"match":"features.*"}': "--model.groups: expected a list",
    'fit --model.groups [{"match":"features.*","lr":"fast"}]': "--model.groups.lr: expected a "
    "number or null, got 'fast'",
    'fit --model.groups [{"match":"features.*","optimizer":"SDG"}]': "--model.groups.optimizer: "
    "unknown optimizer 'SDG'",
    'fit --model.groups [{"match":"Conv3d.*","lr":0.1}]': "--model.groups: 'Conv3d.*' takes no "
    "parameter",
    'fit --model.init [{"match":"Conv2d.*"}]': "--model.init: the rule {'match': 'Conv2d.*'} "
    "needs init",
    'fit --model.init [{"match":"Linear.weight","init":"xavier_normal","options":{"gain":"rellu"}}]': "Unsupported nonlinearity",
    "fit --fresh classifier.*": "there is no --weights",
    "fit --weights base --fresh head.*": "--fresh: 'head.*' takes no parameter",
    "test --print_init --ckpt_path base": "--print_init does not belong to test",
    # machine
    "fit --trainer.accelerator tpuu": "invalid accelerator name",
    "fit --trainer.devices 99": "--trainer.devices 99: this machine has",
    "fit --trainer.precision bf17": "--trainer.precision: expected one of",
    "fit --trainer.strategy dpp": "invalid strategy name",
    # what does not fit together
    "fit --model Regression": "Regression needs numbers, the target is of kind 'class': --model "
    "Classification",
    "fit --model.loss MSE": "--model.loss MSE is not for a target of kind 'class': use CrossEntropy",
    "fit --model.loss BCEWithLogits": "is for two classes or labels, the data has 10 classes",
    "fit --data.size 4": "LeNet needs images of at least 8x8, the data gives 1x4x4; --data.size 8",
    "fit --model.monitor val/acuracy": "--model.monitor: nothing reports 'val/acuracy'; did you "
    "mean val/accuracy",
    "fit --model.schedule Cosine --trainer.max_epochs -1": "set --trainer.max_epochs or max_steps",
    "fit --model.schedule Cosine --model.interval epoch --trainer.max_epochs -1": "none: set "
    "--trainer.max_epochs\n",
    "fit --data MNIST --data.root nowhere --data.download false": "nowhere/MNIST/raw",
    # checkpoints
    "fit --run empty": "--run empty: no checkpoint to continue from",
    "fit --run https://host/run": "only local folders",
    "fit --run base --model.optimizer.lr 0.5": "--model.optimizer.lr: the run base has '0.001', "
    "now it is '0.5'",
    "fit --run base --data.batch_size 32": "--data.batch_size: the run base has '64'",
    "fit --run base --seed_everything 1": "--seed_everything: the run base has '0'",
    "fit --run base --model.net MLP": "--model.net: the run base has",
    "fit --ckpt_path base/checkpoints/best.ckpt": "it holds weights only; --weights",
    "fit --ckpt_path junk.ckpt": "it is not a checkpoint, or it is damaged",
    "fit --weights base --model.net MLP": "--weights base: they do not fit MLP: it has "
    "layers.0.weight (256, 144), they do not\n",
    "test --ckpt_path nowhere": "no such file or run folder",
    "test --ckpt_path foreign.ckpt": "not written by a run of ours",
    "test --ckpt_path pickle.ckpt": "it holds more than tensors and plain values",
    "test --ckpt_path empty": "no checkpoint in checkpoints/",
    "test --ckpt_path base --data.size 20": "the model was made for inputs of 1x12x12, the test "
    "split has 1x20x20",
    "test --ckpt_path base --model.net MLP": "its weights do not fit MLP",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files above, a run, and checkpoints that are none."""
    folder = tmp_path_factory.mktemp("place")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "empty").mkdir()
    torch.save({"state_dict": {}}, folder / "foreign.ckpt")
    torch.save({"state_dict": torch.nn.Linear(1, 1)}, folder / "pickle.ckpt")
    assert main([*f"fit {TINY} --run".split(), str(folder / "base")]) == 0
    return folder


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_with_a_way_out(
    words: str, place: Path, project: Project, tmp_path: Path
) -> None:
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    new_run = (
        words.startswith("fit --")
        and "--run base" not in words
        and "--ckpt_path" not in words
        and ".yaml" not in words
    )
    given = [
        f"{key} {value}"
        for key, _, value in (pair.partition(" ") for pair in TINY.replace(" --", "|--").split("|"))
    ]
    defaults = (
        " ".join(pair for pair in given if pair.split()[0] not in words.split())
        if new_run and "--run e" not in words
        else ""
    )
    code, _, err = project(words, defaults)
    assert MISTAKES[words] in err
    assert (code, err.count("\n")) == (2, 1)
    assert not list(tmp_path.glob("runs/*/*")), "a refused command leaves no run behind"


NULLS = {  # what a file sets to null -> what is expected there
    "data: {init_args: {test: null}}": "data.test: expected a number from 0 to 1, got null",
    "model: {init_args: {net: {class_path: LeNet, init_args: {dropout: null}}}}": (
        "model.net.dropout: expected a number, got null"
    ),
    "trainer: {accumulate_grad_batches: null}": "expected a whole number, got null",
    "run: {root: null}": "run.root: expected text, got null",
    "run: {save_every: null}": "run.save_every: expected a whole number",
}


@pytest.mark.parametrize("text", NULLS)
def test_null_in_a_file_is_refused_where_a_value_is_needed(
    text: str, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(text + "\n")
    code, _, err = project("fit --config c.yaml")
    assert NULLS[text] in err and (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "runs").exists()
