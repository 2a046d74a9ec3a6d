"""Configs that want to do what a config must not: text, classes, functions, places, formulas."""

from __future__ import annotations

from typing import Any


def named(path: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": path, "init_args": arguments}


def loss(value: Any) -> dict[str, Any]:
    return {"model": {"loss": value}}


def distance(function: Any) -> dict[str, Any]:
    """A loss that takes a function."""
    return loss(named("torch.nn.TripletMarginWithDistanceLoss", distance_function=function))


def trainer(**keys: Any) -> dict[str, Any]:
    return {"trainer": keys}


def augment(path: str, **arguments: Any) -> dict[str, Any]:
    return {"data": named("Digits", augment=[named(path, **arguments)])}


COMMAND = "touch elsewhere"
CODE = named("subprocess.Popen", args=["touch", "elsewhere"])
SITE = "http://127.0.0.1:9/evil"

# texts that YAML could make more of than text
TEXTS: dict[str, str] = {
    "a tag that calls": f"model: {{loss: !!python/object/apply:os.system ['{COMMAND}']}}\n",
    "a tag that makes": "model: {loss: !!python/object/new:evilmod.X {}}\n",
    "a tag that names": "model: {loss: !!python/name:evilmod.X }\n",
    "a tag that imports": "model: {loss: !!python/module:evilmod }\n",
    "a tag in a key": "? !!python/object/apply:os.getcwd []\n: 1\n",
    "a tag in a list": "trainer: {callbacks: [!!python/object/apply:evilmod.X []]}\n",
    "a tag of one's own": "!evil {model: {loss: CrossEntropy}}\n",
    "a tag directive": "%TAG ! tag:yaml.org,2002:python/\n---\nmodel: {loss: !name:evilmod.X }\n",
    "merge keys that grow": "a: &a {x: 1}\n"
    + "".join(
        f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n"
        for a, b in zip("abcdefg", "bcdefgh", strict=True)
    ),
    "aliases in aliases": "a: &a [1, 2]\n"
    + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 20)}]\n"
        for a, b in zip("abcdef", "bcdefg", strict=True)
    ),
    "an alias of itself": "model: &m {loss: CrossEntropy, net: *m}\n",
    "a thousand levels": f"model: {'{a: ' * 1000}1{'}' * 1000}\n",
    "a number of 9,000 digits": f"seed_everything: {'9' * 9000}\n",
    "a word as a number": "seed_everything: !!int word\n",
    "a word as a date": "name: !!timestamp word\n",
    "a word as yes or no": "run: {report: !!bool maybe}\n",
    "two documents": "model: {loss: CrossEntropy}\n---\nmodel: {loss: evilmod.X}\n",
    "a key given twice": "model: {loss: CrossEntropy, loss: evilmod.X}\n",
}

TREES: dict[str, dict[str, Any]] = {
    # classes: of the system, through an alias, private, no class, of another kind
    "a class of the system": loss("subprocess.Popen"),
    "a class of the system with arguments": loss(CODE),
    "a class through an alias of a module": loss("torch.nn.modules.module.OrderedDict"),
    "a class through an alias in a callback": trainer(
        callbacks=[named("lightning.pytorch.callbacks.model_checkpoint.Path")]
    ),
    "a class through torch in torch.nn": loss(
        named("torch.nn.functional.torch.utils.data.DataLoader", dataset=[])
    ),
    "a class of builtins": loss("builtins.object"),
    "a class of its arguments": loss(named("builtins.type", name="X", bases=[], dict={})),
    "a method": loss("torch.nn.Module.apply"),
    "a dunder": loss("torch.nn.Module.__init__"),
    "a module": loss("torch.nn.functional"),
    "a relative path": loss(".....evilmod.X"),
    "a path with a blank": loss("evilmod .X"),
    "a path that is a file": loss("./evilmod.py"),
    "a file as a network": {"model": {"net": "evilmod.X"}},
    "a file as a task": {"model": "evilmod.X"},
    "a task of Lightning": {"model": "lightning.pytorch.demos.boring_classes.BoringModel"},
    "data of Lightning": {"data": "lightning.pytorch.demos.boring_classes.BoringDataModule"},
    "a loader of torchvision": {"data": named("torchvision.datasets.MNIST", root="elsewhere")},
    "a function of torchvision": {"model": {"net": named("torchvision.models.resnet18")}},
    "a server as a callback": trainer(callbacks=["http.server.HTTPServer"]),
    "a class in a tuple's place": loss(named("torch.nn.Conv2d", in_channels=CODE)),
    "a class as a key": loss(named("torch.nn.ParameterDict", parameters={"a": CODE})),
    "modules within modules": loss(named("torch.nn.Sequential", args=[CODE])),
    "a wrapper with a group": loss(
        named("torch.nn.parallel.DistributedDataParallel", module=CODE, process_group=CODE)
    ),
    "a strategy's environment": trainer(
        strategy=named("lightning.pytorch.strategies.DDPStrategy", cluster_environment=CODE)
    ),
    "a strategy's start method": trainer(
        strategy=named("lightning.pytorch.strategies.DDPStrategy", start_method=COMMAND)
    ),
    "a plugin's options": trainer(
        plugins=[named("lightning.pytorch.plugins.io.AsyncCheckpointIO", checkpoint_io=CODE)]
    ),
    "a plugin of the system": trainer(plugins=["subprocess.Popen"]),
    "a profiler of the system": trainer(profiler=named("cProfile.Profile")),
    "a logger of the system": trainer(
        logger=[named("logging.handlers.SocketHandler", host="127.0.0.1", port=9)]
    ),
    "options of a logger's writer": trainer(
        logger=[named("lightning.pytorch.loggers.WandbLogger", experiment=CODE)]
    ),
    "a class in a rule": {"model": {"init": [{"match": ".*", "init": CODE}]}},
    "a class in a group": {"model": {"groups": [{"match": ".*", "optimizer": CODE}]}},
    "a class in a schedule": {
        "model": {"schedule": named("SequentialLR", schedulers=[CODE], milestones=[1])}
    },
    # functions by a path
    "a distance of the system": distance("os.system"),
    "a distance of torch": distance("torch.hub.load"),
    "a distance through an alias": distance("torch.nn.functional.torch.hub.load"),
    "a distance that is a class": distance(CODE),
    "a distance that is code": distance(f"lambda a, b: __import__('os').system('{COMMAND}')"),
    "a schedule's function": {
        "model": {"schedule": named("torch.optim.lr_scheduler.LambdaLR", lr_lambda="os.system")}
    },
    "a callback's function": trainer(
        callbacks=[named("lightning.pytorch.callbacks.LambdaCallback", on_fit_start="os.getcwd")]
    ),
    "a callback's class": trainer(
        callbacks=[named("lightning.pytorch.callbacks.LambdaCallback", on_fit_start=CODE)]
    ),
    "an averaging function": trainer(
        callbacks=[
            named("StochasticWeightAveraging", swa_lrs=0.1, avg_fn="os.system"),
        ]
    ),
    "an augmentation's function": augment(
        "torchvision.transforms.v2.Lambda", lambd="os.system", types=[]
    ),
    "an augmentation's class": augment("torchvision.transforms.v2.Lambda", lambd=CODE),
    "an augmentation's dtype": augment("torchvision.transforms.v2.ToDtype", dtype=CODE),
    "an activation": {"model": {"net": named("MLP", activation=CODE)}},
    "an activation's path": {"model": {"net": named("MLP", activation="os.system")}},
    # places and addresses
    "a name that climbs": {"name": "../elsewhere"},
    "a name from the root": {"name": "/tmp/elsewhere-of-a-config"},
    "a name of a home": {"name": "~/elsewhere"},
    "a name with a control code": {"name": "a\x1b]0;evil\x07"},
    "a run at an address": {"run": {"root": SITE}},
    "data at an address": {"data": named("ImageFolder", root=SITE)},
    "a table at an address": {"data": named("CSVTable", root=".", file=SITE)},
    "a table in a pipe": {"data": named("CSVTable", root=".", file=f"| {COMMAND}")},
    "weights at an address": {"model": {"net": named("TorchVision", weights=SITE)}},
    "a teacher at an address": {"model": named("Distillation", teacher=SITE)},
    "pickled weights": {"model": {"net": named("TorchVision", weights="evil.pt")}},
    # patterns and formulas
    "a pattern without an end": {"model": {"init": [{"match": "(.*.*.*.*)z", "init": "zeros"}]}},
    "a pattern of patterns": {"model": {"init": [{"match": "((a+)+)+$", "init": "zeros"}]}},
    "a formula that imports": {
        "model": {"schedule": named("Lambda", factor=f"__import__('os').system('{COMMAND}')")}
    },
    "a formula with attributes": {
        "model": {"schedule": named("Lambda", factor="().__class__.__bases__[0]")}
    },
    "a formula without an end": {
        "model": {"schedule": named("Lambda", factor="9**9**9**9**epoch")}
    },
}
