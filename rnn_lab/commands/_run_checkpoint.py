"""Checkpoints that are named by their run: `--ckpt_path=best --name=NAME`."""

import difflib
import glob
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from rnn_lab.commands._parsing import value_of
from rnn_lab.errors import UserError

KEYWORDS = ("best", "last")
RUN_OPTIONS = ("--name", "--experiment")
CHOOSE_DATA = {"--data", "-c", "--config"}


def add_run_name_options(parser: ArgumentParser) -> None:
    """Add the options that name the run of `--ckpt_path=best` and `--ckpt_path=last`."""
    parser.add_argument(
        "--name", type=str | None, help="name of the run, with --ckpt_path=best or last"
    )
    parser.add_argument(
        "--experiment",
        type=str | None,
        help="folder of that run in runs/, if several have a run of this name",
    )


def checkpoint_path(args: Namespace) -> str:
    """Return the path of the checkpoint that the options of a command name.

    Args:
        args: Parsed options with `ckpt_path`, `name` and `experiment`.

    Raises:
        UserError: If the run or its checkpoint does not exist, or a path is given with a name.
    """
    if args.ckpt_path in KEYWORDS:
        return run_checkpoint(args.ckpt_path, args.name, args.experiment)
    for option in ("name", "experiment"):
        if args[option] is not None:
            raise UserError(f"--{option} has no effect with the path of a checkpoint: remove it")
    return args.ckpt_path


def resolve_run_checkpoint(command: str, options: list[list[str]]) -> list[list[str]]:
    """Replace `--ckpt_path=best` and the name of its run by the path of the checkpoint.

    The results of `test` and `validate` are then written into the folder of the run. `fit` itself
    handles `last`, with which it also starts a run.

    Args:
        command: `fit`, `validate` or `test`.
        options: Options with their values, see `split_options`.

    Raises:
        UserError: If the run or its checkpoint does not exist.
    """
    keys = {option[0].partition("=")[0]: option for option in options}
    if "--ckpt_path" not in keys:
        return options
    kind = value_of(keys["--ckpt_path"])
    name, experiment, folder, data = (
        value_of(keys[key]) if key in keys else None
        for key in (*RUN_OPTIONS, "--trainer.default_root_dir", "--data")
    )
    if command == "fit" and kind == "last" and not keys.keys() & CHOOSE_DATA:
        _require_config(name, experiment)
    if kind not in KEYWORDS or (command == "fit" and kind == "last"):
        return options
    path = (
        _in_folder(kind, Path(folder)) if folder else run_checkpoint(kind, name, experiment, data)
    )
    others = [each for each in options if each[0].partition("=")[0] not in RUN_OPTIONS]
    is_checkpoint = keys["--ckpt_path"]
    return [[f"--ckpt_path={path}"] if each is is_checkpoint else each for each in others]


def run_checkpoint(
    kind: str, name: str | None, experiment: str | None = None, data: str | None = None
) -> str:
    """Return the path of a checkpoint of a run.

    Args:
        kind: `best` or `last`.
        name: Name of the run.
        experiment: Folder of the run in `runs/`; None to search for it.
        data: Name of the data, the default of the experiment; it is preferred if several
            experiments have a run of that name.

    Raises:
        UserError: If there is no such run, there are several, or it has no such checkpoint.
    """
    if name is None:
        raise UserError(f"--ckpt_path={kind} requires --name of the run")
    pattern = f"{glob.escape(experiment) if experiment else '*'}/{glob.escape(name)}/"
    folders = sorted(Path("runs").glob(pattern))
    preferred = [each for each in folders if each.parent.name == data]
    if not folders:
        raise UserError(_no_run(name, experiment))
    if len(folders) > 1 and not preferred:
        names = " or ".join(f"--experiment={each.parent.name}" for each in folders)
        raise UserError(f"several runs are named {name}: give {names}")
    return _in_folder(kind, (preferred or folders)[0])


def _require_config(name: str | None, experiment: str | None) -> None:
    """Ask for the config of a run that is resumed without its options, if there is one run.

    Raises:
        UserError: If there is.
    """
    parent = glob.escape(experiment) if experiment else "*"
    configs = list(Path("runs").glob(f"{parent}/{glob.escape(name)}/config.yaml")) if name else []
    if len(configs) == 1:
        raise UserError(f"--ckpt_path=last needs the options of the run: add -c {configs[0]}")


def _in_folder(kind: str, folder: Path) -> str:
    path = folder / "checkpoints" / f"{kind}.ckpt"
    if not path.exists():
        pattern = f"{glob.escape(folder.name)}-*/checkpoints/{path.name}"
        runs = sorted(each.parents[1].name for each in folder.parent.glob(pattern))  # of an array
        hint = f"; did you mean --name={' or --name='.join(runs[:3])}?" if runs else ""
        raise UserError(f"--ckpt_path={kind}: {path} does not exist{hint}")
    return str(path)


def _no_run(name: str, experiment: str | None) -> str:
    """Return that a run does not exist, with close matches."""
    parents = f"runs/{experiment}" if experiment else "runs/*"
    present = [path.name for path in Path().glob(f"{parents}/*/") if path.is_dir()]
    near = difflib.get_close_matches(name, dict.fromkeys(present), 3)
    hint = f"did you mean --name={' or --name='.join(near)}?" if near else "see rnn-lab status"
    return f"there is no run {parents}/{name}: {hint}"
