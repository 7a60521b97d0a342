"""Search for hyperparameters: many trials, of which bad ones are ended early.

Examples:
    rnn-lab sweep -c text_classifier --space space.yaml --trials 30 --jobs 2 --name tune
    rnn-lab sweep -c text_classifier --space space.yaml --sampler grid --name all
    rnn-lab sweep -c text_classifier --space space.yaml --name tune --slurm --time=1-0 --at-once=8
    rnn-lab sweep -c text_classifier --space space.yaml --name tune --wandb=my-project
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

from rnn_lab import signals
from rnn_lab.commands._early_checks import check_early
from rnn_lab.commands._light_parser import LightParser
from rnn_lab.commands._loading import loading
from rnn_lab.commands._parallel_runs import requeue_if_preempted
from rnn_lab.commands._parsing import separate_options, split_options
from rnn_lab.commands._sbatch import require_sbatch
from rnn_lab.commands._sbatch_options import (
    DEFAULTS,
    JOB_OPTIONS,
    REPEATABLE,
    check_job_options,
)
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
    "at-once": (int, "with --slurm: workers, each of which trains a trial (default: 1)"),
}
FLAGS = {  # without a value
    "slurm": "train the trials in workers of a SLURM job array, which needs --time",
    "dry-run": "with --slurm: print the script without submitting it",
}
WANDB = (
    "write and register the space as a sweep of Weights & Biases, of a project if given "
    "(--wandb=PROJECT), and train nothing: agents of W&B do"
)
CHOICES = {
    "mode": ("min", "max"),
    "sampler": ("tpe", "random", "grid"),
    "pruner": ("none", "median", "hyperband"),
}

JOB_NAMES = {*JOB_OPTIONS, *REPEATABLE, *FLAGS, "at-once"}  # options that workers do not have
NOT_WITH_WANDB = ("slurm", "jobs", "hours", "steps", "sampler-seed")  # what its agents do not have


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
    with signals.handle_signals():
        status = _run(args, own, rest)
    requeue_if_preempted(status)
    return status


def _run(args: Namespace, own: Sequence[str], rest: list[list[str]]) -> int:
    """Train the trials here, or submit workers."""
    with loading("loading torch and Lightning"):
        from rnn_lab.commands import _sweep_jobs, _sweep_plan
        from rnn_lab.commands._sweep_trials import Trials

    if args.wandb is not None:
        from rnn_lab.commands._sweep_wandb import write_sweep

        write_sweep(args, _sweep_plan.plan(args, rest), sys.stdout)
        return 0
    plan = _sweep_plan.plan(args, rest)
    if args.slurm:
        trials = [[option] for option in own if option[2:].partition("=")[0] not in JOB_NAMES]
        _sweep_jobs.submit_workers(args, plan, [*trials, ["--jobs=1"], *rest])
        return 0
    status = Trials(plan.study, plan.options, plan.budget, args.jobs or 1).run()
    if not status:
        _sweep_plan.report(plan, sys.stdout)
        status = 128 + signals.received() if signals.received() else 0
    return status


def split_sweep_options(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the options of `sweep` from those of `fit`.

    Example:
        >>> split_sweep_options(["--trials", "3", "--model=LSTM", "--space=s.yaml"])
        (['--trials=3', '--space=s.yaml'], ['--model=LSTM'])
    """
    flags = ["--wandb", *(f"--{name}" for name in FLAGS)]
    return separate_options(args, {*OPTIONS, *JOB_OPTIONS, *REPEATABLE}, flags)


def _parser() -> LightParser:
    parser = LightParser(
        prog="rnn-lab sweep",
        usage="rnn-lab sweep --space FILE --name NAME [OPTIONS] [OPTIONS OF FIT]",
        description="Search for hyperparameters with Optuna. All options that are not listed here "
        "are passed to `rnn-lab fit`. Running the same command again resumes it.",
    )
    for name, (kind, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, help=text)
    parser.add_argument("--wandb", nargs="?", const="", help=WANDB)
    for name, text in FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    for name, (kind, text) in JOB_OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, help=f"with --slurm: {text}")
    for name, text in REPEATABLE.items():
        parser.add_argument(f"--{name}", action="append", help=f"with --slurm: {text}")
    return parser


def _validated(args: Namespace) -> Namespace:
    if args.space is None:
        raise UserError("give --space=FILE with the options and their values")
    for name in ("trials", "jobs", "hours", "steps", "at-once"):
        value = vars(args)[name.replace("-", "_")]
        if value is not None and value <= 0:
            raise UserError(f"--{name} must be above 0, got {value}")
    for name, choices in CHOICES.items():
        value = vars(args)[name]
        if value is not None and value not in choices:
            listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
            raise UserError(f"--{name} must be {listed}, got {value}")
    for name in NOT_WITH_WANDB:
        value = vars(args)[name.replace("-", "_")]
        if args.wandb is not None and value is not None and value is not False:
            raise UserError(f"--{name} has no effect on the agents of --wandb: remove it")
    _check_job(args)
    return args


def _check_job(args: Namespace) -> None:
    """Check the options of a job, which need --slurm, and set those without a value."""
    values = vars(args)
    if not args.slurm:
        for name in sorted(JOB_NAMES):
            if values[name.replace("-", "_")]:
                raise UserError(f"--{name} needs --slurm")
        return
    if args.jobs is not None:
        raise UserError("--jobs trains trials on this computer: give --at-once with --slurm")
    if args.time is None:
        raise UserError("--slurm needs --time, the wall-time limit of a worker, such as 4:00:00")
    for name, default in DEFAULTS.items():
        if values.get(name.replace("-", "_")) is None:
            values[name.replace("-", "_")] = default
    args.setup, args.sbatch = args.setup or [], args.sbatch or []
    args.at_once, args.tasks_per_node = args.at_once or 1, 1
    check_job_options(args, worker=True)
    if not args.dry_run:
        require_sbatch("--jobs")
