"""The task every other derives from: it turns batches into losses and metrics, and knows nothing of
where they come from.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import Metric

from ..building.groups import GroupRule, OptimizerFactory, freeze
from ..building.initialisation import InitRule, initialise
from ..building.layers import fitted_layers
from ..building.losses import check_options
from ..building.metrics import MetricChoice, built
from ..building.optimizers import build_optimizer, sparse_parameters
from ..building.schedules import build_schedule, steps_every
from ..building.weights import take_weights
from ..errors import UserError, clip, raised_in
from ..formats import better
from ..randomness import run_seed, seeded
from ..ranks import of_each_rank, of_this_rank
from ..registry import marks
from ..spec import Batch, DataSpec, Inputs, as_tuple
from ..targets import TARGETS
from .answering import Answering
from .metrics import MetricAccumulator
from .monitors import check_monitors
from .network import Network

NetworkFactory = Callable[[DataSpec], Network]
ScheduleFactory = Callable[[Optimizer], LRScheduler]

STAGES = ("train", "val", "test")


class Task(Answering, L.LightningModule, ABC):
    """A network, a loss and how they are trained.

    A task of your own writes `step` and `metrics`, and says what it monitors.

    Args:
        net: The network, built when the data is known.
        loss: Compares predictions with targets.
        optimizer: Changes the weights.
        schedule: Changes the learning rate; null keeps it constant.
        init: Rules for the first weights; the first that matches a parameter sets it, the others
            keep their layer's.
        groups: Rules for groups of parameters with rates, decay or optimizers of their own, or
            frozen.
        interval: Step the schedule after every "step" or "epoch"; null means what suits the
            schedule.
        metrics: Further metrics by name, beside the task's own.
        monitor: The metric that the best checkpoint, Plateau and early stopping look at; null means
            the task's own.
        monitor_mode: Whether it should become as small ("min") or as large ("max") as possible;
            null means small for losses and errors.
    """

    default_monitor = ("val/loss", "min")
    wanted_target = ""  # the kind of target for data that could be of several
    answers_targets = True  # predictions can be compared with targets by any metric of their kind
    report: str | None = None  # the section of a report for its predictions; null: its target's

    def __init__(
        self,
        net: NetworkFactory,
        loss: nn.Module,
        optimizer: OptimizerFactory = torch.optim.AdamW,
        schedule: ScheduleFactory | None = None,
        init: list[InitRule] | None = None,
        groups: list[GroupRule] | None = None,
        interval: Literal["step", "epoch"] | None = None,
        metrics: list[MetricChoice] | None = None,
        monitor: str | None = None,
        monitor_mode: Literal["min", "max"] | None = None,
    ) -> None:
        super().__init__()
        self.make_net, self.make_optimizer = net, optimizer
        self.loss = copy.deepcopy(
            loss
        )  # a default is shared by all tasks, and class weights are written into it
        self.make_schedule, self.interval = schedule, interval
        self.init_rules, self.group_rules = list(init or ()), list(groups or ())
        self.metric_choices = list(metrics or ())
        own, mode = self.default_monitor
        self.monitor = monitor or own
        self.mode = monitor_mode or (mode if self.monitor == own else better(self.monitor))
        self.spec: DataSpec | None = None
        self.preprocessing: dict[str, Any] = {}
        self.config = ""
        self.latest: dict[str, float] = {}
        self._rows_at = -1
        self._train_figures: dict[str, Tensor] = {}
        self._rates: list[Any] = []

    # ------------------------------------------------------------------ what a task writes

    @abstractmethod
    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The mean loss of a batch, its predictions and its targets as the metrics want them: (),
        (B, ...), (B, ...).
        """

    @abstractmethod
    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        """A fresh metric of torchmetrics for each name."""

    def adapt(self, spec: DataSpec) -> DataSpec:
        """The description the network is built from; the place to refuse data this task has no use
        for.
        """
        return spec

    def expected_answer(self, spec: DataSpec) -> tuple[int | None, ...]:
        """The shape of the network's answer to one sample, None for any length; further dimensions
        are not looked at.
        """
        return (spec.outputs,)

    def predicted_classes(self, predictions: Tensor) -> Tensor | None:
        """Predictions (B, ...) as class numbers of the targets' shape; None where no class is
        chosen.
        """
        return None

    def per_sample_loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """How wrong each prediction is, the more the worse: (B, ...) both to (B,) float32; NaN
        where nothing tells.
        """
        return torch.full((len(predictions),), torch.nan)

    def to_columns(self, predictions: Tensor) -> dict[str, list[Any]]:
        """Predictions as columns for people: (B, ...) to name -> B values."""
        return {"prediction": predictions.tolist()}

    def target_columns(self, targets: Tensor) -> list[Any]:
        """Targets as people write them: (B, ...) to B values."""
        assert self.spec is not None
        return TARGETS[self.spec.target].write(self.spec.names, targets)

    def load_dependencies(self, load: Callable[[str], Task]) -> None:
        """Take what training needs of other runs, whose trained tasks `load` gives; called before
        it begins or continues.
        """

    # ------------------------------------------------------------------ building

    def configure_model(self) -> None:
        """Called by Lightning when the data is set up, before any weights are restored."""
        if self.spec is None:
            data = getattr(self.trainer, "datamodule", None)
            if data is None:
                raise UserError(
                    "a task needs a datamodule to know what to build: trainer.fit(task, "
                    "datamodule=...)"
                )
            self.build(data.spec, data.preprocessing)
            self.load_pretrained()
            self.look_at(data)
        check_monitors(self)

    def build(self, spec: DataSpec, preprocessing: dict[str, Any] | None = None) -> None:
        """Build the network and the metrics for data of this description; the weights depend on the
        seed alone.
        """
        check_options(self.loss)
        self.spec, self.preprocessing = self.adapt(spec), preprocessing or {}
        with seeded(run_seed(), "weights"):
            self.net = self._made_net(self.spec)
            self.initialised = initialise(self.net, self.init_rules)
        freeze(self.net, self.group_rules)
        self.layers = fitted_layers(self.net, self.spec, self.expected_answer(self.spec))
        if any(parameter.ndim == 4 for parameter in self.net.parameters()):
            self.net.to(memory_format=torch.channels_last)
        # A module may not be called "train": that is a method of Module.
        self.accumulators = nn.ModuleDict(
            {f"{stage}_": MetricAccumulator(self.all_metrics()) for stage in STAGES}
        )

    def all_metrics(self) -> dict[str, Metric]:
        """Fresh metrics, the task's own and those that the config names."""
        assert self.spec is not None
        own = dict(self.metrics(self.spec))
        if self.metric_choices and not self.answers_targets:
            raise UserError(f"`model.metrics`: {type(self).__name__} has its own: {', '.join(own)}")
        return own | built(self.metric_choices, ("loss", *own), self.spec, self.standardised)

    def standardised(self, values: Tensor) -> Tensor:
        """Numbers in the target's units as the loss sees them: (B, K) to (B, K)."""
        return values

    def _made_net(self, spec: DataSpec) -> Any:
        try:
            return self.make_net(spec)
        except (ValueError, RuntimeError, TypeError) as error:
            if isinstance(error, UserError) or not raised_in(error, "torch"):
                raise
            raise UserError(f"`model.net`: {clip(error, 200)}") from error

    def metric_names(self) -> set[str]:
        """The names of everything this task reports; a task that logs more of its own adds their
        names.
        """
        return {
            f"{stage}/{name}"
            for stage in STAGES
            for name in ("loss", *self.accumulator(stage).metrics)
        }

    def load_pretrained(self) -> None:
        """Take weights made elsewhere, where the network has an option for that."""
        for how, names in self.net.load_pretrained().items():
            self._note(how, names)

    def load_weights(
        self, state: Mapping[str, Tensor], fresh: str | None = None, source: str = "weights"
    ) -> None:
        """Take the weights of another run, but for those that the pattern `fresh` matches.

        Raises:
            UserError: they do not fit this network.
        """
        weights = {
            name.removeprefix("net."): value
            for name, value in state.items()
            if name.startswith("net.")
        }
        self._note(source, take_weights(self.net, weights, fresh, source))

    def _note(self, how: str, names: list[str]) -> None:
        """Remember what set these parameters, and that it was nothing before."""
        before = {
            rule: [name for name in taken if name not in names]
            for rule, taken in self.initialised.items()
        }
        self.initialised = {rule: taken for rule, taken in before.items() if taken} | {how: names}

    def forward(self, inputs: Inputs) -> Tensor:
        # Lightning converts a batch before it is prepared, and preparation makes float32 of any
        # image.
        return self.net(
            *(
                part.to(self.dtype) if part.is_floating_point() else part
                for part in as_tuple(inputs)
            )
        )

    def accumulator(self, stage: str) -> MetricAccumulator:
        accumulator = self.accumulators[f"{stage}_"]
        assert isinstance(accumulator, MetricAccumulator)
        return accumulator

    # ------------------------------------------------------------------ training

    def for_members(self, batch: Batch) -> Batch:
        """A batch with targets for each member of an ensemble, which are trained one by one."""
        if self.net.members == 1:
            return batch
        return batch._replace(targets=batch.targets.repeat_interleave(self.net.members, 0))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss, predictions, targets = self.step(self.for_members(batch))
        self.accumulator("train").add(loss, predictions, targets)
        return loss

    def on_train_start(self) -> None:
        self._rows_at = self.trainer.global_step
        # an epoch that is resumed in its middle has no start of its own
        self.on_train_epoch_start()

    def on_train_epoch_start(self) -> None:
        freeze(self.net, self.group_rules, self.trainer.current_epoch)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Every n optimizer steps, one row for the loggers: the only time that values leave the
        device.
        """
        trainer: Any = self.trainer
        step, accumulator = trainer.global_step, self.accumulator("train")
        if step != self._rows_at and step % trainer.log_every_n_steps == 0:
            self._rows_at = step
            self._write_row(
                {f"train/{name}": value for name, value in accumulator.flush().items()}
                | self.rates()
            )
        elif accumulator.is_full:
            accumulator.flush()

    def train_metrics(self) -> dict[str, Tensor]:
        """The metrics of the epoch that has just ended, reduced over all processes when they are
        first asked for.
        """
        if not self._train_figures:
            self._train_figures = {
                f"train/{name}": value
                for name, value in self.accumulator("train").compute().items()
            }
        return self._train_figures

    def on_train_epoch_end(self) -> None:
        self.log_dict(self.train_metrics(), logger=False)
        self._train_figures = {}

    def _write_row(self, values: Mapping[str, Any]) -> None:
        """A row for every logger, past self.log: that would cost a quarter of a millisecond in
        every step.
        """
        row = {name: float(value) for name, value in values.items()}
        self.latest.update(row)
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **row}, self.global_step)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def rates(self) -> dict[str, float]:
        """The learning rate that each parameter group last stepped with; its schedule may have
        moved on since then.
        """
        groups = [
            group for optimizer in self.trainer.optimizers for group in optimizer.param_groups
        ]
        rates = self._rates or [group["lr"] for group in groups]
        if len(groups) == 1:
            return {"lr": float(rates[0])}
        return {
            f"lr/{group.get('name', i)}": float(rate)
            for i, (group, rate) in enumerate(zip(groups, rates, strict=True))
        }

    # ------------------------------------------------------------------ evaluation

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        _, predictions, targets = self.step(batch)
        return {"ids": batch.ids, "predictions": predictions, "targets": targets}

    def _evaluate(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        loss, predictions, targets = self.step(batch)
        accumulator = self.accumulator(stage)
        accumulator.add(loss, predictions, targets)
        if accumulator.is_full:
            accumulator.flush()
        return {"ids": batch.ids, "predictions": predictions, "targets": targets}

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def _log_evaluation(self, stage: str) -> None:
        values = {
            f"{stage}/{name}": value for name, value in self.accumulator(stage).compute().items()
        }
        in_fit = self.trainer.state.fn == "fit"
        self.log_dict(values, logger=False if in_fit else None)  # else the Trainer returns them
        if in_fit:
            self._write_row(values)

    # ------------------------------------------------------------------ optimizer and schedule

    def build_optimizer(self, fused_allowed: bool = True) -> Optimizer:
        """The optimizer over the groups of this network's parameters."""
        return build_optimizer(self.make_optimizer, self.net, self.group_rules, fused_allowed)

    def configure_optimizers(self) -> dict[str, Any]:
        trainer: Any = self.trainer
        # Lightning refuses to clip gradients inside a fused optimizer under mixed precision.
        optimizer = self.build_optimizer(
            not (trainer.gradient_clip_val and "mixed" in str(trainer.precision))
        )
        model = trainer.strategy.model
        later = any(rule.freeze_until for rule in self.group_rules)
        if (
            later
            and isinstance(model, DistributedDataParallel)
            and not model.find_unused_parameters
        ):
            raise UserError(
                "`model.groups`: freeze_until asks for `trainer.strategy` "
                "ddp_find_unused_parameters_true"
            )
        if trainer.gradient_clip_algorithm == "value" and sparse_parameters(self.net):
            raise UserError(
                "`trainer.gradient_clip_algorithm` value: torch cannot do that with sparse "
                "gradients; norm it can"
            )
        if self.make_schedule is None:
            return {"optimizer": optimizer}
        schedule = build_schedule(self.make_schedule, optimizer, self.length)
        settings: dict[str, Any] = {
            "scheduler": schedule,
            "interval": self.interval or steps_every(schedule),
            "name": "schedule",
        }
        if isinstance(schedule, ReduceLROnPlateau):
            every = (
                trainer.check_val_every_n_epoch
            )  # None: validations are counted in steps, not in epochs
            settings |= {
                "monitor": self.monitor,
                "frequency": every or 1,
                "strict": every is not None,
            }
        return {"optimizer": optimizer, "lr_scheduler": settings}

    def length(self) -> int:
        """How often a schedule moves in the whole run: the optimizer steps, or the epochs where
        `interval` says so.

        Raises:
            UserError: the run has no end.
        """
        by_epoch = self.interval == "epoch"
        length = (
            self.trainer.max_epochs or -1 if by_epoch else self.trainer.estimated_stepping_batches
        )
        if length in (-1, float("inf")):
            limit = "`trainer.max_epochs`" if by_epoch else "`trainer.max_epochs` or max_steps"
            raise UserError(
                f"the schedule follows the length of the run, which has none: set {limit}"
            )
        return int(length)

    # ------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert self.spec is not None
        checkpoint |= marks()
        checkpoint["spec"] = self.spec.to_dict()
        checkpoint["preprocessing"] = self.preprocessing
        checkpoint["config"] = self.config
        checkpoint["pending"] = of_each_rank(list(self.accumulator("train").pending))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        accumulator = self.accumulator("train")
        for loss, predictions, targets in of_this_rank(checkpoint["pending"]):
            accumulator.add(
                loss.to(self.device), predictions.to(self.device), targets.to(self.device)
            )
