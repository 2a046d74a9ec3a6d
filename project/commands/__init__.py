"""The commands: name -> (module, one line of help). Nothing heavy is imported until one is called."""

COMMANDS = {
    "fit": ("project.commands.fit", "train a network: a new run, or the continuation of one"),
    "validate": ("project.commands.evaluate", "figures of a checkpoint on the validation split"),
    "test": ("project.commands.evaluate", "figures of a checkpoint on the test split"),
    "predict": ("project.commands.evaluate", "predictions of a checkpoint as a CSV"),
    "lr-find": ("project.commands.study", "a learning rate by a short training in which it rises, and a picture"),
    "batch-size": ("project.commands.study", "samples per second of several batch sizes, measured"),
    "kfold": ("project.commands.study", "a run for each of several folds: mean and deviation of the figures"),
    "stats": ("project.commands.stats", "what the inputs are normalised by: means and deviations"),
    "report": ("project.commands.report", "a page of a run, or a table of many runs"),
    "sweep": ("project.commands.sweep", "many runs of one config with some of its settings varied"),
    "compare": ("project.commands.compare", "which of some settings is better, over their seeds"),
    "show": ("project.commands.show", "the data of a config: a picture of a batch, and a table"),
    "list": ("project.commands.list", "the names that can be used: networks, data, losses, ..."),
}
