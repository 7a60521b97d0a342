"""Run inference on raw text or time series."""

import csv
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import IO, Any

import torch
from jsonargparse import ArgumentParser, Namespace

from rnn_lab.commands._parsing import ConciseErrorsMixin
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import load, predictor_class
from rnn_lab.core.predictor import CHUNK_SIZE, Answer, RecordPredictor
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.io.progress import progress
from rnn_lab.io.records import read_records
from rnn_lab.nn import GenerationConfig
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor
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
    checkpoint = Checkpoint.open(args.ckpt_path)  # held, so that it is read once
    kind = predictor_class(checkpoint)
    if issubclass(kind, ForecastPredictor):
        _forecast(args, path)
        return
    if args.intervals is not None:
        raise UserError(f"{args.ckpt_path} does not forecast: leave --intervals out")
    if not issubclass(kind, RecordPredictor):
        raise UserError(f"{args.ckpt_path} is answered by {kind.__name__}, from Python only")
    format = _format(args.format, path)
    if format != "jsonl" and (args.attention or (args.search.n_best or 1) > 1):
        raise UserError("attention and several translations need --format=jsonl")
    source = partial(
        kind.read, text_column=args.text_column, format=args.input_format, encoding=args.encoding
    )
    if args.references is not None and args.input != "-":
        _check_lines(args, source(args.input))
    devices = _devices(args.trainer.accelerator, args.trainer.devices)
    predictor = predictor_of(args, devices[0] if len(devices) == 1 else "cpu")
    answers = _answers(args, predictor, devices, source(args.input))
    scored = args.references is not None
    if scored:
        answers = _with_references(args, predictor, answers)
    if path is not None or not sys.stdout.isatty():
        answers = progress(answers, "answering")
    if path is None:
        _write(predictor, answers, format, sys.stdout, references=scored)
        return
    if path.exists() and args.input != "-" and path.samefile(args.input):
        raise UserError(f"{path} is the input: give another --output")
    with atomic_write(path) as file:
        _write(predictor, answers, format, file, references=scored)


def _forecast(args: Namespace, path: Path | None) -> None:
    from rnn_lab.commands._forecast import forecast

    given = {**vars(args.search), **{name: args[name] for name in (*SHOWING, "references")}}
    unheard = [name for name, value in given.items() if value]
    if unheard:
        raise UserError(f"{args.ckpt_path} forecasts: leave --{unheard[0]} out")
    forecast(args, _devices(args.trainer.accelerator, args.trainer.devices), path)


class PredictParser(ConciseErrorsMixin, ArgumentParser):
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
        parser.add_argument(
            f"--search.{name}", f"--{name}", type=kind | None, help=f"translators: {what}"
        )
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
    given = {name: value for name, value in vars(args.search).items() if value is not None}
    if not isinstance(predictor, TranslationPredictor):
        asked = [*given, *(name for name in SHOWING if args[name])]
        if asked:
            raise UserError(f"{args.ckpt_path} does not translate: leave --{asked[0]} out")
        return predictor
    predictor.search = _search(predictor.search, given)
    predictor.attention = args.attention
    predictor.replace_unknown = args.replace_unknown
    if args.seed is not None:
        if not predictor.search.sampling:
            raise UserError(f"--seed has no effect {NEEDS_SAMPLING}")
        predictor.generator = torch.Generator(device).manual_seed(args.seed)
    return predictor


def _search(default: GenerationConfig, given: dict[str, Any]) -> GenerationConfig:
    """Replace options of decoding, and refuse those that would have no effect."""
    sampling = given.get("sampling", default.sampling)
    ineffective = (
        ("beam_size", "length_penalty", "coverage_penalty")
        if sampling
        else ("temperature", "top_k", "top_p")
    )
    for name in ineffective:
        if name in given:
            hint = "with sampling: remove it" if sampling else NEEDS_SAMPLING
            raise UserError(f"--{name} has no effect {hint}")
    if not sampling and "beam_size" not in given:
        given = {**given, "beam_size": max(default.beam_size, given.get("n_best", 1))}
    try:
        return replace(default, **given)
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_lines(args: Namespace, sources: Iterable[Any]) -> None:
    """Refuse references that do not fit the input before anything is answered.

    Raises:
        UserError: If one file has more lines than the other.
    """
    references = read_records(args.references, format="txt", encoding=args.encoding, labeled=False)
    sizes = [sum(1 for _ in lines) for lines in (sources, references)]
    if sizes[0] != sizes[1]:
        raise UserError(f"{args.input} has {sizes[0]} lines, {args.references} has {sizes[1]}")


def _with_references(
    args: Namespace, predictor: RecordPredictor, answers: Iterator[Answer]
) -> Iterator[Answer]:
    """Add the score of a given translation to each answer."""
    if not isinstance(predictor, TranslationPredictor):
        raise UserError(f"{args.ckpt_path} does not translate: leave --references out")
    records = read_records(args.references, format="txt", encoding=args.encoding, labeled=False)
    references = (record.text for record in records)
    while chunk := list(islice(answers, CHUNK_SIZE)):
        targets = list(islice(references, len(chunk)))
        if len(targets) < len(chunk):
            raise UserError(f"{args.references} has fewer lines than {args.input}")
        pairs = zip([answer["source"] for answer in chunk], targets, strict=True)
        scores = predictor.scores(pairs)
        for answer, reference, score in zip(chunk, targets, scores, strict=True):
            yield answer | {"reference": reference, "reference_score": score}
    if next(references, None) is not None:
        raise UserError(f"{args.references} has more lines than {args.input}")


def _answers(
    args: Namespace, predictor: RecordPredictor, devices: Sequence[str], records: Iterable[Any]
) -> Iterator[Answer]:
    """Answer in this process, or in several that are given chunks in turn."""
    if len(devices) == 1:
        yield from predictor.answers(records)
        return
    if args.seed is not None:
        raise UserError("--seed means nothing with several processes: leave --trainer.devices out")
    context = get_context("spawn")
    queue = context.Queue()
    for device in devices:
        queue.put(device)
    with ProcessPoolExecutor(
        len(devices), context, initializer=_start, initargs=(args, queue)
    ) as pool:
        yield from _in_order(pool, iter(records), ahead=2 * len(devices))


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
        while len(waiting) < ahead and (chunk := list(islice(texts, CHUNK_SIZE))):
            waiting.append(pool.submit(_work, chunk))
        if not waiting:
            return
        yield from waiting.popleft().result()


def _format(format: str | None, path: Path | None) -> str:
    """Choose how answers are written, by name or by the ending of the file."""
    endings = {".jsonl": "jsonl", ".csv": "csv", ".txt": "text"}
    if format is None and path is not None and path.suffix not in endings:
        raise UserError(f"--output must end in .jsonl, .csv or .txt, got {path.name}")
    chosen = format or ("jsonl" if path is None else endings[path.suffix])
    if chosen not in endings.values():
        raise UserError(f"--format must be {', '.join(endings.values())}, got {chosen}")
    return chosen


def _write(
    predictor: RecordPredictor,
    answers: Iterator[Answer],
    format: str,
    file: IO[str],
    *,
    references: bool,
) -> None:
    """Write answers as JSON objects, as lines of text, or as a table with a header."""
    if format == "csv":
        rows = csv.writer(file, lineterminator="\n")
        scored = [name for name in ("reference", "reference_score") if references]
        rows.writerow([*predictor.header(), *scored])
        rows.writerows([*predictor.row(a), *(a[name] for name in scored)] for a in answers)
        return
    for answer in answers:
        as_text = format == "text"
        line = predictor.text(answer) if as_text else json.dumps(answer, ensure_ascii=False)
        file.write(line + "\n")
    file.flush()
