"""A student learns from the teacher's outputs, resumes exactly, and needs no teacher once it is
trained.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from project.engine.bases.network import Network
from project.engine.errors import UserError
from project.engine.runs import checkpoints
from project.engine.spec import Batch, DataSpec
from project.networks.mlp import MLP
from project.tasks.classification import Classification
from project.tasks.distillation import Distillation
from tests.conftest import Project
from tests.engine.runs.equal import differing

QUIET = (
    "--run.threads 1 --run.tensorboard false --data.batch_size 512 --model.net MLP "
    "--model.net.hidden [8]"
)
STUDENT = "--model Distillation --model.teacher teacher --trainer.max_epochs 2 --run.save_every 2"
SPEC = DataSpec(((4,),), 3, "class", ("a", "b", "c"), counts=(1, 1, 1))
BATCH = Batch(torch.ones(2, 4), torch.tensor([0, 2]), torch.arange(2), (0, 0))


class Says(Network):
    """A network that always gives the same answer."""

    answer = torch.tensor([1.0, 2.0, 4.0])

    def forward(self, inputs: Tensor) -> Tensor:
        return self.answer.expand(len(inputs), -1)


@pytest.mark.parametrize("loss", [nn.KLDivLoss(reduction="batchmean"), nn.CrossEntropyLoss()])
def test_the_loss_is_the_one_of_the_paper(loss: nn.Module) -> None:
    teacher = Classification(Says)
    teacher.build(SPEC)
    task = Distillation("teacher", MLP, loss, temperature=2.0, share=0.7)
    task.build(SPEC)
    task.load_dependencies(lambda path: teacher)
    answer = task(BATCH.inputs).detach()
    soft = (teacher(BATCH.inputs) / 2).softmax(1)
    from_teacher = F.cross_entropy(answer / 2, soft)
    if isinstance(loss, nn.KLDivLoss):
        from_teacher = (
            from_teacher + (soft * soft.log()).sum(1).mean()
        )  # KL is the cross-entropy less the entropy
    truth = F.cross_entropy(answer, BATCH.targets)
    assert task.train().step(BATCH)[0].item() == pytest.approx(
        float(0.3 * truth + 0.7 * 4 * from_teacher), rel=1e-5
    )
    assert task.eval().step(BATCH)[0].item() == pytest.approx(float(truth), rel=1e-5), (
        "evaluation looks at the truth"
    )
    assert not any("guide" in name or "teacher" in name for name in task.state_dict())


def test_a_teacher_of_other_data_is_refused() -> None:
    teacher = Classification(Says)
    teacher.build(SPEC, {"mean": [0.5]})
    task = Distillation("runs/lenet/000")
    task.build(SPEC, {"mean": [0.4]})
    with pytest.raises(UserError, match=r"teacher runs/lenet/000: it was trained on other data"):
        task.load_dependencies(lambda path: teacher)


def test_only_classes_can_be_distilled() -> None:
    with pytest.raises(UserError, match=r"not BCEWithLogits .*: use CrossEntropy, KLDiv"):
        Distillation("x", MLP, nn.BCEWithLogitsLoss()).build(
            DataSpec(((4,),), 2, "class", ("a", "b"), counts=(1, 1))
        )


@pytest.mark.slow
def test_a_student_resumes_exactly_and_is_tested_without_its_teacher(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "KEEP", 1000)
    assert project("fit", QUIET, "--trainer.max_epochs 1 --run teacher")[0] == 0
    code, _, err = project("fit", QUIET, STUDENT, "--run whole")
    assert code == 0, err
    shutil.copytree("whole", "killed")
    for later in sorted(Path("killed/checkpoints").glob("step-*.ckpt"))[1:]:
        later.unlink()
    code, out, err = project("fit --run killed")
    assert (code, "continuing killed" in out) == (0, True), err
    assert differing(Path("whole"), Path("killed")) == []

    Path("teacher").rename("moved")
    code, _, err = project("fit", QUIET, STUDENT, "--run another")
    assert (code, "teacher" in err and len(err.splitlines()) == 1) == (2, True), err
    assert project("test --ckpt_path whole")[0] == 0

    later = "--trainer.max_epochs 3 --model.teacher"
    code, _, err = project("fit --run whole", later, "moved")
    assert code == 0, "a folder may move: " + err
    assert project("fit", QUIET, "--trainer.max_epochs 1 --seed_everything 1 --run other")[0] == 0
    code, _, err = project("fit --run killed", later, "other")
    assert (code, "its weights are not those that this run began with" in err) == (2, True), err
