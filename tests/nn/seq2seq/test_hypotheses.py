"""Decoding rules: the first token, the end token, suppressed tokens and a stopping criterion."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnn_lab.nn.seq2seq.hypotheses import DecodingRules, Hypothesis
from rnn_lab.nn.seq2seq.search import greedy_decode, sample_decode
from rnn_lab.special_tokens import EOS_ID

VOCAB, BATCH = 50, 4


class TinyModel(nn.Module):
    """A GRU whose initial state is the mean of the source's embeddings."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.cell = nn.Embedding(VOCAB, 8), nn.GRUCell(8, 8)
        self.head = nn.Linear(8, VOCAB)
        nn.init.normal_(self.head.weight)

    def encode(self, src: Tensor, lengths: Tensor | None) -> tuple[None, Tensor]:
        return None, self.embedding(src).mean(1).unsqueeze(0)

    def decoder(self, tokens: Tensor, state: Tensor, memory: None) -> tuple[Tensor, Tensor, None]:
        h = self.cell(self.embedding(tokens[:, 0]), state[0])
        return self.head(h).unsqueeze(1), h.unsqueeze(0), None


@pytest.fixture
def model() -> TinyModel:
    return TinyModel().eval()


def sources() -> Tensor:
    torch.manual_seed(1)
    return torch.randint(4, VOCAB, (BATCH, 5))


def without_end(**rules: Any) -> DecodingRules:
    return DecodingRules(start=4, end=None, **{"suppressed": (), **rules})


@pytest.mark.parametrize("limits", [5, torch.tensor([3, 1, 6, 2])])
def test_without_end_token_every_hypothesis_has_the_maximum_length(
    model: TinyModel, limits: int | Tensor
) -> None:
    model.head.bias.data[EOS_ID] = 50
    greedy = greedy_decode(model, sources(), None, max_length=limits, rules=without_end())
    lengths = torch.as_tensor(limits).expand(BATCH).tolist()
    assert [each.tokens for each in greedy] == [[EOS_ID] * n for n in lengths]


def test_top_1_sampling_without_end_token_is_greedy(model: TinyModel) -> None:
    options: dict[str, Any] = {"max_length": 7, "rules": without_end()}
    greedy = greedy_decode(model, sources(), None, **options)
    sampled = sample_decode(model, sources(), None, num_samples=2, top_k=1, **options)
    assert sampled == [[each, each] for each in greedy]


def test_the_first_token_is_read_and_suppressed_tokens_are_never_produced(
    model: TinyModel,
) -> None:
    src = sources()[:1]
    memory, state = model.encode(src, None)
    best = model.decoder(torch.tensor([[4]]), state, memory)[0][0, 0].argsort(descending=True)
    rules = without_end(suppressed=tuple(best[:2].tolist()))
    (decoded,) = greedy_decode(model, src, None, max_length=1, rules=rules)
    assert decoded.tokens == [int(best[2])]


@pytest.mark.parametrize("end", [None, EOS_ID])
def test_a_stopping_criterion_completes_each_hypothesis_on_its_own(
    model: TinyModel, end: int | None
) -> None:
    def sample(stopping: Callable[[Tensor], Tensor] | None) -> list[Hypothesis]:
        rules = DecodingRules(4, end, (), stopping)
        generator = torch.Generator().manual_seed(2)
        options: dict[str, Any] = {"max_length": 12, "num_samples": 6, "rules": rules}
        (row,) = sample_decode(model, sources()[:1], None, generator=generator, **options)
        return row

    whole, stopped = sample(None), sample(lambda tokens: tokens < 25)
    for each, cut in zip(whole, stopped, strict=True):
        stop = next((i for i, token in enumerate(each.tokens) if token < 25), len(each.tokens))
        assert cut.tokens == each.tokens[: stop + 1]
    assert len({len(each.tokens) for each in stopped}) > 1
