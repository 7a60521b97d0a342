"""Measure the time of a training step of every recurrent layer, compared with torch's layers.

    OMP_NUM_THREADS=2 python tests/benchmarks/layer_speed.py [LAYER ...] [--rounds 10]
                                       [--device cuda] [--bfloat16]

Forward and backward pass of a layer of 128 units over 32 sequences of 256 steps with 128 features.
All layers alternate in one process; the table shows the median over rounds of the ratio to
`torch.nn.LSTM` (`/LSTM`) and to `torch.nn.GRU` (`/GRU`) in the same round. The last column is the
time per step of sequences of 4,096 steps divided by that of 256 steps, also alternating. Run it on
an idle machine.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

import rnn_lab
from rnn_lab.nn import LAYERS, build_layer

BATCH, WIDTH, SHORT, LONG, WARMUP = 32, 128, 256, 4096, 2
Step = Callable[[], None]


def main(argv: Sequence[str] | None = None) -> None:
    """Time all layers and print the table."""
    rnn_lab.configure_cpu()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "layers", nargs="*", metavar="LAYER", help="names in rnn_lab.nn.LAYERS; default: all"
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="use bfloat16 autocast")
    args = parser.parse_args(argv)
    layers = args.layers or list(LAYERS)
    if args.device == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    device = platform.machine() if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads")
    print("\n| Layer | Parameters | ms | /LSTM | /GRU | 4,096 / 256 |")
    print("| --- " * 6 + "|")
    torch_layers = {
        name: nn_layer(WIDTH, WIDTH, batch_first=True).to(args.device)
        for name, nn_layer in (("nn.LSTM", nn.LSTM), ("nn.GRU", nn.GRU))
    }
    built = torch_layers | {
        name: build_layer(name, WIDTH, WIDTH).to(args.device) for name in layers
    }
    short = alternate(
        {name: step(layer, BATCH, SHORT, args) for name, layer in built.items()}, args.rounds
    )
    for name in ("nn.LSTM", "nn.GRU", *layers):
        by_length = {
            length: step(built[name], BATCH, length, args) for length in (SHORT, LONG)
        }  # few rounds, each of which takes a second or more
        times = alternate(by_length, max(3, args.rounds // 3))
        cells = [
            name,
            f"{sum(p.numel() for p in built[name].parameters()):,}",
            f"{1e3 * statistics.median(short[name]):.1f}",
            *(f"{ratio(short[name], short[torch_layer]):.2f}" for torch_layer in torch_layers),
            f"{ratio(times[LONG], times[SHORT]) * SHORT / LONG:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Return the median over rounds of the ratio of two times."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def step(layer: nn.Module, batch: int, length: int, args: argparse.Namespace) -> Step:
    """Return a function that runs forward and backward pass on random sequences."""
    x = torch.randn(batch, length, WIDTH, device=args.device, requires_grad=True)

    def run() -> None:
        with torch.autocast(torch.device(args.device).type, torch.bfloat16, args.bfloat16):
            output = layer(x)[0]
        output.float().sum().backward()
        x.grad = None
        layer.zero_grad()
        if args.device != "cpu":
            torch.cuda.synchronize(args.device)

    return run


def alternate(steps: dict, rounds: int) -> dict:
    """Run all functions alternately; return their seconds in each round."""
    for run in steps.values():
        for _ in range(WARMUP):
            run()
    times: dict = {name: [] for name in steps}
    for _ in range(rounds):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
