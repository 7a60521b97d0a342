"""Train every shipped config for a few seeded steps, and compare what that gives with a record.

    python tests/seeded_runs.py record before.json
    python tests/seeded_runs.py compare before.json

A record holds for each config all logged losses and metrics of training, validation and test, and
a digest of the weights in their order of registration, without their names. It is exact: two
records differ as soon as one bit of a weight does. Configs keep their entry when they move to
another folder; `RENAMED` maps those that change their name.
"""

import argparse
import csv
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from rnn_lab.__main__ import main as rnn_lab

CONFIGS = Path(__file__).parent.parent / "configs"
NO_EXPERIMENTS = ("trainer", "logger", "claims")  # folders without configs of runs
RENAMED = {  # old name to new name
    "bigru_classifier": "bigru_sequence_classifier",
    "etth1_chapter": "etth1_textbook",
    "lstm_series_classifier": "lstm_sequence_classifier",
    "series_classifier": "sequence_classifier",
}
STEPS = 3
WORDS = (
    f"--trainer.max_steps={STEPS}",
    "--trainer.limit_test_batches=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--test=true",
)
VALIDATED = (f"--trainer.val_check_interval={STEPS}", "--trainer.limit_val_batches=2")
VARYING = ("seconds", "per_second", "hours")  # in the names of what is measured by a clock


def configs() -> dict[str, Path]:
    """All experiments by name but those for a GPU."""
    return {
        path.stem: path
        for path in sorted(CONFIGS.rglob("*.yaml"))
        if path.parent.name not in NO_EXPERIMENTS and not path.stem.endswith("_gpu")
    }


def run(config: Path) -> dict[str, Any]:
    """Train and test one config in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["fit", "-c", str(config), f"--trainer.default_root_dir={folder}", *WORDS]
        validates = "limit_val_batches: 0" not in config.read_text(encoding="utf-8")
        status = rnn_lab([*words, *VALIDATED] if validates else words)
        if status:
            return {"status": status}
        with open(Path(folder, "metrics.csv"), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        last = Path(folder, "checkpoints", "last.ckpt")
        weights = torch.load(last, weights_only=False)["state_dict"].values()
    logged = [
        {
            name: value
            for name, value in sorted(row.items())
            if value and not any(word in name for word in VARYING)
        }
        for row in rows
    ]
    return {"logged": logged, "weights": digest(list(weights))}


def digest(tensors: list[torch.Tensor]) -> str:
    """Digest of shapes, types and bytes of tensors in their order."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
        found.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Name what differs between two entries of a config."""
    if before == after:
        return []
    if "status" in before or "status" in after:
        return [f"exit status: {before.get('status', 0)} and {after.get('status', 0)}"]
    found = []
    if before["weights"] != after["weights"]:
        found.append("weights")
    if len(before["logged"]) != len(after["logged"]):
        return [*found, f"rows: {len(before['logged'])} and {len(after['logged'])}"]
    for number, (old, new) in enumerate(zip(before["logged"], after["logged"], strict=True)):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                found.append(f"row {number}, {name}: {old.get(name)} and {new.get(name)}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("names", nargs="*", help="configs; all if none is named")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    record = json.loads(options.file.read_text()) if options.command == "compare" else {}
    record = {RENAMED.get(name, name): entry for name, entry in record.items()}
    unequal = [name for name in record if name not in configs()] if not options.names else []
    for name in unequal:
        print(f"{name}: has no config", flush=True)
    for name, path in configs().items():
        if options.names and name not in options.names:
            continue
        found[name] = run(path)
        if options.command == "record":
            options.file.write_text(json.dumps(found, indent=1) + "\n")
            continue
        wrong = differences(record[name], found[name]) if name in record else ["no record"]
        print(f"{name}: {'; '.join(wrong[:6]) if wrong else 'equal'}", flush=True)
        unequal += [name] if wrong else []
    print(f"{len(found)} configs, {len(unequal)} unequal")
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main())
