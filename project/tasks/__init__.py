"""LightningModules: what a batch means. A new task is a file here and a line in this table."""

TASKS = {
    "Classification": (
        ".tasks.classification.Classification",
        "one class of several, yes or no, or several labels",
    ),
    "Distillation": (
        ".tasks.distillation.Distillation",
        "classes, taught by the outputs of a trained network",
    ),
    "Regression": (
        ".tasks.regression.Regression",
        "one number or several, standardised while training; or counts",
    ),
    "MetricLearning": (
        ".tasks.metric_learning.MetricLearning",
        "points in space, near for samples of one class",
    ),
    "Ranking": (".tasks.ranking.Ranking", "a score in the order of a number"),
    "Segmentation": (".tasks.segmentation.Segmentation", "a class for each pixel"),
    "Transcription": (
        ".tasks.transcription.Transcription",
        "several characters in their order, read from an image by CTC",
    ),
}
