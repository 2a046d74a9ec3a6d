"""The DataModule every dataset derives from: a dataset writes `load`, the rest is here."""

from __future__ import annotations

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from jsonargparse.typing import ClosedUnitInterval, NonNegativeInt, PositiveInt
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..errors import UserError, clip
from ..loading.arrays import Arrays, ItemDataset
from ..loading.sampler import ResumableSampler
from ..loading.splits import fold_of, held_out, numbered, targets_of
from ..randomness import run_seed
from ..spec import Batch, DataSpec, Inputs, as_tuple
from ..targets import describe, proposed_names, recognise

NEEDS = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}


class BatchLoader(DataLoader[Batch]):
    """A DataLoader that reads in this process, where nothing else is asked of it, without
    DataLoader's own machinery.

    The two state methods tell Lightning that the loader can resume; the position travels with the
    DataModule.
    """

    def __iter__(self) -> Any:
        if self.num_workers or self.pin_memory:
            return super().__iter__()
        return map(self.dataset.__getitem__, self.sampler)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class DataModule(L.LightningDataModule, ABC):
    """Data in splits, loaded in batches, described by a DataSpec.

    A dataset of your own writes `load(split)` and names its `splits`; where there is no "val" or
    "test" split, a fixed share of "train" is held out (stratified for classes).

    Args:
        root: The folder of the files.
        batch_size: Samples in a batch, on each device.
        num_workers: Processes that read ahead; 0 is fastest for data in memory.
        shuffle: Visit the training samples in a new order each epoch.
        drop_last: Leave out the last training batch of an epoch when it is not full.
        pin_memory: Page-locked batches for faster copies to a GPU; null means when there is a GPU.
        validation: Share of the training split held out, where the data has no validation split; 0
            trains on all of it, without a best checkpoint.
        test: Share of the training split held out, where the data has no test split.
        split_seed: Which samples are held out; apart from the run's seed, so that runs are
            comparable.
        balance: Draw training samples so that every class is seen equally often.
        folds: Test on one of so many equal parts of the training split instead of the test split,
            and train on the others.
        fold: Which of them, from 0.
    """

    splits: Sequence[str] = ("train", "test")
    names: Sequence[str] | None = None
    target_kind: str | None = None  # a row of targets.py, where the targets do not tell it
    learnt: Sequence[str] = ("spec",)  # what `preprocessing` holds of the training split
    predicting = False  # no targets are needed
    # those of samples to predict may be missing; then something stands in for them
    targets_known = True
    wanted_target = ""  # the kind of target the task is for, where the data leaves it open

    def __init__(
        self,
        root: str = "data",
        batch_size: PositiveInt = 64,
        num_workers: NonNegativeInt = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        pin_memory: bool | None = None,
        validation: ClosedUnitInterval = 0.1,
        test: ClosedUnitInterval = 0.2,
        split_seed: int = 0,
        balance: bool = False,
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.root = str(Path(root).expanduser())
        self.batch_size, self.num_workers = batch_size, num_workers
        self.shuffle, self.drop_last, self.pin_memory = shuffle, drop_last, pin_memory
        self.shares = {"val": validation, "test": test}
        self.split_seed, self.balance = split_seed, balance
        if fold >= (folds or 1) or folds == 1:
            there = (
                f"of {folds} folds the last is {folds - 1}"
                if folds and folds > 1
                else "there are no folds, `data.folds` 5"
            )
            raise UserError(f"`data.fold` {fold}: {there}")
        self.folds, self.fold = folds, fold
        self.preprocessing: dict[str, Any] = {}
        self.notes: list[str] = []
        self.start = (0, 0)
        self._parts: dict[str, Arrays | ItemDataset] = {}
        self._whole: dict[str, Arrays | ItemDataset] = {}

    # ------------------------------------------------------------------ what a dataset writes

    @abstractmethod
    def load(self, split: str) -> Arrays | Dataset[Any]:
        """One split: `Arrays` in memory, or any map-style torch Dataset of (input, target)
        pairs.
        """

    def fit_preprocessing(self, train: Arrays | ItemDataset) -> dict[str, Any]:
        """What is learnt from the training split alone: plain values, `spec` among them; kept in
        every checkpoint.
        """
        return {"spec": self.describe(train).to_dict()}

    def encode(self, part: Arrays | ItemDataset) -> Arrays | ItemDataset:
        """A raw part turned into tensors by what was preprocessing; by default class names become
        numbers.
        """
        if isinstance(part, Arrays) and not isinstance(part.targets, Tensor):
            part.targets = self.class_numbers(part.targets)
        return part

    def statistics(self, preprocessing: dict[str, Any]) -> dict[str, tuple[float, float]]:
        """Mean and deviation by channel or column, as the inputs are normalised by them; nothing
        where they are not.
        """
        return {}

    # ------------------------------------------------------------------ description

    @property
    def spec(self) -> DataSpec:
        """What network and task must know of the data; there after `setup`."""
        return DataSpec.from_dict(self.preprocessing["spec"])

    def restore(self, preprocessing: dict[str, Any]) -> None:
        """Take what a checkpoint holds, so that the training split need not be read.

        Raises:
            UserError: it was learnt from data of another kind.
        """
        if missing := [name for name in self.learnt if name not in preprocessing]:
            raise UserError(
                f"{type(self).__name__} cannot take what the run learnt from its data: "
                f"{', '.join(missing)} is not in it; use the data it was trained on",
                key="data",
            )
        self.preprocessing = preprocessing

    def describe(self, train: Arrays | ItemDataset) -> DataSpec:
        """Return the DataSpec of the training samples.

        Raises:
            UserError: the dataset does not tell its targets.
        """
        targets = targets_of(train)
        if targets is None:
            raise UserError(
                f"{type(self).__name__}: its dataset tells no targets; give it an attribute "
                "`targets`, one for each sample"
            )
        if not isinstance(targets, Tensor):
            names = tuple(sorted({targets[row] for row in train.rows.tolist()}))
            return describe(train.shapes, "class", names, numbered(targets, names)[train.rows])
        kind = self.target_kind or recognise(targets[train.rows])
        names = tuple(self.names or proposed_names(kind, targets))
        return describe(train.shapes, kind, names, targets[train.rows])

    def class_numbers(self, names: Sequence[str]) -> Tensor:
        """Class names as numbers of the training split's classes: (N,) int64.

        Raises:
            UserError: a name that the training split does not have.
        """
        known = self.spec.names
        if unseen := sorted(set(names) - set(known)):
            raise UserError(
                f"class {clip(unseen[0])!r} is not among the {len(known)} classes of the "
                "training split"
            )
        return numbered(names, known)

    def note(self, text: str) -> None:
        """Say once what is surprising in the data; a report shows the `notes`."""
        if text not in self.notes:
            self.notes.append(text)
            if getattr(rank_zero_only, "rank", 0) == 0:
                print(f"note: {UserError(text).on_command_line()}", file=sys.stderr, flush=True)

    # ------------------------------------------------------------------ splits

    def setup(self, stage: str) -> None:
        """Load what the stage needs; calling it again changes nothing."""
        self.predicting = stage == "predict"
        if not self.wanted_target and self.trainer is not None:
            self.wanted_target = getattr(self.trainer.lightning_module, "wanted_target", "")
        for split in NEEDS[stage]:
            if split == "val" and stage == "fit" and not self.has_validation:
                continue
            if split not in self._parts:
                self._parts[split] = self.part(split)
        self._whole.clear()

    @property
    def has_validation(self) -> bool:
        """Whether samples are kept for validation; with `validation` 0 all are trained on."""
        return "val" in self.splits or self.shares["val"] > 0

    def part(self, split: str) -> Arrays | ItemDataset:
        """One split, encoded; the training split is read as well when nothing has been
        preprocessing yet.
        """
        if not self.preprocessing:
            self.preprocessing = self.fit_preprocessing(self._raw("train"))
        raw = self._raw(split)
        if not len(raw):
            raise UserError(self._why_empty(split))
        part = self.encode(raw)
        if isinstance(part, Arrays) and part.shapes != self.spec.inputs:
            have = dataclasses.replace(self.spec, inputs=part.shapes).shape()
            raise UserError(
                f"the model was made for inputs of {self.spec.shape()}, the {split} split has "
                f"{have}"
            )
        return part

    def _why_empty(self, split: str) -> str:
        """An empty split, with the way out."""
        fault = f"the {split} split of {type(self).__name__} is empty"
        if split in self.splits:
            return f"{fault}; `data.root` is {self.root}"
        option = {"val": "validation"}.get(split, split)
        return (
            f"{fault}: of each class too few samples are there for a share of "
            f"{self.shares.get(split, 0):g}; raise `data.{option}`"
        )

    def _raw(self, split: str) -> Arrays | ItemDataset:
        """The split as `load` gives it, or its held-out share of "train"."""
        own = [name for name in self.splits if not (name == "test" and self.folds)]
        missing = [name for name in ("val", "test") if name not in own]
        source = split if split in own else "train"
        whole = self.full_split(source)
        if source == "train" and self.folds:
            fold, rest = fold_of(whole, self.fold, self.folds, self.split_seed)
            if split == "test":
                return whole.take(fold)
            whole = whole.take(rest)
            missing.remove("test")
        if source != "train" or not missing:
            return whole
        return whole.take(
            held_out(whole, {name: self.shares[name] for name in missing}, self.split_seed)[split]
        )

    def full_split(self, source: str) -> Arrays | ItemDataset:
        """A split as `load` gives it, whole, before any share of it is held out."""
        if source not in self._whole:
            loaded = self.load(source)
            if isinstance(loaded, IterableDataset):
                raise UserError(
                    f"{type(self).__name__} is iterable data, which has no order to resume; give "
                    "it __getitem__ and __len__"
                )
            self._whole[source] = (
                loaded if isinstance(loaded, Arrays) else ItemDataset(loaded, run_seed())
            )
        return self._whole[source]

    # ------------------------------------------------------------------ looking at it

    def summary(self) -> dict[str, Any]:
        """Of each split that is loaded, how many samples it has and a digest of them (None where
        they are not in memory).
        """
        return {
            split: {"samples": len(part), "digest": part.digest()}
            for split, part in self._parts.items()
        }

    def loaded(self, split: str) -> Arrays | ItemDataset:
        """The samples of a split; there after `setup`."""
        return self._parts[split]

    def sample_columns(self, split: str, ids: Sequence[int]) -> dict[str, list[Any]]:
        """What else names samples in a table of predictions: the files they come from."""
        return {}

    def fetch(self, split: str, ids: Tensor) -> tuple[Inputs, Tensor]:
        """Inputs and targets of a loaded split by their ids (N,), before preparation: (N, ...),
        images uint8.
        """
        return self._parts[split].fetch(ids)

    def prepared(self, batch: Batch) -> Batch:
        """A batch on its device as the network sees it, not augmented."""
        return batch

    def accept(self, inputs: Any) -> tuple[Inputs, bool]:
        """New inputs as a person has them as (N, ...), not prepared yet, and whether it was a
        single one.

        Raises:
            UserError: this kind of data cannot take them.
        """
        values = torch.as_tensor(inputs)
        wanted = self.spec.inputs[0]
        if len(self.spec.inputs) > 1 or values.shape[-len(wanted) :] != wanted:
            raise UserError(f"inputs of shape {tuple(values.shape)}: expected {self.spec.shape()}")
        is_single = values.ndim == len(wanted)
        return (values[None] if is_single else values), is_single

    def accept_file(self, path: Path, rows: int) -> Iterator[Inputs]:
        """New inputs from a file of rows, so many at a time, as `accept` gives them.

        Raises:
            UserError: this kind of data has no rows, or the file is not as it was in training.
        """
        raise UserError(f"{path}: the run was trained on {type(self).__name__}, which has no rows")

    def pictures(self, inputs: Tensor) -> Tensor | None:
        """Prepared inputs (B, ...) as a person can look at them, (B, 1 or 3, H, W) uint8; None
        where they are no images.
        """
        return None

    # ------------------------------------------------------------------ loaders

    def train_dataloader(self) -> BatchLoader:
        trainer: Any = self.trainer
        overfit = trainer is not None and trainer.overfit_batches > 0
        part = self._parts["train"]
        start, self.start = self.start, (0, 0)  # only the first loader begins where a run stopped
        self.train_sampler = ResumableSampler(
            len(part),
            self.batch_size,
            seed=run_seed(),
            shuffle=self.shuffle and not overfit,
            drop_last=self.drop_last,
            even=True,
            weights=self._weights(part) if self.balance and not overfit else None,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            start=start,
        )
        if not len(self.train_sampler):
            raise UserError(
                f"no training batch: {len(part)} samples, `data.batch_size` {self.batch_size}, "
                "drop_last"
            )
        return self._loader(part, self.train_sampler)

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        return self._evaluation_loader("val") if "val" in self._parts else []

    def test_dataloader(self) -> BatchLoader:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> BatchLoader:
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: str) -> BatchLoader:
        part, trainer = self._parts[split], self.trainer
        order = ResumableSampler(
            len(part),
            4 * self.batch_size,  # no gradients are kept, so larger batches fit
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )
        return self._loader(part, order)

    def _loader(self, part: Arrays | ItemDataset, order: ResumableSampler) -> BatchLoader:
        pin = torch.cuda.is_available() if self.pin_memory is None else self.pin_memory
        return BatchLoader(
            part,
            sampler=order,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=pin and torch.cuda.is_available(),
        )

    def _weights(self, part: Arrays | ItemDataset) -> Tensor:
        """The chance of each sample, such that every class is drawn equally often."""
        targets = targets_of(part)
        if self.spec.target != "class" or not isinstance(targets, Tensor):
            raise UserError(
                f"`data.balance` needs classes, the target is of kind {self.spec.target!r}"
            )
        counts = torch.tensor(self.spec.counts, dtype=torch.float64)
        return counts.clamp_min(1).reciprocal()[targets[part.rows]]

    # ------------------------------------------------------------------ device and position

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        if device.type == "cpu":
            return batch
        *inputs, targets, ids = (
            part.to(device, non_blocking=True) for part in (*as_tuple(batch.inputs), *batch[1:3])
        )
        return Batch(inputs[0] if len(inputs) == 1 else tuple(inputs), targets, ids, batch.position)

    def state_dict(self) -> dict[str, Any]:
        """The position in training; restored before any loader exists."""
        if self.trainer is None:
            return {}
        loop: Any = self.trainer.fit_loop
        # Not what is completed: Lightning's own checkpoints are written before that is counted.
        batch = loop.epoch_loop.batch_progress.current.processed
        if batch >= loop.max_batches:
            batch = 0  # the epoch is over; Lightning begins the next
        return {"epoch": loop.epoch_progress.current.processed, "batch": batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.start = (state["epoch"], state["batch"])


def _as_it_is(batch: Any) -> Any:
    return batch
