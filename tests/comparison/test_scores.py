"""Scores of resampled rows equal those of the libraries on the same rows."""

import numpy as np
import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF, TER
from saved_runs import classified
from torchmetrics.functional.classification import multiclass_f1_score

from rnn_lab.comparison.scores import counts_of, higher_is_better

RNG = np.random.default_rng(0)
WORDS = ("a", "man", "is", "riding", "his", "bicycle", "on", "the", "street", "near", "dogs")
DRAWN = RNG.integers(0, 60, 60)  # a resample


def score(metric, columns, rows=DRAWN):
    counts = counts_of(metric, columns)
    return float(counts.score(counts.rows[rows].sum(0)))


def test_accuracy_and_macro_f1():
    target, predicted = RNG.integers(0, 4, (2, 60))
    names = np.array(list("abcd"), dtype=object)
    columns = {"target": names[target], "prediction": names[predicted]}
    assert score("test/accuracy", columns) == (target == predicted)[DRAWN].mean()
    tensors = torch.tensor(predicted[DRAWN]), torch.tensor(target[DRAWN])
    expected = multiclass_f1_score(*tensors, num_classes=4, average="macro")
    assert score("test/f1", columns) == pytest.approx(float(expected))


def test_a_class_that_is_not_drawn_does_not_count():
    columns = {name: np.array(["a", "b", "b"], object) for name in ("target", "prediction")}
    assert score("test/f1", columns, [0, 0]) == 1.0


def test_scores_of_language_models():
    tokens = RNG.integers(1, 1000, 60)
    nll = tokens * RNG.uniform(1, 5, 60)
    columns = {"row": np.arange(60), "tokens": tokens, "nll": nll}
    loss = nll[DRAWN].sum() / tokens[DRAWN].sum()
    assert score("test/loss", columns) == pytest.approx(loss)
    assert score("test/perplexity", columns) == pytest.approx(np.exp(loss))
    for unit in ("token", "character"):
        assert score(f"test/bits_per_{unit}", columns) == pytest.approx(np.log2(np.exp(loss)))
        assert not higher_is_better(f"test/bits_per_{unit}")
    assert counts_of("test/accuracy", columns) is None


def test_accuracy_of_tagged_steps():
    steps = RNG.integers(1, 9, 60)
    correct = RNG.integers(0, steps)
    expected = correct[DRAWN].sum() / steps[DRAWN].sum()
    assert score("test/accuracy", {"steps": steps, "correct": correct}) == expected


@pytest.mark.parametrize("width", [0, 3])
def test_errors_of_regression(width):
    target, prediction = RNG.normal(size=(2, 60, width) if width else (2, 60))
    columns = {"target": target, "prediction": prediction}
    if width:
        columns = {name: np.array([*each, None], object)[:-1] for name, each in columns.items()}
    error = (target - prediction)[DRAWN]
    assert score("test/mse", columns) == pytest.approx((error**2).mean())
    assert score("test/mae", columns) == pytest.approx(np.abs(error).mean())


def test_errors_of_windows_are_weighted_by_their_values():
    values, mse = RNG.integers(0, 5, 60), RNG.random(60)
    mse[values == 0] = np.nan
    columns = {"origin": np.arange(60), "values": values, "mse": mse}
    weights = values[DRAWN]
    expected = np.nansum(mse[DRAWN] * weights) / weights.sum()
    assert score("test/mse", columns) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "scorer"), [("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())])
def test_scores_of_sentences_are_those_of_sacrebleu(name, scorer):
    texts = [[" ".join(RNG.choice(WORDS, 8)) for _ in range(60)] for _ in range(2)]
    scorer.corpus_score(texts[0][:1], [texts[1][:1]])
    counts = [scorer._extract_corpus_statistics([a], [[b]])[0] for a, b in zip(*texts, strict=True)]
    columns = {f"{name}_counts": np.array([np.array(each) for each in counts])}
    drawn = [[side[row] for row in DRAWN] for side in texts]
    expected = scorer.corpus_score(drawn[0], [drawn[1]]).score
    assert score(f"test/{name}", columns) == pytest.approx(expected)


def test_scores_that_rows_do_not_determine_are_unknown():
    labels = np.array(["a", "b"], object)
    assert counts_of("test/auroc", {"target": labels, "prediction": labels}) is None
    assert counts_of("test/loss", {"row": np.arange(2)}) is None
    assert counts_of("test/r2", {"target": np.ones(2), "prediction": np.ones(2)}) is None
    assert counts_of("test/f1", {"steps": np.ones(2), "correct": np.ones(2)}) is None
    several = np.array([["a"], ["a", "b"], None], object)[:2]
    assert counts_of("test/accuracy", {"target": several, "prediction": several}) is None


def test_the_direction_follows_from_the_name():
    assert all(map(higher_is_better, ("test/accuracy", "test/bleu", "test/r2", "test/auroc")))
    lower = ("test/loss", "test/mse", "test/ter", "test/perplexity", "test/width_80")
    assert not any(map(higher_is_better, lower))


def test_resampled_scores_are_computed_at_once():
    counts = counts_of("test/f1", {k: v.astype(object) for k, v in classified(0.7).items()})
    sums = np.stack([counts.rows.sum(0)] * 6).reshape(2, 3, -1)
    assert counts.score(sums).shape == (2, 3)
