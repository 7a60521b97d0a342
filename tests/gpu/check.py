"""Check the library on one GPU in a few minutes, and print a table and a verdict.

    python tests/gpu/check.py
    python tests/gpu/check.py --device cpu --quick

Layers and models must give the losses and gradients of the CPU, to the stated tolerances, with
TF32 off. Every layer also runs under bfloat16 autocast, one config of each task trains, and with
two GPUs one config trains in two processes. Times are reported, but not judged.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

# ruff: noqa: E402  # the path must be set before
from every_model import batch_of, build_model

from rnn_lab import models
from rnn_lab.nn import LAYERS, EmbeddingDropout, VariationalDropout, WordDropout, build_layer
from rnn_lab.nn.layers.stack import StackedRNN

TOLERANCE = 1e-3  # relative to the largest value, float32 against float32
BFLOAT16_TOLERANCE = 0.1
CONFIGS = (
    *("text_classifier", "sequence_classifier", "translator", "forecaster"),
    *("language_model", "adding_problem", "copy_memory"),
)
STEPS = 3


class Row(NamedTuple):
    """The result of one check."""

    name: str
    passed: bool
    detail: str


Check = Callable[[], str]  # returns what was measured; raises an error if it fails


def compare(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> float:
    """Return the largest error relative to the largest value.

    Raises:
        AssertionError: If it is above the tolerance, or not finite.
    """
    expected = expected.detach().double().cpu()
    scale = expected.abs().max().clamp(min=1e-6)
    error = float((actual.detach().double().cpu() - expected).abs().max() / scale)
    assert error <= tolerance, f"relative error {error:.1e}, allowed {tolerance:.0e}"
    return error


def sequences(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(8, 20, size, generator=torch.Generator().manual_seed(1))
    return x, torch.tensor([20, 3, 1, 17, 20, 9, 12, 5])


def run_layer(name: str, device: str, bfloat16: bool = False) -> list[torch.Tensor]:
    """Return output and gradients of a two-layer stack over padded sequences."""
    torch.manual_seed(0)
    layer = build_layer(name, 6, 8, 2).to(device)
    x, lengths = sequences(6)
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        output, state = layer(x.to(device), lengths)
        step, _ = layer.step(x[:, 0].to(device), state)
    (output.float().square().mean() + step.float().square().mean()).backward()
    return [output, step, *(p.grad for p in layer.parameters() if p.grad is not None)]


def check_layer(name: str, device: str) -> str:
    pairs = zip(run_layer(name, device), run_layer(name, "cpu"), strict=True)
    return f"error {max(compare(ours, cpu, TOLERANCE) for ours, cpu in pairs):.0e}"


def check_bfloat16(name: str, device: str) -> str:
    low, exact = run_layer(name, device, bfloat16=True), run_layer(name, "cpu")
    assert all(tensor.isfinite().all() for tensor in low)
    # The mean, since norms of small numbers make single values of MLSTM ill-conditioned.
    errors = (low[0].detach().float().cpu() - exact[0].detach()).abs().mean()
    error = float(errors / exact[0].detach().abs().mean())
    assert error <= BFLOAT16_TOLERANCE, f"mean relative error {error:.1e}"
    return f"mean error {error:.0e}"


def without_dropout(model: nn.Module) -> nn.Module:
    """Turn off what is random in training, in training mode, which cuDNN's gradients require."""
    for module in model.modules():
        if isinstance(module, nn.Dropout | VariationalDropout | WordDropout | EmbeddingDropout):
            module.p = 0.0
        if isinstance(module, StackedRNN):
            module.dropout = module.weight_drop = module.zoneout = 0.0
    return model


def train_model(name: str, device: str) -> torch.Tensor:
    """Return the losses of a few training steps on one batch."""
    torch.manual_seed(0)
    model = without_dropout(build_model(name)).to(device)
    batch = batch_of(model.batch_type).to(torch.device(device))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = model.step(batch).loss
        losses.append(loss.detach())
        if loss.requires_grad:
            loss.backward()
        optimizer.step()
    return torch.stack(losses)


def check_model(name: str, device: str) -> str:
    error = compare(train_model(name, device), train_model(name, "cpu"), TOLERANCE)
    return f"error {error:.0e}"


def milliseconds(run: Callable[[], object], device: str, repeats: int) -> float:
    """Return the median time of a call, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return sorted(times[1:])[repeats // 2]


def training_time(layer: nn.Module, device: str, quick: bool) -> float:
    batch, steps, size = (4, 8, 16) if quick else (32, 256, 128)
    x = torch.randn(batch, steps, size, device=device)
    layer = layer.to(device)
    return milliseconds(lambda: layer(x)[0].sum().backward(), device, 1 if quick else 5)


def check_time(name: str, device: str, quick: bool) -> str:
    size = 16 if quick else 128
    ours = training_time(build_layer(name, size, size), device, quick)
    kind = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}.get(name, nn.LSTM)
    torchs = training_time(kind(size, size, batch_first=True), device, quick)
    return f"{ours:.1f} ms, torch's {kind.__name__} {torchs:.1f} ms"


def check_config(name: str, device: str, quick: bool, processes: int = 1) -> str:
    """Train a config by the command line for a few steps, validate and test."""
    with tempfile.TemporaryDirectory() as folder:
        limits = ("max_steps", "limit_val_batches", "limit_test_batches")
        trainer = {name: 2 if quick else 50 for name in limits} | {
            "accelerator": "gpu" if device == "cuda" else device,
            "devices": processes,
            "default_root_dir": folder,
            "enable_progress_bar": "false",
        }
        options = [f"--trainer.{name}={value}" for name, value in trainer.items()]
        command = [sys.executable, "-m", "rnn_lab", "fit", "-c", name, *options, "--test=true"]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
        lines = (done.stderr or done.stdout).strip().splitlines()
        assert done.returncode == 0, lines[-1] if lines else f"status {done.returncode}"
    return f"{time.perf_counter() - start:.0f} s"


def checks(device: str, quick: bool) -> Iterator[tuple[str, Check]]:
    """Yield the name and the function of every check."""
    for name in LAYERS:
        yield f"layer {name}", lambda name=name: check_layer(name, device)
        yield f"bfloat16 {name}", lambda name=name: check_bfloat16(name, device)
    for name in models.__all__:
        yield f"model {name}", lambda name=name: check_model(name, device)
    for name in ("LSTM", "SLSTM") if quick else LAYERS:
        yield f"time {name}", lambda name=name: check_time(name, device, quick)
    for name in CONFIGS[:1] if quick else CONFIGS:
        yield f"config {name}", lambda name=name: check_config(name, device, quick)
    if torch.cuda.device_count() > 1:
        config = CONFIGS[0]
        yield "two processes", lambda: check_config(config, device, quick, processes=2)


def run_check(name: str, check: Check) -> Row:
    try:
        return Row(name, True, check())
    except Exception as error:  # a failure is a row of the table; the other checks go on
        first = str(error).strip().splitlines() or [""]
        return Row(name, False, f"{type(error).__name__}: {first[0]}"[:110])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="few and small timings and configs")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU: use --device cpu --quick")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    start, rows = time.perf_counter(), []
    for name, check in checks(options.device, options.quick):
        rows.append(row := run_check(name, check))
        print(f"{row.name:35} {'ok' if row.passed else 'FAILED':7} {row.detail}", flush=True)
    failed = [row.name for row in rows if not row.passed]
    seconds = time.perf_counter() - start
    verdict = f"FAILED: {', '.join(failed)}" if failed else "all passed"
    print(f"{len(rows)} checks on {options.device} in {seconds:.0f} s: {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
