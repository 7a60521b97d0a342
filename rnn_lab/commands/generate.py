"""Continue a text with a language model.

Examples:
    rnn-lab generate --ckpt_path best.ckpt --prompt "It was" --max_new_tokens 50
"""

import json
import sys
from collections.abc import Sequence

from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.commands._run_checkpoint import add_run_name_options, checkpoint_path
from rnn_lab.core.loading import load
from rnn_lab.errors import UserError
from rnn_lab.tasks.language_modeling.predictor import LanguagePredictor

OPTIONS = (
    *("max_new_tokens", "temperature", "top_k", "top_p"),
    *("num_samples", "seed", "allow_unknown"),
)


def main(options: Sequence[str]) -> None:
    r"""Generate text and print it.

    Args:
        options: Command-line arguments after `generate`; `\n` in a prompt is a line feed.

    Raises:
        UserError: If an option or the checkpoint is invalid.
    """
    args = _parser().parse_args(list(options))
    args.ckpt_path = checkpoint_path(args)
    predictor = load(args.ckpt_path, args.device)
    if not isinstance(predictor, LanguagePredictor):
        raise UserError(f"{args.ckpt_path} is not a language-model checkpoint: use rnn-lab predict")
    texts = predictor.generate(
        _unescape(args.prompt),
        stop=None if args.stop is None else _unescape(args.stop),
        **{name: args[name] for name in OPTIONS},
    )
    for text in texts:
        sys.stdout.write((json.dumps(text, ensure_ascii=False) if args.json else text) + "\n")


def _parser() -> ConciseParser:
    parser = ConciseParser(
        prog="rnn-lab generate", description="Continue a text with a language model."
    )
    add = parser.add_argument
    add("--ckpt_path", type=str, required=True, help="checkpoint of the language model")
    add_run_name_options(parser)
    add("--prompt", type=str, default="", help="beginning of the text")
    add(
        "--max_new_tokens",
        type=int,
        default=200,
        help="number of tokens to generate; characters for a character-level model",
    )
    add("--temperature", type=float, default=1.0, help="sampling temperature; 0: greedy decoding")
    add("--top_k", type=int | None, help="sample from the k most likely tokens")
    add(
        "--top_p",
        type=float | None,
        help="nucleus sampling: smallest set of tokens with cumulative probability of at least p",
    )
    add("--num_samples", type=int, default=1, help="number of texts to generate")
    add("--seed", type=int, default=0, help="random seed")
    add("--stop", type=str | None, help=r"string before which a text ends, such as '\n'")
    add("--allow_unknown", type=bool, default=False, help="allow the unknown token")
    add("--json", type=bool, default=False, help="print each text as a JSON string")
    add("--device", default="cpu", help="device, such as cuda:0")
    return parser


def _unescape(text: str) -> str:
    return text.replace("\\n", "\n")
