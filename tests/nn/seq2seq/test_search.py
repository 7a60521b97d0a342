"""Laws of every way to decode, over models that look at the source and models that do not."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from rnn_lab.nn import AttentionDecoder, Decoder, Encoder, GNMTDecoder, LuongDecoder, Seq2Seq
from rnn_lab.nn.functional.padding import lengths_to_mask
from rnn_lab.nn.seq2seq.hypotheses import LOOK_EVERY, Hypothesis
from rnn_lab.nn.seq2seq.scoring import score_references
from rnn_lab.nn.seq2seq.search import beam_search, greedy_decode, sample_decode
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID

TINY, VOCAB, LONGEST = 6, 50, 8
LENGTHS = torch.tensor([5, 2, 7, 1, 4, 3])
Decode = Callable[..., list[list[Hypothesis]]]


class Memory(NamedTuple):
    values: Tensor
    mask: Tensor | None


class Blind(nn.Module):
    """A GRU started by the source; no memory, and the state is one tensor."""

    def __init__(self, vocab: int, size: int = 8) -> None:
        super().__init__()
        self.embedding, self.cell = nn.Embedding(vocab, size), nn.GRUCell(2 * size, size)
        self.head = nn.Linear(2 * size, vocab)
        nn.init.normal_(self.head.weight, std=0.8)

    def read(self, src: Tensor, lengths: Tensor | None) -> tuple[Memory, Tensor]:
        x = self.embedding(src) + torch.arange(src.size(1)).unsqueeze(1).sin()
        mask = None if lengths is None else lengths_to_mask(lengths, src.size(1))
        x = x if mask is None else x * mask.unsqueeze(2)
        return Memory(x, mask), x.sum(1).tanh()

    def step(self, token: Tensor, h: Tensor, context: Tensor, look: Any) -> tuple[Tensor, ...]:
        h = self.cell(torch.cat([self.embedding(token), context], 1), h)
        context, weights = look(h)
        return self.head(torch.cat([h, context], 1)), h, context, weights

    def encode(self, src: Tensor, lengths: Tensor | None) -> tuple[Any, Any]:
        return None, self.read(src, lengths)[1].unsqueeze(0)

    def decoder(self, tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any, Any]:
        logits, h, nothing = [], state[0], torch.zeros_like(state[0])
        for token in tokens.unbind(1):
            step, h, *_ = self.step(token, h, nothing, lambda h: (nothing, None))
            logits.append(step)
        return torch.stack(logits, 1), h.unsqueeze(0), None


class Looking(Blind):
    """The same with attention, fed back; its state is a nested tuple."""

    def encode(self, src: Tensor, lengths: Tensor | None) -> tuple[Any, Any]:
        memory, h = self.read(src, lengths)
        return memory, (torch.zeros_like(h).unsqueeze(0), (h.unsqueeze(0),))

    def decoder(self, tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any, Any]:
        (context,), ((h,),) = state
        logits, weights = [], []
        for token in tokens.unbind(1):
            step = self.step(token, h, context, lambda h: self.look(h, memory))
            h, context = step[1:3]
            logits.append(step[0])
            weights.append(step[3])
        state = (context.unsqueeze(0), (h.unsqueeze(0),))
        return torch.stack(logits, 1), state, torch.stack(weights, 1)

    @staticmethod
    def look(h: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        scores = h.view(len(memory.values), -1, h.size(1)) @ memory.values.transpose(1, 2)
        if memory.mask is not None:
            scores = scores.masked_fill(~memory.mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(-1)
        return (weights @ memory.values).view_as(h), weights.view(len(h), -1)


class Changed:
    """A model whose logits are changed."""

    def __init__(self, model: Any, change: Callable[[Tensor], Tensor]) -> None:
        self.model, self.change, self.encode = model, change, model.encode

    def decoder(self, tokens: Tensor, state: Any, memory: Any) -> tuple[Tensor, Any, Any]:
        logits, state, weights = self.model.decoder(tokens, state, memory)
        return self.change(logits), state, weights


def raised(model: Any, by: float, *tokens: int) -> Changed:
    ids = torch.tensor(tokens)
    return Changed(
        model, lambda logits: logits.index_add(2, ids, torch.full_like(logits[..., ids], by))
    )


def ours(decoder: type[Decoder], **options: Any) -> Callable[[int], nn.Module]:
    """Build a model with one of the shipped decoders."""

    def make(vocab: int) -> nn.Module:
        encoder = Encoder(vocab, 5, 4, 1, layer="GRU", bidirectional=True)
        own = options if decoder is Decoder else {"memory_size": 8, **options}
        model = Seq2Seq(encoder, decoder(vocab, 5, 6, 2, layer="GRU", **own))
        for parameter in model.parameters():
            parameter.data.mul_(3)  # so that hypotheses differ
        return model

    return make


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "blind": Blind,
    "looking": Looking,
    "Decoder": ours(Decoder),
    "AttentionDecoder": ours(AttentionDecoder),
    "GNMTDecoder": ours(GNMTDecoder),
    "LuongDecoder": ours(LuongDecoder),
    "LuongDecoder, fed": ours(LuongDecoder, input_feeding=True),
}
NEVER_LOOK = ("blind", "Decoder")
every_model = pytest.mark.parametrize("name", MODELS)
every_looking_model = pytest.mark.parametrize("name", [n for n in MODELS if n not in NEVER_LOOK])


def build(name: str, vocab: int = VOCAB, seed: int = 0) -> Any:
    """A model in double precision, so that no two hypotheses are equally likely by rounding."""
    torch.manual_seed(seed)
    return MODELS[name](vocab).double().eval()


def sources(vocab: int = VOCAB, padding: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    src = torch.randint(4, vocab, (len(LENGTHS), int(LENGTHS.max())), generator=generator)
    src = nn.functional.pad(src, (0, padding))
    return src.masked_fill(torch.arange(src.size(1)) >= LENGTHS[:, None], PAD_ID)


def greedy(*args: Any, **options: Any) -> list[list[Hypothesis]]:
    return [[only] for only in greedy_decode(*args, **options)]


def n_best(*args: Any, **options: Any) -> list[list[Hypothesis]]:
    return beam_search(*args, beam_size=4, n_best=3, coverage_penalty=0.0, **options)


every_search = pytest.mark.parametrize("decode", [greedy, beam_search, n_best])


def forced(
    models: Any, src: Tensor, lengths: Tensor, tokens: Sequence[list[int]], **options: Any
) -> list[Hypothesis]:
    """The scores of translations given as ids without begin and end."""
    trg_lengths = torch.tensor([len(row) + 2 for row in tokens])
    trg = torch.full((len(tokens), int(trg_lengths.max())), PAD_ID)
    for row, ids in zip(trg, tokens, strict=True):
        row[: len(ids) + 2] = torch.tensor([BOS_ID, *ids, EOS_ID])
    return score_references(models, src, trg, lengths, trg_lengths, **options)


def assert_same(found: list[Any], expected: list[Any]) -> None:
    """Assert that hypotheses, or lists of them, are equal but for rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, list):
            assert_same(one, other)
            continue
        assert one.tokens == other.tokens
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@every_model
def test_a_beam_of_one_is_greedy(name: str) -> None:
    model, src = build(name), sources()
    expected = greedy(model, src, LENGTHS, max_length=LONGEST, attention=True)
    options = {"max_length": LONGEST, "length_penalty": 0.0, "attention": True}
    assert_same(beam_search(model, src, LENGTHS, beam_size=1, **options), expected)


@every_model
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("length_penalty", "coverage_penalty"), [(0, 0), (1, 0), (0.6, 0.7)])
def test_a_beam_of_full_width_is_exhaustive_search(
    name: str, seed: int, length_penalty: float, coverage_penalty: float
) -> None:
    if name in NEVER_LOOK and coverage_penalty:
        return
    model, src, limit = build(name, TINY, seed), sources(TINY), 3
    penalties = {"length_penalty": length_penalty, "coverage_penalty": coverage_penalty}
    words = [token for token in range(TINY) if token not in (PAD_ID, BOS_ID, EOS_ID)]
    every = [list(ids) for n in range(limit + 1) for ids in itertools.product(words, repeat=n)]
    options = {"max_length": limit, "beam_size": len(every), **penalties}
    best = beam_search(model, src, LENGTHS, **options)
    ranked = beam_search(model, src, LENGTHS, n_best=len(every), **options)
    for i, length in enumerate(LENGTHS.tolist()):
        row = src[i, :length].expand(len(every), -1)
        expected = forced(model, row, LENGTHS[i].expand(len(every)), every, **penalties)
        expected.sort(key=lambda hypothesis: -hypothesis.score)
        assert_same(best[i], expected[:1])
        assert_same(ranked[i], expected)


@every_model
@pytest.mark.parametrize("count", [1, 2])
def test_the_forced_score_is_the_score_of_the_beam(name: str, count: int) -> None:
    models, src = [build(name, seed=seed) for seed in range(count)], sources()
    options = {"attention": True, "coverage_penalty": 0.0 if name in NEVER_LOOK else 0.3}
    found = beam_search(models, src, LENGTHS, max_length=LONGEST, beam_size=4, n_best=4, **options)
    for rank in range(4):
        hypotheses = [row[rank] for row in found]
        tokens = [hypothesis.tokens for hypothesis in hypotheses]
        assert_same(hypotheses, forced(models, src, LENGTHS, tokens, **options))


@every_model
@every_search
@pytest.mark.parametrize("look_every", [1, 3])
def test_a_sentence_is_translated_alone_as_in_any_batch(
    name: str, decode: Decode, look_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOOK_EVERY, "cpu", look_every)
    model, src, limits = build(name), sources(), LENGTHS + 3

    def run(src: Tensor, lengths: Tensor, limits: Tensor) -> list[list[Hypothesis]]:
        return decode(model, src, lengths, max_length=limits, attention=True)

    expected = run(src, LENGTHS, limits)
    assert len({len(row[0].tokens) for row in expected}) > 1
    alone = [
        run(src[i : i + 1, :n], LENGTHS[i : i + 1], limits[i : i + 1])[0]
        for i, n in enumerate(LENGTHS.tolist())
    ]
    assert_same(alone, expected)
    assert_same(run(sources(padding=4), LENGTHS, limits), expected)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = run(src[order], LENGTHS[order], limits[order])
    assert_same(shuffled, [expected[i] for i in order.tolist()])


def textbook_beam_search(
    model: Any, src: Tensor, limit: int, beam_size: int, n_best: int, alpha: float
) -> list[tuple[float, list[int]]]:
    """Scores and tokens for one sentence, hypothesis by hypothesis."""

    def penalty(n: int) -> float:
        return ((5 + n) / 6) ** alpha

    memory, start = model.encode(src, torch.tensor([src.size(1)]))
    beams: list[tuple[float, list[int], Any]] = [(0.0, [], start)]
    finished: list[tuple[float, list[int]]] = []
    for n in range(1, limit + 2):
        candidates = []
        for logprob, ids, state in beams:
            last = torch.tensor([[ids[-1] if ids else BOS_ID]])
            logits, after, _ = model.decoder(last, state, memory)
            for token, more in enumerate(logits[0, 0].log_softmax(0).tolist()):
                if token == EOS_ID or (n <= limit and token not in (PAD_ID, BOS_ID)):
                    candidates.append((logprob + more, [*ids, token], after))
        candidates.sort(key=lambda each: -each[0])
        ends = [each for each in candidates[:beam_size] if each[1][-1] == EOS_ID]
        finished += [(logprob / penalty(n), ids[:-1]) for logprob, ids, _ in ends]
        finished.sort(key=lambda each: -each[0])
        beams = [each for each in candidates if each[1][-1] != EOS_ID][:beam_size]
        if not beams or len(finished) >= beam_size:
            break
        if len(finished) >= n_best and finished[n_best - 1][0] >= beams[0][0] / penalty(limit + 1):
            break
    return finished[:n_best]


@every_model
@pytest.mark.parametrize("look_every", [1, 3])
@pytest.mark.parametrize(("n_best", "alpha"), [(1, 0.0), (1, 1.0), (2, 2.0)])
def test_all_sentences_together_find_what_the_textbooks_loop_finds(
    name: str, n_best: int, alpha: float, look_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOOK_EVERY, "cpu", look_every)
    src, limits = sources(9), LENGTHS + 4
    for seed in range(4):
        model = raised(build(name, 9, seed), 1, EOS_ID)
        options = {"beam_size": 3, "n_best": n_best, "length_penalty": alpha}
        found = beam_search(model, src, LENGTHS, max_length=limits, **options)
        for i, (size, limit) in enumerate(zip(LENGTHS.tolist(), limits.tolist(), strict=True)):
            row = src[i : i + 1, :size]
            expected = textbook_beam_search(model, row, limit, 3, n_best, alpha)
            assert [each.tokens for each in found[i]] == [tokens for _, tokens in expected]
            scores = [score for score, _ in expected]
            assert [each.score for each in found[i]] == pytest.approx(scores, abs=1e-9)


@every_model
def test_no_lengths_mean_full_sources(name: str) -> None:
    model, src = build(name), sources()[:, :1]
    full = beam_search(model, src, torch.ones_like(LENGTHS), max_length=LONGEST, attention=True)
    assert_same(beam_search(model, src, None, max_length=LONGEST, attention=True), full)


@every_model
def test_the_n_best_are_sorted_and_distinct(name: str) -> None:
    found = beam_search(
        build(name), sources(), LENGTHS, max_length=LONGEST, beam_size=12, n_best=12
    )
    for row in found:
        scores = [hypothesis.score for hypothesis in row]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(hypothesis.tokens) for hypothesis in row}) == len(row) == 12


@every_model
def test_fewer_hypotheses_than_asked_for_come_where_there_are_no_more(name: str) -> None:
    found = beam_search(
        build(name, TINY), sources(TINY), LENGTHS, max_length=1, beam_size=9, n_best=9
    )
    assert [len(row) for row in found] == [1 + (TINY - 3)] * len(LENGTHS)


@every_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_the_limit_of_each_row_forces_its_end(name: str, decode: Decode) -> None:
    model, limits = raised(build(name), -50, EOS_ID), torch.tensor([3, 1, 6, 2, 2, 1])
    found = decode(model, sources(), LENGTHS, max_length=limits)
    assert [{len(each.tokens) for each in row} for row in found] == [{n} for n in limits.tolist()]


@every_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_padding_and_begin_are_never_produced(name: str, decode: Decode) -> None:
    model = raised(build(name), 50, PAD_ID, BOS_ID)
    found = decode(model, sources(), LENGTHS, max_length=LONGEST)
    tokens = {token for row in found for each in row for token in each.tokens}
    assert tokens
    assert not tokens & {PAD_ID, BOS_ID, EOS_ID}


@every_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_what_ends_at_once_is_empty(name: str, decode: Decode) -> None:
    model = raised(build(name), 50, EOS_ID)
    found = decode(model, sources(), LENGTHS, max_length=LONGEST, attention=True)
    assert all(row[0].tokens == [] for row in found)
    if name not in NEVER_LOOK:
        shapes = [row[0].attention.shape for row in found]
        assert shapes == [(1, n) for n in LENGTHS.tolist()]


@every_model
@pytest.mark.parametrize(
    "options", [{"top_k": 1}, {"temperature": 1e-6}, {"top_p": 1e-6}, {"top_k": 3, "top_p": 1e-6}]
)
def test_sampling_without_chance_is_greedy(name: str, options: dict[str, Any]) -> None:
    args = (build(name), sources(), LENGTHS)
    expected = greedy_decode(*args, max_length=LONGEST, attention=True)
    found = sample_decode(*args, max_length=LONGEST, samples=2, attention=True, **options)
    assert_same(found, [[each, each] for each in expected])


@every_model
def test_samples_are_as_frequent_as_they_are_probable(name: str) -> None:
    model = raised(build(name, TINY), -50, PAD_ID, BOS_ID)
    src, count, short = sources(TINY)[:2], 20_000, [[], [1], [4], [5]]
    generator = torch.Generator().manual_seed(0)
    found = sample_decode(model, src, LENGTHS[:2], max_length=2, samples=count, generator=generator)
    for i, row in enumerate(found):
        drawn = Counter(tuple(each.tokens) for each in row)
        frequencies = torch.tensor([drawn[tuple(ids)] / count for ids in short])
        rows = [each[i : i + 1].expand(len(short), *each.shape[1:]) for each in (src, LENGTHS)]
        logprobs = torch.tensor([each.logprob for each in forced(model, *rows, short)])
        torch.testing.assert_close(frequencies, logprobs.exp(), rtol=0, atol=0.015)


@every_model
@pytest.mark.parametrize("kept", [1, 2, 3])
@pytest.mark.parametrize("by", ["top_k", "top_p"])
def test_samples_come_from_the_likeliest_tokens_asked_for(name: str, kept: int, by: str) -> None:
    model = raised(build(name), -50, PAD_ID, BOS_ID, EOS_ID)
    args = (model, sources()[:1], LENGTHS[:1])
    memory, state = model.encode(*args[1:])
    probs, ids = (
        model.decoder(torch.tensor([[BOS_ID]]), state, memory)[0].detach()[0, 0].softmax(0).topk(4)
    )
    within = {"top_k": kept, "top_p": float(probs[:kept].sum() - probs[kept - 1] / 2)}
    found = sample_decode(*args, max_length=1, samples=1000, **{by: within[by]})[0]
    assert {each.tokens[0] for each in found} == set(ids[:kept].tolist())


@every_model
def test_a_seeded_generator_repeats_its_samples(name: str) -> None:
    model, src = build(name), sources()

    def run(seed: int) -> list[list[Hypothesis]]:
        generator = torch.Generator().manual_seed(seed)
        return sample_decode(
            model, src, LENGTHS, max_length=LONGEST, samples=3, generator=generator
        )

    assert_same(run(1), run(1))
    assert [[each.tokens for each in row] for row in run(1)] != [
        [each.tokens for each in row] for row in run(2)
    ]


@every_model
def test_the_score_of_a_sample_is_the_models_own(name: str) -> None:
    model, src = build(name), sources()
    found = sample_decode(
        model, src, LENGTHS, max_length=LONGEST, temperature=2.0, top_k=9, attention=True
    )
    hypotheses = [row[0] for row in found]
    tokens = [each.tokens for each in hypotheses]
    expected = forced(model, src, LENGTHS, tokens, length_penalty=0.0, attention=True)
    assert_same(hypotheses, expected)


@every_model
@every_search
def test_an_ensemble_of_one_model_twice_is_the_model(name: str, decode: Decode) -> None:
    model, src = build(name), sources()
    options = {"max_length": LONGEST, "attention": True}
    expected = decode(model, src, LENGTHS, **options)
    assert_same(decode([model, model], src, LENGTHS, **options), expected)


@every_model
def test_an_ensemble_averages_probabilities(name: str) -> None:
    models, src = [build(name, seed=seed) for seed in range(3)], sources()
    empty: list[list[int]] = [[]] * len(src)
    each = [[h.logprob for h in forced(model, src, LENGTHS, empty)] for model in models]
    together = [h.logprob for h in forced(models, src, LENGTHS, empty)]
    expected = torch.tensor(each, dtype=torch.double).exp().mean(0).log()
    torch.testing.assert_close(torch.tensor(together, dtype=torch.double), expected)


def test_models_that_look_and_models_that_do_not_make_one_ensemble() -> None:
    models, src = [build("blind"), build("looking")], sources()
    found = beam_search(models, src, LENGTHS, max_length=LONGEST, attention=True)
    hypotheses = [row[0] for row in found]
    tokens = [each.tokens for each in hypotheses]
    assert_same(hypotheses, forced(models, src, LENGTHS, tokens, attention=True))


@every_looking_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_attention_has_a_row_for_every_token_and_the_end(name: str, decode: Decode) -> None:
    found = decode(build(name), sources(), LENGTHS, max_length=LONGEST, attention=True)
    for row, size in zip(found, LENGTHS.tolist(), strict=True):
        for each in row:
            assert each.attention.shape == (len(each.tokens) + 1, size)
            torch.testing.assert_close(
                each.attention.sum(1), torch.ones(len(each.tokens) + 1, dtype=torch.double)
            )


@every_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_attention_is_kept_only_when_asked_for(name: str, decode: Decode) -> None:
    found = decode(build(name), sources(), LENGTHS, max_length=LONGEST)
    assert all(each.attention is None for row in found for each in row)


@every_model
@every_search
def test_decoding_works_in_inference_mode_and_leaves_no_graph(name: str, decode: Decode) -> None:
    args = (build(name), sources(), LENGTHS)
    expected = decode(*args, max_length=LONGEST, attention=True)
    with torch.inference_mode():
        assert_same(decode(*args, max_length=LONGEST, attention=True), expected)
    assert all(h.attention is None or not h.attention.requires_grad for r in expected for h in r)


def test_logits_of_half_precision_are_summed_in_full() -> None:
    model = Changed(build("looking"), Tensor.bfloat16)
    found = beam_search(model, sources(), LENGTHS, max_length=LONGEST)
    tokens = [row[0].tokens for row in found]
    for row, expected in zip(found, forced(model, sources(), LENGTHS, tokens), strict=True):
        assert row[0].logprob == pytest.approx(expected.logprob, abs=1e-5)


@pytest.mark.parametrize(
    ("decode", "options", "message"),
    [
        (beam_search, {"beam_size": 0}, "beam_size must be at least 1, got 0"),
        (beam_search, {"n_best": 6}, r"n_best must be from 1 to beam_size \(5\), got 6"),
        (beam_search, {"n_best": 0}, r"n_best must be from 1 to beam_size \(5\), got 0"),
        (beam_search, {"length_penalty": -1}, "length_penalty must be at least 0, got -1"),
        (beam_search, {"coverage_penalty": -1}, "coverage_penalty must be at least 0, got -1"),
        (beam_search, {"coverage_penalty": 1}, "coverage_penalty must be 0 for a model without"),
        (sample_decode, {"temperature": 0}, "temperature must be above 0, got 0"),
        (sample_decode, {"top_k": 0}, "top_k must be at least 1, got 0"),
        (sample_decode, {"top_p": 1.1}, "top_p must be above 0 and at most 1, got 1.1"),
        (sample_decode, {"top_p": 0}, "top_p must be above 0 and at most 1, got 0"),
        (sample_decode, {"samples": 0}, "samples must be at least 1, got 0"),
        (greedy, {"max_length": 0}, "max_length must be at least 1, got 0"),
        (greedy, {"max_length": torch.ones(2)}, r"max_length must .* shape \(6,\), got \(2,\)"),
    ],
)
def test_a_number_out_of_range_is_named(decode: Decode, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(build("blind"), sources(), LENGTHS, **{"max_length": LONGEST, **options})


@every_model
@every_search
def test_a_model_that_gives_no_numbers_is_told_so(name: str, decode: Decode) -> None:
    model = Changed(build(name), lambda logits: logits * torch.nan)
    with pytest.raises(ValueError, match="the model's logits are not finite numbers"):
        decode(model, sources(), LENGTHS, max_length=LONGEST)


def test_an_ensemble_needs_a_model() -> None:
    with pytest.raises(ValueError, match="models must be at least one, got 0"):
        greedy_decode([], sources(), LENGTHS, max_length=LONGEST)
