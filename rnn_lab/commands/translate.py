"""Translate lines as they are typed."""

import sys
from collections.abc import Iterator, Sequence

from jsonargparse import ArgumentParser

from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.commands.predict import add_search_options, predictor_of
from rnn_lab.core.predictor import Answer
from rnn_lab.errors import UserError
from rnn_lab.tasks.translation.predictor import TranslationPredictor

SHOWN = 0.1  # the least weight of a source word that is shown


def main(options: Sequence[str]) -> None:
    """Translate lines as they are typed, until the end of the input.

    Args:
        options: Words of the command line after `translate`.

    Raises:
        UserError: If an option or the checkpoint is wrong.
    """
    parser = TranslateParser(prog="rnn-lab translate", description="Translate what is typed.")
    parser.add_argument("--ckpt_path", type=str, required=True, help="checkpoint of a translator")
    parser.add_argument("--device", default="cpu", help="where to compute, such as cuda:0")
    add_search_options(parser)
    args = parser.parse_args(list(options))
    predictor = predictor_of(args, args.device)
    if not isinstance(predictor, TranslationPredictor):
        raise UserError(f"{args.ckpt_path} does not translate: try rnn-lab predict")
    if predictor.attention and predictor.search.n_best > 1:
        raise UserError("attention is shown of one translation: leave n_best out")
    for line in _lines():
        (answer,) = predictor.predict([line])
        sys.stdout.write("\n".join(show(answer)) + "\n")
        sys.stdout.flush()


class TranslateParser(ConciseErrorsMixin, ArgumentParser):
    """A parser with errors of one line."""


def _lines() -> Iterator[str]:
    """Read lines; where a person types they are asked for."""
    asking = sys.stdin.isatty()
    while True:
        if asking:
            sys.stderr.write("> ")
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return
        yield line.rstrip("\n")


def show(answer: Answer) -> list[str]:
    """Lay an answer out for reading: its translations, and where the model looked."""
    several = answer.get("translations", [answer])
    numbered = len(several) > 1
    lines = [
        f"{each['score']:8.3f}  {each['translation']}" if numbered else each["translation"]
        for each in several
    ]
    if "weights" not in answer:
        return lines
    source, target = answer["words"]["source"], answer["words"]["target"]
    width = max(map(len, target))
    for word, weights in zip(target, answer["weights"], strict=True):
        looked = sorted(zip(weights, source, strict=True), key=lambda pair: -pair[0])
        seen = "  ".join(f"{name} {weight:.2f}" for weight, name in looked if weight >= SHOWN)
        lines.append(f"  {word:<{width}}  {seen}".rstrip())
    return lines
