"""The commands that one is likely to type after `fit` and `test`, or after an interruption."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rnn_lab.core.datamodule import LabDataModule
from rnn_lab.core.task import Task

FIT_ONLY = ("train", "valid", "vectors")  # arguments of data that a checkpoint makes unnecessary
FILE = "FILE"  # placeholder of a path that only the user knows


def next_commands(
    task: Any, data: Any, arguments: Mapping[str, Any], checkpoint: str, tested: bool
) -> list[str]:
    """Return command lines for a checkpoint, with quoted paths, to be copied into a shell.

    A checkpoint has all settings of its data except paths, so that only those are given.

    Args:
        task: The model.
        data: The data module.
        arguments: Arguments of the data module by name, with None for those left out.
        checkpoint: Path of the checkpoint.
        tested: Whether the checkpoint was tested.
    """
    commands = [] if tested else [_line("test", checkpoint, _test_options(data, arguments))]
    if isinstance(task, Task) and task.predictor is not None:
        for name in task.commands:
            commands.append(_line(name, checkpoint, _options(name, data, arguments)))
    return commands


def _options(command: str, data: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    match command:
        case "predict":
            return {"input": arguments.get("file") or FILE}
        case "backtest":
            return _test_options(data, arguments)
    return {}


def _test_options(data: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {f"data.{name}": value for name, value in _paths_of_test(data, arguments)}


def _paths_of_test(data: Any, arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of the arguments that a test needs besides the checkpoint."""
    if not isinstance(data, LabDataModule):
        return
    unused = {data.checkpoint_argument, *(FIT_ONLY if data.checkpoint_argument else ())}
    needless = unused - {data.test_argument}
    for name in data.machine_specific:
        value = arguments.get(name)
        if name not in needless and (value is not None or name == data.test_argument):
            yield name, FILE if value is None else value


def _line(command: str, checkpoint: str, options: Mapping[str, Any]) -> str:
    values = {"ckpt_path": checkpoint, **options}
    words = [f"--{name}={_text(value)}" for name, value in values.items()]
    return shlex.join(["rnn-lab", command, *words])


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


def resume_command(folder: Path) -> str:
    """Return the command that resumes a run from its folder; empty if nothing was saved.

    The config in the folder has all options of the run.
    """
    if not (folder / "checkpoints/last.ckpt").exists() or not (folder / "config.yaml").exists():
        return ""
    path = _relative(folder)
    place = [f"--trainer.default_root_dir={path}"]
    if path.parts[0] == "runs" and len(path.parts) == 3:
        place = [f"--experiment={path.parts[1]}", f"--name={path.parts[2]}"]
    config = ["-c", str(path / "config.yaml")]
    return shlex.join(["rnn-lab", "fit", *config, *place, "--ckpt_path=last"])


def status_command(folder: Path) -> str:
    """Return the command that shows a run among others, or alone if it is not in `runs/`."""
    path = _relative(folder)
    is_named = path.parts[:1] == ("runs",)
    return shlex.join(["rnn-lab", "status", *([] if is_named else [str(path)])])


def _relative(folder: Path) -> Path:
    inside = folder.is_absolute() and folder.is_relative_to(Path.cwd())
    return folder.relative_to(Path.cwd()) if inside else folder
