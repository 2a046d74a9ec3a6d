"""Settings under which a run must continue exactly: what is kept differs from one to the next."""

from __future__ import annotations

import json

WATCHED = "--data.batch_size 256 --run.save_every 1 --run.threads 1 --trainer.log_every_n_steps 2"
TINY = f"{WATCHED} --run.tensorboard false"
MLP = "--model.net MLP --model.net.hidden [16] --model.net.dropout 0.2"
PICTURES = "--data.size 12 --model.net LeNet"
EMA = '--trainer.callbacks [{"class_path":"EMAWeightAveraging","init_args":{"decay":0.9}}]'
SWA = '--trainer.callbacks [{"class_path":"project.engine.runs.averaging.SWA","init_args":{"start":1}}]'
GROUPS = '--model.groups [{"match":".*bias","lr":0.01,"weight_decay":0}] --model.schedule StepLR --model.schedule.step_size 1'
UNFREEZING = '--model.groups [{"match":"layers.0.*","freeze_until":1}]'
SEVERAL = '--model.groups [{"match":"Linear.weight","optimizer":{"class_path":"Muon","init_args":{"lr":0.02}}}]'
STOPPING = '--trainer.callbacks [{"class_path":"EarlyStopping","init_args":{"monitor":"val/loss","patience":9}}]'


def callback(name: str, **init: object) -> str:
    """One of Lightning's callbacks by name."""
    value = json.dumps([{"class_path": name, "init_args": init}], separators=(",", ":"))
    return f"--trainer.callbacks {value}"


SETTINGS = {
    "epoch end": "",
    "cosine by step": "--model.schedule Cosine --model.schedule.warmup 2",
    "one cycle": "--model.schedule OneCycle --model.schedule.max_lr 0.01",
    "validation in mid epoch": "--trainer.val_check_interval 2",
    "validation across epochs": "--trainer.val_check_interval 3 "
    "--trainer.check_val_every_n_epoch null",
    "every second epoch": "--trainer.check_val_every_n_epoch 2 --trainer.max_epochs 3 "
    "--model.schedule Plateau --model.schedule.patience 0",
    "accumulation": "--trainer.accumulate_grad_batches 2",
    "plateau by epoch": "--model.schedule Plateau --model.schedule.patience 0 "
    "--trainer.max_epochs 3",
    "schedule by epoch": "--model.schedule StepLR --model.schedule.step_size 1",
    "augmentation": "--data.size 12 --data.augment [Crop,Affine,Cutout] --model.net LeNet",
    "averaged weights": EMA,
    "averaged weights by epoch": SWA + " --trainer.max_epochs 3",
    "parameter groups": GROUPS,
    "unfreezing": UNFREEZING + " --trainer.max_epochs 3",
    "several optimizers": SEVERAL + " --model.schedule Cosine",
    "early stopping": STOPPING,
    "max_steps": "--trainer.max_steps 7 --trainer.max_epochs 5",
    "limited batches": "--trainer.limit_train_batches 3 --trainer.limit_val_batches 1",
    "balanced sampling": "--data.balance true",
    "loader workers": "--data.num_workers 1",
    "everything watched": "--run.tensorboard true --run.print_every 2 --data.size 12 "
    "--data.augment [Crop] --model.net LeNet",
    "drop last": "--data.drop_last true",
    "means and deviations": "--data Numbers --model Regression --model.loss GaussianNLL",
    "two inputs": "--data ImagesAndNumbers --data.augment [Crop] --model.net "
    "ImageAndNumbers --model.net.channels [4]",
}
# Further ones, killed at random by `python -m tests.engine.runs.kills --settings`.
MORE = {
    "chained schedules": "--model.schedule Chain --model.schedule.schedules "
    '[{"class_path":"Linear"},{"class_path":"StepLR","init_args":{"step_size":2}}] '
    "--model.schedule.milestones [3]",
    "warm restarts": "--model.schedule WarmRestarts --model.schedule.T_0 4",
    "lambda schedule": "--model.schedule Lambda --model.schedule.factor 1/(1+step)",
    "momentum": "--model.optimizer SGD --model.optimizer.lr 0.05 --model.optimizer.momentum 0.9 "
    "--model.optimizer.nesterov true",
    **{
        f"optimizer {name}": f"--model.optimizer {name}"
        for name in ("NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "ASGD")
    },
    "optimizer Adafactor": "--model.optimizer Adafactor --data.augment [] ",
    "optimizer LBFGS": "--model.optimizer LBFGS --model.optimizer.max_iter 3",
    "optimizer Rprop": "--model.optimizer Rprop",
    "mixup": f"{PICTURES} --data.augment [Crop,Mixup]",
    "cutmix": f"{PICTURES} --data.augment [CutMix]",
    "bfloat16": "--trainer.precision bf16-mixed",
    "double": "--trainer.precision 64-true",
    "gradient clipping": "--trainer.gradient_clip_val 0.5",
    "clipping by value": "--trainer.gradient_clip_val 0.1 --trainer.gradient_clip_algorithm value",
    "batch norm": "--data.size 12 --model.net CNN --model.net.batch_norm true",
    "initial weights": '--model.init [{"match":"Linear.weight","init":"kaiming_normal"}]',
    "yes or no": "--model.positive [1,3,5] --model.loss BCEWithLogits",
    "metric learning": "--data.size 12 --model MetricLearning",
    "ranking": "--data Numbers --model Ranking",
    "strings": "--data DigitStrings --model Transcription --data.strings 600",
    "loaders made again": "--trainer.reload_dataloaders_every_n_epochs 1",
    "averaged and accumulated": EMA + " --trainer.accumulate_grad_batches 2",
    "callback LearningRateMonitor": callback("LearningRateMonitor", logging_interval="step")
    + " --run.tensorboard true",
    "callback GradientAccumulationScheduler": callback(
        "GradientAccumulationScheduler", scheduling={"0": 1, "1": 2}
    ),
    "callback ModelCheckpoint": callback("ModelCheckpoint", dirpath="more", save_top_k=-1),
    "callback ModelSummary": callback("ModelSummary", max_depth=2),
    "callback Timer": callback("Timer", duration="00:01:00:00"),
    "callback TQDMProgressBar": callback("TQDMProgressBar", refresh_rate=5),
    "callback OnExceptionCheckpoint": callback("OnExceptionCheckpoint", dirpath="more"),
    "callback ModelPruning": callback("ModelPruning", pruning_fn="l1_unstructured", amount=0.2),
    "callback StochasticWeightAveraging": callback("StochasticWeightAveraging", swa_lrs=0.01),
}


def command(setting: str) -> str:
    """The words of `fit` for a setting, a few seconds of training."""
    words = (SETTINGS | MORE)[setting]
    own_net = any(word in words for word in ("--model.net", "--model Tr", "--model Metric"))
    return " ".join(
        [
            "fit",
            WATCHED if "tensorboard" in words else TINY,
            "" if own_net else MLP,
            "" if "max_epochs" in words else "--trainer.max_epochs 2",
            words,
        ]
    )
