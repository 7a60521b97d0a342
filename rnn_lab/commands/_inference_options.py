"""Options of inference: config files, devices, precision and batch size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from rnn_lab.commands._configs import OPTIONS as CONFIG
from rnn_lab.commands._configs import resolve_configs
from rnn_lab.commands._parsing import sort_by_precedence, split_options, value_of
from rnn_lab.core.half_precision import inference_precision
from rnn_lab.core.predictor import Predictor
from rnn_lab.errors import UserError

TRAINING_KEYS = ("model", "data")  # of a config of training


def add_inference_options(parser: ArgumentParser) -> None:
    """Add the options of devices, precision and batch size."""
    parser.add_argument(
        "--trainer.devices", "--devices", type=int, default=1, help="number of processes or GPUs"
    )
    parser.add_argument(
        "--trainer.accelerator", "--accelerator", default="auto", help="cpu, gpu or auto"
    )
    parser.add_argument(
        "--trainer.precision",
        "--precision",
        type=str,
        default="32-true",
        help="precision, such as bf16-mixed",
    )
    parser.add_argument(
        "--batch_size",
        type=int | None,
        help="maximum number of records per batch; if omitted, as many as fit",
    )


def parse_with_configs(parser: ArgumentParser, options: Sequence[str]) -> Namespace:
    """Parse options, which override those in config files.

    Args:
        parser: A parser with the option `--config`.
        options: Command-line arguments.

    Raises:
        UserError: If a config does not exist, or is one of training.
    """
    resolved = resolve_configs(split_options(options))
    for option in resolved:
        if option[0].partition("=")[0] in CONFIG:
            _check_config(value_of(option))
    return parser.parse_args([arg for option in sort_by_precedence(resolved) for arg in option])


def _check_config(path: str) -> None:
    """Refuse a config of training; the parser reports errors in the file."""
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    if isinstance(content, dict) and content.keys() & set(TRAINING_KEYS):
        raise UserError(
            f"-c {path} is a config of training, which the checkpoint contains already: remove it, "
            "or name a file with options of this command"
        )


def check_inference_options(args: Namespace) -> None:
    """Check the options before anything is read.

    Raises:
        UserError: If devices are not available, or another value is invalid.
    """
    device = devices_of(args)[0]
    inference_precision(args.trainer.precision, torch.device(device).type)
    if args.batch_size is not None and args.batch_size < 1:
        raise UserError(f"batch_size must be at least 1, got {args.batch_size}")


def configure_inference(predictor: Predictor, args: Namespace) -> None:
    """Set batch size and precision of a predictor."""
    predictor.batch_size = args.batch_size
    predictor.use_precision(args.trainer.precision)


def devices_of(args: Namespace) -> list[str]:
    """Return the devices, one per process.

    Raises:
        UserError: If they are not available.
    """
    accelerator, count = args.trainer.accelerator, args.trainer.devices
    if count < 1:
        raise UserError(f"trainer.devices must be at least 1, got {count}")
    if accelerator not in ("auto", "cpu", "gpu", "cuda"):
        raise UserError(f"trainer.accelerator must be auto, cpu or gpu, got {accelerator}")
    gpus = torch.cuda.device_count()
    if accelerator == "cpu" or (accelerator == "auto" and not gpus):
        return ["cpu"] * count
    if gpus < count:
        raise UserError(f"trainer.devices is {count}, but {gpus} GPUs are available")
    return [f"cuda:{i}" for i in range(count)]
