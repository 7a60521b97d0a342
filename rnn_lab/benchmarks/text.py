"""Training of text classifiers: the textbook's packed loop, a bare loop, and the Trainer."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader

from rnn_lab import datamodules
from rnn_lab.benchmarks.comparison import Comparison, Implementation
from rnn_lab.benchmarks.machine import threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.timing import training_flops
from rnn_lab.benchmarks.training import Fit, Loop, Workload, first_batches, in_data_root, ways
from rnn_lab.models import TextClassifier
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.text_classification.models import Dropouts
from rnn_lab.tasks.text_classification.textbook import collate_variable_length

LAYERS = {"LSTM": nn.LSTM, "GRU": nn.GRU}
CHECKED = 2  # batches on which losses are compared
SMALL = {"embedding_dim": 128, "hidden_dim": 128, "num_layers": 1, "batch_size": 64, "steps": 30}
LARGE = {"embedding_dim": 100, "hidden_dim": 256, "num_layers": 2, "batch_size": 32, "steps": 3}
WORKLOADS = {"SyntheticReviews": SMALL, "SST2": SMALL, "TREC": SMALL, "IMDB": LARGE}

Example = tuple[Tensor, int]


def comparisons(settings: Settings) -> Iterator[Comparison]:
    """Yield a comparison for generated reviews, and for each dataset in the data root."""
    for name, sizes in WORKLOADS.items():
        generated = name == "SyntheticReviews"
        if generated or (not settings.quick and in_data_root(name.lower())):
            for threads in settings.threads:
                yield _comparison(settings, name, sizes, threads)


def _comparison(settings: Settings, name: str, sizes: dict[str, int], threads: int) -> Comparison:
    groups = [ways(layer, f"textbook {layer}", settings) for layer in LAYERS]
    steps = 8 if settings.quick else sizes["steps"]
    shape = f"{sizes['num_layers']} x {sizes['hidden_dim']} bidirectional"
    return Comparison(
        "text",
        f"{name}, {shape}, batches of {sizes['batch_size']}, {threads_title(threads)}",
        {
            **{**sizes, "data": name, "steps": steps, **settings.computation()},
            "products": [(sizes["batch_size"], sizes["hidden_dim"], 4 * sizes["hidden_dim"])],
        },
        [variant for group in groups for variant in group],
        ["textbook LSTM, as shipped", "textbook LSTM", "LSTM"],
        [[each.name for each in group] for group in groups],
        "texts",
        threads,
        settings.tolerance,
    )


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build classifiers by name: `reference LAYER`, `loop LAYER` and `LAYER`, by the Trainer."""
    data: Any = getattr(datamodules, options["data"])(batch_size=options["batch_size"])
    data.prepare_data()
    data.setup("fit")
    return {name: _implementation(name, data, options) for name in names}


def _implementation(name: str, data: Any, options: dict[str, Any]) -> Implementation:
    way, _, layer = name.rpartition(" ")
    device, bfloat16, steps = options["device"], options["bfloat16"], options["steps"]
    textbook, ours = both_models(layer, data.vocab_size, data.num_classes, options)
    if way == "reference":
        return Loop(textbook_workload(textbook, data, options), device, bfloat16, fused=None)
    workload = our_workload(ours, data, steps)
    if way == "loop":
        return Loop(workload, device, bfloat16)
    return Fit(workload, data.train_dataloader(), steps, device, bfloat16)


class TextbookClassifier(nn.Module):
    """Textbook classifier: packed bidirectional layer, both final states, a linear layer.

    Args:
        layer: `LSTM` or `GRU`.
        vocab_size: Words in the vocabulary.
        num_classes: Number of classes.
        options: `embedding_dim`, `hidden_dim` and `num_layers`.
    """

    def __init__(
        self, layer: str, vocab_size: int, num_classes: int, options: dict[str, Any]
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, options["embedding_dim"], padding_idx=0)
        self.recurrent = LAYERS[layer](
            options["embedding_dim"],
            options["hidden_dim"],
            options["num_layers"],
            batch_first=True,
            dropout=0.5 if options["num_layers"] > 1 else 0.0,
            bidirectional=True,
        )
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2 * options["hidden_dim"], num_classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Compute a score for each class, `(batch, num_classes)`."""
        packed = pack_padded_sequence(
            self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False
        )
        state = self.recurrent(packed)[1]
        hidden = state[0] if isinstance(state, tuple) else state
        return self.fc(self.dropout(torch.cat([hidden[-2], hidden[-1]], 1)))


def both_models(
    layer: str, vocab_size: int, num_classes: int, options: dict[str, Any]
) -> tuple[TextbookClassifier, TextClassifier]:
    """Build the textbook's model and ours with the same weights."""
    torch.manual_seed(0)
    textbook = TextbookClassifier(layer, vocab_size, num_classes, options)
    ours = TextClassifier(
        vocab_size,
        options["embedding_dim"],
        options["hidden_dim"],
        num_classes,
        options["num_layers"],
        layer=layer,
        bidirectional=True,
        dropouts=Dropouts(layer=0.5),
    )
    ours.load_state_dict(textbook.state_dict())
    return textbook, ours


def our_workload(model: TextClassifier, data: Any, steps: int) -> Workload:
    """Return the first batches of an epoch of the data module, in buckets of similar lengths."""
    return Workload(
        model,
        lambda batch: model.step(batch).loss,
        lambda number: first_batches(data.train_dataloader(), steps),
        lambda: islice(data.train_dataloader(), CHECKED),
        lambda batch: len(batch.lengths),
        training_flops(model.recurrent) * _mean_length(data, steps),
    )


def textbook_workload(model: TextbookClassifier, data: Any, options: dict[str, Any]) -> Workload:
    """Return the same examples in random order; padded while they are timed."""
    first, *rest = first_batches(data.train_dataloader(), options["steps"])
    examples = [example for batch in rest for example in textbook_rows(batch)]

    def loss(batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        tokens, labels, lengths = batch
        return nn.functional.cross_entropy(model(tokens, lengths.cpu()), labels)

    def batches(number: int) -> Iterable[Any]:
        yield tuple(first)
        yield from DataLoader(
            examples,  # type: ignore[arg-type]  # a list serves as a dataset
            options["batch_size"],
            shuffle=True,
            collate_fn=collate_variable_length,
            generator=torch.Generator().manual_seed(number),
        )

    return Workload(
        model,
        loss,
        batches,
        lambda: map(tuple, islice(data.train_dataloader(), CHECKED)),
        lambda batch: len(batch[1]),
        training_flops(model.recurrent) * _mean_length(data, options["steps"]),
    )


def _mean_length(data: Any, steps: int) -> float:
    """Return the mean number of tokens of a text in the timed steps."""
    _, *batches = first_batches(data.train_dataloader(), steps)
    return float(torch.cat([batch.lengths for batch in batches]).double().mean())


def textbook_rows(batch: TextBatch) -> Iterator[Example]:
    """Yield the texts of a batch without padding, and their labels."""
    for row, label, length in zip(batch.tokens, batch.labels, batch.lengths, strict=True):
        yield row[:length].clone(), int(label)
