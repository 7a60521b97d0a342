"""The runs of a claim: trainings, or timings of a benchmark, and which are missing."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import yaml

from rnn_lab.claims.claim import Claim
from rnn_lab.claims.claim import Options as Values
from rnn_lab.claims.timing import Cost, layer_timing, time_layers
from rnn_lab.commands._dry_run import FitDryRun, Options
from rnn_lab.commands._grid import options_of
from rnn_lab.commands._parallel_runs import LocalRun, train_all
from rnn_lab.commands._seed_plan import check_same
from rnn_lab.comparison.options import differing, flatten
from rnn_lab.comparison.saved_run import read_run
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.io.progress import progress
from rnn_lab.io.run_files import CONFIG, COST, ROOT, STATE, has_diverged, read_record

SEED = "seed_everything"


class ClaimRuns(ABC):
    """What is measured for a claim: for each variant a run with each seed, in a folder.

    Args:
        claim: The claim.
        seeds: The seeds.

    Raises:
        UserError: If an option is invalid, or a folder has a run with other options.
    """

    def __init__(self, claim: Claim, seeds: Sequence[int]) -> None:
        parent = ROOT / "claims" / claim.name
        self.folders = {
            name: {seed: parent / f"{name}-seed={seed}" for seed in seeds}
            for name in claim.variants
        }

    def count(self) -> int:
        """Return the number of runs."""
        return sum(map(len, self.folders.values()))

    @abstractmethod
    def count_finished(self) -> int:
        """Return how many runs had finished before this command."""

    @abstractmethod
    def complete(self, jobs: int) -> int:
        """Do what is missing.

        Args:
            jobs: Number of runs to train at the same time.

        Returns:
            An exit status: 0, 1 if a run failed, or 128 + signal number if interrupted.
        """


class ClaimDryRun(FitDryRun):
    """Parse and validate the options of a run of a claim."""

    command = "claims"

    def plain_config(self) -> dict:
        """Return the config as plain values."""
        return self._plain_config()


class Trainings(ClaimRuns):
    """Trainings, each in a process of its own."""

    def __init__(self, claim: Claim, seeds: Sequence[int]) -> None:
        super().__init__(claim, seeds)
        each = [_trainings(claim, claim.variants[name], f) for name, f in self.folders.items()]
        self.runs = [run for runs in each for run in runs]

    def count_finished(self) -> int:
        return sum(run.finished for run in self.runs)

    def complete(self, jobs: int) -> int:
        """Train what has not ended; a run that diverged is a result, not a failure."""
        status = 0 if all(run.finished for run in self.runs) else train_all(self.runs, jobs)
        failed = [run for run in self.runs if run.process and run.process.returncode]
        diverged = all(has_diverged(read_record(run.folder / STATE)) for run in failed)
        return 0 if status == 1 and diverged else status


def _trainings(claim: Claim, values: Values, folders: dict[int, Path]) -> list[LocalRun]:
    options = [["-c", claim.config], *options_of(claim.options | values), ["--test=true"]]
    first, folder = next(iter(folders.items()))
    config = ClaimDryRun([*options, *_own(folder, first)]).plain_config()
    runs = []
    for seed, folder in folders.items():
        state = check_same(folder, config, test=True)
        line = [argument for option in [*options, *_own(folder, seed)] for argument in option]
        command = [sys.executable, "-m", "rnn_lab", "fit", *line, "--ckpt_path=last"]
        ended = state == "finished" or has_diverged(read_record(folder / STATE))
        runs.append(LocalRun(folder, command, ended, state or "new"))
    return runs


def _own(folder: Path, seed: int) -> Options:
    return [[f"--trainer.default_root_dir={folder}"], [f"--{SEED}={seed}"]]


class Timings(ClaimRuns):
    """Timings of layers; the variants of a seed take turns, one seed after the other."""

    def __init__(self, claim: Claim, seeds: Sequence[int]) -> None:
        super().__init__(claim, seeds)
        self.timing = layer_timing(claim)
        self.missing = [seed for seed in seeds if not all(self._is_timed(seed))]

    def _is_timed(self, seed: int) -> list[bool]:
        return [self._check(name, each[seed], seed) for name, each in self.folders.items()]

    def _check(self, variant: str, folder: Path, seed: int) -> bool:
        """Return whether a folder has the times of a variant, and no others."""
        if not (folder / CONFIG).exists():
            return False
        options = differing([read_run(folder).options, flatten(self._config(variant, seed))])
        changed = [f"{name} ({a}, now {b})" for name, (a, b) in options.items()]
        if changed:
            raise UserError(
                f"{folder} has a timing with other options: {'; '.join(changed)}: remove it"
            )
        return bool(read_record(folder / COST))

    def _config(self, variant: str, seed: int) -> dict:
        return {SEED: seed, **self.timing.options(variant)}

    def count_finished(self) -> int:
        seeds = len(next(iter(self.folders.values())))
        return (seeds - len(self.missing)) * len(self.folders)

    def complete(self, jobs: int) -> int:
        """Time what is missing; `jobs` has no effect, since timings disturb each other."""
        for seed in progress(self.missing, "timing seeds", len(self.missing)):
            for variant, cost in time_layers(self.timing, seed).items():
                self._save(variant, seed, cost)
        return 0

    def _save(self, variant: str, seed: int, cost: Cost) -> None:
        folder = self.folders[variant][seed]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be created: {error.strerror}") from error
        with atomic_write(folder / CONFIG) as file:
            yaml.safe_dump(self._config(variant, seed), file)
        with atomic_write(folder / COST) as file:
            json.dump(cost._asdict(), file)


def runs_of(claim: Claim, seeds: Sequence[int]) -> ClaimRuns:
    """Validate the options of a claim, and return its runs, one for each variant and seed.

    Args:
        claim: The claim.
        seeds: The seeds.

    Raises:
        UserError: If an option is invalid, or a folder has a run with other options.
    """
    return (Timings if claim.benchmark else Trainings)(claim, seeds)
