"""How soon a mistake is reported, over the time of `python -c "import lightning"`.

    python tests/benchmarks/start_up.py [--rounds N]

Each command runs in a process of its own, in turns; the medians are compared. Mistakes that need
no torch are far below the limit, the others end after the data has been opened.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 1.15
TABLE = "text,label\n" + "a good film,positive\na bad film,negative\n" * 20
MODEL = ("fit", "--model=LSTMClassifier", "--data=TextFiles")
COMMANDS = {
    "unknown command": ("fti",),
    "unknown option": (*MODEL, "--data.train=films.csv", "--typo=1"),
    "unknown argument": (*MODEL, "--data.train=films.csv", "--model.hiden_dim=9"),
    "unknown model": ("fit", "--model=LSTMClassifer", "--data=IMDB"),
    "unknown config": ("fit", "-c", "dmo"),
    "invalid value": (*MODEL, "--data.train=films.csv", "--model.hidden_dim=x"),
    "missing file": (*MODEL, "--data.train=film.csv"),
    "missing column": (*MODEL, "--data.train=films.csv", "--data.columns.text=txt"),
    "missing checkpoint": ("test", "--ckpt_path=best.ckpt"),
}


def seconds_of(command: list[str], folder: str, failing: bool) -> float:
    """Run a command; return how long it took."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    lines = [line for line in done.stderr.splitlines() if line.startswith("rnn-lab: ")]
    if bool(done.returncode) != failing or (failing and len(lines) != 1):
        sys.exit(f"{command}: {done.stderr}")
    return seconds


def main() -> None:
    """Measure all commands in turns, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    reference = [sys.executable, "-c", "import lightning"]
    times: dict[str, list[float]] = {"import lightning": [], **{name: [] for name in COMMANDS}}
    with tempfile.TemporaryDirectory(prefix="rnn-lab-") as folder:
        Path(folder, "films.csv").write_text(TABLE, encoding="utf-8")
        for _ in range(rounds):
            times["import lightning"].append(seconds_of(reference, folder, failing=False))
            for name, words in COMMANDS.items():
                command = [sys.executable, "-m", "rnn_lab", *words]
                times[name].append(seconds_of(command, folder, failing=True))
    medians = {name: statistics.median(each) for name, each in times.items()}
    print("| | Seconds | Over `import lightning` |\n| - | - | - |")
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.2f} | {seconds / medians['import lightning']:.2f} |")
    worst = max(seconds / medians["import lightning"] for seconds in medians.values())
    print(f"\n{'within' if worst <= LIMIT else 'OVER'} the limit of {LIMIT}")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
