"""`rnn-lab predict`: raw text in, one answer a line out."""

import csv
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import IO, Any

import torch
from jsonargparse import ArgumentParser, Namespace

from rnn_lab.commands._parsing import OneLineErrors
from rnn_lab.core.checkpoint import saved
from rnn_lab.core.loading import load
from rnn_lab.core.predictor import TEXTS_AT_ONCE, Answer, RecordPredictor
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.io.progress import progress
from rnn_lab.io.records import ENDINGS, Record, read_records
from rnn_lab.io.ts_files import read_series
from rnn_lab.nn import Strategy
from rnn_lab.tasks.translation.predictor import TranslationPredictor

SEARCH = {  # options of translators, by the part of the strategy that they set
    "beam_size": (int, "width of the beam; 1 is greedy"),
    "n_best": (int, "translations of each sentence"),
    "length_penalty": (float, "exponent of the length that scores are divided by"),
    "coverage_penalty": (float, "weight of what is lost for words hardly looked at"),
    "sampling": (bool, "draw words by their probability instead of searching"),
    "temperature": (float, "of sampling: below 1 what is likely becomes likelier"),
    "top_k": (int, "of sampling: from so many of the likeliest words"),
    "top_p": (float, "of sampling: from the fewest words so probable together"),
}
SHOWING = ("attention", "replace_unknown", "seed", "ensemble")
_predictor: RecordPredictor  # of a worker process


def main(options: Sequence[str]) -> None:
    """Answer the texts of a file or of standard input.

    Args:
        options: Words of the command line after `predict`.

    Raises:
        UserError: If an option, the checkpoint or the input is wrong.
    """
    args = _parser().parse_args(list(options))
    path = None if args.output is None else Path(args.output)
    if "series" in saved(args.ckpt_path).get("data", {}):
        _forecast(args, path)
        return
    if args.intervals is not None:
        raise UserError(f"{args.ckpt_path} does not forecast: leave --intervals out")
    write = _writer(args.format, path)
    if write is not _write_jsonl and (args.attention or (args.n_best or 1) > 1):
        raise UserError("attention and several translations need --format=jsonl")
    _check_lines(args)
    answers = _answers(args, _inputs(args))
    if args.references is not None:
        answers = _with_references(args, answers)
    if path is not None or not sys.stdout.isatty():
        answers = progress(answers, "answering")
    if path is None:
        write(answers, sys.stdout)
        return
    if path.exists() and args.input != "-" and path.samefile(args.input):
        raise UserError(f"{path} is the input: give another --output")
    with atomic_write(path) as file:
        write(answers, file)


def _forecast(args: Namespace, path: Path | None) -> None:
    from rnn_lab.commands._forecast import forecast

    unheard = [name for name in (*SEARCH, *SHOWING, "references") if args[name]]
    if unheard:
        raise UserError(f"{args.ckpt_path} forecasts: leave --{unheard[0]} out")
    forecast(args, _devices(args.trainer.accelerator, args.trainer.devices), path)


class PredictParser(OneLineErrors, ArgumentParser):
    """A parser with errors of one line."""


def _parser() -> PredictParser:
    parser = PredictParser(
        prog="rnn-lab predict", description="Answer raw text, or forecast series."
    )
    parser.add_argument("--ckpt_path", type=str, required=True, help="checkpoint of the model")
    parser.add_argument(
        "--input", type=str, required=True, help="file of texts or series; - is stdin"
    )
    parser.add_argument("--output", type=str | None, help="file of answers; stdout if not given")
    parser.add_argument(
        "--format",
        type=str | None,
        help="jsonl, csv or text, of forecasts also parquet; by the ending of --output if not "
        "given, else jsonl, of forecasts csv",
    )
    parser.add_argument("--input-format", type=str | None, help="txt, csv, tsv, jsonl or ts")
    parser.add_argument("--text-column", default="text", help="of csv, tsv and jsonl")
    parser.add_argument("--encoding", default="utf-8", help="of the input")
    parser.add_argument("--trainer.devices", type=int, default=1, help="processes, or GPUs")
    parser.add_argument("--trainer.accelerator", default="auto", help="cpu, gpu or auto")
    parser.add_argument(
        "--references", type=str | None, help="file of translations, a line each, to score, too"
    )
    parser.add_argument(
        "--intervals", type=list[float] | None, help="forecasters: central intervals, as [0.8,0.95]"
    )
    add_search_options(parser)
    return parser


def add_search_options(parser: ArgumentParser) -> None:
    """Add what can be asked of a translator; what is not given is as the checkpoint has it."""
    for name, (kind, what) in SEARCH.items():
        parser.add_argument(f"--{name}", type=kind | None, help=f"translators: {what}")
    parser.add_argument("--seed", type=int | None, help="translators: of sampling")
    parser.add_argument(
        "--attention", type=bool, default=False, help="translators: say where the model looked"
    )
    parser.add_argument(
        "--replace_unknown",
        type=bool,
        default=False,
        help="translators: write unknown words as the source words looked at most",
    )
    parser.add_argument(
        "--ensemble",
        type=list[str] | None,
        help="translators: further checkpoints whose probabilities are averaged with the first's",
    )


def predictor_of(args: Namespace, device: str) -> RecordPredictor:
    """Load a checkpoint and tell it what was asked for.

    Raises:
        UserError: If a translator is asked for what only makes sense otherwise, or the checkpoint
            is none and is asked like one.
    """
    predictor = load(args.ckpt_path, device, ensemble=args.ensemble or ())
    given = {name: args[name] for name in SEARCH if args[name] is not None}
    if not isinstance(predictor, TranslationPredictor):
        asked = [*given, *(name for name in SHOWING if args[name])]
        if asked:
            raise UserError(f"{args.ckpt_path} does not translate: leave --{asked[0]} out")
        return predictor
    predictor.strategy = _strategy(predictor.strategy, given)
    predictor.attention = args.attention
    predictor.replace_unknown = args.replace_unknown
    if args.seed is not None:
        if not predictor.strategy.sampling:
            raise UserError("--seed means nothing here: give --sampling=true")
        predictor.generator = torch.Generator(device).manual_seed(args.seed)
    return predictor


def _strategy(own: Strategy, given: dict[str, Any]) -> Strategy:
    """Change what was given, and refuse what would go unheard."""
    strategy = own._replace(**given)
    unheard = (
        ("beam_size", "length_penalty", "coverage_penalty")
        if strategy.sampling
        else ("temperature", "top_k", "top_p")
    )
    for name in unheard:
        if name in given:
            wish = "leave it out" if strategy.sampling else "give --sampling=true"
            raise UserError(f"--{name} means nothing here: {wish}")
    if not strategy.sampling and "beam_size" not in given:
        strategy = strategy._replace(beam_size=max(strategy.beam_size, strategy.n_best))
    try:
        return strategy.checked()
    except ValueError as error:
        raise UserError(str(error)) from error


def _inputs(args: Namespace) -> Iterable[Any]:
    """Read what is to be answered: series where the checkpoint labels these, else texts."""
    if "input_dim" in saved(args.ckpt_path).get("data", {}):
        return read_series(args.input, args.input_format)
    return (record.text for record in _records(args))


def _records(args: Namespace) -> Iterable[Record]:
    """Read the input; a file whose ending says nothing holds lines."""
    known = args.input == "-" or Path(args.input.removesuffix(".gz")).suffix.lower() in ENDINGS
    return read_records(
        args.input,
        format=args.input_format or (None if known else "txt"),
        text_column=args.text_column,
        encoding=args.encoding,
        labelled=False,
    )


def _check_lines(args: Namespace) -> None:
    """Refuse references that do not fit the input before anything is answered.

    Raises:
        UserError: If one file has more lines than the other.
    """
    if args.references is None or args.input == "-":
        return
    references = read_records(args.references, format="txt", encoding=args.encoding, labelled=False)
    sizes = [sum(1 for _ in records) for records in (_records(args), references)]
    if sizes[0] != sizes[1]:
        raise UserError(f"{args.input} has {sizes[0]} lines, {args.references} has {sizes[1]}")


def _with_references(args: Namespace, answers: Iterator[Answer]) -> Iterator[Answer]:
    """Add the score of a given translation to each answer."""
    predictor = predictor_of(args, _devices(args.trainer.accelerator, 1)[0])
    if not isinstance(predictor, TranslationPredictor):
        raise UserError(f"{args.ckpt_path} does not translate: leave --references out")
    records = read_records(args.references, format="txt", encoding=args.encoding, labelled=False)
    references = (record.text for record in records)
    while chunk := list(islice(answers, TEXTS_AT_ONCE)):
        targets = list(islice(references, len(chunk)))
        if len(targets) < len(chunk):
            raise UserError(f"{args.references} has fewer lines than {args.input}")
        pairs = zip([answer["source"] for answer in chunk], targets, strict=True)
        scores = predictor.scores(pairs)
        for answer, reference, score in zip(chunk, targets, scores, strict=True):
            yield answer | {"reference": reference, "reference_score": score}
    if next(references, None) is not None:
        raise UserError(f"{args.references} has more lines than {args.input}")


def _answers(args: Namespace, texts: Iterable[str]) -> Iterator[Answer]:
    """Answer in this process, or in several that are given chunks in turn."""
    devices = _devices(args.trainer.accelerator, args.trainer.devices)
    if len(devices) == 1:
        yield from predictor_of(args, devices[0]).answers(texts)
        return
    if args.seed is not None:
        raise UserError("--seed means nothing with several processes: leave --trainer.devices out")
    predictor_of(args, "cpu")  # complain here, not in every process
    context = get_context("spawn")
    queue = context.Queue()
    for device in devices:
        queue.put(device)
    with ProcessPoolExecutor(
        len(devices), context, initializer=_start, initargs=(args, queue)
    ) as pool:
        yield from _in_order(pool, iter(texts), ahead=2 * len(devices))


def _devices(accelerator: str, count: int) -> list[str]:
    if count < 1:
        raise UserError(f"trainer.devices must be at least 1, got {count}")
    if accelerator not in ("auto", "cpu", "gpu", "cuda"):
        raise UserError(f"trainer.accelerator must be auto, cpu or gpu, got {accelerator}")
    gpus = torch.cuda.device_count()
    if accelerator == "cpu" or (accelerator == "auto" and not gpus):
        return ["cpu"] * count
    if gpus < count:
        raise UserError(f"trainer.devices is {count}, and there are {gpus} GPUs")
    return [f"cuda:{i}" for i in range(count)]


def _start(args: Namespace, queue: "Queue[str]") -> None:
    global _predictor
    _predictor = predictor_of(args, queue.get())


def _work(texts: list[str]) -> list[Answer]:
    return _predictor.predict(texts)


def _in_order(pool: ProcessPoolExecutor, texts: Iterator[str], ahead: int) -> Iterator[Answer]:
    """Keep a few chunks under way, and give their answers in the order of the texts."""
    waiting: deque[Future[list[Answer]]] = deque()
    while True:
        while len(waiting) < ahead and (chunk := list(islice(texts, TEXTS_AT_ONCE))):
            waiting.append(pool.submit(_work, chunk))
        if not waiting:
            return
        yield from waiting.popleft().result()


def _writer(format: str | None, path: Path | None) -> Callable[[Iterator[Answer], IO[str]], None]:
    """Choose how answers are written, by name or by the ending of the file."""
    writers = {"jsonl": _write_jsonl, "csv": _write_csv, "text": _write_text}
    endings = {".jsonl": "jsonl", ".csv": "csv", ".txt": "text"}
    if format is None and path is not None and path.suffix not in endings:
        raise UserError(f"--output must end in .jsonl, .csv or .txt, got {path.name}")
    chosen = format or ("jsonl" if path is None else endings[path.suffix])
    if chosen not in writers:
        raise UserError(f"--format must be {', '.join(writers)}, got {chosen}")
    return writers[chosen]


def _write_jsonl(answers: Iterator[Answer], file: IO[str]) -> None:
    for answer in answers:
        file.write(json.dumps(answer, ensure_ascii=False) + "\n")
    file.flush()


def _write_text(answers: Iterator[Answer], file: IO[str]) -> None:
    """A line for each answer: the translation, the perplexity, or the label."""
    for answer in answers:
        kind = next(name for name in ("translation", "perplexity", "label") if name in answer)
        label = f"{answer[kind]:.6g}" if kind == "perplexity" else answer[kind]
        file.write(("|".join(label) if isinstance(label, list) else label or "") + "\n")
    file.flush()


def _write_csv(answers: Iterator[Answer], file: IO[str]) -> None:
    """One column for each part of an answer, one for the probability of each label."""
    rows = csv.writer(file, lineterminator="\n")
    first = list(islice(answers, TEXTS_AT_ONCE))
    if first and "label" not in first[0]:
        names = [name for name in first[0] if isinstance(first[0][name], str | float | None)]
        rows.writerow(names)
        rows.writerows([answer[name] for name in names] for answer in chain(first, answers))
        return
    known: list[str] = next((list(a["probabilities"]) for a in first if a["label"] is not None), [])
    shown = (first or [{"text": ""}])[0]
    others = [name for name in shown if name not in ("label", "probabilities")]
    rows.writerow([*others, "label", *(f"probability_{label}" for label in known)])
    for answer in chain(first, answers):
        label = answer["label"]
        several = "|".join(label) if isinstance(label, list) else label
        found = answer["probabilities"] or {}
        given = (answer[name] for name in others)
        rows.writerow([*given, several, *(found.get(name) for name in known)])
