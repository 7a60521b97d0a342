"""Continue a text with a language model."""

import json
import sys
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.core.loading import load
from rnn_lab.errors import UserError
from rnn_lab.tasks.language_modeling.predictor import LanguagePredictor

PASSED_ON = ("length", "temperature", "top_k", "top_p", "num_samples", "seed", "unknown")


def main(options: Sequence[str]) -> None:
    r"""Continue a text.

    Args:
        options: Words of the command line after `generate`; `\n` in a prompt is a line feed.

    Raises:
        UserError: If an option or the checkpoint is wrong.
    """
    args = _parser().parse_args(list(options))
    predictor = load(args.ckpt_path, args.device)
    if not isinstance(predictor, LanguagePredictor):
        raise UserError(f"{args.ckpt_path} is no language model: try rnn-lab predict")
    texts = predictor.generate(
        _line_feeds(args.prompt),
        stop=None if args.stop is None else _line_feeds(args.stop),
        **{name: args[name] for name in PASSED_ON},
    )
    for text in texts:
        sys.stdout.write((json.dumps(text, ensure_ascii=False) if args.json else text) + "\n")


class GenerateParser(ConciseErrorsMixin, ArgumentParser):
    """A parser with errors of one line."""


def _parser() -> GenerateParser:
    parser = GenerateParser(
        prog="rnn-lab generate", description="Continue a text by a language model."
    )
    parser.add_argument("--ckpt_path", type=str, required=True, help="checkpoint of the model")
    parser.add_argument("--prompt", type=str, default="", help="how the text begins")
    parser.add_argument(
        "--length", type=int, default=200, help="words to add; characters where it reads these"
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="0 always takes the likeliest"
    )
    parser.add_argument("--top_k", type=int | None, help="draw from so many of the likeliest")
    parser.add_argument(
        "--top_p", type=float | None, help="draw from the fewest so probable together"
    )
    parser.add_argument("--num_samples", type=int, default=1, help="texts to write")
    parser.add_argument("--seed", type=int, default=0, help="what is drawn depends on it alone")
    parser.add_argument("--stop", type=str | None, help=r"the text ends before this, such as '\n'")
    parser.add_argument(
        "--unknown", type=bool, default=False, help="whether the unknown word may be written"
    )
    parser.add_argument("--json", type=bool, default=False, help="write each text as a JSON string")
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda:0")
    return parser


def _line_feeds(text: str) -> str:
    return text.replace("\\n", "\n")
