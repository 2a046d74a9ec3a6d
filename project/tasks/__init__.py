"""LightningModules: what a batch means. A new task is a file here and a line in this table."""

TASKS = {
    "Classification": ("project.tasks.classification.Classification", "one class of several, yes or no, or several labels"),
    "Distillation": ("project.tasks.distillation.Distillation", "classes, taught by the answers of a trained network"),
    "Regression": ("project.tasks.regression.Regression", "one number or several, standardised while training; or counts"),
    "Embedding": ("project.tasks.embedding.Embedding", "points in space, near for samples of one class"),
    "Ranking": ("project.tasks.ranking.Ranking", "a score in the order of a number"),
    "Segmentation": ("project.tasks.segmentation.Segmentation", "a class for each pixel"),
    "Sequence": ("project.tasks.sequence.Sequence", "several characters in their order, read from an image by CTC"),
}
