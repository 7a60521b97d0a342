"""Folders of tested runs, written without training."""

import json
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from rnn_lab.io.run_files import CONFIG, COST, ITEMS, METRICS, STATE

LABELS = np.array(["negative", "positive"])


def write_run(folder, *, seed=1, model=None, scores=None, table=None, cost=None, state=None):
    """Write the files of a run; `scores` without their stage, and `table` by column."""
    folder.mkdir(parents=True)
    config = {
        "seed_everything": seed,
        "model": {"class_path": "rnn_lab.TextClassifier", "init_args": {"layer": "LSTM"}},
        "data": {"class_path": "rnn_lab.TREC", "init_args": {"batch_size": 32}},
    }
    config["model"]["init_args"] |= model or {}
    (folder / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
    scores = {f"test/{name}": value for name, value in (scores or {}).items()}
    columns = ["step", "train/targets_per_second", *scores]
    lines = [",".join(columns), "1,100" + "," * len(scores)]
    lines += ["2,," + ",".join(map(repr, scores.values()))] * bool(scores)
    (folder / METRICS).write_text("\n".join(lines) + "\n")
    metric = next(iter(scores), None)
    status = {"state": "finished", "test_metric": metric, "tested": bool(scores)}
    (folder / STATE).write_text(json.dumps(status | (state or {})))
    recorded = {"seconds": 10.0, "parameters": 1000, "environment": {"device": "cpu"}}
    recorded["data"] = {"version": "a", "train_rows": 9}
    (folder / COST).write_text(json.dumps(recorded | (cost or {})))
    if table is not None:
        pq.write_table(
            pa.table({name: pa.array(list(v)) for name, v in table.items()}), folder / ITEMS
        )
    return folder


def classified(correct, rows=200, system="", seed=0):
    """Return a table in which a share of the rows is classified correctly.

    A system finds the same rows hard in each training, up to noise by the seed.
    """
    target = LABELS[np.arange(rows) % 2]
    hard = np.random.default_rng(crc32(system.encode())).normal(size=rows)
    noisy = hard + np.random.default_rng(seed).normal(0, 0.5, rows)
    right = np.argsort(np.argsort(noisy)) < round(correct * rows)
    prediction = np.where(right, target, LABELS[1 - np.arange(rows) % 2])
    return {"row": np.arange(1, rows + 1), "target": target, "prediction": prediction}


def accuracy_run(folder, accuracy, *, seed=1, rows=200, model=None, **options):
    """Write the run of a classifier whose accuracy is a multiple of `1 / rows`."""
    table = classified(accuracy, rows, str(model), seed)
    scores = {"accuracy": accuracy}
    return write_run(folder, seed=seed, model=model, scores=scores, table=table, **options)


def experiment(root: Path, accuracies: dict[str, list[float]]) -> Path:
    """Write runs of several layers, a run for each accuracy with the seeds 1, 2, ..."""
    for layer, values in accuracies.items():
        for seed, accuracy in enumerate(values, 1):
            accuracy_run(root / f"{layer}-{seed}", accuracy, seed=seed, model={"layer": layer})
    return root
