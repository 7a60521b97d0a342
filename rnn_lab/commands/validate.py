"""Evaluate a checkpoint on the validation split.

Examples:
    rnn-lab validate --ckpt_path runs/SyntheticReviews/LSTMClassifier-1/checkpoints/best.ckpt
    rnn-lab validate --ckpt_path best.ckpt --data.valid=other.csv

Options:
    --ckpt_path FILE: checkpoint to evaluate, which names model and data; or `best` or `last` of
        the run --name
    --data.help NAME: show the options of data, such as paths to your own files, which a
        checkpoint does not store
    -c CONFIG: file or name of a config; later ones and options override it
    --print_config: print the resulting config, which -c reads, and exit
    --wandb
    --ensemble
    --trainer.accelerator NAME: cpu, gpu or auto
    --trainer.devices INT: number of GPUs or processes
"""

from collections.abc import Sequence

from rnn_lab.commands._training import run


def main(options: Sequence[str]) -> int:
    """Evaluate a checkpoint on the validation split.

    Args:
        options: Command-line arguments after `validate`.

    Returns:
        The exit status, see `rnn_lab.commands._training.run`.
    """
    return run("validate", options)
