"""Small models for tests of decoding."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from rnn_lab.nn import (
    AttentionDecoder,
    Decoder,
    Encoder,
    GNMTDecoder,
    InputFeedingDecoder,
    LuongDecoder,
    Seq2Seq,
)
from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.seq2seq.hypotheses import Hypothesis
from rnn_lab.nn.seq2seq.scoring import score_references
from rnn_lab.nn.seq2seq.transformer import SourceEncoder, TransformerDecoder, TransformerSeq2Seq
from rnn_lab.nn.transformer import TransformerOptions
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID

TINY, VOCAB, MAX_LENGTH = 6, 50, 8
LENGTHS = torch.tensor([5, 2, 7, 1, 4, 3])


class Memory(NamedTuple):
    values: Tensor
    mask: Tensor | None


class WithoutAttention(nn.Module):
    """A GRU whose initial state encodes the source, without attention; its state is a tensor."""

    def __init__(self, vocab: int, size: int = 8) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(vocab, size), nn.GRUCell(2 * size, size)
        self.head = nn.Linear(2 * size, vocab)
        nn.init.normal_(self.head.weight, std=0.8)

    def embed(self, src: Tensor, lengths: Tensor | None) -> tuple[Memory, Tensor]:
        x = self.embedding(src) + torch.arange(src.size(1)).unsqueeze(1).sin()
        mask = None if lengths is None else lengths_to_mask(lengths, src.size(1))
        x = x if mask is None else x * mask.unsqueeze(2)
        return Memory(x, mask), x.sum(1).tanh()

    def step(self, token: Tensor, h: Tensor, context: Tensor, attend: Any) -> tuple[Tensor, ...]:
        h = self.cell(torch.cat([self.embedding(token), context], 1), h)
        context, weights = attend(h)
        return self.head(torch.cat([h, context], 1)), h, context, weights

    def encode(self, src: Tensor, lengths: Tensor | None) -> tuple[Any, Any]:
        return None, self.embed(src, lengths)[1].unsqueeze(0)

    def decoder(self, tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any, Any]:
        logits, h, nothing = [], state[0], torch.zeros_like(state[0])
        for token in tokens.unbind(1):
            step, h, *_ = self.step(token, h, nothing, lambda h: (nothing, None))
            logits.append(step)
        return torch.stack(logits, 1), h.unsqueeze(0), None


class WithAttention(WithoutAttention):
    """The same with attention and input feeding; its state is a nested tuple."""

    def encode(self, src: Tensor, lengths: Tensor | None) -> tuple[Any, Any]:
        memory, h = self.embed(src, lengths)
        return memory, (torch.zeros_like(h).unsqueeze(0), (h.unsqueeze(0),))

    def decoder(self, tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any, Any]:
        (context,), ((h,),) = state
        logits, weights = [], []
        for token in tokens.unbind(1):
            step = self.step(token, h, context, lambda h: self.attend(h, memory))
            h, context = step[1:3]
            logits.append(step[0])
            weights.append(step[3])
        state = (context.unsqueeze(0), (h.unsqueeze(0),))
        return torch.stack(logits, 1), state, torch.stack(weights, 1)

    @staticmethod
    def attend(h: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        scores = h.view(len(memory.values), -1, h.size(1)) @ memory.values.transpose(1, 2)
        if memory.mask is not None:
            scores = scores.masked_fill(~memory.mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(-1)
        return (weights @ memory.values).view_as(h), weights.view(len(h), -1)


class TransformedLogits:
    """A model whose logits are transformed."""

    def __init__(self, model: Any, transform: Callable[[Tensor], Tensor]) -> None:
        self.model, self.transform, self.encode = model, transform, model.encode

    def decoder(self, tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any, Any]:
        logits, state, weights = self.model.decoder(tokens, state, memory)
        return self.transform(logits), state, weights


def with_bias(model: Any, bias: float, *tokens: int) -> TransformedLogits:
    ids = torch.tensor(tokens)
    return TransformedLogits(
        model, lambda logits: logits.index_add(2, ids, torch.full_like(logits[..., ids], bias))
    )


def from_decoder(decoder: type[Decoder], **options: Any) -> Callable[[int], nn.Module]:
    """Return a function that builds a model with one of the package's decoders."""

    def make(vocab: int) -> nn.Module:
        encoder = Encoder(vocab, 5, 4, 1, layer="GRU", bidirectional=True)
        own = options if decoder is Decoder else {"memory_size": 8, **options}
        model = Seq2Seq(encoder, decoder(vocab, 5, 6, 2, layer="GRU", **own))
        for parameter in model.parameters():
            parameter.data.mul_(3)  # for hypotheses of clearly different probability
        return model

    return make


def transformer(vocab: int) -> nn.Module:
    """Build a small Transformer."""
    options = TransformerOptions(num_heads=2)
    encoder = SourceEncoder(vocab, 8, 2, options)
    model = TransformerSeq2Seq(encoder, TransformerDecoder(vocab, 8, 2, options))
    for parameter in model.decoder.fc.parameters():
        parameter.data.mul_(3)  # for hypotheses of clearly different probability
    return model


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "without attention": WithoutAttention,
    "with attention": WithAttention,
    "Decoder": from_decoder(Decoder),
    "AttentionDecoder": from_decoder(AttentionDecoder),
    "GNMTDecoder": from_decoder(GNMTDecoder),
    "LuongDecoder": from_decoder(LuongDecoder),
    "LuongDecoder, input feeding": from_decoder(InputFeedingDecoder),
    "Transformer": transformer,
}
NO_ATTENTION = ("without attention", "Decoder")
every_model = pytest.mark.parametrize("name", MODELS)
every_model_with_attention = pytest.mark.parametrize(
    "name", [n for n in MODELS if n not in NO_ATTENTION]
)


def build(name: str, vocab: int = VOCAB, seed: int = 0) -> Any:
    """Build a model in double precision, so that rounding makes no two hypotheses equal."""
    torch.manual_seed(seed)
    return MODELS[name](vocab).double().eval()


def sources(vocab: int = VOCAB, padding: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    src = torch.randint(4, vocab, (len(LENGTHS), int(LENGTHS.max())), generator=generator)
    src = nn.functional.pad(src, (0, padding))
    return src.masked_fill(torch.arange(src.size(1)) >= LENGTHS[:, None], PAD_ID)


def score(
    models: Any, src: Tensor, lengths: Tensor, tokens: Sequence[list[int]], **options: Any
) -> list[Hypothesis]:
    """Score translations given as ids without start and end token."""
    trg_lengths = torch.tensor([len(row) + 2 for row in tokens])
    trg = torch.full((len(tokens), int(trg_lengths.max())), PAD_ID)
    for row, ids in zip(trg, tokens, strict=True):
        row[: len(ids) + 2] = torch.tensor([BOS_ID, *ids, EOS_ID])
    return score_references(models, src, trg, lengths, trg_lengths, **options)


def assert_close(actual: list[Any], expected: list[Any]) -> None:
    """Assert that hypotheses, or lists of them, are equal up to rounding."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        if isinstance(one, list):
            assert_close(one, other)
            continue
        assert one.tokens == other.tokens
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
