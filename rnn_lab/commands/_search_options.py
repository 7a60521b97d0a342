"""Options of decoding in `predict` and `translate`, whose defaults are in the checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace

from rnn_lab.commands._parsing import split_options
from rnn_lab.commands._spelling import with_underscores
from rnn_lab.core.loading import load
from rnn_lab.core.predictor import RecordPredictor
from rnn_lab.errors import UserError
from rnn_lab.nn import GenerationConfig
from rnn_lab.tasks.translation.predictor import TranslationPredictor

SEARCH = {  # decoding options of translators by the field of GenerationConfig that they set
    "beam_size": (int, "beam width; 1 is greedy decoding"),
    "n_best": (int, "number of translations per sentence"),
    "length_penalty": (float, "exponent of the length that scores are divided by"),
    "coverage_penalty": (float, "weight of the coverage penalty (Wu et al., 2016)"),
    "sampling": (bool, "sample instead of searching"),
    "temperature": (float, "sampling temperature, which divides the logits"),
    "top_k": (int, "sample from the k most likely tokens"),
    "top_p": (float, "nucleus sampling: smallest set with cumulative probability >= p"),
}
NEEDS_SAMPLING = "without sampling: set --sampling=true"
TRANSLATION_OPTIONS = ("attention", "replace_unknown", "seed", "ensemble")


def add_search_options(parser: ArgumentParser) -> None:
    """Add the options of translation models, whose defaults are in the checkpoint."""
    for name, (kind, text) in SEARCH.items():
        parser.add_argument(
            f"--search.{name}", f"--{name}", type=kind | None, help=f"translation: {text}"
        )
    parser.add_argument("--seed", type=int | None, help="translation: random seed for sampling")
    parser.add_argument(
        "--attention", type=bool, default=False, help="translation: return attention weights"
    )
    parser.add_argument(
        "--replace_unknown",
        type=bool | None,
        help="translation: replace unknown words by the source words with the highest attention; "
        "if omitted, only translate does, where the model has attention",
    )
    parser.add_argument(
        "--ensemble",
        type=list[str] | None,
        help="translation: further checkpoints whose probabilities are averaged with the first's",
    )


def predictor_of(args: Namespace, device: str) -> RecordPredictor:
    """Load the predictor of a checkpoint and apply the options.

    Raises:
        UserError: If options contradict each other, or require a translation model and the
            checkpoint has another model.
    """
    predictor = load(args.ckpt_path, device, ensemble=args.ensemble or ())
    search = {name: value for name, value in vars(args.search).items() if value is not None}
    if not isinstance(predictor, TranslationPredictor):
        unsupported = [*search, *(name for name in TRANSLATION_OPTIONS if args[name])]
        if unsupported:
            raise UserError(requires_translation(unsupported[0], args))
        return predictor
    predictor.search = _search(predictor.search, search, spelling(args))
    predictor.attention = args.attention
    predictor.replace_unknown = bool(args.replace_unknown)
    if args.seed is not None:
        if not predictor.search.sampling:
            raise UserError(f"--seed has no effect {NEEDS_SAMPLING}")
        predictor.generator = torch.Generator(device).manual_seed(args.seed)
    return predictor


def given_options(options: Sequence[str]) -> list[str]:
    """Return the names of the options on a command line, as they are spelled there."""
    return [option[0].partition("=")[0] for option in with_underscores(split_options(options))]


def spelling(args: Namespace) -> dict[str, str]:
    """Return the spelling of each search option, `--search.beam_size` or `--beam_size`."""
    long = {name: f"--search.{name}" for name in SEARCH}
    short = {name: f"--{name}" for name in SEARCH}
    return {name: short[name] if short[name] in args.given else long[name] for name in SEARCH}


def _search(
    default: GenerationConfig, options: dict[str, Any], names: Mapping[str, str]
) -> GenerationConfig:
    """Override the default search; options without effect are an error."""
    sampling = options.get("sampling", default.sampling)
    ineffective = (
        ("beam_size", "length_penalty", "coverage_penalty")
        if sampling
        else ("temperature", "top_k", "top_p")
    )
    for name in ineffective:
        if name in options:
            hint = "with sampling: remove it" if sampling else NEEDS_SAMPLING
            raise UserError(f"{names[name]} has no effect {hint}")
    if not sampling and "beam_size" not in options:
        options = {**options, "beam_size": max(default.beam_size, options.get("n_best", 1))}
    try:
        return replace(default, **options)
    except ValueError as error:
        raise UserError(str(error)) from error


def requires_translation(option: str, args: Namespace) -> str:
    name = spelling(args).get(option, f"--{option}")
    return f"{name} requires a translation model, which {args.ckpt_path} is not"
