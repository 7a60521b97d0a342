"""Beam search of a translator: the textbook's loop, single sentences, and batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rnn_lab.benchmarks.comparison import Comparison, Implementation, Sample, Variant
from rnn_lab.benchmarks.machine import PLAIN, threads_title
from rnn_lab.benchmarks.settings import Settings
from rnn_lab.benchmarks.timing import counted_flops, timed
from rnn_lab.core.loading import load
from rnn_lab.datamodules import Multi30k, SyntheticDates
from rnn_lab.errors import UserError
from rnn_lab.models import AttentionTranslator
from rnn_lab.nn import Seq2Seq
from rnn_lab.nn.functional.linear import Linear
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID
from rnn_lab.tasks.translation.predictor import TranslationPredictor

BEAM_SIZE, SENTENCES, QUICK_SENTENCES, HIDDEN = 5, 100, 10, 256
BATCH_SIZE = 64  # sentences
PRODUCTS = [(BATCH_SIZE * BEAM_SIZE, 2 * HIDDEN, 8 * HIDDEN)]  # such as those of a step
END_BIAS = 0.0  # of the end token in untrained weights, with which the lengths vary
TOLERANCE, BFLOAT16_TOLERANCE = 1e-4, 5e-2  # of scores

Scores = Callable[[], list[float]]


def comparisons(settings: Settings) -> Iterator[Comparison]:
    """Yield a comparison on generated dates, or of a checkpoint on sentences of Multi30k."""
    count = QUICK_SENTENCES if settings.quick else SENTENCES
    source = "Multi30k" if settings.ckpt_path else "generated dates, untrained"
    ours = [
        Variant("one sentence at a time", "single"),
        Variant(f"batches of {BATCH_SIZE}", "batches"),
    ]
    plain = [
        Variant(f"{each.name}, plain", each.implementation, PLAIN)
        for each in ours
        if settings.plain_too
    ]
    variants = [Variant("textbook", "textbook"), *ours, *plain]
    for threads in settings.threads:
        yield Comparison(
            "decode",
            f"{source}, beam of {BEAM_SIZE}, {count} sentences, {threads_title(threads)}",
            {
                **{"ckpt_path": settings.ckpt_path, "count": count, "products": PRODUCTS},
                **settings.computation(),
            },
            variants,
            ["textbook", "one sentence at a time"],
            [[each.name for each in variants]],
            "sentences",
            threads,
            BFLOAT16_TOLERANCE if settings.bfloat16 else TOLERANCE,
        )


def build(options: dict[str, Any], names: Sequence[str]) -> dict[str, Implementation]:
    """Build `textbook`, `single` and `batches`, which decode the same sentences."""
    predictor, texts = open_translator(options["ckpt_path"], options["count"])
    predictor.search = replace(predictor.search, beam_size=BEAM_SIZE)
    predictor.task.to(options["device"])
    if options["bfloat16"]:
        predictor.use_precision("bf16-mixed")
    ways: dict[str, Scores] = {
        "textbook": partial(textbook_scores, predictor, texts),
        "single": partial(our_scores, predictor, texts, 1),
        "batches": partial(our_scores, predictor, texts, BATCH_SIZE),
    }
    return {name: Decoding(ways[name], len(texts), options["device"]) for name in names}


def open_translator(ckpt_path: str | None, count: int) -> tuple[TranslationPredictor, list[str]]:
    """Return a translator and sentences to translate.

    Args:
        ckpt_path: Checkpoint of a translator from English; None: an untrained one of dates.
        count: Number of sentences.

    Raises:
        UserError: If the checkpoint is of another task.
    """
    if ckpt_path is not None:
        predictor = load(ckpt_path)
        if not isinstance(predictor, TranslationPredictor):
            raise UserError(f"{ckpt_path} is not a checkpoint of a translator")
        rows: Any = Multi30k().split("test")
        return predictor, [rows.source(i) for i in range(min(count, len(rows)))]
    data = SyntheticDates(200, 1, max(count, 1))
    torch.manual_seed(0)
    task = AttentionTranslator(data.src_vocab_size, data.trg_vocab_size, 64, HIDDEN)
    with torch.no_grad():
        task.net.decoder.fc.bias[EOS_ID] = END_BIAS
    dates: Any = data.split("test")
    return TranslationPredictor(task.eval(), data.tokenizer), list(map(dates.source, range(count)))


class Decoding(Implementation):
    """A way to decode all sentences.

    Args:
        scores: Decodes them and returns the score of the best translation of each.
        count: Number of sentences.
        device: Device of the model.
    """

    def __init__(self, scores: Scores, count: int, device: str) -> None:
        self.scores, self.count, self.device = scores, count, device
        self.flops = counted_flops(scores) / count

    def values(self) -> list[float]:
        return self.scores()

    def run(self, number: int) -> Sample:
        return Sample(timed(self.scores, self.device), self.count)


def our_scores(predictor: TranslationPredictor, texts: list[str], size: int) -> list[float]:
    """Decode by the predictor, in batches of at most `size` sentences of similar lengths."""
    predictor.batch_size = size
    return [answer["score"] for answer in predictor.predict(texts)]


@torch.inference_mode()
def textbook_scores(predictor: TranslationPredictor, texts: list[str]) -> list[float]:
    """Decode one sentence at a time by layers of plain PyTorch."""
    rows, net = predictor.tokenizer.encode_sources(texts), predictor.task.net
    search = predictor.search
    with plain_torch(net), predictor.precision.forward_context():
        return [
            textbook_beam(net, row, search.beam_size, 2 * len(row) + 20, search.length_penalty)
            for row in rows
        ]


def textbook_beam(net: Seq2Seq, row: list[int], width: int, max_length: int, alpha: float) -> float:
    """Decode one sentence as textbooks do: the source is copied for each hypothesis.

    Args:
        net: The model.
        row: Source ids.
        width: Number of hypotheses.
        max_length: Number of tokens after which the end token is forced.
        alpha: Exponent of the length penalty.

    Returns:
        The score of the best translation.
    """
    device = next(net.parameters()).device
    memory, state = net.encoder(torch.tensor([row], device=device))
    state = tuple(part.repeat(1, width, 1) for part in net.decoder.start(net.bridge(state)))
    memory = memory.repeat(width, 1, 1)
    tokens = torch.full((width, 1), BOS_ID, device=device)
    total = torch.full((width,), -torch.inf, device=device)
    total[0] = 0.0
    finished: list[float] = []
    for n in range(1, max_length + 2):
        logits, state, _ = net.decoder(tokens, state, memory)
        logprobs = _allowed(logits.squeeze(1).float().log_softmax(-1), n > max_length)
        ended, alive = _split(total.unsqueeze(1) + logprobs, width)
        finished += [value / ((5 + n) / 6) ** alpha for value in ended]
        attainable = alive[0][0] / ((6 + max_length) / 6) ** alpha if alive else -torch.inf
        if len(finished) >= width or (finished and max(finished) >= attainable):
            break
        values, beams, next_tokens = zip(*alive, strict=True)
        total = torch.tensor(values, device=device)
        tokens = torch.tensor(next_tokens, device=device).unsqueeze(1)
        state = tuple(part.index_select(1, torch.tensor(beams, device=device)) for part in state)
    return max(finished)


def _allowed(logprobs: Tensor, ends: bool) -> Tensor:
    """Exclude special tokens; where the translation ends, all but the end token."""
    logprobs[:, [PAD_ID, BOS_ID]] = -torch.inf
    if ends:
        logprobs[:, [i for i in range(logprobs.size(1)) if i != EOS_ID]] = -torch.inf
    return logprobs


def _split(totals: Tensor, width: int) -> tuple[list[float], list[tuple[float, int, int]]]:
    """Return the totals of finished hypotheses, and total, beam and token of the others."""
    best, flat = totals.flatten().topk(2 * width)
    ended: list[float] = []
    alive: list[tuple[float, int, int]] = []
    for rank, (value, index) in enumerate(zip(best.tolist(), flat.tolist(), strict=True)):
        beam, token = divmod(index, totals.size(1))
        if token == EOS_ID:
            ended += [value] if rank < width else []
        elif len(alive) < width:
            alive.append((value, beam, token))
    return ended, alive


@contextmanager
def plain_torch(net: nn.Module) -> Iterator[None]:
    """Run layers with the forward methods of the PyTorch classes that they inherit from."""
    patched: list[Any] = []
    for module in net.modules():
        if isinstance(module, FusedRNN):
            patched.append(module)
            patched[-1].forward = partial(_layer_of_torch, module)
        elif isinstance(module, Linear):
            patched.append(module)
            patched[-1].forward = partial(nn.Linear.forward, module)
    try:
        yield
    finally:
        for module in patched:
            del module.forward


def _layer_of_torch(layer: Any, x: Tensor, lengths: Tensor | None = None, state: Any = None) -> Any:
    """Call `nn.LSTM` or `nn.GRU` on rows without padding."""
    return getattr(nn, layer.mode.removesuffix("_TANH")).forward(layer, x, state)
