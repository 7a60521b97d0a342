"""The page of a report: one HTML file without references to others."""

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path

import rnn_lab
from rnn_lab.comparison.compare import compare
from rnn_lab.errors import UserError
from rnn_lab.reporting.comparison_sections import compared, curves, overview
from rnn_lab.reporting.environment import ENVIRONMENT
from rnn_lab.reporting.parts import Section
from rnn_lab.reporting.run_sections import run_part, saved_run
from rnn_lab.reporting.saved_files import read_frame


@dataclass(frozen=True)
class Choice:
    """What is compared, see `rnn_lab.comparison.compare.compare`.

    Attributes:
        by: Options whose values make the groups.
        metric: Score of the test.
        against: Value of the reference.
        confidence: Coverage of the intervals.
    """

    by: Sequence[str] = ()
    metric: str | None = None
    against: str | None = None
    confidence: float = 0.95

    @property
    def is_made(self) -> bool:
        """Whether something was asked for, so that it must be shown."""
        return bool(self.by or self.metric or self.against)


def render(folders: Sequence[Path], choice: Choice | None = None) -> str:
    """Return the report of runs.

    Args:
        folders: Folders of the runs, at least one.
        choice: What is compared if there are several.

    Raises:
        UserError: If the comparison that was asked for is not possible.
    """
    titles = _titles(folders)
    read = [saved_run(folder) for folder in folders]
    runs = [run for run, _ in read]
    sections: list[Section] = []
    if len(runs) > 1:
        choice = choice or Choice()
        with_config = [run for run, problem in read if not problem]
        try:
            comparison = compare(
                with_config, choice.by, choice.metric, choice.against, choice.confidence
            )
        except UserError as error:
            if choice.is_made:
                raise
            sections = [Section("Comparison", [f"Not compared: {error}."])]
            by: list[str] = []
        else:
            sections, by = [*compared(comparison)], comparison.by
        sections.append(overview(runs, titles))
        sections += curves(runs, [*map(read_frame, folders)], titles, by)
    parts = [
        run_part(run, problem, f"run-{number}", title)
        for number, ((run, problem), title) in enumerate(zip(read, titles, strict=True), 1)
    ]
    heading = titles[0] if len(runs) == 1 else f"{len(runs)} runs"
    template = ENVIRONMENT.get_template("page.html")
    return template.render(
        heading=heading, sections=sections, runs=parts, version=rnn_lab.__version__
    )


def _titles(folders: Sequence[Path]) -> list[str]:
    """Return the names of runs: their folders below the one that all have in common."""
    if len(folders) == 1:
        return [folders[0].resolve().name]
    paths = [folder.resolve() for folder in folders]
    root = Path(commonpath([path.parent for path in paths]))
    return [path.relative_to(root).as_posix() for path in paths]
