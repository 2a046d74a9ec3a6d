"""A command line, taken apart and merged with its files.

Mistakes are answered here without importing torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError, clip, suggest
from .classes import KeyPath, Tree, shorten
from .settings import GROUPS, Settings, from_assignments, from_yaml
from .yamltext import write_yaml

OPTIONS = {"--config", "--run", "--ckpt_path", "--weights", "--fresh", "--output"}
OPTIONS |= {"--min_lr", "--max_lr", "--steps", "--min_batch", "--max_batch", "--rounds", "--folds"}
OPTIONS |= {"--input", "--top", "--on_error", "--calibrate"}
SWITCHES = {"--print_config": "print_config", "--print_init": "print_init"}  # fields of CommandLine
# What may differ from the checkpoint's config at a resume: where the data lies and how it is read,
# not what it is.
MAY_CHANGE = {
    ("data", key)
    for key in ("root", "num_workers", "pin_memory", "download", "cache", "cache_gigabytes")
}
MAY_CHANGE.add(("model", "teacher"))  # its folder; that it is the same one, the task checks
DECIDES_THE_RESULT = ("data", "model", "seed_everything")


@dataclass
class CommandLine:
    """A command line, taken apart. Only the commands know it; what they call takes values."""

    command: str
    configs: list[Path] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    assignments: list[tuple[str, str]] = field(default_factory=list)
    print_config: bool = False
    print_init: bool = False

    def path(self, option: str) -> Path | None:
        given = self.options.get(option)
        return Path(given).expanduser() if given is not None else None


def read_arguments(
    command: str,
    arguments: Sequence[str],
    options: Sequence[str],
    groups: Sequence[str] = GROUPS,
) -> CommandLine:
    """Split `--key value`, `--key=value` and the command's own options.

    Args:
        command: Its name, for messages.
        arguments: The words after it.
        options: The options it takes beside settings.
        groups: The first words of its settings.

    Raises:
        UserError: a word without a key, a key without a value, an option of another command.
    """
    line = CommandLine(command)
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        word = "--config" if word == "-c" else word
        if not word.startswith("--") or word == "--":
            raise UserError(
                f"{word!r}: expected --KEY VALUE; a config file is given as --config FILE"
            )
        if word in SWITCHES:
            if word != "--print_config":
                _check_belongs(word, command, options)
            setattr(line, SWITCHES[word], True)
            continue
        key, value = _key_and_value(word, rest)
        if key == "--config":
            line.configs.append(Path(value).expanduser())
        elif key in OPTIONS:
            _check_belongs(key, command, options)
            if line.options.setdefault(key, value) != value:
                raise UserError(f"{key} is given twice: {line.options[key]!r} and {value!r}")
        else:
            if key[2:].partition(".")[0] not in groups:
                known = {
                    *options,
                    "--config",
                    "--print_config",
                    *(f"--{group}" for group in groups),
                }
                raise UserError(
                    f"{key}: unknown option; {suggest(key, known, 'options')} "
                    "(as in --trainer.max_epochs 3)"
                )
            line.assignments.append((key[2:], value))
    return line


def yes_or_no(options: dict[str, str], name: str) -> bool:
    """What an option of a command says, false where it is not given.

    Raises:
        UserError: it is neither true nor false.
    """
    text = options.get(name, "false")
    if text not in ("true", "false"):
        raise UserError(f"{name} {clip(text)}: true or false")
    return text == "true"


def read_words(
    command: str, arguments: Sequence[str], options: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Split the words of a command from its `--option value` pairs.

    Raises:
        UserError: an option that the command does not have, or one without a value.
    """
    words: list[str] = []
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        name = word.partition("=")[0]
        if name not in options:
            raise UserError(f"{name}: unknown option; {suggest(name, options, f'{command} takes')}")
        key, value = _key_and_value(word, rest)
        if given.setdefault(key, value) != value:
            raise UserError(f"{key} is given twice: {given[key]!r} and {value!r}")
    return words, given


def _key_and_value(word: str, rest: list[str]) -> tuple[str, str]:
    """A key and its value, from `--key=value` or from this word and the next."""
    key, equals, value = word.partition("=")
    if not equals:
        if not rest or (rest[0].startswith("--") and not re.match(r"--?[\d.]", rest[0])):
            raise UserError(f"{key} needs a value; write {key} VALUE")
        value = rest.pop(0)
    return key, value


def _check_belongs(option: str, command: str, options: Sequence[str]) -> None:
    if option not in options:
        takes = ", ".join(options) or "--config"
        raise UserError(f"{option} does not belong to {command}; it takes {takes}")


def merge(line: CommandLine) -> Settings:
    """The settings of a command line: it over its files, a later file over the earlier."""
    return read_settings(line.configs, line.assignments)


def read_settings(configs: Sequence[Path], assignments: Sequence[tuple[str, str]] = ()) -> Settings:
    """The settings of some config files, and of `key value` pairs over them."""
    settings = Settings(configs=list(map(str, configs)), assignments=list(assignments))
    for path in configs:
        settings.add(from_yaml(read_config(path), str(path)))
    settings.add(from_assignments(list(assignments)))
    if configs:
        settings.tree.setdefault("name", configs[0].stem)
    return settings


def as_text(value: Any) -> str:
    """A value as one writes it on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def read_config(path: Path) -> str:
    """The text of a config file.

    Raises:
        UserError: it cannot be read; names the nearest ones beside it.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        names = [entry.name for entry in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        hint = f"; {suggest(path.name, names, 'there are')}" if names else ""
        raise UserError(f"--config {path}: {reason}{hint}") from None


# ---------------------------------------------------------------------- comparing configs


def config_text(tree: Tree) -> str:
    """A config as YAML, with short names."""
    return write_yaml(shorten(tree), width=120)


def differences(new: Tree, old: Tree) -> dict[KeyPath, tuple[Any, Any]]:
    """The keys whose values differ between two configs, with both values."""
    after, before = dict(leaves_with_class(new)), dict(leaves_with_class(old))
    keys = [key for key in [*after, *(k for k in before if k not in after)] if key[0] != "name"]
    return {
        key: (after.get(key), before.get(key)) for key in keys if after.get(key) != before.get(key)
    }


def leaves_with_class(tree: Tree, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Like `leaves`, with a class's name at the path of its slot."""
    for key, value in tree.items():
        here = path if key in ("init_args", "class_path") else (*path, key)
        if isinstance(value, dict) and value:
            yield from leaves_with_class(value, here)
        else:
            yield here, value


def refuse_changes(new: Tree, old: Tree, run: object) -> list[str]:
    """The differences that take effect when a run continues, one line each.

    Raises:
        UserError: something differs that decides the result.
    """
    lines = []
    for path, (now, before) in differences(new, old).items():
        key = ".".join(path)
        if path[0] in DECIDES_THE_RESULT and path not in MAY_CHANGE:
            raise UserError(
                f"--{key}: the run {run} has {clip(before)!r}, now it is {clip(now)!r}; a run "
                "continues as it began: leave it out, or start a new run from its weights with "
                f"--weights {run}"
            )
        lines.append(f"--{key}: {clip(now)} (was {clip(before)})")
    return lines
