"""Torch's own losses, optimizers and schedules by their short names."""

METRICS = {  # name -> line of help; each stands in building/metrics.py
    "F1": "precision and recall in one; of classes, labels, masks",
    "FBeta": "the same, recall counting beta times as much",
    "Precision": "the share of answers that are right",
    "Recall": "the share of the truth that is found; macro: balanced accuracy",
    "Specificity": "the share of what is not true that is not answered",
    "Jaccard": "overlap over union; of classes, labels, masks",
    "AUROC": "how well scores sort classes or labels",
    "AveragePrecision": "the area below precision over recall",
    "TopK": "the class is among the top_k most likely",
    "MCC": "Matthews' correlation",
    "Kappa": "Cohen's agreement beyond chance",
    "ECE": "how far confidence and accuracy lie apart",
    "Hamming": "the share of labels that are wrong",
    "MSE": "mean squared error of numbers",
    "MAPE": "mean error as a share of the truth",
    "SMAPE": "mean error as a share of truth and answer",
    "MSLE": "mean squared difference of logarithms",
    "ExplainedVariance": "the share of the variance that is answered",
    "Pearson": "linear correlation of numbers",
    "Spearman": "correlation of the ranks of numbers",
}
LOSSES = {
    "CrossEntropy": (
        "torch.nn.CrossEntropyLoss",
        "one of several classes, from logits; weight, label_smoothing",
    ),
    "NLL": ("torch.nn.NLLLoss", "one of several classes, from log-probabilities; weight"),
    "MultiMargin": (
        "torch.nn.MultiMarginLoss",
        "one of several classes, by a margin; p, margin, weight",
    ),
    "KLDiv": ("torch.nn.KLDivLoss", "shares of classes; use reduction: batchmean"),
    "BCEWithLogits": (
        "torch.nn.BCEWithLogitsLoss",
        "yes or no, or several labels, from logits; pos_weight",
    ),
    "BCE": ("torch.nn.BCELoss", "yes or no, or several labels, from probabilities; weight"),
    "SoftMargin": ("torch.nn.SoftMarginLoss", "yes or no, or several labels, by a logistic margin"),
    "MultiLabelSoftMargin": ("torch.nn.MultiLabelSoftMarginLoss", "several labels at once; weight"),
    "MultiLabelMargin": ("torch.nn.MultiLabelMarginLoss", "several labels at once, by a margin"),
    "MSE": ("torch.nn.MSELoss", "mean squared error"),
    "L1": ("torch.nn.L1Loss", "mean absolute error"),
    "SmoothL1": ("torch.nn.SmoothL1Loss", "squared below beta, absolute above"),
    "Huber": ("torch.nn.HuberLoss", "squared below delta, absolute above"),
    "PoissonNLL": ("torch.nn.PoissonNLLLoss", "counts, by the logarithm of their rate"),
    "GaussianNLL": ("torch.nn.GaussianNLLLoss", "numbers with a variance of their own"),
    "TripletMargin": (
        "torch.nn.TripletMarginLoss",
        "points: nearer to one of its class than to another; margin, p, swap",
    ),
    "CosineEmbedding": ("torch.nn.CosineEmbeddingLoss", "pairs of points by their angle; margin"),
    "HingeEmbedding": ("torch.nn.HingeEmbeddingLoss", "pairs of points by their distance; margin"),
    "MarginRanking": ("torch.nn.MarginRankingLoss", "which of two scores is larger; margin"),
    "CTC": (
        "torch.nn.CTCLoss",
        "sequences without places, from a class or blank for each column; blank",
    ),
}

OPTIMIZERS = {
    "SGD": ("torch.optim.SGD", "stochastic gradient descent; momentum, nesterov"),
    "Adam": ("torch.optim.Adam", "adaptive moments"),
    "AdamW": ("torch.optim.AdamW", "Adam with decoupled weight decay"),
    "NAdam": ("torch.optim.NAdam", "Adam with Nesterov momentum"),
    "RAdam": ("torch.optim.RAdam", "rectified Adam"),
    "Adamax": ("torch.optim.Adamax", "Adam with the infinity norm"),
    "RMSprop": ("torch.optim.RMSprop", "gradients over a running root mean square"),
    "Adagrad": ("torch.optim.Adagrad", "rates that shrink with the sum of squares"),
    "Adadelta": ("torch.optim.Adadelta", "Adagrad over a window"),
    "ASGD": ("torch.optim.ASGD", "averaged stochastic gradient descent"),
    "Adafactor": ("torch.optim.Adafactor", "Adam's second moment, factored to save memory"),
    "LBFGS": (
        "torch.optim.LBFGS",
        "quasi-Newton with line search, for small data in whole batches",
    ),
    "SparseAdam": (
        "torch.optim.SparseAdam",
        "Adam for sparse embeddings: only the rows that were seen",
    ),
    "Muon": (
        "torch.optim.Muon",
        "orthogonalised momentum for matrices; give other parameters another by groups",
    ),
    "Rprop": ("torch.optim.Rprop", "resilient backpropagation, for whole batches"),
}

SCHEDULES = {
    "OneCycle": ("torch.optim.lr_scheduler.OneCycleLR", "up and down once over the run"),
    "Linear": (
        "torch.optim.lr_scheduler.LinearLR",
        "a straight line between two factors, as a warm-up",
    ),
    "Constant": ("torch.optim.lr_scheduler.ConstantLR", "times factor for the first total_iters"),
    "Cyclic": (
        "torch.optim.lr_scheduler.CyclicLR",
        "up and down between two rates, every few steps",
    ),
    "StepLR": ("torch.optim.lr_scheduler.StepLR", "times gamma every step_size epochs"),
    "MultiStepLR": ("torch.optim.lr_scheduler.MultiStepLR", "times gamma at the epochs of a list"),
    "ExponentialLR": ("torch.optim.lr_scheduler.ExponentialLR", "times gamma every epoch"),
    "WarmRestarts": (
        "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
        "cosine down again and again",
    ),
    "Plateau": (
        "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "times factor when the monitored metric stops improving",
    ),
}
