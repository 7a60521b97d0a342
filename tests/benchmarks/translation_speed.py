"""Training speed of the textbook's attention decoder on a CPU: its loop against ours.

    python tests/benchmarks/translation_speed.py [--rounds 5] [--batch 64] [--layers 2]

Both are `AttentionDecoder` over an LSTM encoder, of the textbook's sizes (10,000 and 8,000 words,
256 features a word, 512 units), on random words, with Adam and clipping. The textbook's loop puts
query and memory side by side and projects both again at every step, calls a one-step LSTM and
scores the words of that step. First both must give the same loss for the same weights; then the
ways take turns in one process, after one step of each that is not timed. `between` is our decoder
with attention between its layers, another model of about equal size, beside them for orientation.
Run it on an idle machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnn_lab.nn import AttentionDecoder, Encoder, GNMTDecoder, Seq2Seq

SOURCE_WORDS, TARGET_WORDS, EMBEDDING, HIDDEN = 10_000, 8_000, 256, 512


class TextbookDecoder(nn.Module):
    """A decoder that does all its work at every step."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TARGET_WORDS, EMBEDDING)
        self.attn = nn.Linear(2 * HIDDEN, HIDDEN)
        self.v = nn.Linear(HIDDEN, 1, bias=False)
        self.lstm = nn.LSTM(EMBEDDING + HIDDEN, HIDDEN, layers, batch_first=True)
        self.fc = nn.Linear(HIDDEN, TARGET_WORDS)

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
    """Encode, then loop over the target."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SOURCE_WORDS, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN, layers, batch_first=True)
        self.decoder = TextbookDecoder(layers)

    def forward(self, src: Tensor, trg: Tensor) -> Tensor:
        """Score all words after the first, `(batch, trg_len - 1, vocabulary)`, truth forced."""
        memory, state = self.lstm(self.embedding(src))
        scores = torch.zeros(len(trg), trg.size(1) - 1, TARGET_WORDS)
        for t in range(trg.size(1) - 1):
            scores[:, t], state = self.decoder(trg[:, t : t + 1], state, memory)
        return scores


def build(layers: int) -> dict[str, nn.Module]:
    """Make the textbook's model, ours with its weights, and the one with attention between."""
    torch.manual_seed(0)
    textbook = TextbookSeq2Seq(layers)
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


def loss_of(model: nn.Module, src: Tensor, trg: Tensor) -> Tensor:
    scores = model(src, trg) if isinstance(model, TextbookSeq2Seq) else model.logits(src, trg)
    return nn.functional.cross_entropy(scores.flatten(0, 1), trg[:, 1:].flatten())


def make_step(model: nn.Module, src: Tensor, trg: Tensor) -> Callable[[], float]:
    """Give a function that trains for one step and says how many seconds it took."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step() -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        loss_of(model, src, trg).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - start

    return step


def compare(words: int, rounds: int, batch: int, layers: int) -> None:
    """Let the ways take turns on sentences of so many words, and print a row for each."""
    models = build(layers)
    src = torch.randint(4, SOURCE_WORDS, (batch, words))
    trg = torch.randint(4, TARGET_WORDS, (batch, words + 1))
    with torch.no_grad():
        torch.testing.assert_close(
            loss_of(models["before"], src, trg), loss_of(models["textbook"], src, trg)
        )
    steps = {name: make_step(model, src, trg) for name, model in models.items()}
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(step())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        speed, ratio = batch * words / value, medians["textbook"] / value
        print(f"| {words} x {words} | {name} | {speed:,.0f} | {ratio:.1f}x |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="times that each way takes its turn")
    parser.add_argument("--batch", type=int, default=64, help="sentences in a batch")
    parser.add_argument("--layers", type=int, default=2, help="layers of encoder and decoder")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, same loss first\n")
    print("| words | way | target words/s | over textbook |\n| - | - | - | - |")
    for words in (15, 40):
        compare(words, options.rounds, options.batch, options.layers)


if __name__ == "__main__":
    main()
