"""Time of a training step of every recurrent layer, next to torch's own LSTM and GRU.

    OMP_NUM_THREADS=2 python tests/benchmarks/layer_speed.py [LAYER ...] [--rounds 10]
                                       [--device cuda] [--bfloat16]

Forward and backward of a layer of 128 units over 32 full rows of 256 steps with 128 features. All
take turns in one process, and each round gives a ratio, of which the median is told; `/LSTM` and
`/GRU` are ratios to `torch.nn.LSTM` and `torch.nn.GRU`. After that the time of a step of a row of
4,096, in ratio to that of a step of a row of 256, again in turns. On a machine that does other work
nothing here means much.
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

BATCH, WIDTH, SHORT, LONG, UNTIMED = 32, 128, 256, 4096, 2
Step = Callable[[], None]


def main(words: Sequence[str] | None = None) -> None:
    """Time all layers and print the table."""
    rnn_lab.configure_cpu()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("layers", nargs="*", metavar="LAYER", help="of rnn_lab.nn.LAYERS; or all")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="under autocast")
    args = parser.parse_args(words)
    layers = args.layers or list(LAYERS)
    if args.device == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    where = platform.machine() if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads")
    print("\n| Layer | Parameters | ms | /LSTM | /GRU | 4,096 / 256 |")
    print("| --- " * 6 + "|")
    torchs = {
        name: nn_layer(WIDTH, WIDTH, batch_first=True).to(args.device)
        for name, nn_layer in (("nn.LSTM", nn.LSTM), ("nn.GRU", nn.GRU))
    }
    built = torchs | {name: build_layer(name, WIDTH, WIDTH).to(args.device) for name in layers}
    short = in_turns(
        {name: step(layer, BATCH, SHORT, args) for name, layer in built.items()}, args.rounds
    )
    for name in ("nn.LSTM", "nn.GRU", *layers):
        longer = {
            length: step(built[name], BATCH, length, args) for length in (SHORT, LONG)
        }  # few rounds, each of a second or more
        times = in_turns(longer, max(3, args.rounds // 3))
        cells = [
            name,
            f"{sum(p.numel() for p in built[name].parameters()):,}",
            f"{1e3 * statistics.median(short[name]):.1f}",
            *(f"{ratio(short[name], short[torchs_own]):.2f}" for torchs_own in torchs),
            f"{ratio(times[LONG], times[SHORT]) * SHORT / LONG:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Median of the ratios of times taken in the same rounds."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def step(layer: nn.Module, batch: int, length: int, args: argparse.Namespace) -> Step:
    """Make a function that reads random rows and takes the gradients of all it read."""
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


def in_turns(steps: dict, rounds: int) -> dict:
    """Seconds of each function in each round."""
    for run in steps.values():
        for _ in range(UNTIMED):
            run()
    times: dict = {name: [] for name in steps}
    for _ in range(rounds):
        for name, run in steps.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    main()
