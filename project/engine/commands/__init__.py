"""The commands: name -> (module, one line of help).

Nothing heavy is imported until one is called.
"""

COMMANDS = {
    "fit": ("fit", "train a network: a new run, or the continuation of one"),
    "validate": ("evaluate", "metrics of a checkpoint on the validation split"),
    "test": ("evaluate", "metrics of a checkpoint on the test split"),
    "predict": ("evaluate", "predictions of a checkpoint as a CSV"),
    "explain": ("explain", "where in an image a run looks, or how much each column counts"),
    "export": ("export", "a trained run as a file that runs without this package"),
    "lr-find": ("study", "a learning rate by a short training in which it rises, and a picture"),
    "batch-size": ("study", "samples per second of several batch sizes, measured"),
    "profile": ("study", "where the time of a training step goes, and what to change"),
    "check": ("study", "what is wrong, or will be, before a long run"),
    "baseline": ("study", "what scikit-learn reaches in one line, on the same splits"),
    "kfold": ("study", "a run for each fold: mean and standard deviation of the metrics"),
    "stats": ("show", "what the inputs are normalised by: means and deviations"),
    "report": ("report", "a page of a run, or a table of many runs"),
    "sweep": ("sweep", "many runs of one config with some of its settings varied"),
    "compare": ("compare", "which of some settings is better, over their seeds"),
    "show": ("show", "the data of a config: a picture of a batch, and a table"),
    "new": ("new", "a project of your own from this one, in a folder, under its own name"),
    "update": ("new", "take a later version of the template, your own changes kept"),
    "rename": ("new", "this project under another name"),
    "list": ("list", "the names that can be used: networks, data, losses, ..."),
}
