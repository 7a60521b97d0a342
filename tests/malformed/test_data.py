"""Damaged data files are refused in one line, and nothing is written."""

import gzip
import io
import re
import zipfile

import pytest
from malformed import CASES, GOOD, OPTIONS, TS, checkpoint_of, fit, noise, refused, run

pytestmark = pytest.mark.slow


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def half(content):
    return content[: len(content) // 2]


def line(name, n, new):
    """Return a good file with one line replaced; lines are numbered from 0."""
    lines = GOOD[name].splitlines(keepends=True)
    return b"".join([*lines[:n], new, *lines[n + 1 :]])


ZIP = zipped({"pos/1.txt": "good film " * 50, "neg/2.txt": "dull film " * 50})
WAVES, TABLE = GOOD["waves.csv"], GOOD["a.csv"]
DATA_FILES = {
    "a.csv": {
        "a.csv": {
            "empty": b"", "header only": b"label,text\n", "no text": b"label,words\na,b\n",
            "no label": b"kind,text\na,b\n", "a short row": line("a.csv", 3, b"positive\n"),
            "a long row": line("a.csv", 3, b"positive,a,b\n"),
            "an open quote": line("a.csv", 3, b'positive,"a\n'), "other bytes": b"\xff\xfe" + TABLE,
            "a byte of latin-1": line("a.csv", 3, b"positive,caf\xe9\n"),
            "one label": b"label,text\n" + b"positive,a film\n" * 9,
            "an empty label": line("a.csv", 3, b",a film\n"), "random": noise(500)(b""),
            "a name twice": b"text,text,label\na,b,c\n", "no words": b"label,text\na,\nb,\n",
        },
        "a.csv.gz": {"truncated": half(gzip.compress(noise(3000)(b"")))},
        "a.zip": {"truncated": half(ZIP), "empty": b"", "no members": zipped({}),
                  "no label": zipped({"1.txt": "a film"}),
                  "not utf-8": zipped({"a/1.txt": b"\xff", "b/1.txt": b"a"})},
        "a.tar": {"truncated": b"a" * 700, "empty": b""},
        "a.xls": {"another format": TABLE * 2},
    },
    "a.tsv": {"a.tsv": {
        "empty": b"", "a short row": line("a.tsv", 2, b"positive\n"), "no label": b"a\tb\nc\td\n",
        "a byte of latin-1": line("a.tsv", 3, b"positive\tcaf\xe9\n"),
    }},
    "a.jsonl": {"a.jsonl": {
        "empty": b"", "no JSON": line("a.jsonl", 2, b'{"label": \n'),
        "a list": line("a.jsonl", 2, b"[1, 2]\n"),
        "no key": line("a.jsonl", 2, b'{"label": "a"}\n'),
        "a number": line("a.jsonl", 2, b'{"label": "a", "text": 3}\n'),
        "an object": line("a.jsonl", 2, b'{"label": {}, "text": "a"}\n'),
        "half a character": line("a.jsonl", 2, b'{"label": "a", "text": "\\ud800"}\n'),
        "brackets": line("a.jsonl", 2, b"[" * 100_000 + b"\n"), "bytes": b"\xff\n",
    }},
    "a.txt": {"a.txt": {
        "empty": b"", "no text": line("a.txt", 2, b"positive\n"), "blank": b"\n\n\n",
        "bytes": line("a.txt", 2, b"positive \xff\n"), "one label": b"a b\na c\n",
    }},
    "pairs.tsv": {
        "p.tsv": {
            "empty": b"", "no tab": line("pairs.tsv", 2, b"a b\n"),
            "two tabs": line("pairs.tsv", 2, b"a\tb\tc\n"), "tabs alone": b"\t\n" * 9,
            "bytes": line("pairs.tsv", 2, b"a\t\xff\n"), "random": noise(500)(b""),
        },
        "p.tsv.gz": {"truncated": half(gzip.compress(noise(3000)(b"")))},
    },
    "waves.csv": {
        "w.csv": {
            "empty": b"", "header only": b"time,a,b\n",
            "a word": line("waves.csv", 9, b"2020-01-01 08:00,low,1\n"),
            "infinite": line("waves.csv", 9, b"2020-01-01 08:00,inf,1\n"),
            "a long row": line("waves.csv", 9, b"2020-01-01 08:00,1,2,3\n"),
            "no time": line("waves.csv", 9, b"yesterday,1,2\n"),
            "a time twice": line("waves.csv", 9, b"2020-01-01 07:00,1,2\n"),
            "no values": b"time,a,b\n" + b"".join(b"2020-01-%02d,,\n" % i for i in range(1, 30)),
            "too short": WAVES[:150], "bytes": line("waves.csv", 9, b"2020-01-01 08:00,\xff,1\n"),
            "random": noise(500)(b""), "no numbers": b"time,a\n" + b"2020-01-01,b\n",
            "an open quote": line("waves.csv", 9, b'2020-01-01 08:00,"1,2\n'),
        },
        "w.csv.gz": {"truncated": half(gzip.compress(noise(3000)(b"")))},
        "w.parquet": {"empty": b"", "no parquet": WAVES, "only markers": b"PAR1" * 20},
        "w.xls": {"another format": WAVES},
    },
    "a.ts": {
        "a.ts": {
            "empty": b"", "no data": TS.encode(), "no cases": TS.encode() + b"@data\n",
            "no header": CASES.encode(), "another label": GOOD["a.ts"] + b"1,2:3,4:z\n",
            "no label": GOOD["a.ts"] + b"1,2:3,4\n", "a dimension less": GOOD["a.ts"] + b"1,2:x\n",
            "unequal": GOOD["a.ts"] + b"1,2:3:x\n", "a word": GOOD["a.ts"] + b"1,b:3,4:x\n",
            "no label names": GOOD["a.ts"].replace(b"true x y", b"true"), "bytes": b"@data\n\xff\n",
            "no labels": GOOD["a.ts"].replace(b"true x y", b"false"), "random": noise(500)(b""),
            "infinite": GOOD["a.ts"] + b"1,inf:3,4:x\n",
            "a negative length": GOOD["a.ts"].replace(b"@data", b"@seriesLength -1\n@data"),
        },
        "a.ts.gz": {"truncated": half(gzip.compress(noise(3000)(b"")))},
    },
    "lines.txt": {
        "s.txt": {"empty": b"", "bytes": b"one \xff\n" * 9, "blank": b"\n"},
        "s.txt.gz": {"truncated": half(gzip.compress(noise(3000)(b"")))},
    },
}  # fmt: skip
FOR_INFERENCE = [
    ("a.csv", name, case)
    for name, cases in (
        ("a.csv", ("empty", "no text", "a short row", "an open quote", "other bytes", "random")),
        ("a.csv.gz", ("truncated",)), ("a.zip", ("truncated", "empty", "not utf-8")),
    )
    for case in cases
]  # fmt: skip
FOR_INFERENCE += [("pairs.tsv", "p.tsv.gz", "truncated")]
FOR_INFERENCE += [("lines.txt", "s.txt", "bytes"), ("lines.txt", "s.txt.gz", "truncated")]
FOR_INFERENCE += [("a.ts", "a.ts", case) for case in (
    "empty", "no data", "no header", "a dimension less", "unequal", "a word", "bytes", "random",
)]  # fmt: skip
FOR_INFERENCE += [("waves.csv", "w.csv", case) for case in (
    "empty", "header only", "a word", "infinite", "a long row", "no time", "a time twice",
    "bytes", "no values", "random", "no numbers", "an open quote",
)]  # fmt: skip
FOR_INFERENCE += [("waves.csv", "w.parquet", case) for case in DATA_FILES["waves.csv"]["w.parquet"]]
FOR_TRAINING = [
    (kind, name, case)
    for kind, files in DATA_FILES.items()
    for name, contents in files.items()
    for case in contents
    if (kind, name, case) not in FOR_INFERENCE or case in ("empty", "bytes", "truncated")
]


@pytest.mark.parametrize(("kind", "name", "case"), FOR_TRAINING)
def test_damaged_training_data_is_refused(kind, name, case, folder):
    (folder / "bad" / name).write_bytes(DATA_FILES[kind][name][case])
    with refused(name, "the train split", "num_classes", "column 'a'") as result:
        result.status, result.lines = fit(folder / "bad" / name, kind)


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_folder_or_missing_file_is_refused(kind, folder):
    with refused() as result:
        result.status, result.lines = fit("absent.csv" if kind.startswith("a.t") else ".", kind)


@pytest.mark.parametrize(("kind", "name", "case"), FOR_INFERENCE)
def test_damaged_data_for_inference_is_refused(kind, name, case, folder):
    bad = folder / "bad" / name
    bad.write_bytes(DATA_FILES[kind][name][case])
    with refused(bad) as result:
        result.status, result.lines = predict(folder, kind, bad, "predictions.jsonl")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("a.csv", "a.csv"), ("waves.csv", "waves.csv"), ("a.ts", "a.ts"), ("pairs.tsv", "lines.txt")],
)
def test_good_data_is_accepted(kind, name, folder):
    status, lines = predict(folder, kind, folder / "good" / name, "../predictions.jsonl")
    assert status == 0
    assert [line for line in lines if not re.fullmatch(r"\d+ predictions -> \S+", line)] == []


def predict(folder, kind, file, output):
    args = [f"--ckpt_path={checkpoint_of(folder, kind)}", f"--input={file}", f"--output={output}"]
    return run("predict", *args)
