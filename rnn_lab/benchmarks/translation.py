"""Training of attention decoders: the textbook's loop over steps, a bare loop, and the Trainer."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from rnn_lab.benchmarks.comparison import Comparison, Implementation, Variant
from rnn_lab.benchmarks.machine import AS_SHIPPED, PLAIN, threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.training import Fit, Loop, Workload, first_batches, in_data_root
from rnn_lab.datamodules import Multi30k, SyntheticDates
from rnn_lab.models import Translator
from rnn_lab.nn.seq2seq.dropouts import NO_DROPOUT
from rnn_lab.special_tokens import PAD_ID
from rnn_lab.tasks.translation.batch import PairBatch
from rnn_lab.tasks.translation.options import DecoderConfig, EncoderConfig

FIRST_TOKEN = 4  # after the special tokens
CHECKED = 2  # batches on which losses are compared
RANDOM = "random tokens"
SIZES = {
    **{"data": RANDOM, "src_vocab_size": 10_000, "trg_vocab_size": 8_000, "batch_size": 64},
    **{"embedding_dim": 256, "hidden_dim": 512, "num_layers": 2, "bidirectional": False},
    **{"steps": 2},
}
QUICK = SIZES | {"src_vocab_size": 2_000, "trg_vocab_size": 2_000, "hidden_dim": 128}
PUBLISHED = SIZES | {"data": "Multi30k", "num_layers": 1, "bidirectional": True}
POSITIONS = {  # of attention, with the options of the decoder
    "before": DecoderConfig("before"),
    "after, input feeding": DecoderConfig("after", input_feeding=True),
    "after": DecoderConfig("after"),
    "between": DecoderConfig("between"),
}


def comparisons(settings: Settings) -> Iterator[Comparison]:
    """Yield comparisons on random tokens, and on Multi30k if it is in the data root."""
    choices = [{**QUICK, "length": 15}]
    if not settings.quick:
        choices = [{**SIZES, "length": length} for length in (15, 40)]
        if in_data_root("multi30k"):
            choices.append(PUBLISHED)
    for options in choices:
        for threads in settings.threads:
            yield _comparison(settings, options, threads)


def _comparison(settings: Settings, options: dict[str, Any], threads: int) -> Comparison:
    plain = [
        Variant(f"{position}, plain", position, PLAIN)
        for position in POSITIONS
        if settings.plain_too
    ]
    equal = [
        Variant("textbook, as shipped", "textbook", AS_SHIPPED),
        Variant("textbook", "textbook"),
        Variant("before, bare loop", "loop"),
        Variant("before", "before"),
    ]
    others = [Variant(position, position) for position in POSITIONS if position != "before"]
    words = f" {options['length']} to {options['length']}" if "length" in options else ""
    return Comparison(
        "translation",
        f"{options['data']}{words}, {options['num_layers']} x {options['hidden_dim']}, "
        f"batches of {options['batch_size']}, {threads_title(threads)}",
        {**options, **settings.computation()},
        [*equal, *others, *plain],
        ["textbook, as shipped", "textbook"],
        [
            [each.name for each in equal],
            *([each.implementation, each.name] for each in plain),
        ],
        "target tokens",
        threads,
        settings.tolerance,
    )


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build translators by name: `textbook`, `loop` (attention before), or one of `POSITIONS`."""
    if options["data"] == RANDOM:
        loader: Any = DataLoader(RandomPairs(options), batch_size=None)
    else:
        data = Multi30k(batch_size=options["batch_size"])
        loader = data.train_dataloader()
        sizes = {"src_vocab_size": data.src_vocab_size, "trg_vocab_size": data.trg_vocab_size}
        options = options | sizes
    return {name: _implementation(name, loader, options) for name in names}


class RandomPairs(Dataset[PairBatch]):
    """Batches of random tokens, all of one length.

    Args:
        options: `batch_size`, `length`, both vocabularies, and `steps`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.shape, self.steps = (options["batch_size"], options["length"]), options["steps"]
        self.vocabularies = options["src_vocab_size"], options["trg_vocab_size"]

    def __len__(self) -> int:
        return self.steps + 1

    def __getitem__(self, number: int) -> PairBatch:
        generator = torch.Generator().manual_seed(number)
        rows, length = self.shape
        src, trg = (
            torch.randint(FIRST_TOKEN, size, (rows, steps), generator=generator)
            for size, steps in zip(self.vocabularies, (length, length + 1), strict=True)
        )
        return PairBatch(src, trg, torch.full((rows,), length), torch.full((rows,), length + 1))


class TextbookDecoder(nn.Module):
    """The textbook's decoder: it projects query and memory again at every step.

    Args:
        options: Sizes of the model.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        width, hidden = options["embedding_dim"], options["hidden_dim"]
        self.embedding = nn.Embedding(options["trg_vocab_size"], width)
        self.attn = nn.Linear(2 * hidden, hidden)
        self.v = nn.Linear(hidden, 1, bias=False)
        self.lstm = nn.LSTM(width + hidden, hidden, options["num_layers"], batch_first=True)
        self.fc = nn.Linear(hidden, options["trg_vocab_size"])

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
    """Encode, then loop over the target; padding is not masked.

    Args:
        options: Sizes of the model.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        width, both = options["embedding_dim"], options["bidirectional"]
        size = options["hidden_dim"] // (2 if both else 1)
        self.embedding = nn.Embedding(options["src_vocab_size"], width)
        self.lstm = nn.LSTM(
            width, size, options["num_layers"], batch_first=True, bidirectional=both
        )
        self.decoder = TextbookDecoder(options)

    def forward(self, src: Tensor, trg: Tensor) -> Tensor:
        """Compute teacher-forced logits, `(batch, trg_len - 1, vocab_size)`."""
        memory, (h, c) = self.lstm(self.embedding(src))
        if self.lstm.bidirectional:
            h, c = (torch.cat([part[0::2], part[1::2]], 2) for part in (h, c))
        state, logits = (h, c), []
        for t in range(trg.size(1) - 1):
            step, state = self.decoder(trg[:, t : t + 1], state, memory)
            logits.append(step)
        return torch.stack(logits, 1)

    def loss(self, batch: PairBatch) -> Tensor:
        """Compute the mean cross-entropy of all target tokens."""
        logits = self(batch.src, batch.trg).flatten(0, 1)
        targets = batch.trg[:, 1:].flatten()
        return nn.functional.cross_entropy(logits, targets, ignore_index=PAD_ID)


def our_model(position: str, options: dict[str, Any]) -> Translator:
    """Build a translator without dropout.

    Args:
        position: A key of `POSITIONS`.
        options: Sizes of the model.
    """
    torch.manual_seed(0)
    layers = options["num_layers"]
    model = Translator(
        options["src_vocab_size"],
        options["trg_vocab_size"],
        options["embedding_dim"],
        options["hidden_dim"],
        max(2, layers) if position == "between" else layers,
        encoder=EncoderConfig(num_layers=layers, bidirectional=options["bidirectional"]),
        decoder=POSITIONS[position],
        dropouts=NO_DROPOUT,
    )
    model.tokenizer = SyntheticDates(1, 1, 1).tokenizer  # which a Trainer needs
    return model


def copy_weights(textbook: TextbookSeq2Seq, ours: Translator) -> None:
    """Copy the textbook's weights into a translator with attention before the layers."""
    theirs, encoder, decoder = textbook.decoder, ours.net.encoder, ours.net.decoder
    attention: Any = vars(decoder)["_modules"]["attention"]
    recurrent: Any = vars(decoder)["_modules"]["recurrent"]
    hidden = theirs.fc.in_features
    with torch.no_grad():
        for to, source in (
            (encoder.embedding.table, textbook.embedding),
            (encoder.recurrent, textbook.lstm),
            (decoder.embedding.table, theirs.embedding),
            (recurrent, theirs.lstm),
            (decoder.fc, theirs.fc),
            (attention.v, theirs.v),
        ):
            to.load_state_dict(source.state_dict())
        attention.query.weight.copy_(theirs.attn.weight[:, :hidden])
        attention.query.bias.copy_(theirs.attn.bias)
        attention.key.weight.copy_(theirs.attn.weight[:, hidden:])


def _implementation(
    name: str, loader: Iterable[PairBatch], options: dict[str, Any]
) -> Implementation:
    device, bfloat16, steps = options["device"], options["bfloat16"], options["steps"]
    torch.manual_seed(0)
    textbook = TextbookSeq2Seq(options)
    if name == "textbook":
        workload = _workload(textbook, textbook.loss, loader, steps)
        return Loop(workload, device, bfloat16, fused=None)
    position = "before" if name == "loop" else name
    ours = our_model(position, options)
    if position == "before":
        copy_weights(textbook, ours)

    def loss(batch: PairBatch) -> Tensor:
        return ours.net.loss(batch.src, batch.trg, 1.0, batch.src_lengths)

    workload = _workload(ours, loss, loader, steps)
    if name == "loop":
        return Loop(workload, device, bfloat16)
    return Fit(workload, loader, steps, device, bfloat16)


def _workload(model: nn.Module, loss: Any, loader: Iterable[PairBatch], steps: int) -> Workload:
    return Workload(
        model,
        loss,
        lambda number: first_batches(loader, steps),
        lambda: map(without_source_padding, islice(loader, CHECKED)),
        lambda batch: int((batch.trg_lengths - 1).sum()),
    )


def without_source_padding(batch: PairBatch) -> PairBatch:
    """Select the sentences with the longest source, as the textbook's model reads padding."""
    rows = batch.src_lengths == batch.src_lengths.max()
    return PairBatch(
        batch.src[rows], batch.trg[rows], batch.src_lengths[rows], batch.trg_lengths[rows]
    )
