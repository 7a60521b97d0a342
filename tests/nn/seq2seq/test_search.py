"""Properties of greedy decoding, beam search and sampling, with and without attention."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from decodable_models import (
    LENGTHS,
    MAX_LENGTH,
    NO_ATTENTION,
    TINY,
    TransformedLogits,
    assert_close,
    build,
    every_model,
    every_model_with_attention,
    score,
    sources,
    with_bias,
)
from torch import Tensor

from rnn_lab.nn.seq2seq.hypotheses import CHECK_EVERY, Hypothesis
from rnn_lab.nn.seq2seq.search import beam_search, greedy_decode, sample_decode
from rnn_lab.special_tokens import BOS_ID, EOS_ID, PAD_ID

Decode = Callable[..., list[list[Hypothesis]]]


def greedy(*args: Any, **options: Any) -> list[list[Hypothesis]]:
    return [[best] for best in greedy_decode(*args, **options)]


def n_best(*args: Any, **options: Any) -> list[list[Hypothesis]]:
    return beam_search(*args, beam_size=4, n_best=3, coverage_penalty=0.0, **options)


every_search = pytest.mark.parametrize("decode", [greedy, beam_search, n_best])


@every_model
def test_a_beam_of_one_is_greedy(name: str) -> None:
    model, src = build(name), sources()
    expected = greedy(model, src, LENGTHS, max_length=MAX_LENGTH, attention=True)
    options = {"max_length": MAX_LENGTH, "length_penalty": 0.0, "attention": True}
    assert_close(beam_search(model, src, LENGTHS, beam_size=1, **options), expected)


@every_model
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("length_penalty", "coverage_penalty"), [(0, 0), (1, 0), (0.6, 0.7)])
def test_a_beam_of_full_width_is_exhaustive_search(
    name: str, seed: int, length_penalty: float, coverage_penalty: float
) -> None:
    if name in NO_ATTENTION and coverage_penalty:
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
        expected = score(model, row, LENGTHS[i].expand(len(every)), every, **penalties)
        expected.sort(key=lambda hypothesis: -hypothesis.score)
        assert_close(best[i], expected[:1])
        assert_close(ranked[i], expected)


@every_model
@every_search
@pytest.mark.parametrize("check_every", [1, 3])
def test_a_source_is_decoded_alone_as_in_any_batch(
    name: str, decode: Decode, check_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHECK_EVERY, "cpu", check_every)
    model, src, limits = build(name), sources(), LENGTHS + 3

    def run(src: Tensor, lengths: Tensor, limits: Tensor) -> list[list[Hypothesis]]:
        return decode(model, src, lengths, max_length=limits, attention=True)

    expected = run(src, LENGTHS, limits)
    assert len({len(row[0].tokens) for row in expected}) > 1
    alone = [
        run(src[i : i + 1, :n], LENGTHS[i : i + 1], limits[i : i + 1])[0]
        for i, n in enumerate(LENGTHS.tolist())
    ]
    assert_close(alone, expected)
    assert_close(run(sources(padding=4), LENGTHS, limits), expected)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = run(src[order], LENGTHS[order], limits[order])
    assert_close(shuffled, [expected[i] for i in order.tolist()])


def reference_beam_search(
    model: Any, src: Tensor, limit: int, beam_size: int, n_best: int, alpha: float
) -> list[tuple[float, list[int]]]:
    """Decode one source, one hypothesis at a time; returns scores and tokens."""

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
@pytest.mark.parametrize("check_every", [1, 3])
@pytest.mark.parametrize(("n_best", "alpha"), [(1, 0.0), (1, 1.0), (2, 2.0)])
@pytest.mark.parametrize("seeds", [(0,), pytest.param((1, 2, 3), marks=pytest.mark.slow)])
def test_batched_beam_search_equals_a_loop_over_single_hypotheses(
    name: str,
    n_best: int,
    alpha: float,
    check_every: int,
    seeds: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CHECK_EVERY, "cpu", check_every)
    src, limits = sources(9), LENGTHS + 4
    for seed in seeds:
        model = with_bias(build(name, 9, seed), 1, EOS_ID)
        options = {"beam_size": 3, "n_best": n_best, "length_penalty": alpha}
        decoded = beam_search(model, src, LENGTHS, max_length=limits, **options)
        for i, (size, limit) in enumerate(zip(LENGTHS.tolist(), limits.tolist(), strict=True)):
            row = src[i : i + 1, :size]
            expected = reference_beam_search(model, row, limit, 3, n_best, alpha)
            assert [each.tokens for each in decoded[i]] == [tokens for _, tokens in expected]
            scores = [score for score, _ in expected]
            assert [each.score for each in decoded[i]] == pytest.approx(scores, abs=1e-9)


@every_model
def test_sources_without_lengths_are_full(name: str) -> None:
    model, src = build(name), sources()[:, :1]
    full = beam_search(model, src, torch.ones_like(LENGTHS), max_length=MAX_LENGTH, attention=True)
    assert_close(beam_search(model, src, None, max_length=MAX_LENGTH, attention=True), full)


@every_model
def test_the_n_best_are_sorted_and_distinct(name: str) -> None:
    decoded = beam_search(
        build(name), sources(), LENGTHS, max_length=MAX_LENGTH, beam_size=12, n_best=12
    )
    for row in decoded:
        scores = [hypothesis.score for hypothesis in row]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(hypothesis.tokens) for hypothesis in row}) == len(row) == 12


@every_model
def test_beam_search_returns_fewer_hypotheses_if_no_more_exist(name: str) -> None:
    decoded = beam_search(
        build(name, TINY), sources(TINY), LENGTHS, max_length=1, beam_size=9, n_best=9
    )
    assert [len(row) for row in decoded] == [1 + (TINY - 3)] * len(LENGTHS)


@every_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_the_maximum_length_of_each_row_forces_the_end_token(name: str, decode: Decode) -> None:
    model, limits = with_bias(build(name), -50, EOS_ID), torch.tensor([3, 1, 6, 2, 2, 1])
    decoded = decode(model, sources(), LENGTHS, max_length=limits)
    assert [{len(each.tokens) for each in row} for row in decoded] == [{n} for n in limits.tolist()]


@every_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_padding_and_start_token_are_never_produced(name: str, decode: Decode) -> None:
    model = with_bias(build(name), 50, PAD_ID, BOS_ID)
    decoded = decode(model, sources(), LENGTHS, max_length=MAX_LENGTH)
    tokens = {token for row in decoded for each in row for token in each.tokens}
    assert tokens
    assert not tokens & {PAD_ID, BOS_ID, EOS_ID}


@every_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_a_hypothesis_that_ends_at_once_is_empty(name: str, decode: Decode) -> None:
    model = with_bias(build(name), 50, EOS_ID)
    decoded = decode(model, sources(), LENGTHS, max_length=MAX_LENGTH, attention=True)
    assert all(row[0].tokens == [] for row in decoded)
    if name not in NO_ATTENTION:
        shapes = [row[0].attention.shape for row in decoded]
        assert shapes == [(1, n) for n in LENGTHS.tolist()]


@every_model
@pytest.mark.parametrize(
    "options", [{"top_k": 1}, {"temperature": 1e-6}, {"top_p": 1e-6}, {"top_k": 3, "top_p": 1e-6}]
)
def test_sampling_from_one_token_is_greedy(name: str, options: dict[str, Any]) -> None:
    args = (build(name), sources(), LENGTHS)
    expected = greedy_decode(*args, max_length=MAX_LENGTH, attention=True)
    decoded = sample_decode(*args, max_length=MAX_LENGTH, num_samples=2, attention=True, **options)
    assert_close(decoded, [[each, each] for each in expected])


@every_model
def test_sample_frequencies_match_probabilities(name: str) -> None:
    model = with_bias(build(name, TINY), -50, PAD_ID, BOS_ID)
    src, count, short = sources(TINY)[:2], 20_000, [[], [1], [4], [5]]
    generator = torch.Generator().manual_seed(0)
    decoded = sample_decode(
        model, src, LENGTHS[:2], max_length=2, num_samples=count, generator=generator
    )
    for i, row in enumerate(decoded):
        drawn = Counter(tuple(each.tokens) for each in row)
        frequencies = torch.tensor([drawn[tuple(ids)] / count for ids in short])
        rows = [each[i : i + 1].expand(len(short), *each.shape[1:]) for each in (src, LENGTHS)]
        logprobs = torch.tensor([each.logprob for each in score(model, *rows, short)])
        torch.testing.assert_close(frequencies, logprobs.exp(), rtol=0, atol=0.015)


@every_model
@pytest.mark.parametrize("num_tokens", [1, 2, 3])
@pytest.mark.parametrize("by", ["top_k", "top_p"])
def test_samples_come_from_the_most_likely_tokens_only(name: str, num_tokens: int, by: str) -> None:
    model = with_bias(build(name), -50, PAD_ID, BOS_ID, EOS_ID)
    args = (model, sources()[:1], LENGTHS[:1])
    memory, state = model.encode(*args[1:])
    probs, ids = (
        model.decoder(torch.tensor([[BOS_ID]]), state, memory)[0].detach()[0, 0].softmax(0).topk(4)
    )
    options = {
        "top_k": num_tokens,
        "top_p": float(probs[:num_tokens].sum() - probs[num_tokens - 1] / 2),
    }
    decoded = sample_decode(*args, max_length=1, num_samples=1000, **{by: options[by]})[0]
    assert {each.tokens[0] for each in decoded} == set(ids[:num_tokens].tolist())


@every_model
def test_a_seeded_generator_reproduces_its_samples(name: str) -> None:
    model, src = build(name), sources()

    def run(seed: int) -> list[list[Hypothesis]]:
        generator = torch.Generator().manual_seed(seed)
        return sample_decode(
            model, src, LENGTHS, max_length=MAX_LENGTH, num_samples=3, generator=generator
        )

    assert_close(run(1), run(1))
    assert [[each.tokens for each in row] for row in run(1)] != [
        [each.tokens for each in row] for row in run(2)
    ]


@every_model
def test_the_score_of_a_sample_is_its_log_probability(name: str) -> None:
    model, src = build(name), sources()
    decoded = sample_decode(
        model, src, LENGTHS, max_length=MAX_LENGTH, temperature=2.0, top_k=9, attention=True
    )
    hypotheses = [row[0] for row in decoded]
    tokens = [each.tokens for each in hypotheses]
    expected = score(model, src, LENGTHS, tokens, length_penalty=0.0, attention=True)
    assert_close(hypotheses, expected)


@every_model
@every_search
def test_an_ensemble_of_one_model_twice_is_the_model(name: str, decode: Decode) -> None:
    model, src = build(name), sources()
    options = {"max_length": MAX_LENGTH, "attention": True}
    expected = decode(model, src, LENGTHS, **options)
    assert_close(decode([model, model], src, LENGTHS, **options), expected)


def test_models_with_and_without_attention_form_an_ensemble() -> None:
    models, src = [build("without attention"), build("with attention")], sources()
    decoded = beam_search(models, src, LENGTHS, max_length=MAX_LENGTH, attention=True)
    hypotheses = [row[0] for row in decoded]
    tokens = [each.tokens for each in hypotheses]
    assert_close(hypotheses, score(models, src, LENGTHS, tokens, attention=True))


@every_model_with_attention
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_attention_has_a_row_for_every_token_and_the_end_token(name: str, decode: Decode) -> None:
    decoded = decode(build(name), sources(), LENGTHS, max_length=MAX_LENGTH, attention=True)
    for row, size in zip(decoded, LENGTHS.tolist(), strict=True):
        for each in row:
            assert each.attention.shape == (len(each.tokens) + 1, size)
            torch.testing.assert_close(
                each.attention.sum(1), torch.ones(len(each.tokens) + 1, dtype=torch.double)
            )


@every_model
@pytest.mark.parametrize("decode", [greedy, n_best, sample_decode])
def test_attention_is_returned_only_on_request(name: str, decode: Decode) -> None:
    decoded = decode(build(name), sources(), LENGTHS, max_length=MAX_LENGTH)
    assert all(each.attention is None for row in decoded for each in row)


@every_model
@every_search
def test_decoding_works_in_inference_mode_and_builds_no_graph(name: str, decode: Decode) -> None:
    args = (build(name), sources(), LENGTHS)
    expected = decode(*args, max_length=MAX_LENGTH, attention=True)
    with torch.inference_mode():
        assert_close(decode(*args, max_length=MAX_LENGTH, attention=True), expected)
    assert all(h.attention is None or not h.attention.requires_grad for r in expected for h in r)


def test_half_precision_logits_are_summed_in_full_precision() -> None:
    model = TransformedLogits(build("with attention"), Tensor.bfloat16)
    decoded = beam_search(model, sources(), LENGTHS, max_length=MAX_LENGTH)
    tokens = [row[0].tokens for row in decoded]
    for row, expected in zip(decoded, score(model, sources(), LENGTHS, tokens), strict=True):
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
        (sample_decode, {"num_samples": 0}, "num_samples must be at least 1, got 0"),
        (greedy, {"max_length": 0}, "max_length must be at least 1, got 0"),
        (greedy, {"max_length": torch.ones(2)}, r"max_length must .* shape \(6,\), got \(2,\)"),
    ],
)
def test_options_out_of_range_are_refused(decode: Decode, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(
            build("without attention"), sources(), LENGTHS, **{"max_length": MAX_LENGTH, **options}
        )


@every_model
@every_search
def test_logits_that_are_not_finite_are_refused(name: str, decode: Decode) -> None:
    model = TransformedLogits(build(name), lambda logits: logits * torch.nan)
    with pytest.raises(ValueError, match="the model's logits are not finite"):
        decode(model, sources(), LENGTHS, max_length=MAX_LENGTH)


def test_an_ensemble_needs_a_model() -> None:
    with pytest.raises(ValueError, match="models must be at least one, got 0"):
        greedy_decode([], sources(), LENGTHS, max_length=MAX_LENGTH)
