"""Compare training speed on a CPU: textbook code and this package, same model and examples.

    RNN_LAB_DATA=... python tests/benchmarks/training_speed.py --data sst2
    RNN_LAB_DATA=... python tests/benchmarks/training_speed.py --data imdb

The textbook code samples examples in random order, pads them by `pad_sequence`, packs them for
`nn.LSTM` and optimizes with Adam, with PyTorch's default settings; a second variant flushes
denormals. Ours is `SentimentLSTM` on the first batches of an epoch of the data module (length
buckets over pools of 50 batches) with fused Adam; a second variant uses bfloat16 autocast. The
textbook code gets exactly the examples of these batches; reviews of IMDB are truncated to 400
words. First, both must give the same loss for the same weights. Then the variants alternate, each
in a new process; the first step, on 20 words, is not timed.

Run it on an idle machine: two threads that share a core with another process wait for each other.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader

import rnn_lab

Batch = tuple[Tensor, Tensor, Tensor]  # tokens, labels, lengths
Step = Callable[[Tensor, Tensor, Tensor], None]
VARIANTS = ("textbook as shipped", "textbook flushed", "ours", "ours in bfloat16")


class Setting(NamedTuple):
    """Model sizes and number of steps for one dataset."""

    embedding_dim: int
    hidden_dim: int
    num_layers: int
    batch_size: int
    steps: int
    rounds: int


SETTINGS = {
    "sst2": Setting(128, 128, num_layers=1, batch_size=64, steps=50, rounds=5),
    "imdb": Setting(100, 256, num_layers=2, batch_size=32, steps=8, rounds=3),
}


class TextbookLSTM(nn.Module):
    """Textbook sentiment model: packed LSTM, both final states, a probability."""

    def __init__(self, vocab_size: int, setting: Setting) -> None:
        super().__init__()
        sizes = setting.embedding_dim, setting.hidden_dim, setting.num_layers
        dropout = 0.5 if setting.num_layers > 1 else 0.0
        self.embedding = nn.Embedding(vocab_size, setting.embedding_dim, padding_idx=0)
        self.lstm = nn.LSTM(*sizes, batch_first=True, dropout=dropout, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2 * setting.hidden_dim, 1)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Compute the probability that each text is positive, `(batch,)`."""
        packed = pack_padded_sequence(
            self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.lstm(packed)
        return self.fc(self.dropout(torch.cat([hidden[-2], hidden[-1]], 1))).squeeze(1).sigmoid()


def both_models(vocab_size: int, setting: Setting) -> tuple[TextbookLSTM, Any]:
    """Build the textbook's model and ours with the same weights."""
    from rnn_lab.models import SentimentLSTM

    torch.manual_seed(0)
    textbook = TextbookLSTM(vocab_size, setting)
    ours = SentimentLSTM(vocab_size, setting.embedding_dim, setting.hidden_dim, setting.num_layers)
    weights = textbook.state_dict()
    ours.load_state_dict({k.replace("lstm.", "recurrent."): v for k, v in weights.items()})
    return textbook, ours


def textbook_loss(model: TextbookLSTM, tokens: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy(model(tokens, lengths), labels.float())


def our_loss(model: Any, tokens: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    from rnn_lab.tasks.text_classification.batch import TextBatch

    return model.step(TextBatch(tokens, labels, lengths)).loss


def open_data(name: str, batch_size: int) -> Any:
    from rnn_lab.datamodules import IMDB, SST2

    data = {"sst2": SST2, "imdb": IMDB}[name](batch_size)
    data.prepare_data()
    data.setup("fit")
    return data


def our_batches(data: Any, setting: Setting, number: int) -> Iterable[Batch]:
    """Return the first batches of an epoch of the data module, created on demand."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return islice(loader, setting.steps)


def textbook_batches(batches: Iterable[Batch], setting: Setting, number: int) -> Iterable[Batch]:
    """Return the same examples in random order, padded on demand."""
    from rnn_lab.tasks.text_classification.textbook import collate_variable_length

    examples = [
        (row[:length].clone(), int(label))
        for tokens, labels, lengths in batches
        for row, label, length in zip(tokens, labels, lengths, strict=True)
    ]
    return DataLoader(
        examples,  # type: ignore[arg-type]  # a list serves as a dataset
        setting.batch_size,
        shuffle=True,
        collate_fn=collate_variable_length,
        generator=torch.Generator().manual_seed(number),
    )


def compare_losses(name: str, setting: Setting) -> None:
    """Check that both models compute the same loss on the same batches without dropout."""
    data = open_data(name, setting.batch_size)
    textbook, ours = (model.eval() for model in both_models(data.vocab_size, setting))
    with torch.no_grad():
        for batch in islice(our_batches(data, setting, 0), 4):
            torch.testing.assert_close(our_loss(ours, *batch), textbook_loss(textbook, *batch))


def measure(variant: str, name: str, setting: Setting, number: int) -> float:
    """Train for the steps of one round; return examples per second."""
    data = open_data(name, setting.batch_size)
    textbook, ours = both_models(data.vocab_size, setting)
    batches = our_batches(data, setting, number)
    if variant.startswith("ours"):
        step = make_step(ours, our_loss, fused=True, bfloat16=variant.endswith("bfloat16"))
    else:
        step = make_step(textbook, textbook_loss)
        batches = textbook_batches(batches, setting, number)
    tokens, labels, lengths = next(iter(our_batches(data, setting, number + 1)))
    step(tokens[:, :20], labels, lengths.clamp(max=20))
    count, start = 0, time.perf_counter()
    for batch in batches:
        step(*batch)
        count += len(batch[1])
    return count / (time.perf_counter() - start)


def make_step(
    model: nn.Module,
    loss: Callable[..., Tensor],
    fused: bool | None = None,
    bfloat16: bool = False,
) -> Step:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)

    def step(tokens: Tensor, labels: Tensor, lengths: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            value = loss(model, tokens, labels, lengths)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    model.train()
    return step


def run_in_process(variant: str, name: str, setting: Setting, number: int = 0) -> str:
    variables = ("RNN_LAB_KEEP_DENORMALS", "RNN_LAB_RETURN_MEMORY")
    environment = {k: v for k, v in os.environ.items() if k not in variables}
    if variant.startswith("textbook"):
        environment["RNN_LAB_RETURN_MEMORY"] = "1"
    if variant == "textbook as shipped":
        environment["RNN_LAB_KEEP_DENORMALS"] = "1"
    command = [sys.executable, __file__, "--data", name, "--steps", str(setting.steps)]
    command += ["--variant", variant, "--number", str(number)]
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def report(name: str, setting: Setting) -> None:
    """Run the variants alternately and print the medians of their speeds."""
    run_in_process("losses", name, setting)
    print("equal loss on the same batches: yes", flush=True)
    speeds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for number in range(setting.rounds):
        for variant in VARIANTS:
            speeds[variant].append(float(run_in_process(variant, name, setting, number)))
            print(
                f"round {number + 1}, {variant}: {speeds[variant][-1]:.1f} examples/s", flush=True
            )
    medians = {variant: statistics.median(speeds[variant]) for variant in VARIANTS}
    print(f"\n{name}, {torch.get_num_threads()} threads, {setting}\n")
    print("| variant | training examples/s | over as shipped | over flushed |\n| - | - | - | - |")
    shipped, flushed = (medians[variant] for variant in VARIANTS[:2])
    for variant, speed in medians.items():
        print(f"| {variant} | {speed:.1f} | {speed / shipped:.1f}x | {speed / flushed:.1f}x |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", choices=SETTINGS, default="sst2")
    parser.add_argument("--steps", type=int, help="number of timed steps per round")
    parser.add_argument("--rounds", type=int, help="number of rounds")
    parser.add_argument("--variant", choices=[*VARIANTS, "losses"], help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    overrides = {k: v for k in ("steps", "rounds") if (v := getattr(options, k)) is not None}
    setting = SETTINGS[options.data]._replace(**overrides)
    if options.variant == "losses":
        compare_losses(options.data, setting)
    elif options.variant:
        rnn_lab.configure_cpu()  # unless the environment disables it
        print(measure(options.variant, options.data, setting, options.number))
    else:
        report(options.data, setting)


if __name__ == "__main__":
    main()
