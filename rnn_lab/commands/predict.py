"""Run inference on raw text or time series.

Examples:
    rnn-lab predict --ckpt_path best.ckpt --input new.txt
    rnn-lab predict --ckpt_path best.ckpt --input new.en --format text --output new.de
    rnn-lab predict --ckpt_path best.ckpt --input load.csv --output forecast.csv
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from itertools import islice
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from rnn_lab.commands._answers import InputColumns, write_answers
from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.commands._inference_options import (
    add_inference_options,
    check_inference_options,
    configure_inference,
    devices_of,
    parse_with_configs,
)
from rnn_lab.commands._run_checkpoint import add_run_name_options, checkpoint_path
from rnn_lab.commands._search_options import (
    TRANSLATION_OPTIONS,
    add_search_options,
    given_options,
    predictor_of,
    requires_translation,
)
from rnn_lab.core.checkpoint import Checkpoint, check_types
from rnn_lab.core.loading import predictor_class
from rnn_lab.core.predictor import CHUNK_SIZE, Answer, RecordPredictor
from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_write
from rnn_lab.io.chunks import chunks
from rnn_lab.io.progress import progress
from rnn_lab.io.records import read_records
from rnn_lab.io.separators import SEPARATORS
from rnn_lab.io.standard_input import standard_input
from rnn_lab.io.summaries import format_count
from rnn_lab.io.waiting import waiting
from rnn_lab.tasks.forecasting.predictor import ForecastPredictor
from rnn_lab.tasks.translation.predictor import TranslationPredictor

_predictor: RecordPredictor  # in a worker process


def main(options: Sequence[str]) -> None:
    """Predict on the records of a file or of standard input.

    Args:
        options: Command-line arguments after `predict`.

    Raises:
        UserError: If an option, the checkpoint or the input is invalid.
    """
    args = parse_with_configs(_parser(), options)
    args.ckpt_path, args.given = checkpoint_path(args), given_options(options)
    check_inference_options(args)
    path = None if args.output is None else Path(args.output)
    checkpoint = Checkpoint.open(args.ckpt_path)  # referenced, so that it is read once
    predictor_cls = predictor_class(checkpoint)
    if issubclass(predictor_cls, ForecastPredictor):
        _forecast(args, path)
        return
    if args.intervals is not None:
        raise UserError(f"--intervals requires a forecaster, which {args.ckpt_path} is not")
    if not issubclass(predictor_cls, RecordPredictor):
        raise UserError(f"{predictor_cls.__name__} of {args.ckpt_path} is available in Python only")
    format = _output_format(args.format, path)
    if format != "jsonl" and (args.attention or (args.search.n_best or 1) > 1):
        raise UserError("attention and several translations require --format=jsonl")
    text_column, separator = _columns(args, checkpoint)
    source = partial(
        predictor_cls.read,
        text_column=text_column,
        format=args.input_format,
        encoding=args.encoding,
        separator=separator,
    )
    if args.references is not None and args.input != "-":
        _check_line_counts(args, source(args.input))
    devices = devices_of(args)
    predictor = _load(args, devices[0] if len(devices) == 1 else "cpu")
    columns = InputColumns()
    answers = _predict(args, predictor, devices, columns.records(source(args.input)))
    has_references = args.references is not None
    if has_references:
        answers = _score_references(args, predictor, answers)
    answers = _with_progress(answers, typed=args.input == "-", shown=path is None)
    write = partial(
        write_answers,
        predictor,
        columns.join(answers),
        format,
        references=has_references,
        escape=args.escape_formulas,
    )
    if path is None:
        write(sys.stdout, flush=args.input == "-")
        _report(columns.num_answers, args)
        return
    if path.exists() and args.input != "-" and path.samefile(args.input):
        raise UserError(f"{path} is the input: give another --output")
    with atomic_write(path) as file:
        write(file)
    _report(columns.num_answers, args)


def _report(number: int, args: Namespace) -> None:
    """Tell on standard error how many answers a file contains, or that the input had no rows."""
    if not number:
        source = "standard input" if args.input == "-" else args.input
        sys.stderr.write(f"{source} has no rows: there are no predictions\n")
    elif args.output is not None:
        sys.stderr.write(f"{format_count(number, 'prediction')} -> {args.output}\n")


def _with_progress(answers: Iterator[Answer], *, typed: bool, shown: bool) -> Iterator[Answer]:
    """Yield answers with a progress bar, or with how long the first take if a terminal shows them.

    Args:
        answers: The answers.
        typed: Whether the texts come from standard input.
        shown: Whether the answers go to standard output.
    """
    if not (shown and sys.stdout.isatty()):
        yield from progress(answers, "predicting")
        return
    with nullcontext() if typed else waiting("predicting"):
        first = list(islice(answers, 1))
    yield from first
    yield from answers


def _load(args: Namespace, device: str) -> RecordPredictor:
    predictor = predictor_of(args, device)
    configure_inference(predictor, args)
    return predictor


def _columns(args: Namespace, checkpoint: Checkpoint) -> tuple[str | int, str | None]:
    """Return text column and separator: as in training, unless options say otherwise."""
    data = checkpoint.data if checkpoint.has_data else {}
    stored = {name: data.get(name) for name in ("text_column", "separator")}
    check_types(stored, {"text_column": str | int | None, "separator": str | None})
    unusual = None if stored["separator"] in SEPARATORS else stored["separator"]
    column = args.text_column if args.text_column is not None else stored["text_column"]
    return "text" if column is None else column, args.separator or unusual


def _forecast(args: Namespace, path: Path | None) -> None:
    from rnn_lab.commands._forecast import forecast

    values = {**vars(args.search), **{k: args[k] for k in (*TRANSLATION_OPTIONS, "references")}}
    unsupported = [name for name, value in values.items() if value]
    if unsupported:
        raise UserError(requires_translation(unsupported[0], args))
    forecast(args, devices_of(args), path)


def _parser() -> ConciseParser:
    parser = ConciseParser(
        prog="rnn-lab predict",
        description="Run inference on raw text or time series.",
        print_config=None,
    )
    parser.add_argument(
        "-c", "--config", action="config", help="file of these options, or `cpu`, `gpu`, `bf16`"
    )
    parser.add_argument("--ckpt_path", type=str, required=True, help="checkpoint of the model")
    add_run_name_options(parser)
    parser.add_argument(
        "--input", type=str, required=True, help="file of texts or series; - is standard input"
    )
    parser.add_argument(
        "--output", type=str | None, help="file of predictions; if omitted, standard output"
    )
    parser.add_argument(
        "--format",
        type=str | None,
        help="format of the predictions: jsonl, csv or text (forecasts: csv, jsonl or parquet); "
        "if omitted, inferred from --output, else jsonl (forecasts: csv)",
    )
    parser.add_argument(
        "--input-format",
        type=str | None,
        help="format of the input: txt, csv, tsv, jsonl, parquet or ts; if omitted, inferred from "
        "--input",
    )
    parser.add_argument(
        "--text-column",
        type=str | None,
        help="name of the text column in csv, tsv, jsonl or parquet; if omitted, that of the "
        "training data, else text",
    )
    parser.add_argument(
        "--separator", type=str | None, help="separator of csv, such as ; or tab; else inferred"
    )
    parser.add_argument("--encoding", default="utf-8", help="encoding of the input")
    add_inference_options(parser)
    parser.add_argument(
        "--escape-formulas",
        type=bool,
        default=False,
        help="csv: write an apostrophe before texts that a spreadsheet would run as formulas",
    )
    parser.add_argument(
        "--references",
        type=str | None,
        help="file of reference translations to score, one per line",
    )
    parser.add_argument(
        "--intervals",
        type=list[float] | None,
        help="forecasters: central prediction intervals, such as [0.8,0.95]",
    )
    add_search_options(parser)
    return parser


def _check_line_counts(args: Namespace, sources: Iterable[Any]) -> None:
    """Check before inference that there is one reference per input.

    Raises:
        UserError: If the files have different numbers of lines.
    """
    references = read_records(args.references, format="txt", encoding=args.encoding, labeled=False)
    sizes = [sum(1 for _ in lines) for lines in (sources, references)]
    if sizes[0] != sizes[1]:
        raise UserError(f"{args.input} has {sizes[0]} lines, {args.references} has {sizes[1]}")


def _score_references(
    args: Namespace, predictor: RecordPredictor, answers: Iterator[Answer]
) -> Iterator[Answer]:
    """Add the reference translation and its score to each prediction."""
    if not isinstance(predictor, TranslationPredictor):
        raise UserError(requires_translation("references", args))
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


def _predict(
    args: Namespace, predictor: RecordPredictor, devices: Sequence[str], records: Iterable[Any]
) -> Iterator[Answer]:
    """Predict in this process, or in several that receive chunks in turn."""
    ready = standard_input().ready if args.input == "-" else lambda: True
    if len(devices) == 1:
        yield from predictor.answers(records, ready)
        return
    if args.seed is not None:
        raise UserError("--seed has no effect with several processes: remove --trainer.devices")
    context = get_context("spawn")
    queue = context.Queue()
    for device in devices:
        queue.put(device)
    with ProcessPoolExecutor(
        len(devices), context, initializer=_initialize_worker, initargs=(args, queue)
    ) as pool:
        yield from _in_order(pool, chunks(records, CHUNK_SIZE, ready), 2 * len(devices), ready)


def _initialize_worker(args: Namespace, queue: "Queue[str]") -> None:
    global _predictor
    _predictor = _load(args, queue.get())


def _predict_chunk(texts: list[str]) -> list[Answer]:
    return _predictor.predict(texts)


def _in_order(
    pool: Executor,
    chunks: Iterable[list[Any]],
    ahead: int,
    ready: Callable[[], bool] = lambda: True,
) -> Iterator[Answer]:
    """Process several chunks in parallel, and yield predictions in the order of the texts.

    No result waits for further input, or is lost by an error of a later chunk.
    """
    pending: deque[Future[list[Answer]]] = deque()
    try:
        for chunk in chunks:
            pending.append(pool.submit(_predict_chunk, chunk))
            while pending and (len(pending) >= ahead or not ready()):
                yield from pending.popleft().result()
    except UserError:
        while pending:
            yield from pending.popleft().result()
        raise
    while pending:
        yield from pending.popleft().result()


def _output_format(format: str | None, path: Path | None) -> str:
    """Return the output format, by name or by the suffix of the file."""
    formats = {".jsonl": "jsonl", ".csv": "csv", ".txt": "text"}
    if format is None and path is not None and path.suffix not in formats:
        raise UserError(f"--output must end in .jsonl, .csv or .txt, got {path.name}")
    chosen = format or ("jsonl" if path is None else formats[path.suffix])
    if chosen not in formats.values():
        raise UserError(f"--format must be {', '.join(formats.values())}, got {chosen}")
    return chosen
