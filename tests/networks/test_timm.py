"""Models of timm fit the data, resume exactly and are exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from project.engine.errors import UserError
from project.engine.spec import DataSpec
from tests.conftest import Project, the_rest_slow
from tests.engine.runs.equal import differing

timm = pytest.importorskip("timm")

from project.networks.timm_models import Timm  # noqa: E402 - after the package is known to be there

NAMES = (
    "resnet10t resnet18 mobilenetv3_small_050 efficientnet_lite0 convnext_atto "
    "vit_tiny_patch16_224 regnetx_002 ghostnet_050 edgenext_xx_small mixer_s32_224"
).split()
SHORT = (
    "--data.batch_size 16 --trainer.max_epochs 1 --trainer.limit_train_batches 4 "
    "--trainer.limit_val_batches 1 --run.tensorboard false --run.threads 1 --run.save_every 2"
)


def spec_of(channels: int, size: int) -> DataSpec:
    return DataSpec(
        inputs=((channels, size, size),), outputs=7, target="class", names=tuple("abcdefg")
    )


@pytest.mark.parametrize("name", the_rest_slow(NAMES, "resnet10t", "vit_tiny_patch16_224"))
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_trained(name: str, size: int, channels: int) -> None:
    network = Timm(spec_of(channels, size), name)
    answer = network(torch.rand(2, channels, size, size))
    assert answer.shape == (2, 7)
    torch.nn.functional.cross_entropy(answer, torch.tensor([0, 6])).backward()
    assert any(bool(p.grad.any()) for p in network.parameters() if p.grad is not None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224"])
def test_a_run_is_continued_exactly_and_exported(name: str, project: Project) -> None:
    pytest.importorskip("onnxscript")
    words = f"fit --data.size 32 --model.net Timm --model.net.name {name} {SHORT}"
    assert project(words, "--run whole")[0] == 0
    first = sorted(Path("whole/checkpoints").glob("step-*.ckpt"))[0]
    code, _, err = project(f"fit --ckpt_path {first} --run again")
    assert code == 0, err
    assert not differing(Path("whole"), Path("again"))
    code, out, err = project("export --ckpt_path whole --to onnx --output x")
    assert code == 0 and "179 of 179 predictions equal" in out, err


def test_weights_of_a_file_leave_a_last_layer_for_other_classes(tmp_path: Path) -> None:
    theirs = timm.create_model("resnet10t", num_classes=5)
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    network = Timm(spec_of(1, 32), "resnet10t", str(tmp_path / "w.pt"))
    (taken,) = network.load_pretrained().values()
    assert "model.layer1.0.conv1.weight" in taken and "model.fc.weight" not in taken
    assert torch.equal(network.model.layer1[0].conv1.weight, theirs.layer1[0].conv1.weight)


def test_an_unknown_model_is_one_line() -> None:
    with pytest.raises(UserError, match="timm has no such model; did you mean resnet1"):
        Timm(spec_of(3, 32), "resnet19")


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(UserError, match="pip install timm"):
        Timm(spec_of(3, 32), "resnet10t")
