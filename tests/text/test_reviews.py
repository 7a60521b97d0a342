"""Generated reviews, whose label depends on word order."""

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from last_output import LastOutput, accuracy_after_training, pad
from torch import Tensor, nn

from rnn_lab.core.generated import SPLITS
from rnn_lab.errors import UserError
from rnn_lab.tasks.sequence_classification.chirps import CHIRP_LABELS, chirps
from rnn_lab.text.reviews import REVIEW_LABELS, review_space, reviews

WORD = r"\w+|[^\w\s]"


def draw_reviews(count: int, seed: int, split: str) -> tuple[list[str], list[int]]:
    texts, labels = zip(*reviews(count, seed, split), strict=True)
    return list(texts), [REVIEW_LABELS.index(label) for label in labels]


def same(first: list, second: list) -> bool:
    return all(
        np.array_equal(a, b) and x == y for (a, x), (b, y) in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("draw", [reviews, chirps])
def test_a_draw_depends_on_seed_and_split_alone(draw):
    first = list(draw(40, 1, "train"))
    assert same(first, list(draw(40, 1, "train")))
    assert not same(first, list(draw(40, 2, "train")))
    assert not same(first, list(draw(40, 1, "valid")))


@pytest.mark.parametrize("draw", [reviews, chirps])
def test_a_longer_draw_starts_with_the_shorter_one(draw):
    assert same(list(draw(10, 0, "test")), list(draw(30, 0, "test"))[:10])


@pytest.mark.slow
def test_another_process_draws_the_same_reviews():
    program = "from rnn_lab.text.reviews import reviews; print(list(reviews(20, 3, 'train')))"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == str(list(reviews(20, 3, "train")))


@pytest.mark.parametrize(("draw", "labels"), [(reviews, REVIEW_LABELS), (chirps, CHIRP_LABELS)])
def test_labels_are_balanced(draw, labels):
    counts = Counter(label for _, label in draw(400, 0, "train"))
    assert counts == {label: 400 // len(labels) for label in labels}


@pytest.mark.parametrize("draw", [reviews, chirps])
def test_an_unknown_split_or_a_negative_count_is_refused_at_once(draw):
    with pytest.raises(UserError, match="train, valid, test, got 'dev'"):
        draw(1, 0, "dev")
    with pytest.raises(UserError, match="at least 0, got -1"):
        draw(-1, 0, "train")
    assert list(draw(0, 0, "train")) == []


def test_more_reviews_than_the_grammar_can_give_are_refused():
    with pytest.raises(UserError, match="distinct texts a split"):
        reviews(review_space(), 0, "train")


def test_a_split_holds_no_review_twice_and_so_none_under_both_labels():
    texts, _ = draw_reviews(20_000, 0, "train")
    assert len(set(texts)) == len(texts)


def test_a_review_has_one_label_whatever_the_seed():
    drawn = {pair for seed in range(4) for pair in reviews(5_000, seed, "train")}
    assert len({text for text, _ in drawn}) == len(drawn) < 20_000


def test_no_review_is_in_two_splits_even_under_other_seeds():
    texts = {
        split: {text for seed in range(2) for text, _ in reviews(3_000, seed, split)}
        for split in SPLITS
    }
    assert not any(texts[a] & texts[b] for a, b in combinations(SPLITS, 2))


def test_reviews_are_lower_case_over_a_small_vocabulary():
    texts, _ = draw_reviews(5_000, 0, "train")
    assert all(text == text.lower() and "  " not in text and text.endswith(".") for text in texts)
    assert 70 <= len({word for text in texts for word in re.findall(WORD, text)}) <= 120


def linear_accuracy(ngrams: int) -> float:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, labels = draw_reviews(5_000, 0, "train")
    test_texts, test_labels = draw_reviews(2_000, 0, "test")
    counter = CountVectorizer(binary=True, token_pattern=WORD, ngram_range=(1, ngrams))
    model = LogisticRegression(max_iter=1000).fit(counter.fit_transform(texts), labels)
    return model.score(counter.transform(test_texts), test_labels)


@pytest.mark.slow
@pytest.mark.parametrize(("ngrams", "bar"), [(1, 0.55), (2, 0.80)])
def test_a_linear_model_over_words_and_bigrams_cannot_label_reviews(ngrams, bar):
    assert linear_accuracy(ngrams) < bar


@pytest.mark.slow
def test_an_lstm_labels_reviews():
    torch.manual_seed(0)
    train, labels = draw_reviews(5_000, 0, "train")
    test, test_labels = draw_reviews(2_000, 0, "test")
    words = sorted({word for text in train for word in re.findall(WORD, text)})
    ids = {word: index for index, word in enumerate(words)}

    def encode(texts: list[str]) -> list[Tensor]:
        return [torch.tensor([ids[word] for word in re.findall(WORD, text)]) for text in texts]

    model = LastOutput(nn.Embedding(len(ids), 32), nn.LSTM(32, 64, batch_first=True), 2)
    passed = accuracy_after_training(
        model, pad(encode(train), labels), pad(encode(test), test_labels), epochs=8
    )
    assert passed >= 0.98
