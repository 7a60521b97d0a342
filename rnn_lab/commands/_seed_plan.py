"""The runs of `rnn-lab fit --seeds`: folders, commands, and which have finished already."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rnn_lab.commands import _grid as grid
from rnn_lab.commands._dry_run import FitDryRun, Options, key_of
from rnn_lab.commands._parallel_runs import LocalRun
from rnn_lab.commands._parsing import value_of
from rnn_lab.comparison.options import differing, flatten
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import CONFIG, STATE, read_record

# Options of the Trainer that may change when a run continues.
LIMITS = {
    f"trainer.{name}"
    for name in (
        *("max_epochs", "max_steps", "max_time", "accelerator", "devices", "num_nodes"),
        *("strategy", "enable_progress_bar"),
    )
}
# Options that the names of runs do not repeat: what a run is called, where it is, what follows it.
UNNAMED = {
    *("-c", "--config", "--model", "--data", "--experiment", "--name", "--test", "--overwrite"),
    *("--wandb", "--ckpt_path", "--init_from"),
    *(f"--{name}" for name in LIMITS),
}


class SeedDryRun(FitDryRun):
    """Parse and validate the options of a run for one seed.

    A run without a name is called by its model and the options that are given on the command line,
    so that the same command finds it again.
    """

    def __init__(self, options: Options, seed: int) -> None:
        self._given = options
        super().__init__([*options, [f"--seed_everything={seed}"]], f"-seed={seed}")

    def _new_name(self, parent: Path, model: str) -> str:
        named = [option for option in self._given if key_of(option) not in UNNAMED]
        point = {key_of(option).removeprefix("--"): value_of(option) for option in named}
        return model + (grid.suffixes([point])[0] if point else "")

    def plain_config(self) -> dict[str, Any]:
        """Return the config as plain values."""
        return self._plain_config()


def plan(options: Options, seeds: Sequence[int]) -> list[LocalRun]:
    """Validate the options once, and return a run for each seed.

    Args:
        options: Options of `fit`, without those of seeds.
        seeds: The seeds.

    Raises:
        UserError: If an option is invalid, or a folder contains a run with other options.
    """
    dry_run = SeedDryRun(options, seeds[0])
    config, plain = dry_run.config["fit"], dry_run.plain_config()
    assert dry_run.base is not None  # several runs have no common folder
    parent = Path(config.trainer.default_root_dir).parent
    others = [option for option in options if key_of(option) not in ("--name", "--ckpt_path")]
    runs = []
    for seed in seeds:
        folder = parent / f"{dry_run.base}-seed={seed}"
        state = "" if config.overwrite else check_same(folder, plain, config.test)
        own = [[f"--seed_everything={seed}"], [f"--experiment={config.experiment}"]]
        own += [[f"--name={folder.name}"], *([] if config.overwrite else [["--ckpt_path=last"]])]
        line = [argument for option in [*others, *own] for argument in option]
        command = [sys.executable, "-m", "rnn_lab", "fit", *line]
        runs.append(LocalRun(folder, command, state == "finished", state or "new"))
    return runs


def check_same(folder: Path, config: Mapping[str, Any], test: bool) -> str:
    """Check that a folder has no run with other options, and return the state of its run.

    Returns:
        `finished`, `resumed`, or empty if the folder has no run.
    """
    path = folder / CONFIG
    if not path.exists():
        return ""
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    options = differing([flatten(saved), flatten(config)])
    changed = [f"{name} ({a}, now {b})" for name, (a, b) in options.items() if name not in LIMITS]
    if changed:
        raise UserError(
            f"{folder} has a run with other options: {'; '.join(changed)}: give another --name, or "
            "--overwrite=true"
        )
    state = read_record(folder / STATE)
    done = state.get("state") == "finished" and (state.get("tested") or not test)
    return "finished" if done and not options else "resumed"
