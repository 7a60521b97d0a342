"""Generated reviews, labeled by word order."""

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
from rnn_lab.text.reviews import REVIEW_LABELS, count_distinct_reviews, reviews

WORD = r"\w+|[^\w\s]"


def generate_reviews(count: int, seed: int, split: str) -> tuple[list[str], list[int]]:
    texts, labels = zip(*reviews(count, seed, split), strict=True)
    return list(texts), [REVIEW_LABELS.index(label) for label in labels]


def same(first: list, second: list) -> bool:
    return all(
        np.array_equal(a, b) and x == y for (a, x), (b, y) in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("generate", [reviews, chirps])
def test_the_sample_depends_on_seed_and_split_alone(generate):
    first = list(generate(40, 1, "train"))
    assert same(first, list(generate(40, 1, "train")))
    assert not same(first, list(generate(40, 2, "train")))
    assert not same(first, list(generate(40, 1, "valid")))


@pytest.mark.parametrize("generate", [reviews, chirps])
def test_a_smaller_sample_is_a_prefix_of_a_larger_one(generate):
    assert same(list(generate(10, 0, "test")), list(generate(30, 0, "test"))[:10])


@pytest.mark.slow
def test_another_process_generates_the_same_reviews():
    program = "from rnn_lab.text.reviews import reviews; print(list(reviews(20, 3, 'train')))"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == str(list(reviews(20, 3, "train")))


@pytest.mark.parametrize(("generate", "labels"), [(reviews, REVIEW_LABELS), (chirps, CHIRP_LABELS)])
def test_labels_are_balanced(generate, labels):
    counts = Counter(label for _, label in generate(400, 0, "train"))
    assert counts == {label: 400 // len(labels) for label in labels}


@pytest.mark.parametrize("generate", [reviews, chirps])
def test_an_unknown_split_or_a_negative_count_is_refused(generate):
    with pytest.raises(UserError, match="train, valid, test, got 'dev'"):
        generate(1, 0, "dev")
    with pytest.raises(UserError, match="at least 0, got -1"):
        generate(-1, 0, "train")
    assert list(generate(0, 0, "train")) == []


def test_more_reviews_than_the_grammar_can_generate_are_refused():
    with pytest.raises(UserError, match="distinct texts per split"):
        reviews(count_distinct_reviews(), 0, "train")


def test_a_split_has_no_duplicates():
    texts, _ = generate_reviews(20_000, 0, "train")
    assert len(set(texts)) == len(texts)


def test_a_review_has_the_same_label_for_all_seeds():
    pairs = {pair for seed in range(4) for pair in reviews(5_000, seed, "train")}
    assert len({text for text, _ in pairs}) == len(pairs) < 20_000


def test_splits_are_disjoint_for_all_seeds():
    texts = {
        split: {text for seed in range(2) for text, _ in reviews(3_000, seed, split)}
        for split in SPLITS
    }
    assert not any(texts[a] & texts[b] for a, b in combinations(SPLITS, 2))


def test_reviews_are_in_lower_case_with_a_small_vocabulary():
    texts, _ = generate_reviews(5_000, 0, "train")
    assert all(text == text.lower() and "  " not in text and text.endswith(".") for text in texts)
    assert 70 <= len({word for text in texts for word in re.findall(WORD, text)}) <= 120


def linear_accuracy(ngrams: int) -> float:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, labels = generate_reviews(5_000, 0, "train")
    test_texts, test_labels = generate_reviews(2_000, 0, "test")
    counter = CountVectorizer(binary=True, token_pattern=WORD, ngram_range=(1, ngrams))
    model = LogisticRegression(max_iter=1000).fit(counter.fit_transform(texts), labels)
    return model.score(counter.transform(test_texts), test_labels)


@pytest.mark.slow
@pytest.mark.parametrize(("ngrams", "limit"), [(1, 0.55), (2, 0.80)])
def test_a_linear_model_of_words_and_bigrams_fails(ngrams, limit):
    assert linear_accuracy(ngrams) < limit


@pytest.mark.slow
def test_an_lstm_classifies_reviews():
    torch.manual_seed(0)
    train, labels = generate_reviews(5_000, 0, "train")
    test, test_labels = generate_reviews(2_000, 0, "test")
    words = sorted({word for text in train for word in re.findall(WORD, text)})
    ids = {word: index for index, word in enumerate(words)}

    def encode(texts: list[str]) -> list[Tensor]:
        return [torch.tensor([ids[word] for word in re.findall(WORD, text)]) for text in texts]

    model = LastOutput(nn.Embedding(len(ids), 32), nn.LSTM(32, 64, batch_first=True), 2)
    accuracy = accuracy_after_training(
        model, pad(encode(train), labels), pad(encode(test), test_labels), epochs=8
    )
    assert accuracy >= 0.98
