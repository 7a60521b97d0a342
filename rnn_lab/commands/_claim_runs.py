"""The runs of a claim: folders, commands, and which have finished already."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rnn_lab.claims.claim import Claim
from rnn_lab.claims.claim import Options as Values
from rnn_lab.commands._dry_run import FitDryRun, Options
from rnn_lab.commands._grid import options_of
from rnn_lab.commands._parallel_runs import LocalRun
from rnn_lab.commands._seed_plan import check_same
from rnn_lab.io.run_files import ROOT, STATE, has_diverged, read_record


class ClaimDryRun(FitDryRun):
    """Parse and validate the options of a run of a claim."""

    command = "claims"

    def plain_config(self) -> dict:
        """Return the config as plain values."""
        return self._plain_config()


def plan(claim: Claim, seeds: Sequence[int]) -> dict[str, list[LocalRun]]:
    """Validate the options of all variants, and return their runs, one for each seed.

    Args:
        claim: The claim.
        seeds: The seeds.

    Returns:
        The runs by variant.

    Raises:
        UserError: If an option is invalid, or a folder has a run with other options.
    """
    return {name: _runs(claim, name, each, seeds) for name, each in claim.variants.items()}


def _runs(claim: Claim, variant: str, values: Values, seeds: Sequence[int]) -> list[LocalRun]:
    options = [["-c", claim.config], *options_of(claim.options | values), ["--test=true"]]
    parent = ROOT / "claims" / claim.name
    folders = {seed: parent / f"{variant}-seed={seed}" for seed in seeds}
    config = ClaimDryRun([*options, *_own(folders[seeds[0]], seeds[0])]).plain_config()
    runs = []
    for seed, folder in folders.items():
        state = check_same(folder, config, test=True)
        line = [argument for option in [*options, *_own(folder, seed)] for argument in option]
        command = [sys.executable, "-m", "rnn_lab", "fit", *line, "--ckpt_path=last"]
        ended = state == "finished" or has_diverged(read_record(folder / STATE))
        runs.append(LocalRun(folder, command, ended, state or "new"))
    return runs


def _own(folder: Path, seed: int) -> Options:
    return [[f"--trainer.default_root_dir={folder}"], [f"--seed_everything={seed}"]]
