"""Decoding speed of a trained translator on a CPU: batches against single sentences.

    python tests/benchmarks/decoding_speed.py --ckpt_path PATH [--beam_size 5] [--rounds 3]

Translate the 1,000 test sentences of Multi30k with three implementations that must agree: that of
`rnn-lab predict` (batches of similar lengths, the source is projected once and not copied for the
beam, finished sentences are removed from the batch); the same with batches of one sentence; and a
textbook beam search in plain PyTorch (`nn.LSTM`, `nn.Linear`), which decodes one sentence at a
time, copies the source for each hypothesis and projects it again at every step. The
implementations alternate in one process. Run it on an idle machine, with a checkpoint of a
translator from English to German, such as `make figures` writes to `runs/translation`.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

import rnn_lab
from rnn_lab.core.loading import load
from rnn_lab.datamodules import Multi30k
from rnn_lab.nn import Seq2Seq
from rnn_lab.nn.functional.linear import Linear
from rnn_lab.nn.layers.fused import FusedRNN
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID
from rnn_lab.tasks.translation import predictor as translations
from rnn_lab.tasks.translation.predictor import TranslationPredictor


@torch.inference_mode()
def textbook_beam(net: Seq2Seq, row: list[int], width: int, max_length: int, alpha: float) -> float:
    """Decode one sentence as textbooks do; returns the score of the best translation."""
    src = torch.tensor([row])
    memory, state = net.encoder(src)
    state = net.decoder.start(net.bridge(state))
    state = tuple(part.repeat(1, width, 1) for part in state)
    memory = memory.repeat(width, 1, 1)
    tokens = torch.full((width, 1), BOS_ID)
    total = torch.full((width,), -torch.inf)
    total[0] = 0.0
    finished: list[float] = []
    for n in range(1, max_length + 2):
        logits, state, _ = net.decoder(tokens, state, memory)
        logprobs = logits.squeeze(1).log_softmax(-1)
        logprobs[:, [PAD_ID, BOS_ID]] = -torch.inf
        if n > max_length:
            logprobs[:, [i for i in range(logprobs.size(1)) if i != EOS_ID]] = -torch.inf
        best, flat = (total.unsqueeze(1) + logprobs).flatten().topk(2 * width)
        norm = ((5 + n) / 6) ** alpha
        alive: list[tuple[float, int, int]] = []
        for rank, (value, index) in enumerate(zip(best.tolist(), flat.tolist(), strict=True)):
            beam, token = divmod(index, logprobs.size(1))
            if token == EOS_ID:
                if rank < width:
                    finished.append(value / norm)
            elif len(alive) < width:
                alive.append((value, beam, token))
        attainable = alive[0][0] / ((6 + max_length) / 6) ** alpha if alive else -torch.inf
        if len(finished) >= width or (finished and max(finished) >= attainable):
            break
        rows = torch.tensor([beam for _, beam, _ in alive])
        total = torch.tensor([value for value, _, _ in alive])
        tokens = torch.tensor([[token] for _, _, token in alive])
        state = tuple(part.index_select(1, rows) for part in state)
    return max(finished)


@contextmanager
def plain_torch(net: Seq2Seq) -> Iterator[None]:
    """Run layers with the forward methods of the PyTorch classes that they inherit from."""
    patched = []
    for module in net.modules():
        if isinstance(module, FusedRNN):
            module.forward = partial(layer_of_torch, module)
        elif isinstance(module, Linear):
            module.forward = partial(nn.Linear.forward, module)
        else:
            continue
        patched.append(module)
    try:
        yield
    finally:
        for module in patched:
            del module.forward


def layer_of_torch(layer: FusedRNN, x: Tensor, lengths=None, state=None):
    """Call `nn.LSTM` or `nn.GRU` on rows without padding."""
    return getattr(nn, layer.mode.removesuffix("_TANH")).forward(layer, x, state)


def implementations(
    predictor: TranslationPredictor, texts: list[str]
) -> dict[str, Callable[[], list[float]]]:
    """Return the three implementations; each returns the scores of all sentences."""
    max_hypotheses, width = translations.MAX_BATCH_HYPOTHESES, predictor.search.beam_size

    def batched(size: int) -> list[float]:
        translations.MAX_BATCH_HYPOTHESES = size
        return [answer["score"] for answer in predictor.predict(texts)]

    def textbook() -> list[float]:
        rows, alpha = predictor.tokenizer.encode_sources(texts), predictor.search.length_penalty
        net = predictor.task.net
        with plain_torch(net):
            return [textbook_beam(net, row, width, 2 * len(row) + 20, alpha) for row in rows]

    return {
        "textbook, one sentence at a time": textbook,
        "ours, one sentence at a time": lambda: batched(width),
        "ours, batches": lambda: batched(max_hypotheses),
    }


def main() -> None:
    """Time the implementations alternately, and print a row for each."""
    rnn_lab.configure_cpu()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ckpt_path", required=True, help="checkpoint of an en-de translator")
    parser.add_argument("--beam_size", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each implementation")
    parser.add_argument("--sentences", type=int, default=1000)
    options = parser.parse_args()
    predictor = load(options.ckpt_path)
    assert isinstance(predictor, TranslationPredictor)
    predictor.search = replace(predictor.search, beam_size=options.beam_size)
    rows = Multi30k().split("test")
    texts = [rows.source(i) for i in range(min(options.sentences, len(rows)))]
    seconds: dict[str, list[float]] = {}
    for number in range(options.rounds):
        scores = {}
        for name, decode in implementations(predictor, texts).items():
            start = time.perf_counter()
            scores[name] = torch.tensor(decode())
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            print(f"round {number + 1}: {name}: {seconds[name][-1]:.1f} s", flush=True)
        first, *others = scores.values()
        for other in others:
            torch.testing.assert_close(other, first, atol=1e-4, rtol=1e-4)
    print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}, same scores\n")
    print("| implementation | sentences/s | speed-up |\n| --- | --- | --- |")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    slowest = next(iter(medians.values()))
    for name, value in medians.items():
        print(f"| {name} | {len(texts) / value:,.1f} | {slowest / value:.1f}x |")


if __name__ == "__main__":
    main()
