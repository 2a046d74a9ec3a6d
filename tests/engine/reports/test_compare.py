"""Groups of seeds, the statistics of their differences, and what is said of them in words."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from project.engine.reports.compare import group
from project.engine.reports.finding import find_runs
from project.engine.reports.student import (
    difference,
    holm,
    incomplete_beta,
    mean_of,
    t_probability,
    t_quantile,
)
from tests.conftest import Project
from tests.engine.reports.conftest import MakeRun

# ---------------------------------------------------------------------- statistics


@pytest.mark.parametrize(
    "freedom, quantile",
    [
        (1, 12.706204736),
        (2, 4.302652730),
        (4, 2.776445105),
        (10, 2.228138852),
        (30, 2.042272456),
        (1000, 1.962339081),
    ],
)
def test_the_quantile_of_t_is_that_of_the_tables(freedom: float, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, abs=1e-8)


@pytest.mark.parametrize("t", [0.0, 0.01, 1.0, 3.0, 40.0, 1e6])
def test_the_chance_of_t_has_its_closed_form_for_one_and_two_degrees(t: float) -> None:
    assert t_probability(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, abs=1e-12)
    assert t_probability(-t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), abs=1e-12)


@pytest.mark.parametrize(
    "a, b, x", [(2.5, 0.5, 0.3), (0.5, 12.0, 0.9), (40.0, 0.5, 0.999), (3.0, 4.0, 0.5)]
)
def test_the_incomplete_beta_function_is_its_integral(a: float, b: float, x: float) -> None:
    angle = np.linspace(0, math.asin(math.sqrt(x)), 200_001)  # t = sin^2: no pole at either end
    inside = 2 * np.sin(angle) ** (2 * a - 1) * np.cos(angle) ** (2 * b - 1)
    whole = math.exp(math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    assert incomplete_beta(a, b, x) == pytest.approx(np.trapezoid(inside, angle) / whole, abs=1e-9)


def test_seeds_in_common_are_compared_in_pairs() -> None:
    test = difference({0: 1.0, 1: 2.0, 2: 4.0}, {2: 1.0, 0: 0.0, 1: 2.0})
    assert test is not None and test.paired
    assert test.value == pytest.approx(4 / 3)
    assert test.p == pytest.approx(
        1 - math.sqrt(16 / 30), abs=1e-12
    )  # t = 4 / sqrt(7), two degrees of freedom
    assert (test.low + test.high) / 2 == pytest.approx(test.value) and test.low < 0 < test.high


def test_other_seeds_are_compared_by_welch() -> None:
    """The values and the result are the first example of Wikipedia's article on Welch's t-test."""
    first = [
        27.5,
        21.0,
        19.0,
        23.6,
        17.0,
        17.9,
        16.9,
        20.1,
        21.9,
        22.6,
        23.1,
        19.6,
        19.0,
        21.7,
        21.4,
    ]
    second = [
        27.1,
        22.0,
        20.8,
        23.4,
        23.4,
        23.5,
        25.8,
        22.0,
        24.8,
        20.2,
        21.9,
        22.1,
        22.9,
        20.5,
        24.4,
    ]
    test = difference(dict(enumerate(first)), dict(enumerate(second, 100)))
    assert test is not None and not test.paired
    assert test.p == pytest.approx(0.021, abs=5e-4)


def test_one_value_claims_nothing_and_equal_values_differ_by_nothing() -> None:
    assert difference({0: 1.0}, {0: 2.0}) is None and difference({0: 1.0}, {1: 2.0, 2: 3.0}) is None
    same = difference({0: 0.5, 1: 0.5}, {0: 0.5, 1: 0.5})
    assert same is not None and (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert math.isnan(mean_of([1.0]).half)


def test_several_p_values_are_raised_by_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0]) and holm([]) == []


# ---------------------------------------------------------------------- groups


def test_runs_that_differ_in_the_seed_alone_are_one_group(make_run: MakeRun) -> None:
    for seed in range(3):
        make_run(f"runs/a/00{seed}", seed=seed)
        make_run(f"runs/a/01{seed}", seed=seed, lr=0.2)
    groups = group(find_runs(["runs"]))
    assert [(found.label, sorted(found.runs)) for found in groups] == [
        ("lr 0.1", [0, 1, 2]),
        ("lr 0.2", [0, 1, 2]),
    ]


def test_a_label_is_as_short_as_can_be(make_run: MakeRun) -> None:
    make_run("runs/a/000")
    make_run("runs/a/001", lr=0.2)
    make_run("runs/a/002", lr=0.2, momentum=0.9)
    assert [found.label for found in group(find_runs(["runs"]))] == [
        "lr 0.1",
        "lr 0.2",
        "lr 0.2, momentum 0.9",
    ]
    make_run("runs/b/000", lr=0.3)
    assert [found.label for found in group(find_runs(["runs/a/000", "runs/b"]))] == ["a", "b"]


def test_what_is_broken_unfinished_or_doubled_is_left_out_and_named(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("runs/a/000", accuracy=0.1)
    make_run("runs/a/001", accuracy=0.9)
    make_run("runs/a/002", state="interrupted")
    (make_run("runs/a/003") / "config.yaml").write_text("")
    (found,) = group(find_runs(["runs"]))
    assert found.values("val/accuracy") == {0: 0.9}
    out = capsys.readouterr().out
    assert "runs/a/000: left out, runs/a/001 is the same with the same seed" in out
    assert (
        "left out: runs/a/002: interrupted, not finished" in out
        and "left out: runs/a/003/config.yaml" in out
    )


BETTER = (
    "a is better than b by 0.1000 [0.0752, 0.1248] in val/accuracy (3 seeds in pairs, p = 0.0033)"
)
NEITHER = (
    "no difference between a and b can be claimed: 0.0333 [-0.2753, 0.3419] in val/accuracy (3 "
    "seeds in pairs, p = 0.69)"
)
SENTENCES = {
    "clear": ([0.90, 0.92, 0.94], [0.80, 0.83, 0.83], BETTER),
    "unclear": ([0.90, 0.82, 0.94], [0.80, 0.93, 0.83], NEITHER),
    "one seed": ([0.9], [0.8], "a and b: no difference can be claimed with one seed"),
    "other seeds": (
        [0.90, 0.91, 0.92],
        [0.70, 0.71, 0.72, 0.70],
        "(not the same seeds, 3 or more each, Welch's test, p < 0.001)",
    ),
    "two seeds": (
        [0.90, 0.91],
        [0.70, 0.71],
        "a and b: no difference can be claimed with 2 seeds, 3 are the least",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_a_difference_is_told_in_plain_words(
    case: str, make_run: MakeRun, project: Project
) -> None:
    first, second, sentence = SENTENCES[case]
    for name, lr, values in (("a", 0.1, first), ("b", 0.2, second)):
        for seed, accuracy in enumerate(values):
            make_run(f"runs/{name}/00{seed}", seed=seed, lr=lr, accuracy=accuracy)
    code, out, err = project("compare runs/b runs/a")
    assert (code, err) == (0, "")
    assert sentence in out
    assert max(map(len, out.splitlines()[: 1 + len(SENTENCES[case][:2])])) <= 80


def test_a_loss_is_better_when_it_is_smaller(make_run: MakeRun, project: Project) -> None:
    for seed, losses in enumerate([(1.0, 2.0), (1.1, 2.0), (1.0, 2.1)]):
        for name, lr, loss in zip("ab", (0.1, 0.2), losses, strict=True):
            folder = make_run(f"runs/{name}/00{seed}", seed=seed, lr=lr)
            (folder / "results.json").write_text(f'{{"test": {{"test/loss": {loss}}}}}')
    out = project("compare runs --metric test/loss")[1]
    assert re.search(
        r"^a is better than b by 1 \[0\.75\d*, 1\.\d+\] in test/loss", out, flags=re.M
    ), out


MISTAKES = {
    "compare": "compare needs runs",
    "compare runs --metric val/acuracy": "no run has it; did you mean val/accuracy?",
    "compare runs --metric test/accuracy": "(python -m project test --ckpt_path RUN)",
    "compare runs --curve lr": "--curve belongs to --picture FILE",
    "compare runs --picture a.png --curve train/los": "--curve train/los: no run has it; did you "
    "mean train/loss",
    "compare runs --picture a.xyz": "--picture a.xyz: Format 'xyz' is not supported",
    "compare bad": "there is no finished run to compare",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_wrong_word_is_one_line(words: str, project: Project, make_run: MakeRun) -> None:
    make_run("runs/a/000")
    (make_run("bad/a/000") / "run.json").unlink()
    code, _, err = project(words)
    assert MISTAKES[words] in err and (code, err.count("\n")) == (2, 1)


def test_the_curves_of_all_groups_are_one_picture(
    make_run: MakeRun, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}

    def keep(lines: dict, title: str, **options: object) -> object:  # type: ignore[type-arg]
        drawn.update(lines=lines, title=title, **options)
        return whole(lines, title, **options)  # type: ignore[arg-type]

    from project.engine.reports import plots

    whole = plots.curves
    monkeypatch.setattr(plots, "curves", keep)
    for seed in range(2):
        make_run(f"runs/a/00{seed}", seed=seed, lr=0.1)
    make_run("runs/b/000", lr=0.3)
    code, out, _ = project("compare runs --picture pictures/c.png")
    assert (
        code == 0
        and "a and b: no difference can be claimed" in out
        and out.endswith("picture   pictures/c.png\n")
    )
    assert (
        drawn["title"] == "train/loss"
        and list(drawn["lines"]) == ["a", "b"]
        and list(drawn["bands"]) == ["a"]
    )
    places, values = drawn["lines"]["b"]
    assert places.tolist() == [0.5, 1.5] and values.tolist() == [2.3, 1.3]
    with Image.open(Path("pictures/c.png")) as image:
        assert image.width > 400 and len(image.convert("RGB").getcolors(1 << 20) or []) > 10


def test_a_device_that_was_chosen_by_itself_is_no_other_setting_on_a_cpu(
    project: Project, make_run: MakeRun
) -> None:
    for seed, devices in enumerate(("auto", 1)):
        folder = make_run(f"runs/a/00{seed}", seed=seed)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["trainer"] = config.get("trainer", {}) | {"devices": devices}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        described = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(described | {"gpu": None}))
    (found,) = group(find_runs(["runs"]))
    assert len(found.runs) == 2
