"""Training speed of the textbook's attention decoder on a CPU: its loop against ours.

    python tests/benchmarks/translation_speed.py [--rounds 5] [--batch 64] [--layers 2]
    python tests/benchmarks/translation_speed.py --data multi30k

The first compares on random words of the textbook's sizes (10,000 and 8,000 words, 256 features a
word, 512 units): both are `AttentionDecoder` over an LSTM encoder, with Adam and clipping. The
textbook's loop puts query and memory side by side and projects both again at every step, calls a
one-step LSTM and scores the words of that step. First both must give the same loss for the same
weights. `between` is our decoder with attention between its layers, another model of about equal
size, beside them for orientation.

The second compares on batches of Multi30k (10,000 joint byte-pair pieces, 64 sentences) in the
shape of a published recipe: an LSTM of 256 units both ways, a decoder of 512, 256 features a word,
additive attention. Beside the textbook's loop of that size stand our places of attention, and
`between` with a second layer, which it needs.

The ways take turns in one process, after one step of each that is not timed. Run it on an idle
machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import rnn_lab
from rnn_lab.datamodules import Multi30k
from rnn_lab.nn import AttentionDecoder, Decoder, Encoder, GNMTDecoder, LuongDecoder, Seq2Seq

SOURCE_WORDS, TARGET_WORDS, EMBEDDING, HIDDEN = 10_000, 8_000, 256, 512

Batch = tuple[Tensor, Tensor, Tensor | None]  # sources, targets, lengths of the sources


class TextbookDecoder(nn.Module):
    """A decoder that does all its work at every step."""

    def __init__(self, words: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, EMBEDDING)
        self.attn = nn.Linear(2 * HIDDEN, HIDDEN)
        self.v = nn.Linear(HIDDEN, 1, bias=False)
        self.lstm = nn.LSTM(EMBEDDING + HIDDEN, HIDDEN, layers, batch_first=True)
        self.fc = nn.Linear(HIDDEN, words)

    def forward(
        self, word: Tensor, state: tuple[Tensor, Tensor], memory: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Score the word after `(batch, 1)` words: `(batch, vocabulary)` and the next state."""
        asked = state[0][-1].unsqueeze(1).repeat(1, memory.size(1), 1)
        energy = torch.tanh(self.attn(torch.cat([asked, memory], 2)))
        weights = self.v(energy).squeeze(2).softmax(1).unsqueeze(1)
        x = torch.cat([self.embedding(word), torch.bmm(weights, memory)], 2)
        output, state = self.lstm(x, state)
        return self.fc(output.squeeze(1)), state


class TextbookSeq2Seq(nn.Module):
    """Encode, then loop over the target; padding is read as words are."""

    def __init__(self, sources: int, targets: int, layers: int, both_ways: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sources, EMBEDDING)
        size = HIDDEN // 2 if both_ways else HIDDEN
        self.lstm = nn.LSTM(EMBEDDING, size, layers, batch_first=True, bidirectional=both_ways)
        self.decoder = TextbookDecoder(targets, layers)

    def forward(self, src: Tensor, trg: Tensor) -> Tensor:
        """Score all words after the first, `(batch, trg_len - 1, vocabulary)`, truth forced."""
        memory, state = self.lstm(self.embedding(src))
        if self.lstm.bidirectional:
            state = tuple(torch.cat([s[0::2], s[1::2]], 2) for s in state)
        scores = torch.zeros(len(trg), trg.size(1) - 1, self.decoder.fc.out_features)
        for t in range(trg.size(1) - 1):
            scores[:, t], state = self.decoder(trg[:, t : t + 1], state, memory)
        return scores


def build(layers: int) -> dict[str, nn.Module]:
    """Make the textbook's model, ours with its weights, and the one with attention between."""
    torch.manual_seed(0)
    textbook = TextbookSeq2Seq(SOURCE_WORDS, TARGET_WORDS, layers)
    encoder = Encoder(SOURCE_WORDS, EMBEDDING, HIDDEN, layers)
    ours = Seq2Seq(encoder, AttentionDecoder(TARGET_WORDS, EMBEDDING, HIDDEN, layers))
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
        Encoder(SOURCE_WORDS, EMBEDDING, HIDDEN, layers),
        GNMTDecoder(TARGET_WORDS, EMBEDDING, HIDDEN, max(2, layers)),
    )
    return {"textbook": textbook, "before": ours, "between": between}


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """The mean cross-entropy of all words but padding."""
    src, trg, lengths = batch
    if isinstance(model, Seq2Seq):
        return model.loss(src, trg, 1.0, lengths)
    return nn.functional.cross_entropy(
        model(src, trg).flatten(0, 1), trg[:, 1:].flatten(), ignore_index=0
    )


def make_step(model: nn.Module) -> Callable[[Batch], float]:
    """Give a function that trains for one step and says how many seconds it took."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(batch: Batch) -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - start

    return step


def take_turns(models: dict[str, nn.Module], batches: list[Batch], what: str) -> None:
    """Train each way on each batch in turn, and print a row for each."""
    steps = {name: make_step(model) for name, model in models.items()}
    for step in steps.values():
        step(batches[0])
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for batch in batches:
        for name, step in steps.items():
            seconds[name].append(step(batch))
    words = [int((trg[:, 1:] != 0).sum()) for _, trg, _ in batches]
    speeds = {
        name: statistics.median(n / s for n, s in zip(words, values, strict=True))
        for name, values in seconds.items()
    }
    for name, speed in speeds.items():
        over = speed / speeds["textbook"]
        print(f"| {what} | {name} | {speed:,.0f} | {over:.1f}x |", flush=True)


def on_random_words(words: int, rounds: int, batch: int, layers: int) -> None:
    """Let the ways take turns on sentences of so many words."""
    models = build(layers)
    src = torch.randint(4, SOURCE_WORDS, (batch, words))
    trg = torch.randint(4, TARGET_WORDS, (batch, words + 1))
    one: Batch = (src, trg, None)
    with torch.no_grad():
        torch.testing.assert_close(loss_of(models["before"], one), loss_of(models["textbook"], one))
    take_turns(models, [one] * rounds, f"{words} x {words}")


def on_multi30k(rounds: int) -> None:
    """Let the places of attention take turns on real batches."""
    data = Multi30k(batch_size=64)
    sizes = (data.src_vocab_size, data.trg_vocab_size)
    torch.manual_seed(0)
    split, plan = data.split("train"), data._make_sampler("train", shuffle=True).plan()
    chosen = [split[rows] for rows in plan[:rounds]]

    def ours(decoder: Decoder) -> Seq2Seq:
        encoder = Encoder(sizes[0], EMBEDDING, HIDDEN // 2, 1, bidirectional=True)
        return Seq2Seq(encoder, decoder)

    size = (sizes[1], EMBEDDING, HIDDEN)
    models = {
        "textbook": TextbookSeq2Seq(*sizes, 1, both_ways=True),
        "before": ours(AttentionDecoder(*size, 1)),
        "after, input feeding": ours(LuongDecoder(*size, 1, input_feeding=True)),
        "after": ours(LuongDecoder(*size, 1)),
        "between": ours(GNMTDecoder(*size, 2)),
    }
    for name, model in models.items():
        print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters")
    print(HEADER)
    take_turns(models, [(b.src, b.trg, b.src_lengths) for b in chosen], "Multi30k")


HEADER = "\n| words | way | target words/s | over textbook |\n| - | - | - | - |"


def main() -> None:
    rnn_lab.configure_cpu()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", choices=("random", "multi30k"), default="random")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way takes its turn")
    parser.add_argument("--batch", type=int, default=64, help="sentences in a random batch")
    parser.add_argument("--layers", type=int, default=2, help="layers of encoder and decoder")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    if options.data == "multi30k":
        on_multi30k(options.rounds)
        return
    print(f"same loss first\n{HEADER}")
    for words in (15, 40):
        on_random_words(words, options.rounds, options.batch, options.layers)


if __name__ == "__main__":
    main()
