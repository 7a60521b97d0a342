"""Shipped configs: found by their names, from a checkout and from an installed package alike."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from rnn_lab.commands._parsing import split_options, value_of
from rnn_lab.commands._spelling import with_underscores
from rnn_lab.errors import UserError

OPTIONS = ("-c", "--config")
CLAIMS = "claims"  # the folder of claims, which are no configs of runs


def shipped_configs() -> dict[str, Path]:
    """Return the shipped configs of runs by name, in order of their folders."""
    return {path.stem: path for path in _shipped() if path.parent.name != CLAIMS}


def shipped_claims() -> dict[str, Path]:
    """Return the shipped claims by name, see `rnn_lab.claims`."""
    return {path.stem: path for path in _shipped() if path.parent.name == CLAIMS}


def _shipped() -> list[Path]:
    package = Path(__file__).parents[1]
    folders = (package / "configs", package.parent / "configs")  # installed; in a checkout
    folder = next((each for each in folders if (each / "text_classification").is_dir()), None)
    return sorted(folder.rglob("*.yaml")) if folder else []


def read_options(arguments: Sequence[str]) -> list[list[str]]:
    """Group the arguments of `fit`, `validate` or `test` into options, in their usual spelling.

    Example:
        >>> read_options(["--wandb", "--ckpt-path=a-b", "--name", "x-y"])
        [['--wandb=true'], ['--ckpt_path=a-b'], ['--name', 'x-y']]

    Args:
        arguments: Command-line arguments after the command.

    Raises:
        UserError: If a config is neither a file nor the name of a shipped config.
    """
    options = with_underscores(split_options(arguments))
    options = [["--wandb=true"] if option == ["--wandb"] else option for option in options]
    return resolve_configs(options)


def resolve_configs(options: list[list[str]]) -> list[list[str]]:
    """Replace the names of shipped configs by their paths.

    Args:
        options: Options with their values, see `split_options`.

    Raises:
        UserError: If a config is neither a file nor the name of a shipped config.
    """
    return [
        [option[0].partition("=")[0], _resolve(value_of(option))] if _is_config(option) else option
        for option in options
    ]


def _is_config(option: list[str]) -> bool:
    return option[0].partition("=")[0] in OPTIONS and value_of(option) != ""


def _resolve(value: str) -> str:
    """Return the path of a config; a local file comes before a shipped config of that name."""
    configs = shipped_configs()
    if Path(value).is_file():
        return value
    if value in configs:
        return str(configs[value])
    parts = Path(value.removeprefix("configs/").removesuffix(".yaml")).parts
    for path in configs.values():
        if parts and path.with_suffix("").parts[-len(parts) :] == parts:
            return str(path)  # by its folder, such as text_classification/demo
    if Path(value).is_dir():
        raise UserError(f"-c {value} is a folder: name a file in it")
    near = difflib.get_close_matches(Path(value).stem, configs, 3, 0.7)
    if not near and Path(value).suffix in (".yaml", ".yml"):
        raise UserError(f"-c {value} does not exist")
    hint = f"did you mean -c {' or -c '.join(near)}?" if near else "`rnn-lab list` shows them"
    raise UserError(f"{value} is neither a file nor the name of a shipped config; {hint}")
