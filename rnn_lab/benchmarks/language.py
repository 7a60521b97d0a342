"""Training of language models: a loop in plain PyTorch, our model in it, and the Trainer."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from rnn_lab.benchmarks.comparison import Comparison, Implementation
from rnn_lab.benchmarks.machine import threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.timing import training_flops
from rnn_lab.benchmarks.training import Fit, Loop, Workload, first_batches, in_data_root, ways
from rnn_lab.datamodules import SyntheticText, WikiText2
from rnn_lab.models import LanguageModel
from rnn_lab.special_tokens import IGNORE_INDEX
from rnn_lab.tasks.language_modeling.batch import LMBatch
from rnn_lab.text.tokenizer import TokenizerConfig

LAYERS = {"LSTM": nn.LSTM, "GRU": nn.GRU}
VOCABULARY, BATCH, STEPS_BACK, CHECKED = 10_000, 20, 35, 2
SIZES = {"embedding_dim": 200, "hidden_dim": 200, "num_layers": 2, "steps": 20}
QUICK_STEPS = 5


def comparisons(settings: Settings) -> Iterator[Comparison]:
    """Yield a comparison for generated text, and for WikiText-2 if it is in the data root."""
    names = ["SyntheticText"]
    if not settings.quick and in_data_root("wikitext2"):
        names.append("WikiText2")
    for name in names:
        for threads in settings.threads:
            yield _comparison(settings, name, threads)


def _comparison(settings: Settings, name: str, threads: int) -> Comparison:
    groups = [ways(layer, f"nn.{layer}", settings) for layer in LAYERS]
    sizes = SIZES | ({"steps": QUICK_STEPS} if settings.quick else {})
    return Comparison(
        "language",
        f"{name}, {sizes['num_layers']} x {sizes['hidden_dim']}, vocabulary of {VOCABULARY:,}, "
        f"{BATCH} x {STEPS_BACK} tokens, {threads_title(threads)}",
        {
            **{"data": name, **sizes, **settings.computation()},
            "products": [
                (BATCH * STEPS_BACK, sizes["hidden_dim"], columns)
                for columns in (4 * sizes["hidden_dim"], VOCABULARY)
            ],
        },
        [variant for group in groups for variant in group],
        ["nn.LSTM, as shipped", "nn.LSTM", "LSTM"],
        [[each.name for each in group] for group in groups],
        "tokens",
        threads,
        settings.tolerance,
    )


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build models by name: `reference LAYER`, `loop LAYER` and `LAYER`, by the Trainer."""
    data: Any
    if options["data"] == "WikiText2":
        tokenizer = TokenizerConfig(max_vocab_size=VOCABULARY)
        data = WikiText2(BATCH, STEPS_BACK, tokenizer=tokenizer)
    else:
        data = SyntheticText(batch_size=BATCH, bptt=STEPS_BACK)
    data.prepare_data()
    data.setup("fit")
    return {name: _implementation(name, data, options) for name in names}


class PlainLanguageModel(nn.Module):
    """Embedding, stacked layer and linear layer of PyTorch, with a state that is carried over.

    Args:
        layer: `LSTM` or `GRU`.
        options: `embedding_dim`, `hidden_dim` and `num_layers`.
    """

    def __init__(self, layer: str, options: dict[str, Any]) -> None:
        super().__init__()
        width, hidden = options["embedding_dim"], options["hidden_dim"]
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.recurrent = LAYERS[layer](width, hidden, options["num_layers"], batch_first=True)
        self.head = nn.Linear(hidden, VOCABULARY)
        self.state: Any = None

    def loss(self, batch: LMBatch) -> Tensor:
        """Compute the cross-entropy of a batch, and keep the state after it."""
        state = None if batch.reset_state else self.state
        output, state = self.recurrent(self.embedding(batch.tokens), state)
        lstm = isinstance(state, tuple)
        self.state = tuple(part.detach() for part in state) if lstm else state.detach()
        logits = self.head(output)
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE_INDEX
        )


def both_models(layer: str, options: dict[str, Any]) -> tuple[PlainLanguageModel, LanguageModel]:
    """Build the model in plain PyTorch and ours with the same weights."""
    torch.manual_seed(0)
    plain = PlainLanguageModel(layer, options)
    sizes = options["embedding_dim"], options["hidden_dim"], options["num_layers"]
    ours = LanguageModel(VOCABULARY, *sizes, layer=layer, tie_embeddings=False)
    weights = plain.state_dict()
    ours.load_state_dict({_our_name(name): value for name, value in weights.items()})
    return plain, ours


def _our_name(name: str) -> str:
    """Convert `recurrent.weight_ih_l1` to `layers.1.weight_ih_l0`."""
    part, _, parameter = name.partition(".")
    if part != "recurrent":
        return name
    kind, _, number = parameter.rpartition("_l")
    return f"layers.{number}.{kind}_l0"


def _implementation(name: str, data: Any, options: dict[str, Any]) -> Implementation:
    way, _, layer = name.rpartition(" ")
    device, bfloat16, steps = options["device"], options["bfloat16"], options["steps"]
    plain, ours = both_models(layer, options)
    if way == "reference":
        workload = _workload(plain, plain.loss, data, steps)
        return Loop(workload, device, bfloat16, fused=None)
    workload = _workload(ours, lambda batch: ours.step(batch).loss, data, steps)
    if way == "loop":
        return Loop(workload, device, bfloat16)
    return Fit(workload, data.train_dataloader(), steps, device, bfloat16)


def _workload(
    model: PlainLanguageModel | LanguageModel, loss: Any, data: Any, steps: int
) -> Workload:
    return Workload(
        model,
        loss,
        lambda number: first_batches(data.train_dataloader(), steps),
        lambda: islice(data.train_dataloader(), CHECKED),
        lambda batch: batch.targets.numel(),
        training_flops(model) - training_flops(model.embedding),  # which is no product
    )
