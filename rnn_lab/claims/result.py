"""The result of a claim: outcomes of its hypotheses, the verdict, and what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnn_lab.claims.claim import Claim
from rnn_lab.claims.measure import Runs, difference
from rnn_lab.claims.verdict import Outcome, Verdict, of_claim, outcomes
from rnn_lab.comparison.saved_run import SavedRun, read_run
from rnn_lab.comparison.statistics import Difference
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import has_diverged

MIN_RUNS = 2  # of a variant, from which the variance over seeds can be estimated


@dataclass(frozen=True)
class Result:
    """The result of a claim.

    Attributes:
        claim: The claim.
        runs: Its tested runs by variant.
        outcomes: The outcome of each hypothesis.
        problems: Runs without a test, and why hypotheses could not be measured.
    """

    claim: Claim
    runs: Runs
    outcomes: Sequence[Outcome]
    problems: Sequence[str]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the claim."""
        return of_claim(self.outcomes)

    @property
    def is_complete(self) -> bool:
        """Whether all variants have enough tested runs."""
        return all(len(each) >= MIN_RUNS for each in self.runs.values())


def _without_scores(run: SavedRun) -> str:
    if has_diverged(run.state):
        reason = str(run.state["reason"]).partition(":")[0]
        return f"{run.folder} diverged ({reason}): its loss counts as the largest number"
    return f"{run.folder} has no test scores"


def result(claim: Claim, folders: Mapping[str, Sequence[Path]]) -> Result:
    """Evaluate a claim.

    Args:
        claim: The claim.
        folders: Folders of its runs by variant.
    """
    runs: dict[str, list[SavedRun]] = {name: [] for name in claim.variants}
    problems = []
    for name, each in folders.items():
        for folder in each:
            try:
                run = read_run(folder)
            except UserError as error:
                problems.append(str(error))
                continue
            is_measured = bool(run.cost if claim.benchmark else run.scores)
            if is_measured or has_diverged(run.state):
                runs[name].append(run)
            if not is_measured:
                problems.append(_without_scores(run))
    differences: list[Difference | None] = []
    for hypothesis in claim.hypotheses:
        enough = all(len(runs[n]) >= MIN_RUNS for n in (hypothesis.variant, hypothesis.than))
        try:
            differences.append(difference(hypothesis, runs) if enough else None)
        except UserError as error:
            problems.append(f"not measured: {hypothesis.text}: {error}")
            differences.append(None)
    return Result(claim, runs, outcomes(claim.hypotheses, differences), problems)
