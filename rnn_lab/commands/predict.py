"""`rnn-lab predict`: raw text in, one answer a line out."""

import csv
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import IO

import torch
from jsonargparse import ArgumentParser, Namespace

from rnn_lab.commands.parsing import OneLineErrors
from rnn_lab.data.module import saved
from rnn_lab.data.readers import Record, read_records
from rnn_lab.errors import UserError
from rnn_lab.inference import TEXTS_AT_ONCE, Answer, Predictor, load

_predictor: Predictor  # of a worker process


def main(options: Sequence[str]) -> None:
    """Answer the texts of a file or of standard input.

    Args:
        options: Words of the command line after `predict`.

    Raises:
        UserError: If an option, the checkpoint or the input is wrong.
    """
    args = _parser().parse_args(list(options))
    answers = _answers(args, (record.text for record in _records(args)))
    if args.output is None:
        _write_jsonl(answers, sys.stdout)
        return
    path = Path(args.output)
    write = _writer(path)
    if path.exists() and args.input != "-" and path.samefile(args.input):
        raise UserError(f"{path} is the input: give another --output")
    with _beside(path) as file:
        write(answers, file)


class PredictParser(OneLineErrors, ArgumentParser):
    """A parser with errors of one line."""


def _parser() -> PredictParser:
    parser = PredictParser(prog="rnn-lab predict", description="Answer raw text.")
    parser.add_argument("--ckpt_path", type=str, required=True, help="checkpoint of the model")
    parser.add_argument("--input", type=str, required=True, help="file of texts; - is stdin")
    parser.add_argument("--output", type=str | None, help=".jsonl or .csv; stdout if not given")
    parser.add_argument("--format", type=str | None, help="txt, csv, tsv or jsonl")
    parser.add_argument("--text-column", default="text", help="of csv, tsv and jsonl")
    parser.add_argument("--encoding", default="utf-8", help="of the input")
    parser.add_argument("--trainer.devices", type=int, default=1, help="processes, or GPUs")
    parser.add_argument("--trainer.accelerator", default="auto", help="cpu, gpu or auto")
    return parser


def _records(args: Namespace) -> Iterable[Record]:
    return read_records(
        args.input,
        format=args.format,
        text_column=args.text_column,
        encoding=args.encoding,
        labelled=False,
    )


def _answers(args: Namespace, texts: Iterable[str]) -> Iterator[Answer]:
    """Answer in this process, or in several that are given chunks in turn."""
    devices = _devices(args.trainer.accelerator, args.trainer.devices)
    if len(devices) == 1:
        yield from load(args.ckpt_path, devices[0]).answers(texts)
        return
    saved(args.ckpt_path)  # complain here, not in every process
    context = get_context("spawn")
    queue = context.Queue()
    for device in devices:
        queue.put(device)
    with ProcessPoolExecutor(
        len(devices), context, initializer=_start, initargs=(args.ckpt_path, queue)
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


def _start(checkpoint: str, queue: "Queue[str]") -> None:
    global _predictor
    _predictor = load(checkpoint, queue.get())


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


def _writer(path: Path) -> Callable[[Iterator[Answer], IO[str]], None]:
    writers = {".jsonl": _write_jsonl, ".csv": _write_csv}
    if path.suffix not in writers:
        raise UserError(f"--output must end in .jsonl or .csv, got {path.name}")
    return writers[path.suffix]


def _write_jsonl(answers: Iterator[Answer], file: IO[str]) -> None:
    for answer in answers:
        file.write(json.dumps(answer, ensure_ascii=False) + "\n")
    file.flush()


def _write_csv(answers: Iterator[Answer], file: IO[str]) -> None:
    """One column for text and label each, one for the probability of each label."""
    rows = csv.writer(file, lineterminator="\n")
    first = list(islice(answers, TEXTS_AT_ONCE))
    known: list[str] = next((list(a["probabilities"]) for a in first if a["label"] is not None), [])
    rows.writerow(["text", "label", *(f"probability_{label}" for label in known)])
    for answer in chain(first, answers):
        label = answer["label"]
        several = "|".join(label) if isinstance(label, list) else label
        found = answer["probabilities"] or {}
        rows.writerow([answer["text"], several, *(found.get(name) for name in known)])


@contextmanager
def _beside(path: Path) -> Iterator[IO[str]]:
    """Write a file under another name, which it loses when it is whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with open(part, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
