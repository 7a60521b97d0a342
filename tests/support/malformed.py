"""What tests of damaged input share: good files, and how a command is run and must fail."""

import io
import os
import random
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

from rnn_lab.__main__ import main

TEXTS = [("positive", "a good film"), ("negative", "a dull film"), ("positive", "what a good plot")]
FIT = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
TINY = ["--model.hidden_dim=4", "--data.batch_size=4"]


def table(rows, separator=","):
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def waves(steps=60):
    return [("time", "a", "b")] + [
        (f"2020-01-{1 + t // 24:02d} {t % 24:02d}:00", t % 7, (t * t) % 5) for t in range(steps)
    ]


TS = "@problemName p\n@univariate false\n@dimensions 2\n@equalLength false\n@classLabel true x y\n"
CASES = "".join(f"{i},2,3,4:{i},1,0,{i}:{'xy'[i % 2]}\n" for i in range(8))
GOOD = {
    "a.csv": table([("label", "text"), *(TEXTS * 4)]).encode(),
    "a.tsv": table([("label", "text"), *(TEXTS * 4)], "\t").encode(),
    "a.jsonl": b'{"label": "positive", "text": "a good film"}\n'
               b'{"label": "negative", "text": "a dull film"}\n' * 6,
    "a.txt": table(TEXTS * 4, " ").encode(),
    "pairs.tsv": table([(f"a b {i}", f"c d {i}") for i in range(12)], "\t").encode(),
    "waves.csv": table(waves()).encode(),
    "a.ts": (TS + "@data\n" + CASES).encode(),
    "lines.txt": b"one two three four\n" * 40,
}  # fmt: skip
OPTIONS = {  # model and data for each kind of file
    "a.csv": ["--model=LSTMClassifier", "--data=TextFiles"],
    "a.tsv": ["--model=LSTMClassifier", "--data=TextFiles"],
    "a.jsonl": ["--model=LSTMClassifier", "--data=TextFiles"],
    "a.txt": ["--model=LSTMClassifier", "--data=TextFiles"],
    "pairs.tsv": ["--model=Seq2SeqTranslator", "--data=ParallelFiles"],
    "waves.csv": ["--model=LSTMForecaster", "--data=ForecastingFiles", "--data.input_length=6"],
    "a.ts": ["--model=GRUClassifier", "--data=LabeledSeriesFiles"],
    "lines.txt": ["--model=LSTMLanguageModel", "--data=LanguageModelingFiles"],
}


def run(*args):
    """Return the exit status of a command and the lines of standard error."""
    os.environ.pop("RNN_LAB_RUN", None)
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        try:
            status = main([str(arg) for arg in args])
        except SystemExit as stop:
            status = stop.code
    return status, errors.getvalue().splitlines()


def modification_times(folder):
    return {str(path): path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


@contextmanager
def refused(*names):
    """Check that a command fails with one line, writes no files and executes no code.

    The block assigns `status` and `lines` of the command. The line contains one of the names.
    """
    before = modification_times(".")
    Path("../marker").unlink(missing_ok=True)
    result = SimpleNamespace()
    yield result
    assert result.status in (1, 2)
    errors = [line for line in result.lines if line.startswith("rnn-lab: ")]
    assert len(errors) == 1, result.lines
    assert result.lines == errors
    assert not names or any(str(name) in errors[0] for name in names), errors
    assert "Traceback" not in errors[0]
    assert modification_times(".") == before
    assert not Path("../marker").exists()


def fit(file, name, *options):
    key = "--data.file" if name == "waves.csv" else "--data.train"
    extra = [] if name == "waves.csv" else [f"--data.valid={file}"]
    extra += ["--data.horizon=2"] if name == "waves.csv" else []
    extra += ["--data.bptt=4"] if name == "lines.txt" else []
    return run("fit", *OPTIONS[name], f"{key}={file}", *TINY, *extra, *FIT, *options)


def checkpoint_of(folder, name):
    return folder / name / "checkpoints" / "last.ckpt"


def noise(size):
    return lambda _: random.Random(size).randbytes(size)


def having(value, *keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change
