"""Every network trains on images of every shape, or says in one line which shape it needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torchvision import models

from project.engine.bases.network import Network
from project.engine.errors import UserError
from project.engine.randomness import generator
from project.engine.spec import DataSpec
from project.networks.alexnet import AlexNet
from project.networks.cnn import CNN
from project.networks.lenet import LeNet
from project.networks.mlp import MLP
from project.networks.resnet import ResNet
from project.networks.torchvision import TorchVision
from tests.fakes import write_published

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 32, 32), (3, 20, 37), (3, 64, 64), (1, 100, 100)]
# A network, and the side of the smallest images it takes.
NETWORKS: dict[str, tuple[Callable[[DataSpec], Network], int]] = {
    "LeNet": (LeNet, 8),
    "LeNet with dropout": (partial(LeNet, dropout=0.3), 8),
    "MLP": (MLP, 1),
    "MLP with everything": (
        partial(MLP, hidden=(8, 6), activation="gelu", dropout=0.1, batch_norm=True),
        1,
    ),
    "linear": (partial(MLP, hidden=()), 1),
    "CNN": (partial(CNN, channels=(4, 6)), 4),
    "CNN with batch norm": (partial(CNN, channels=(4, 6), batch_norm=True, dropout=0.2), 4),
    "CNN of four": (partial(CNN, channels=(4, 6, 6, 8), kernel=5, hidden=(8, 8)), 16),
    "CNN averaged": (partial(CNN, channels=(4, 6, 8), global_pool=True, hidden=()), 8),
    "AlexNet": (partial(AlexNet, channels=(4, 6, 8, 8, 6), hidden=(16, 16)), 8),
    "AlexNet large": (
        partial(AlexNet, form="large", channels=(4, 6, 8, 8, 6), hidden=(16, 16)),
        67,
    ),
    "ResNet": (partial(ResNet, widths=(4, 6, 8), blocks=1), 4),
    "ResNet wide": (partial(ResNet, widths=(4, 8), blocks=2, dropout=0.2), 2),
    "shufflenet": (partial(TorchVision, name="shufflenet_v2_x0_5"), 1),
    "squeezenet": (partial(TorchVision, name="squeezenet1_1"), 17),
}


def spec_of(*shape: int, outputs: int = 10) -> DataSpec:
    return DataSpec((shape,), outputs, "class", tuple(map(str, range(outputs))))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_on_a_batch_or_names_both_shapes(
    name: str, shape: tuple[int, int, int]
) -> None:
    build, smallest = NETWORKS[name]
    spec = spec_of(*shape)
    torch.manual_seed(0)
    if min(shape[1:]) < smallest:
        with pytest.raises(
            UserError,
            match=rf"at least {smallest}x{smallest}, the data gives {spec.shape()}.*size",
        ):
            build(spec)
        return
    network = build(spec)
    inputs = torch.randn(4, *shape, generator=generator("inputs")).to(
        memory_format=torch.channels_last
    )
    outputs = network(inputs)
    assert outputs.shape == (4, 10)
    loss = F.cross_entropy(outputs, torch.arange(4))
    loss.backward()
    assert bool(torch.isfinite(loss))
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    without = [
        name
        for name, gradient in gradients.items()
        if gradient is None or not bool(torch.isfinite(gradient).all())
    ]
    assert gradients and not without


@pytest.mark.parametrize(
    ("build", "shape", "parameters"),
    [
        (LeNet, (1, 28, 28), 61_706),
        (LeNet, (1, 32, 32), 61_706),
        (LeNet, (3, 32, 32), 61_706 + 2 * 6 * 25),
        # 203,530: configs/lessons/mlp_784_256_10.yaml
        (MLP, (1, 28, 28), (784 + 1) * 256 + (256 + 1) * 10),
        (CNN, (1, 28, 28), (9 + 1) * 32 + (9 * 32 + 1) * 64 + (7 * 7 * 64 + 1) * 128 + (128 + 1) * 10),
        (
            partial(CNN, batch_norm=True),
            (1, 28, 28),
            (9 + 2) * 32 + (9 * 32 + 2) * 64 + (7 * 7 * 64 + 2) * 128 + (128 + 1) * 10,
        ),
        (partial(CNN, global_pool=True, hidden=()), (3, 32, 32), (27 + 1) * 32 + (9 * 32 + 1) * 64 + (64 + 1) * 10),
        (
            AlexNet,
            (1, 224, 224),
            (121 + 1) * 96 + (25 * 96 + 1) * 256 + (9 * 256 + 1) * 384 + (9 * 384 + 1) * 384 + (9 * 384 + 1) * 256
            + (6400 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 10,
        ),
        (
            AlexNet,
            (3, 32, 32),
            (75 + 1) * 96 + (25 * 96 + 1) * 256 + (9 * 256 + 1) * 384 + (9 * 384 + 1) * 384 + (9 * 384 + 1) * 256
            + (4096 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 10,
        ),
        (ResNet, (3, 32, 32), 272_474),
        (TorchVision, (3, 64, 64), 11_689_512 - 990 * (512 + 1)),  # published for 1,000 classes
        (TorchVision, (1, 64, 64), 11_689_512 - 990 * (512 + 1) - 2 * 64 * 49),
    ],
)  # fmt: skip
def test_parameter_counts(
    build: Callable[[DataSpec], Network], shape: tuple[int, ...], parameters: int
) -> None:
    with torch.device("meta"):
        network = build(spec_of(*shape))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_alexnet_of_224_reaches_the_linear_layers_as_6400_values() -> None:
    network = AlexNet(spec_of(1, 224, 224), channels=(2, 2, 2, 2, 256), hidden=(4,))
    assert network.features(torch.zeros(1, 1, 224, 224)).shape == (1, 6400)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (partial(CNN, kernel=4), "net.kernel 4: expected an odd number"),
        (
            partial(TorchVision, name="resnet19"),
            "torchvision has no such model; did you mean .*resnet18",
        ),
        (partial(TorchVision, name="fcn_resnet50"), "torchvision has no such model"),
        (
            partial(TorchVision, name="inception_v3"),
            "inception_v3 needs images of at least 75x75, the data gives 1x28x28",
        ),
    ],
)
def test_a_network_that_cannot_be_is_one_line(
    build: Callable[[DataSpec], Network], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        build(spec_of(1, 28, 28))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("build", [LeNet, CNN, AlexNet, ResNet, TorchVision])
def test_a_network_of_images_refuses_a_table(build: Callable[[DataSpec], Network]) -> None:
    with pytest.raises(UserError, match=r"needs images .*, the data gives 7; MLP takes any shape"):
        build(spec_of(7))


def test_auxiliary_outputs_are_left_out() -> None:
    network = TorchVision(spec_of(1, 32, 32), name="googlenet").train()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


# ---------------------------------------------------------------------- torchvision's weights

NAME = "shufflenet_v2_x0_5"


@pytest.fixture
def published(tmp_path: Path) -> dict[str, torch.Tensor]:
    """Weights for three channels and a thousand classes, in the file weights.pt of the empty
    folder.
    """
    torch.manual_seed(1)
    state = models.get_model(NAME, weights=None).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    return state


def test_weights_begin_everything_but_the_last_layer(published: dict[str, torch.Tensor]) -> None:
    network = TorchVision(spec_of(3, 32, 32), NAME, "weights.pt")
    before = network.model.fc.weight.clone()
    network.load_pretrained()
    for key, value in network.model.state_dict().items():
        assert (
            torch.equal(value, before if key == "fc.weight" else published[key]) or key == "fc.bias"
        )


def test_grey_images_are_seen_as_their_copies_in_colour(published: dict[str, torch.Tensor]) -> None:
    networks = [
        TorchVision(spec_of(channels, 32, 32, outputs=1000), NAME, "weights.pt")
        for channels in (1, 3)
    ]
    grey = torch.randn(2, 1, 32, 32, generator=generator("grey"))
    for network in networks:
        network.load_pretrained()
        network.eval()
    torch.testing.assert_close(
        networks[0](grey), networks[1](grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4
    )


class Harmful:
    """What a checkpoint must not be able to do."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("harm"),)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "weights.pt: no such file"),
        (b"junk", "net.weights weights.pt: "),
        (Harmful(), "net.weights weights.pt: "),
        ([1, 2], "not a state dict; --weights takes the weights of a run"),
        (
            models.get_model("squeezenet1_1", weights=None).state_dict(),
            f"not weights of {NAME}, conv1.0.weight is missing",
        ),
        ("wider", r"stage2.0.branch1.2.weight is \(58, 24, 1, 1\), here it is \(24, 24, 1, 1\)"),
    ],
    ids=["missing", "junk", "harmful", "no state", "other model", "other width"],
)
def test_weights_that_do_not_fit_are_one_line(
    content: object, message: str, tmp_path: Path
) -> None:
    if isinstance(content, bytes):
        (tmp_path / "weights.pt").write_bytes(content)
    elif content is not None:
        wider = models.get_model("shufflenet_v2_x1_0", weights=None).state_dict()
        torch.save(wider if content == "wider" else content, tmp_path / "weights.pt")
    with pytest.raises(UserError, match=message) as error:
        TorchVision(spec_of(1, 32, 32), NAME, "weights.pt").load_pretrained()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "harm").exists()


def test_published_weights_without_a_network_say_which_file_goes_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = TorchVision(spec_of(1, 32, 32), NAME, "DEFAULT")
    with pytest.raises(
        UserError,
        match=rf"no route to host; put https://\S+\.pth at {tmp_path}/hub/checkpoints/\S+\.pth",
    ) as error:
        network.load_pretrained()
    assert "\n" not in str(error.value)


def test_published_weights_are_taken_from_torchs_own_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_published(f"name: {NAME}, weights: DEFAULT", tmp_path, monkeypatch)
    kept = torch.load(next(tmp_path.glob("hub/checkpoints/*.pth")), weights_only=True)
    network = TorchVision(spec_of(3, 32, 32, outputs=7), NAME, "DEFAULT")
    taken = network.load_pretrained()["weights DEFAULT"]
    assert (
        torch.equal(network.model.conv1[0].weight, kept["conv1.0.weight"])
        and "model.conv1.0.weight" in taken
    )
    assert network.model.fc.weight.shape == (7, 1024) and "model.fc.weight" not in taken


@pytest.mark.slow
def test_a_run_needs_its_starting_weights_only_at_its_start(
    published: dict[str, torch.Tensor], tmp_path: Path, project: Callable[..., tuple[int, str, str]]
) -> None:
    short = (
        "--run.threads 1 --run.tensorboard false --trainer.limit_train_batches 1 "
        "--trainer.limit_val_batches 1"
    )
    network = f"--model.net TorchVision --model.net.name {NAME} --model.net.weights weights.pt"
    assert project(f"fit --trainer.max_epochs 1 --data.size 16 {network} {short}")[0] == 0
    (tmp_path / "weights.pt").unlink()
    assert project("fit --run runs/run/000 --trainer.max_epochs 2")[0] == 0
    assert project("test --ckpt_path runs/run/000")[0] == 0
    code, _, error = project(f"fit --data.size 16 {network} {short}")
    assert (code, error) == (2, "error: --model.net.weights weights.pt: no such file\n")
