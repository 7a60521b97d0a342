"""Search for hyperparameters: many trials, of which bad ones are ended early.

Examples:
    rnn-lab sweep -c text_classifier --space space.yaml --trials 30 --jobs 2 --name tune
    rnn-lab sweep -c text_classifier --space space.yaml --sampler grid --name all
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

from rnn_lab.commands._early_checks import check_early
from rnn_lab.commands._light_parser import LightParser
from rnn_lab.commands._loading import loading
from rnn_lab.commands._parsing import split_options
from rnn_lab.errors import UserError

OPTIONS = {
    "space": (str, "YAML file of options and their values (required)"),
    "trials": (int, "number of trials (default: 20; with --sampler=grid all points)"),
    "jobs": (int, "trials to train at the same time (default: 1)"),
    "hours": (float, "begin no trial after so many hours of training of all trials"),
    "steps": (int, "begin no trial after so many training steps of all trials"),
    "metric": (str, "metric of validation, such as val/loss (default: that of the task)"),
    "mode": (str, "whether lower or higher values of --metric are better, min or max"),
    "sampler": (str, "how values are chosen: tpe, random or grid (default: tpe)"),
    "pruner": (str, "which trials are ended early: none, median or hyperband (default: none)"),
    "sampler-seed": (int, "random seed of the sampler (default: 0)"),
}
CHOICES = {
    "mode": ("min", "max"),
    "sampler": ("tpe", "random", "grid"),
    "pruner": ("none", "median", "hyperband"),
}


def main(options: Sequence[str]) -> int:
    """Train trials, then write their table, figures and the config of the best one.

    Args:
        options: Command-line arguments after `sweep`.

    Returns:
        0, or 128 + signal number if interrupted.

    Raises:
        UserError: If an option or the space is invalid, or another sweep has the name.
    """
    own, fit = split_sweep_options(options)
    args = _validated(_parser().parse_args(own))
    rest = split_options(fit)
    check_early("fit", fit)
    try:
        import optuna  # noqa: F401  # an extra
    except ModuleNotFoundError as error:
        raise UserError("a sweep needs Optuna: pip install 'rnn-lab[sweep]'") from error
    with loading("loading torch and Lightning"):
        from rnn_lab.commands import _sweep_plan
        from rnn_lab.commands._sweep_trials import Budget, Trials

    plan = _sweep_plan.plan(args, rest)
    budget = Budget(plan.trials, args.hours or float("inf"), args.steps or float("inf"))
    status = Trials(plan.study, plan.options, budget, args.jobs or 1).run()
    if not status:
        _sweep_plan.report(plan, sys.stdout)
    return status


def split_sweep_options(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the options of `sweep` from those of `fit`.

    Example:
        >>> split_sweep_options(["--trials", "3", "--model=LSTM", "--space=s.yaml"])
        (['--trials=3', '--space=s.yaml'], ['--model=LSTM'])
    """
    own: list[str] = []
    fit: list[str] = []
    for option in split_options(args):
        written, equals, value = option[0].partition("=")
        key = written.replace("_", "-")
        if key[2:] in OPTIONS:
            own.append(f"{key}={value}" if equals else "=".join([key, *option[1:]]))
        elif key in ("-h", "--help"):
            own.append(key)
        else:
            fit += option
    return own, fit


def _parser() -> LightParser:
    parser = LightParser(
        prog="rnn-lab sweep",
        usage="rnn-lab sweep --space FILE --name NAME [OPTIONS] [OPTIONS OF FIT]",
        description="Search for hyperparameters with Optuna. All options that are not listed here "
        "are passed to `rnn-lab fit`. Running the same command again resumes it.",
    )
    for name, (kind, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, help=text)
    return parser


def _validated(args: Namespace) -> Namespace:
    if args.space is None:
        raise UserError("give --space=FILE with the options and their values")
    for name in ("trials", "jobs", "hours", "steps"):
        value = vars(args)[name]
        if value is not None and value <= 0:
            raise UserError(f"--{name} must be above 0, got {value}")
    for name, choices in CHOICES.items():
        value = vars(args)[name]
        if value is not None and value not in choices:
            listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
            raise UserError(f"--{name} must be {listed}, got {value}")
    return args
