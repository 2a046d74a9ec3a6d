"""Losses, optimizers and schedules that torch does not have; the engine knows torch's own by name.

A new one is a file here and a line in its table. A loss says what it compares by `reads`, as Dice
does; without it, logits and targets are handed to it as they are.
"""

LOSSES: dict[str, tuple[str, str]] = {
    "Dice": (".training.dice.Dice", "masks, by the overlap of foreground; smooth"),
}

OPTIMIZERS = {
    "FilterMuon": (".training.muon.FilterMuon", "orthogonalised momentum for convolutions, too"),
}

SCHEDULES: dict[str, tuple[str, str]] = {
    "Cosine": (
        ".training.schedules.Cosine",
        "linear warm-up, then cosine down to min_lr over the run",
    ),
    "LinearDecay": (".training.schedules.LinearDecay", "linear warm-up, then linear to min_lr"),
    "Lambda": (".training.schedules.Lambda", "times an arithmetic expression of epoch or step"),
    "Chain": (".training.schedules.Chain", "several schedules, one after the other"),
}
