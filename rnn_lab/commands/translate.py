"""Translate lines interactively.

Examples:
    rnn-lab translate --ckpt_path best.ckpt --attention=true
"""

import sys
from collections.abc import Sequence

from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.commands._prompt import read_lines
from rnn_lab.commands._run_checkpoint import add_run_name_options, checkpoint_path
from rnn_lab.commands._search_options import add_search_options, given_options, predictor_of
from rnn_lab.core.predictor import Answer
from rnn_lab.errors import UserError
from rnn_lab.tasks.translation.predictor import TranslationPredictor

DESCRIPTION = (
    "Translate lines of standard input. On a terminal, lines can be edited and earlier ones "
    "recalled; Ctrl-C discards a line, Ctrl-D ends. Unlike in predict, a word that the model "
    "cannot name (<unk>) is replaced by the source word with the highest attention weight, if the "
    "model has attention and a vocabulary of words; --replace_unknown=false shows <unk>. Scores of "
    "test are always those of the model's own output."
)
MIN_WEIGHT = 0.1  # minimum attention weight of displayed source words


def main(options: Sequence[str]) -> None:
    """Translate lines of standard input until its end.

    Args:
        options: Command-line arguments after `translate`.

    Raises:
        UserError: If an option or the checkpoint is invalid.
    """
    parser = ConciseParser(prog="rnn-lab translate", description=DESCRIPTION)
    parser.add_argument(
        "--ckpt_path", type=str, required=True, help="checkpoint of a translation model"
    )
    add_run_name_options(parser)
    parser.add_argument("--device", default="cpu", help="device, such as cuda:0")
    add_search_options(parser)
    args = parser.parse_args(list(options))
    args.ckpt_path, args.given = checkpoint_path(args), given_options(options)
    predictor = predictor_of(args, args.device)
    if not isinstance(predictor, TranslationPredictor):
        raise UserError(f"{args.ckpt_path} is not a translation model: use rnn-lab predict")
    if predictor.attention and predictor.search.n_best > 1:
        raise UserError("--attention requires a single translation: remove --n_best")
    if args.replace_unknown is None:
        predictor.replace_unknown = predictor.can_replace_unknown
    for line in read_lines("Type a sentence to translate", "translate_history"):
        for translation in _translate(predictor, line):
            sys.stdout.write(f"{translation}\n")
        sys.stdout.flush()


def _translate(predictor: TranslationPredictor, line: str) -> list[str]:
    """Translate a line; on a terminal, Ctrl-C stops this translation alone."""
    try:
        (answer,) = predictor.predict([line])
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        return []
    return format_translations(answer)


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
