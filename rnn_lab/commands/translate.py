"""Translate lines interactively.

Examples:
    rnn-lab translate --ckpt_path best.ckpt --attention=true
"""

import sys
from collections.abc import Iterator, Sequence

from jsonargparse import ArgumentParser

from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.commands._run_checkpoint import add_run_name_options, checkpoint_path
from rnn_lab.commands.predict import add_search_options, predictor_of
from rnn_lab.core.predictor import Answer
from rnn_lab.errors import UserError
from rnn_lab.tasks.translation.predictor import TranslationPredictor

MIN_WEIGHT = 0.1  # minimum attention weight of displayed source words


def main(options: Sequence[str]) -> None:
    """Translate lines of standard input until its end.

    Args:
        options: Command-line arguments after `translate`.

    Raises:
        UserError: If an option or the checkpoint is invalid.
    """
    parser = TranslateParser(prog="rnn-lab translate", description="Translate lines interactively.")
    parser.add_argument(
        "--ckpt_path", type=str, required=True, help="checkpoint of a translation model"
    )
    add_run_name_options(parser)
    parser.add_argument("--device", default="cpu", help="device, such as cuda:0")
    add_search_options(parser)
    args = parser.parse_args(list(options))
    args.ckpt_path = checkpoint_path(args)
    predictor = predictor_of(args, args.device)
    if not isinstance(predictor, TranslationPredictor):
        raise UserError(f"{args.ckpt_path} is not a translation model: use rnn-lab predict")
    if predictor.attention and predictor.search.n_best > 1:
        raise UserError("--attention requires a single translation: remove --n_best")
    for line in _lines():
        (answer,) = predictor.predict([line])
        sys.stdout.write("\n".join(format_translations(answer)) + "\n")
        sys.stdout.flush()


class TranslateParser(ConciseErrorsMixin, ArgumentParser):
    """Argument parser with concise errors."""


def _lines() -> Iterator[str]:
    """Read lines from standard input, with a prompt on a terminal."""
    interactive = sys.stdin.isatty()
    while True:
        if interactive:
            sys.stderr.write("> ")
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return
        yield line.rstrip("\n")


def format_translations(answer: Answer) -> list[str]:
    """Format translations as lines, with scores if there are several, and attention weights."""
    translations = answer.get("translations", [answer])
    show_scores = len(translations) > 1
    lines = [
        f"{each['score']:8.3f}  {each['translation']}" if show_scores else each["translation"]
        for each in translations
    ]
    if "weights" not in answer:
        return lines
    source, target = answer["words"]["source"], answer["words"]["target"]
    width = max(map(len, target))
    for word, weights in zip(target, answer["weights"], strict=True):
        ranked = sorted(zip(weights, source, strict=True), key=lambda pair: -pair[0])
        attended = "  ".join(f"{name} {w:.2f}" for w, name in ranked if w >= MIN_WEIGHT)
        lines.append(f"  {word:<{width}}  {attended}".rstrip())
    return lines
