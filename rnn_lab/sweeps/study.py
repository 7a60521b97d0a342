"""The study of a sweep: a journal in its folder, which several processes and hosts may share."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from rnn_lab.errors import UserError
from rnn_lab.sweeps.space import Space, grid

JOURNAL, PLAN = "study.journal", "plan"
Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["none", "median", "hyperband"]
SAMPLERS: tuple[Sampler, ...] = ("tpe", "random", "grid")
PRUNERS: tuple[Pruner, ...] = ("none", "median", "hyperband")
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Settings:
    """What a study looks for, and how.

    Attributes:
        metric: The metric of validation.
        mode: Whether lower (`min`) or higher (`max`) values are better.
        sampler: How values are chosen.
        pruner: When a trial is ended early.
        seed: Random seed of the sampler.
    """

    metric: str
    mode: Literal["min", "max"]
    sampler: Sampler = "tpe"
    pruner: Pruner = "none"
    seed: int = 0


class Study:
    """A study and the trials that this process has claimed.

    A trial belongs to the process that holds its lock file. The operating system releases it when
    the process ends, so that another one can resume the trial.

    Args:
        folder: Folder of the sweep.
        space: Options and their distributions.
        settings: What is looked for.
        options: Options of `fit` that all trials have, which must stay the same.

    Raises:
        UserError: If the folder has a study of another space, of other settings or options, or it
            cannot be read or written.
    """

    def __init__(self, folder: Path, space: Space, settings: Settings, options: list[str]) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder, self.space, self.settings = folder, space, settings
        self._claims: dict[int, FileLock] = {}
        distributions = {
            name: optuna.distributions.distribution_to_json(each) for name, each in space.items()
        }
        plan = {
            "space": distributions,
            "metric": settings.metric,
            "mode": settings.mode,
            "sampler": settings.sampler,
            "options": options,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._locked(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna calls journals experimental
                self._study = self._open()
                self._check(plan)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"the sweep {folder} cannot be opened: {reason}") from error

    def _open(self) -> optuna.Study:
        try:
            return optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(self.folder / JOURNAL))),
                study_name="sweep",
                direction="minimize" if self.settings.mode == "min" else "maximize",
                load_if_exists=True,
                pruner=self._pruner(),
            )
        except ValueError as error:
            raise UserError(f"{self.folder / JOURNAL} is damaged: {error}") from error

    def _check(self, plan: Mapping[str, Any]) -> None:
        known = self._study.user_attrs.get(PLAN)
        if known is None:
            self._study.set_user_attr(PLAN, plan)
            if self.settings.sampler == "grid":
                for point in grid(self.space) or ():
                    self._study.enqueue_trial(point)
            return
        changed = [name for name in plan if plan[name] != known.get(name)]
        if changed:
            raise UserError(
                f"{self.folder} has a sweep with another {' and '.join(changed)}: give another "
                "--name"
            )

    def _pruner(self) -> optuna.pruners.BasePruner:
        match self.settings.pruner:
            case "median":
                return optuna.pruners.MedianPruner(n_startup_trials=5)
            case "hyperband":
                return optuna.pruners.HyperbandPruner(min_resource=1)
        return optuna.pruners.NopPruner()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock under which trials are counted and begun."""
        with FileLock(self.folder / ".study.lock"):
            yield

    def trials(self) -> list[FrozenTrial]:
        """Return all trials that have begun, by number."""
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state != TrialState.WAITING]

    @property
    def better(self) -> int:
        """1 if higher values are better, -1 if lower ones are."""
        return 1 if self.settings.mode == "max" else -1

    def best(self) -> FrozenTrial | None:
        """Return the complete trial with the best value, of equal ones the first."""
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        return max(complete, key=lambda trial: self.better * (trial.value or 0.0), default=None)

    def next_trial(self, limit: int) -> Trial | None:
        """Claim a trial: one whose process has ended before it, else a new one.

        Args:
            limit: Number of trials that the study may have.

        Returns:
            The trial; None if there is none left.
        """
        with self._locked():
            for frozen in self.trials():
                if frozen.state == TrialState.RUNNING and self._claim(frozen.number):
                    return Trial(self._study, frozen._trial_id)
            begun = len(self.trials())
            if begun >= limit:
                return None
            self._study.sampler = self._sampler(begun)
            trial = self._study.ask(self.space)
            self._claim(trial.number)
            return trial

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return the sampler, whose choice depends only on seed and trials before."""
        seed = self.settings.seed * 100_003 + number
        if self.settings.sampler == "tpe":
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        return optuna.samplers.RandomSampler(seed=seed)

    def _claim(self, number: int) -> bool:
        if number in self._claims:
            return False
        lock = FileLock(self.folder / f".trial-{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        self._claims[number] = lock
        return True

    def tell(self, trial: Trial, state: TrialState, value: float | None = None) -> None:
        """Record how a trial ended, and give up its claim."""
        self._study.tell(trial.number, value if state == TrialState.COMPLETE else None, state=state)
        self.release(trial)

    def release(self, trial: Trial) -> None:
        """Give up the claim on a trial."""
        self._claims.pop(trial.number).release()

    def importances(self) -> dict[str, float]:
        """Return the importance of each option by PED-ANOVA; empty if it cannot be computed."""
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        except (ValueError, RuntimeError):
            return {}
