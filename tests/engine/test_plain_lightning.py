"""Tasks and data work with Lightning's own Trainer, as its documentation has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from project.data.digits import Digits
from project.networks.mlp import MLP
from project.tasks.classification import Classification

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Batches(Callback):
    """Which batches are trained, by epoch and number."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(batch.position)
        assert batch.position == (trainer.current_epoch, batch_idx)


def data() -> Digits:
    return Digits(size=8)  # 20 batches an epoch


def task() -> Classification:
    return Classification(MLP)


@pytest.mark.filterwarnings("ignore:The dirpath has changed", "ignore:Be aware that")
@pytest.mark.parametrize("every", [None, 7], ids=["at an epoch's end", "in mid-epoch"])
def test_a_run_goes_on_from_lightnings_own_checkpoint(every: int | None, tmp_path: Path) -> None:
    saves = ModelCheckpoint(tmp_path, save_top_k=-1, every_n_train_steps=every)
    first, seen = L.Trainer(max_epochs=2, logger=False, callbacks=[saves], **QUIET), Batches()
    first.fit(task(), datamodule=data())
    checkpoint = sorted(tmp_path.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)[0]
    second = L.Trainer(max_epochs=3, logger=False, callbacks=[seen], **QUIET)
    second.fit(task(), datamodule=data(), ckpt_path=str(checkpoint))
    begin = (every or 20) % 20
    whole = [(epoch, batch) for epoch in range(3) for batch in range(20)]
    assert seen.seen == whole[begin if every else 20 :]
    assert second.global_step == 60


def test_test_validate_and_predict_return_what_they_found() -> None:
    trainer, module, digits = L.Trainer(max_epochs=1, logger=False, **QUIET), task(), data()
    trainer.fit(module, datamodule=digits)
    (validated,) = trainer.validate(module, datamodule=digits, verbose=False)
    (tested,) = trainer.test(module, datamodule=digits, verbose=False)
    assert set(validated) == {"val/loss", "val/accuracy"}
    assert set(tested) == {"test/loss", "test/accuracy"}
    predicted = trainer.predict(module, datamodule=digits)
    assert predicted is not None
    assert sum(len(batch["predictions"]) for batch in predicted) == 360


def test_a_checkpoint_is_saved_and_its_weights_are_loaded(tmp_path: Path) -> None:
    trainer, module, digits = L.Trainer(max_epochs=1, logger=False, **QUIET), task(), data()
    trainer.fit(module, datamodule=digits)
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    saved = torch.load(tmp_path / "mine.ckpt", weights_only=True)
    other = task()
    other.build(digits.spec, digits.preprocessing)
    other.load_state_dict(saved["state_dict"])
    assert all(map(torch.equal, other.parameters(), module.parameters()))


def test_several_loggers_get_the_rows(tmp_path: Path) -> None:
    loggers = [CSVLogger(tmp_path, name=name) for name in ("a", "b")]
    trainer = L.Trainer(max_epochs=1, logger=loggers, log_every_n_steps=5, **QUIET)
    trainer.fit(task(), datamodule=data())
    texts = [next(tmp_path.glob(f"{name}/*/metrics.csv")).read_text() for name in ("a", "b")]
    assert texts[0] == texts[1] and "val/accuracy" in texts[0] and "train/loss" in texts[0]


def test_two_trainers_one_after_the_other_train_like_one_each() -> None:
    weights = []
    for _ in range(2):
        L.seed_everything(3, verbose=False)
        module = task()
        L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, **QUIET).fit(
            module, datamodule=data()
        )
        weights.append([parameter.detach() for parameter in module.parameters()])
    assert all(map(torch.equal, *weights))
