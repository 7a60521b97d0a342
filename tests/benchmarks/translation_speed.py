"""Training speed of attention decoders on a CPU: the textbook's loop against ours.

    python tests/benchmarks/translation_speed.py [--rounds 5] [--batch 64] [--layers 2]
    python tests/benchmarks/translation_speed.py --data multi30k

The first command uses random tokens and the textbook's sizes (vocabularies of 10,000 and 8,000,
embeddings of 256, hidden size 512): both models are `AttentionDecoder` with an LSTM encoder,
trained by Adam with gradient clipping. The textbook's loop concatenates query and memory and
projects both again at every step, calls a one-step LSTM and computes the logits of that step. Both
must first return the same loss for the same weights. `between`, our decoder with attention between
its layers, is another model of about equal size, for comparison.

The second command uses batches of Multi30k (10,000 joint byte-pair subwords, 64 sentences) and
published sizes: a bidirectional LSTM encoder with hidden size 256, a decoder with hidden size 512,
embeddings of 256, additive attention. The textbook's loop of that size is compared with our
positions of attention; `between` has a second layer, which it requires.

The implementations alternate in one process, after one step of each that is not timed. Run it on
an idle machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import rnn_lab
from rnn_lab.datamodules import Multi30k
from rnn_lab.nn import (
    AttentionDecoder,
    Decoder,
    Encoder,
    GNMTDecoder,
    InputFeedingDecoder,
    LuongDecoder,
    Seq2Seq,
)

SOURCE_VOCAB, TARGET_VOCAB, EMBEDDING, HIDDEN = 10_000, 8_000, 256, 512

Batch = tuple[Tensor, Tensor, Tensor | None]  # sources, targets, source lengths


class TextbookDecoder(nn.Module):
    """The textbook's decoder, which computes everything step by step."""

    def __init__(self, vocab_size: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, EMBEDDING)
        self.attn = nn.Linear(2 * HIDDEN, HIDDEN)
        self.v = nn.Linear(HIDDEN, 1, bias=False)
        self.lstm = nn.LSTM(EMBEDDING + HIDDEN, HIDDEN, layers, batch_first=True)
        self.fc = nn.Linear(HIDDEN, vocab_size)

    def forward(
        self, token: Tensor, state: tuple[Tensor, Tensor], memory: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Map `(batch, 1)` tokens to logits `(batch, vocab_size)` and the next state."""
        query = state[0][-1].unsqueeze(1).repeat(1, memory.size(1), 1)
        energy = torch.tanh(self.attn(torch.cat([query, memory], 2)))
        weights = self.v(energy).squeeze(2).softmax(1).unsqueeze(1)
        x = torch.cat([self.embedding(token), torch.bmm(weights, memory)], 2)
        output, state = self.lstm(x, state)
        return self.fc(output.squeeze(1)), state


class TextbookSeq2Seq(nn.Module):
    """Encode, then loop over the target; padding is not masked."""

    def __init__(
        self, sources: int, targets: int, layers: int, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sources, EMBEDDING)
        size = HIDDEN // 2 if bidirectional else HIDDEN
        self.lstm = nn.LSTM(EMBEDDING, size, layers, batch_first=True, bidirectional=bidirectional)
        self.decoder = TextbookDecoder(targets, layers)

    def forward(self, src: Tensor, trg: Tensor) -> Tensor:
        """Compute teacher-forced logits, `(batch, trg_len - 1, vocab_size)`."""
        memory, state = self.lstm(self.embedding(src))
        if self.lstm.bidirectional:
            state = tuple(torch.cat([s[0::2], s[1::2]], 2) for s in state)
        logits = torch.zeros(len(trg), trg.size(1) - 1, self.decoder.fc.out_features)
        for t in range(trg.size(1) - 1):
            logits[:, t], state = self.decoder(trg[:, t : t + 1], state, memory)
        return logits


def build(layers: int) -> dict[str, nn.Module]:
    """Build the textbook's model, ours with its weights, and one with attention between layers."""
    torch.manual_seed(0)
    textbook = TextbookSeq2Seq(SOURCE_VOCAB, TARGET_VOCAB, layers)
    encoder = Encoder(SOURCE_VOCAB, EMBEDDING, HIDDEN, layers)
    ours = Seq2Seq(encoder, AttentionDecoder(TARGET_VOCAB, EMBEDDING, HIDDEN, layers))
    theirs, decoder = textbook.decoder, ours.decoder
    with torch.no_grad():
        for to, source in (
            (encoder.embedding.table, textbook.embedding),
            (encoder.recurrent, textbook.lstm),
            (decoder.embedding.table, theirs.embedding),
            (decoder.recurrent, theirs.lstm),
            (decoder.fc, theirs.fc),
            (decoder.attention.v, theirs.v),
        ):
            to.load_state_dict(source.state_dict())
        decoder.attention.query.weight.copy_(theirs.attn.weight[:, :HIDDEN])
        decoder.attention.query.bias.copy_(theirs.attn.bias)
        decoder.attention.key.weight.copy_(theirs.attn.weight[:, HIDDEN:])
    between = Seq2Seq(
        Encoder(SOURCE_VOCAB, EMBEDDING, HIDDEN, layers),
        GNMTDecoder(TARGET_VOCAB, EMBEDDING, HIDDEN, max(2, layers)),
    )
    return {"textbook": textbook, "before": ours, "between": between}


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of all tokens except padding."""
    src, trg, lengths = batch
    if isinstance(model, Seq2Seq):
        return model.loss(src, trg, 1.0, lengths)
    return nn.functional.cross_entropy(
        model(src, trg).flatten(0, 1), trg[:, 1:].flatten(), ignore_index=0
    )


def make_step(model: nn.Module) -> Callable[[Batch], float]:
    """Return a function that runs one training step and returns its duration in seconds."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(batch: Batch) -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - start

    return step


def compare(models: dict[str, nn.Module], batches: list[Batch], label: str) -> None:
    """Train the models alternately on each batch, and print a row for each."""
    steps = {name: make_step(model) for name, model in models.items()}
    for step in steps.values():
        step(batches[0])
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for batch in batches:
        for name, step in steps.items():
            seconds[name].append(step(batch))
    tokens = [int((trg[:, 1:] != 0).sum()) for _, trg, _ in batches]
    speeds = {
        name: statistics.median(n / s for n, s in zip(tokens, values, strict=True))
        for name, values in seconds.items()
    }
    for name, speed in speeds.items():
        speed_up = speed / speeds["textbook"]
        print(f"| {label} | {name} | {speed:,.0f} | {speed_up:.1f}x |", flush=True)


def on_random_tokens(length: int, rounds: int, batch: int, layers: int) -> None:
    """Compare on random sentences of a given length."""
    models = build(layers)
    src = torch.randint(4, SOURCE_VOCAB, (batch, length))
    trg = torch.randint(4, TARGET_VOCAB, (batch, length + 1))
    one: Batch = (src, trg, None)
    with torch.no_grad():
        torch.testing.assert_close(loss_of(models["before"], one), loss_of(models["textbook"], one))
    compare(models, [one] * rounds, f"{length} x {length}")


def on_multi30k(rounds: int) -> None:
    """Compare the positions of attention on batches of Multi30k."""
    data = Multi30k(batch_size=64)
    sizes = (data.src_vocab_size, data.trg_vocab_size)
    torch.manual_seed(0)
    split, plan = data.split("train"), data._make_sampler("train", shuffle=True).plan()
    batches = [split[rows] for rows in plan[:rounds]]

    def ours(decoder: Decoder) -> Seq2Seq:
        encoder = Encoder(sizes[0], EMBEDDING, HIDDEN // 2, 1, bidirectional=True)
        return Seq2Seq(encoder, decoder)

    size = (sizes[1], EMBEDDING, HIDDEN)
    models = {
        "textbook": TextbookSeq2Seq(*sizes, 1, bidirectional=True),
        "before": ours(AttentionDecoder(*size, 1)),
        "after, input feeding": ours(InputFeedingDecoder(*size, 1)),
        "after": ours(LuongDecoder(*size, 1)),
        "between": ours(GNMTDecoder(*size, 2)),
    }
    for name, model in models.items():
        print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters")
    print(HEADER)
    compare(models, [(b.src, b.trg, b.src_lengths) for b in batches], "Multi30k")


HEADER = "\n| tokens | implementation | target tokens/s | speed-up |\n| - | - | - | - |"


def main() -> None:
    rnn_lab.configure_cpu()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", choices=("random", "multi30k"), default="random")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of each implementation")
    parser.add_argument("--batch", type=int, default=64, help="sentences in a random batch")
    parser.add_argument("--layers", type=int, default=2, help="layers of encoder and decoder")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    if options.data == "multi30k":
        on_multi30k(options.rounds)
        return
    print(f"losses are equal\n{HEADER}")
    for length in (15, 40):
        on_random_tokens(length, options.rounds, options.batch, options.layers)


if __name__ == "__main__":
    main()
