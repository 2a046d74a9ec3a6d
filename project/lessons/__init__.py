"""Lessons: layers, networks and an optimizer by hand, and synthetic data. The whole folder may be
deleted.

With it go configs/lessons and tests/lessons; nothing else needs them.
"""

DATA = {
    "Plane": (".lessons.synthetic.Plane", "a plane with noise, for linear regression"),
    "FourPoints": (
        ".lessons.synthetic.FourPoints",
        "four numbers, for logistic regression by hand",
    ),
    "Parabola": (".lessons.synthetic.Parabola", "a parabola with noise, to compare optimizers on"),
    "DigitStrings": (
        ".lessons.strings.DigitStrings",
        "strings of 3 to 6 handwritten digits in one image",
    ),
    "DigitSums": (
        ".lessons.sums.DigitSums",
        "a digit's image and a number to add to it: two inputs",
    ),
}

NETWORKS = {
    "SmallCNN": (
        ".lessons.tutorial.SmallCNN",
        "convolutions without padding: 6-12-120-60, 32,998 parameters",
    ),
    "HandMade": (".lessons.tutorial.HandMade", "SmallCNN from hand-written layers"),
    "Matrices": (".lessons.tutorial.Matrices", "bare matrices, the first chosen by name"),
}
OPTIMIZERS = {
    "PlainSGD": (
        ".lessons.plain_sgd.PlainSGD",
        "stochastic gradient descent and nothing else, by hand",
    )
}
