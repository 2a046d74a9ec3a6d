"""What a run said of a split, by the kind of its predictions: one function for each kind, in a
table.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torchmetrics.functional as M
import torchmetrics.functional.classification as C
from torch import Tensor

from ..building.calibration import BINS, calibration_error
from ..building.overlap import IMAGES, dice_of_each
from ..registry import TABLES
from ..spec import IGNORED
from ..targets import FILLER
from . import plots
from .cases import MOST_SHOWN, Case, Unfit, even_ones, listed, shown, worst_first
from .parts import Drawing, Facts, Legend, Part, Picture, Pictures, Table
from .pictures import beside, data_uri, overlay, pixels
from .run import Run

MOST_PAIRS = 10  # of confused classes
OF_A_PAIR = 4  # examples of two classes that are confused
NEIGHBOURS_AMONG = 5000  # points of an embedding
PAIRED = 1500  # samples of a ranking whose pairs are compared


def prediction_parts(run: Run, split: str) -> list[Part]:
    """All that can be shown of a split; nothing where a fork's own task predicts in its own way.

    Raises:
        UserError: its files are damaged, or another run's.
    """
    spec = run.spec
    if spec is None or run.kind not in SECTIONS:
        return []
    case = Case(run, split, spec, run.predictions(split), run.samples(split))
    try:
        return [*SECTIONS[run.kind](case), *(columns(run.importance) if split == "val" else ())]
    except Unfit:
        if run.task in TABLES["tasks"]:
            raise
        return []


def columns(rises: dict[str, list[float]]) -> Iterator[Part]:
    """How much worse a table's answers become when each column is shuffled; nothing of none."""
    if not rises:
        return
    across = "rise of the loss when the column is shuffled"
    yield Drawing(plots.importance(rises, "What it answers by", across))
    rows = [
        [name, *(float(f(values)) for f in (np.mean, np.min, np.max))]
        for name, values in sorted(rises.items(), key=lambda item: -np.mean(item[1]))
    ]
    head = ["column", "rise of the loss", "smallest", "largest"]
    yield Table(head, rows, title="Each column", folded=True, most=200)


# ---------------------------------------------------------------------- classes


def chances_of(logits: Tensor) -> Tensor:
    """Probabilities (N, K) from logits: (N, K), or (N,) for yes and no."""
    if logits.ndim == 1:
        yes = logits.sigmoid()
        return torch.stack([1 - yes, yes], dim=1)
    return logits.softmax(1)


def classes(case: Case) -> Iterator[Part]:
    """One class of several."""
    names, targets, count = case.spec.names, case.targets, len(case.spec.names)
    wide = case.predictions.shape[1:] == (count,) or (case.predictions.ndim == 1 and count == 2)
    case.check(wide and targets.ndim == 1 and bool((targets < count).all()), f"for {count} classes")
    chances = chances_of(case.predictions)
    targets = targets.long()
    matrix = C.multiclass_confusion_matrix(chances, targets, count).numpy()
    yield Drawing(plots.confusion(matrix, names))
    confidence, accuracy, share = reliability_bins(
        chances.max(1).values, chances.argmax(1) == targets
    )
    error = calibration_error(case.predictions, targets)
    yield Drawing(plots.reliability(confidence, accuracy, share, error))
    if heat := case.run.temperature:
        after = calibration_error(case.predictions / heat, targets)
        facts = {"temperature": heat, "calibration error": f"{error:.4f}, with it {after:.4f}"}
        yield Facts(facts, title="Calibrated", note="Fitted on the validation split.")
    metrics = [
        f(chances, targets, count, average="none")
        for f in (C.multiclass_precision, C.multiclass_recall, C.multiclass_f1_score)
    ]
    rows = [
        [name, int(matrix[i].sum()), *(f"{figure[i]:.4f}" for figure in metrics)]
        for i, name in enumerate(names)
        if matrix[i].sum()
    ]
    rows.sort(key=lambda row: str(row[-1]))
    yield Table(
        ["class", "samples", "precision", "recall", "F1"],
        rows,
        title="Each class",
        note="The weakest first.",
    )
    pairs = confused(matrix)
    if pairs:
        rows = [
            [names[i], names[j], int(matrix[i, j]), f"{matrix[i, j] / matrix[i].sum():.1%}"]
            for i, j in pairs
        ]
        yield Table(["true", "predicted", "samples", "of the class"], rows, title="Most confused")
    if case.samples is None:
        return
    said = chances_of(torch.from_numpy(case.samples["prediction"]).float())
    sure, best = (part.numpy() for part in said.max(1))
    truth = case.samples["target"]

    def words(i: int) -> tuple[str, str]:
        return names[truth[i]], f"{names[best[i]]} ({sure[i]:.0%})"

    wrong = best != truth
    of_pairs = [
        np.flatnonzero((truth == one) & (best == other))[:OF_A_PAIR] for one, other in pairs
    ]
    mistaken = [int(i) for found in of_pairs for i in found]
    if mistaken:
        yield from shown(case, mistaken, words, wrong, "Examples of the most confused")
    yield from shown(case, worst_first(case), words, wrong, "The worst")


def reliability_bins(
    confidence: Tensor, right: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, accuracy and share of the samples in each of BINS bins of confidence: (N,)
    both to (BINS,) each.
    """
    place = (confidence * BINS).long().clamp(0, BINS - 1)
    counts = torch.bincount(place, minlength=BINS)
    means = [
        torch.bincount(place, weights=values.double(), minlength=BINS) / counts
        for values in (confidence, right)
    ]
    return means[0].numpy(), means[1].numpy(), (counts / counts.sum()).numpy()


def confused(matrix: np.ndarray) -> list[tuple[int, int]]:
    """The pairs (true, predicted) of different classes that occur most often."""
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(off, axis=None, kind="stable")[::-1][:MOST_PAIRS]
    return [
        (int(i), int(j))
        for i, j in zip(*np.unravel_index(order, off.shape), strict=True)
        if off[i, j]
    ]


def labels(case: Case) -> Iterator[Part]:
    """Several labels at once."""
    names, targets, count = case.spec.names, case.targets, len(case.spec.names)
    case.check(
        case.predictions.shape == targets.shape == (len(targets), count), f"for {count} labels"
    )
    chances, targets = case.predictions.sigmoid(), targets.long()
    metrics = [
        f(chances, targets, count, average="none")
        for f in (
            C.multilabel_precision,
            C.multilabel_recall,
            C.multilabel_f1_score,
            C.multilabel_average_precision,
        )
    ]
    rows = [
        [name, int(targets[:, i].sum()), *(f"{f[i]:.4f}" for f in metrics)]
        for i, name in enumerate(names)
    ]
    rows.sort(key=lambda row: str(row[-2]))
    head = ["label", "samples", "precision", "recall", "F1", "average precision"]
    yield Table(head, rows, title="Each label", note="The weakest first.")
    flat, truth = chances.flatten(), targets.flatten()
    error = float(C.binary_calibration_error(flat, truth, n_bins=BINS, norm="l1"))
    yield Drawing(plots.reliability(*reliability_bins(flat, truth > 0), error))
    if case.samples is not None:
        predictions, wanted = case.samples["prediction"] > 0, case.samples["target"] > 0.5

        def words(i: int) -> tuple[str, str]:
            written = [
                ", ".join(n for n, on in zip(names, row, strict=True) if on) or "none"
                for row in (wanted[i], predictions[i])
            ]
            return written[0], written[1]

        yield from shown(
            case, worst_first(case), words, (predictions != wanted).any(1), "The worst"
        )


# ---------------------------------------------------------------------- numbers


def numbers(case: Case) -> Iterator[Part]:
    """Numbers, predicted against true; where deviations are predicted too, how far they are to be
    believed.
    """
    targets, predictions = case.targets.float(), case.predictions
    names, width = case.spec.names, len(case.spec.names)
    fits = targets.shape == (len(targets), width) and predictions.shape in (
        targets.shape,
        (len(targets), 2 * width),
    )
    case.check(fits, f"of {width} columns")
    deviations, predictions = predictions[:, width:], predictions[:, :width]
    rows = []
    for i, name in enumerate(names):
        answer, truth = predictions[:, i].contiguous(), targets[:, i].contiguous()
        rmse = float(M.mean_squared_error(answer, truth, squared=False))
        several = len(truth) > 1
        r2 = f"{M.r2_score(answer, truth):.4f}" if several else ""
        rows.append(
            [
                name,
                len(truth),
                rmse,
                float(M.mean_absolute_error(answer, truth)),
                r2,
                float((answer - truth).mean()),
            ]
        )
    yield Table(["target", "samples", "RMSE", "MAE", "R2", "bias"], rows, title="Each target")
    if deviations.shape[1]:
        away = (targets - predictions).abs() / deviations
        rows = [
            [name, *(f"{float((away[:, i] <= k).float().mean()):.1%}" for k in (1, 2))]
            for i, name in enumerate(names)
        ]
        head = ["target", "within one (68.3%)", "within two (95.4%)"]
        yield Table(
            head,
            rows,
            title="Predicted deviations",
            note="In brackets, what a normal distribution would have.",
        )
    for i, name in enumerate(names[:4]):
        pair = targets[:, i].numpy(), predictions[:, i].numpy()
        yield Drawing(plots.predicted_against_true(*pair, name))
        yield Drawing(plots.residuals(*pair, name))
    if case.samples is not None:
        samples = case.samples

        def words(i: int) -> tuple[str, str]:
            return listed(samples["target"][i]), listed(samples["prediction"][i, :width])

        yield from shown(case, worst_first(case), words, None, "The worst")


def ranking(case: Case) -> Iterator[Part]:
    """Scores that put samples into an order."""
    values, scores = case.saved.target.reshape(-1), case.saved.prediction
    case.check(scores.shape == values.shape, "one score a sample")
    yield Drawing(plots.scores_against_values(values, scores))
    some_values, some_scores = plots.some(values, scores, most=PAIRED)
    first, second = np.triu_indices(len(some_values), 1)
    gap, lead = some_values[first] - some_values[second], some_scores[first] - some_scores[second]
    apart = gap != 0
    size, right = np.abs(gap[apart]), np.sign(gap[apart]) == np.sign(lead[apart])
    steps = np.unique(np.quantile(size, np.linspace(0, 1, 7))) if len(size) else np.zeros(0)
    rows = []
    for i, (low, high) in enumerate(zip(steps, [*steps[1:], np.inf], strict=True)):
        inside = (size >= low) & (size < high) if i + 1 < len(steps) else size >= low
        if inside.any():
            rows.append(
                [
                    f"{low:.4g}" + (f" to {high:.4g}" if np.isfinite(high) else " and more"),
                    int(inside.sum()),
                    f"{right[inside].mean():.4f}",
                ]
            )
    yield Table(["difference in value", "pairs", "in order"], rows, title="Pairs in their order")


# ---------------------------------------------------------------------- masks


def masks(case: Case) -> Iterator[Part]:
    """A class for each pixel."""
    targets, predictions, names = case.targets, case.predictions.to(torch.uint8), case.spec.names
    case.check(targets.ndim == 3 and targets.shape == predictions.shape, "two masks a sample")
    known = targets != IGNORED
    matrix = C.multiclass_confusion_matrix(
        predictions[known].long(), targets[known].long(), len(names)
    ).numpy()
    both, actual, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    rows = [
        [
            name,
            f"{actual[i] / max(1, actual.sum()):.1%}",
            *(f"{both[i] / below:.4f}" if below else "" for below in shares),
        ]
        for i, name in enumerate(names)
        if (
            shares := (
                actual[i] + predicted[i] - both[i],
                (actual[i] + predicted[i]) / 2,
                predicted[i],
                actual[i],
            )
        )[0]
    ]
    head = ["class", "of the pixels", "IoU", "Dice", "precision", "recall"]
    yield Table(
        head,
        rows,
        title="Each class",
        note="Over the pixels of all images together; ignored ones do not count.",
    )
    if len(names) > 2:
        yield Drawing(
            plots.confusion(
                matrix, names, "Confusion of pixels, in percent of the class", percent=True
            )
        )
    pairs = zip(predictions.split(IMAGES), targets.split(IMAGES), strict=True)
    of_each = torch.cat([dice_of_each(answer, truth, len(names)) for answer, truth in pairs])
    yield Drawing(plots.histogram(of_each.numpy(), "Dice of each image", "Dice"))
    samples = case.samples
    if samples is None or pixels(samples["input"][0]) is None:
        return
    for title, chosen in (("The worst", worst_first(case)), ("The first", even_ones(samples))):
        pictures = []
        for i in chosen[: MOST_SHOWN // 2]:
            image = pixels(samples["input"][i])
            assert image is not None
            both_masks = (overlay(image, samples[part][i]) for part in ("target", "prediction"))
            lines = [f"#{samples['id'][i]}", f"Dice {1 - samples['error'][i]:.3f}"]
            pictures.append(Picture(data_uri(beside(image, *both_masks)), lines))
        if pictures:
            yield Pictures(pictures, title=title, note="Image, truth, answer.")
    if len(names) <= len(plots.COLOURS) + 1:
        yield Legend(list(zip(plots.COLOURS, names[1:], strict=False)))


# ---------------------------------------------------------------------- sequences


def sequences(case: Case) -> Iterator[Part]:
    """Read against true."""
    names = case.spec.names
    targets, predictions = case.saved.target, case.saved.prediction
    case.check(
        targets.ndim == predictions.ndim == 2 and bool((targets < len(names)).all()),
        "two sequences a sample",
    )
    between = "" if all(len(name) == 1 for name in names) else " "

    def write(row: np.ndarray) -> str:
        return between.join(names[int(number)] for number in row if number != FILLER)

    truth, read = [list(map(write, rows)) for rows in (targets, predictions)]
    lengths, right = (
        (targets != FILLER).sum(1),
        np.array([a == b for a, b in zip(truth, read, strict=True)]),
    )
    rows = [
        [int(n), int((lengths == n).sum()), f"{right[lengths == n].mean():.4f}"]
        for n in np.unique(lengths)
    ]
    yield Table(["length", "samples", "read without a mistake"], rows, title="By length")
    mistakes: Counter[tuple[str, str]] = Counter()
    wrong = [i for i, fine in enumerate(right) if not fine]
    for i in wrong[:5000]:
        a, b = (
            [names[int(number)] for number in row if number != FILLER]
            for row in (targets[i], predictions[i])
        )
        for what, from_, to, start, end in difflib.SequenceMatcher(
            None, a, b, autojunk=False
        ).get_opcodes():
            if what != "equal":
                mistakes[between.join(a[from_:to]), between.join(b[start:end])] += 1
    if mistakes:
        rows = [
            [one or "nothing", other or "nothing", times]
            for (one, other), times in mistakes.most_common(MOST_PAIRS)
        ]
        yield Table(["true", "read", "times"], rows, title="Most frequent mistakes")
    if case.samples is None:
        rows = [[int(case.saved.id[i]), truth[i], read[i]] for i in wrong[:MOST_SHOWN]]
        yield Table(["id", "true", "read"], rows, title="Read wrong")
        return
    shown_truth, shown_read = [
        list(map(write, case.samples[part])) for part in ("target", "prediction")
    ]

    def words(i: int) -> tuple[str, str]:
        return shown_truth[i], shown_read[i] or "nothing"

    differ = np.array([a != b for a, b in zip(shown_truth, shown_read, strict=True)])
    yield from shown(case, worst_first(case), words, differ, "The worst")
    yield from shown(case, even_ones(case.samples), words, differ, "The first, read against true")


# ---------------------------------------------------------------------- embeddings


def embedding(case: Case) -> Iterator[Part]:
    """Points in space, looked at in their plane of widest spread."""
    points, targets, names = case.predictions, case.saved.target, case.spec.names
    case.check(
        points.ndim == 2 and targets.ndim == 1 and bool((targets < len(names)).all()),
        "points and their classes",
    )
    flat, share = principal_plane(points.double().numpy())
    shown_points, shown_classes = plots.some(flat, targets)
    title = f"The plane of widest spread ({share:.0%} of the variance)"
    yield Drawing(plots.map_of_points(shown_points, shown_classes, names, title))
    among = points[:NEIGHBOURS_AMONG]
    distances = torch.cdist(among, among)
    distances.fill_diagonal_(torch.inf)
    nearest = targets[: len(among)][distances.argmin(1).numpy()]
    matrix = C.multiclass_confusion_matrix(
        torch.from_numpy(nearest).long(), torch.from_numpy(targets[: len(among)]).long(), len(names)
    ).numpy()
    sizes = matrix.sum(1)
    weakest = sorted((matrix[i, i] / sizes[i], i) for i in range(len(names)) if sizes[i])
    rows = [[names[i], int(sizes[i]), f"{share:.4f}"] for share, i in weakest]
    head = ["class", "samples", "nearest is of the class"]
    yield Table(head, rows, title="Nearest neighbours", note="The weakest first.")
    if pairs := confused(matrix):
        table = [[names[i], names[j], int(matrix[i, j])] for i, j in pairs]
        yield Table(["class", "its neighbour's", "samples"], table, title="Most confused")


def principal_plane(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Points (N, D) in the plane of their two widest directions, (N, 2), and that plane's share of
    the variance.
    """
    centred = points - points.mean(0)
    spread, directions = np.linalg.eigh(centred.T @ centred)
    plane = centred @ directions[:, ::-1][:, :2]
    if plane.shape[1] < 2:
        plane = np.concatenate([plane, np.zeros_like(plane)], axis=1)
    return plane, float(spread[::-1][:2].sum() / max(spread.sum(), 1e-12))


# The `report` of a kind of target, or of a task, and what draws it.
SECTIONS: dict[str, Callable[[Case], Iterator[Part]]] = {
    part.__name__: part for part in (classes, labels, numbers, masks, sequences, embedding, ranking)
}
