"""TensorBoard: what a run shows while it goes on, written into its folder at the ends of epochs,
without a trace in the run.

Figures go through `Events`, a logger like any other; pictures, histograms, the graph and the texts
through `Board`. Nothing here draws from a generator of the run or touches its network, so that a
run ends with the same bits with and without it.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import time
import warnings
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_confusion_matrix

from ..errors import clip
from ..randomness import unchanged
from ..spec import IGNORED, as_tuple
from .files import disk_errors
from .folder import RunFolder
from .pictures import confusion_picture
from .predictions import Predictions
from .progress import say
from .records import Epochs

IMAGES, PIXELS = 32, 2**20  # of a batch, the images shown and their pixels together
CLASSES = 64  # in a confusion matrix
BINS = 40


def is_there() -> bool:
    """Whether TensorBoard is installed; says so when it is not."""
    if importlib.util.find_spec("tensorboard") is not None:
        return True
    rank_zero_only(say)(
        "note      TensorBoard is not installed, nothing is written for it: pip install tensorboard"
    )
    return False


class Events(TensorBoardLogger):
    """TensorBoard events in the run folder itself.

    Args:
        folder: The run's.
        step: The checkpoint's step where a run continues, None where it begins.
    """

    def __init__(self, folder: RunFolder, step: int | None) -> None:
        # Readers forget what an earlier file of this run says of later steps: those come again.
        super().__init__(
            str(folder), name="", version="", purge_step=None if step is None else step + 1
        )
        self.folder, self.is_new, self.is_open = folder, step is None, False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """torch's SummaryWriter; Lightning asks for it before training begins."""
        if not self.is_open:
            self.is_open = True
            earlier = sorted(self.folder.path.glob("events.out.tfevents.*"))
            if self.is_new:
                for path in earlier:  # of an attempt that was killed before its first checkpoint
                    path.unlink()
            else:  # readers take files in the order of the second in their names
                latest = int(time.time()) - 1
                for path in reversed(earlier):
                    begin, _, rest = path.name.partition("tfevents.")
                    second, _, rest = rest.partition(".")
                    if int(second) > latest:  # of this very second, or a clock set back
                        path.rename(path.with_name(f"{begin}tfevents.{latest}.{rest}"))
                    latest = min(int(second), latest) - 1
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        with disk_errors(self.folder.path):
            for name, value in metrics.items():
                self.experiment.add_scalar(name, float(value), step)

    @rank_zero_only
    def flush(self) -> None:
        """Everything so far stands in the file; a checkpoint may rely on it."""
        if self.is_open:
            with disk_errors(self.folder.path):
                self.experiment.flush()

    def save(self) -> None:
        """No hparams.yaml: the config is in config.yaml."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self.is_open:
            with contextlib.suppress(OSError):  # of a full disk somebody else has told
                self.experiment.close()


class Board(Callback):
    """Pictures, histograms, the graph and texts for TensorBoard. Its order among the callbacks:
    after Epochs and Predictions.

    Args:
        events: Where they go.
        epochs: Knows the durations.
        predictions: Keeps what the last validation said.
        texts: By name: the config, the command.
        parameters: The settings by which runs are compared.
    """

    def __init__(
        self,
        events: Events,
        epochs: Epochs,
        predictions: Predictions,
        texts: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> None:
        self.events, self.epochs, self.predictions = events, epochs, predictions
        self.texts, self.parameters = texts, parameters
        self.end: Any = None
        self.max_steps = -1

    def state_dict(self) -> dict[str, Any]:
        self.events.flush()
        return {}

    # ------------------------------------------------------------------ once

    def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
        self.max_steps = trainer.max_steps
        if trainer.is_global_zero:
            with disk_errors(self.events.folder.path):
                self._begin(trainer.global_step, module)

    def _begin(self, step: int, module: Any) -> None:
        from torch.utils.tensorboard.summary import hparams

        for name, text in self.texts.items():
            self.events.experiment.add_text(name, text, step + 1)
        # Without a description of the experiment, TensorBoard makes one of all runs, those settings
        # first that differ.
        _, start, self.end = hparams(dict(self.parameters), {})
        if self.events.is_new:
            self.events.experiment.file_writer.add_summary(start)
            self._draw_graph(
                module.net, tuple(torch.zeros(2, *shape) for shape in module.spec.inputs)
            )
        self.events.flush()

    def _draw_graph(self, net: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """The graph of a copy of the network, so that nothing that tracing does is left in it."""
        try:
            with unchanged(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")  # torch means to replace tracing one day
                self.events.experiment.add_graph(copy.deepcopy(net).cpu().eval(), inputs)
        except OSError:
            raise
        except Exception as error:
            say(
                f"note      TensorBoard shows no graph: {type(net).__name__} cannot be traced "
                f"({clip(error)})"
            )

    @rank_zero_only
    def on_train_end(self, trainer: L.Trainer, module: Any) -> None:
        best: Any = trainer.checkpoint_callback
        with disk_errors(self.events.folder.path):
            if best is not None and best.best_model_score is not None:
                self.events.experiment.add_scalar(
                    f"best/{module.monitor}", float(best.best_model_score), trainer.global_step
                )
            self.events.experiment.file_writer.add_summary(self.end)
            self.events.flush()

    # ------------------------------------------------------------------ at some epochs

    def on_train_batch_start(
        self, trainer: Any, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The first training batch as the network sees it, in the epochs 1, 2, 4, 8, ..."""
        if batch_idx or not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch + 1
        images = (
            trainer.datamodule.pictures(as_tuple(batch.inputs)[0])
            if not epoch & (epoch - 1)
            else None
        )
        if images is not None:
            shown = images[: max(1, min(IMAGES, PIXELS // images[0, 0].numel()))]
            with disk_errors(self.events.folder.path):
                self.events.experiment.add_images(
                    "training batch", shown.cpu(), trainer.global_step + 1
                )

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        """The gradients of the epoch's last step."""
        if not (
            trainer.is_last_batch
            or (self.max_steps > 0 and trainer.global_step + 1 == self.max_steps)
        ):
            return
        if trainer.is_global_zero and is_due(trainer.current_epoch + 1, trainer.max_epochs):
            gradients = {
                name: weight.grad
                for name, weight in module.net.named_parameters()
                if weight.grad is not None
            }
            self._draw_histograms("gradients", gradients, trainer.global_step + 1)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        metrics = {
            f"epoch/{name.removeprefix('train/')}": float(value)
            for name, value in module.train_metrics().items()
        }
        if trainer.is_global_zero:
            times = {
                f"epoch/{name.removeprefix('epoch_')}": value
                for name, value in self.epochs.timing.items()
            }
            self.events.log_metrics({**metrics, **times}, trainer.global_step)
        if is_due(trainer.current_epoch + 1, trainer.max_epochs):
            if trainer.is_global_zero:
                self._draw_histograms(
                    "weights", dict(module.net.named_parameters()), trainer.global_step
                )
            self._draw_confusion(trainer, module)

    @torch.no_grad()
    def _draw_histograms(self, group: str, tensors: Mapping[str, Tensor], step: int) -> None:
        with disk_errors(self.events.folder.path):
            for name, tensor in tensors.items():
                if (found := histogram(tensor)) is not None:
                    self.events.experiment.add_histogram_raw(
                        f"{group}/{name}", **found, global_step=step
                    )

    def _draw_confusion(self, trainer: Any, module: Any) -> None:
        """What the last validation took for what, where the task chooses classes."""
        names = module.spec.names
        if not 2 <= len(names) <= CLASSES or not self.epochs.validated:
            return
        matrix = torch.zeros(len(names), len(names), dtype=torch.int64)
        for _, targets, predictions in self.predictions.kept:
            if (chosen := module.predicted_classes(predictions)) is None:
                return
            options: dict[str, Any] = {
                "num_classes": len(names),
                "ignore_index": IGNORED,
                "validate_args": False,
            }
            matrix += multiclass_confusion_matrix(chosen, targets.long(), **options)
        if trainer.world_size > 1:
            matrix = trainer.strategy.reduce(matrix.to(module.device), reduce_op="sum").cpu()
        if trainer.is_global_zero:
            with disk_errors(self.events.folder.path):
                picture = confusion_picture(matrix, names)
                self.events.experiment.add_image(
                    "val/confusion", picture, trainer.global_step, dataformats="HWC"
                )


def is_due(epoch: int, last: int | None) -> bool:
    """Whether pictures are drawn at the end of an epoch, counted from 1: of each up to 100, of each
    tenth up to 1000, ...
    """
    return epoch == last or epoch % max(1, 10 ** (len(str(epoch)) - 2)) == 0


def histogram(values: Tensor) -> dict[str, Any] | None:
    """The histogram of a tensor as TensorBoard takes it; of what is not finite, nothing."""
    values = (values.coalesce().values() if values.is_sparse else values).detach().flatten().float()
    values = values[values.isfinite()]
    if not len(values):
        return None
    low, high = values.min().item(), values.max().item()
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = torch.linspace(low, high, BINS + 1, dtype=torch.float64)[1:]
    return {
        "min": low,
        "max": high,
        "num": len(values),
        "sum": values.sum().item(),
        "sum_squares": values.square().sum().item(),
        "bucket_limits": edges.tolist(),
        "bucket_counts": torch.histc(values, BINS, low, high).tolist(),
    }
