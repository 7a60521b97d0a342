"""Metrics of translation against sacrebleu."""

import copy
import math
import random
from types import SimpleNamespace

import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF, TER
from torchmetrics import MetricCollection

from rnn_lab.tasks.translation.metrics import NUM_COUNTS, TranslationScores
from rnn_lab.tasks.translation.tokenizer import SentenceTokenizer, SentenceTokenizerConfig

TEXT = "a man in The red hat runs , and two dogs look at him . co-op isn't"
WORDS = TEXT.split()


class MosesTokenizer:
    """Lowercase and separate punctuation as Moses does, and undo the latter."""

    def __init__(self, lowercase=True, moses="en"):
        self.settings = SimpleNamespace(lowercase=lowercase, moses=moses, kind="bpe")

    def normalize(self, text):
        text = text.lower() if self.settings.lowercase else text
        return text.replace(",", " ,").replace(".", " .") if self.settings.moses else text

    def detokenize(self, text):
        return text.replace(" ,", ",").replace(" .", ".") if self.settings.moses else text


def lines(seed, count=30):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(12))) for _ in range(count)]


PREDICTIONS, TARGETS = [text.lower() for text in lines(0)], lines(1)
PREDICTIONS[:5] = ["", *(MosesTokenizer().normalize(text) for text in TARGETS[1:5])]


def scored(metric, size=30, predictions=PREDICTIONS, targets=TARGETS):
    for start in range(0, len(targets), size):
        metric.update(predictions[start : start + size], targets[start : start + size])
    return {name: score.item() for name, score in metric.compute().items()}


@pytest.mark.parametrize("size", [1, 7, 30])
def test_scores_equal_those_of_sacrebleu_for_any_batch_size(size):
    scores = scored(TranslationScores(), size)
    assert scores.pop("exact_match") == sum(map(str.__eq__, PREDICTIONS, TARGETS)) / 30
    scorers = {"bleu": BLEU(), "chrf": CHRF(), "ter": TER()}
    assert scores == {
        name: scorer.corpus_score(PREDICTIONS, [TARGETS]).score for name, scorer in scorers.items()
    }


def test_the_sizes_of_the_state_are_those_of_sacrebleu():
    metric = TranslationScores(MosesTokenizer())
    assert metric.scorers.keys() == NUM_COUNTS.keys()
    for name, scorer in metric.scorers.items():
        ((*counts,),) = scorer._extract_corpus_statistics(["a b"], [["a b"]])
        assert len(counts) == NUM_COUNTS[name] == len(getattr(metric, f"{name}_statistics"))


@pytest.mark.parametrize("size", [1, 7, 30])
def test_only_tokenized_bleu_compares_normalized_text(size):
    tokenizer = MosesTokenizer()
    scores = scored(TranslationScores(tokenizer), size)
    detokenized = [tokenizer.detokenize(text) for text in PREDICTIONS]
    normalized = [tokenizer.normalize(text) for text in TARGETS]
    assert scores == {
        "bleu": BLEU(lowercase=True).corpus_score(detokenized, [TARGETS]).score,
        "chrf": CHRF(lowercase=True).corpus_score(detokenized, [TARGETS]).score,
        "ter": TER().corpus_score(detokenized, [TARGETS]).score,
        "bleu_tokenized": BLEU(tokenize="none").corpus_score(PREDICTIONS, [normalized]).score,
        "exact_match": sum(map(str.__eq__, PREDICTIONS, normalized)) / 30,
    }
    assert scores["exact_match"] >= 4 / 30


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [([""], ["a man runs"]), (["a man runs"], [""]), ([""], [""]), (["a"], ["b"])],
)
def test_empty_and_unusual_lines_score_as_in_sacrebleu(predictions, targets):
    scores = scored(TranslationScores(), 1, predictions, targets)
    for name, scorer in {"bleu": BLEU(), "chrf": CHRF(), "ter": TER()}.items():
        assert scores[name] == scorer.corpus_score(predictions, [targets]).score


def test_perfect_translations_have_perfect_scores():
    tokenizer = MosesTokenizer()
    perfect = scored(
        TranslationScores(tokenizer), 7, [tokenizer.normalize(text) for text in TARGETS]
    )
    hundred = pytest.approx(100)
    assert perfect == {
        "bleu": hundred,
        "chrf": hundred,
        "ter": 0,
        "bleu_tokenized": hundred,
        "exact_match": 1,
    }


@pytest.mark.parametrize("tokenizer", [[], [([], [])]])
def test_scores_of_no_lines_are_nan(tokenizer):
    metric = TranslationScores(MosesTokenizer())
    for predictions, targets in tokenizer:
        metric.update(predictions, targets)
    assert all(math.isnan(score) for score in metric.compute().values())


def test_counts_of_two_processes_sum_to_those_of_one():
    halves = TranslationScores(), TranslationScores()
    halves[0].update(PREDICTIONS[:11], TARGETS[:11])
    halves[1].update(PREDICTIONS[11:], TARGETS[11:])
    merged = TranslationScores()
    for name, reduce in merged._reductions.items():
        setattr(merged, name, reduce(torch.stack([getattr(half, name) for half in halves])))
    assert merged.compute() == pytest.approx(scored(TranslationScores()), abs=0)


def test_reset_clears_the_counts():
    metric = TranslationScores()
    metric.update(["a man"], ["two dogs"])
    metric.reset()
    assert scored(metric) == scored(TranslationScores())


def test_a_copy_has_counts_of_its_own():
    metric = TranslationScores(MosesTokenizer())
    copied = copy.deepcopy(metric)
    copied.update(["a man"], ["two dogs"])
    assert scored(metric) == scored(TranslationScores(MosesTokenizer()))


@pytest.mark.parametrize("moses", [None, "en"])
def test_tokenized_bleu_is_computed_with_moses_rules_only(moses):
    scores = scored(TranslationScores(MosesTokenizer(moses=moses)))
    assert ("bleu_tokenized" in scores) == (moses is not None)


def test_ter_can_be_left_out():
    assert scored(TranslationScores(ter=False)).keys() == {"bleu", "chrf", "exact_match"}


@pytest.mark.parametrize(("lowercase", "case"), [(True, "case:lc"), (False, "case:mixed")])
def test_signatures_state_the_casing(lowercase, case):
    signatures = TranslationScores(MosesTokenizer(lowercase)).signatures()
    assert signatures.keys() == {"bleu", "chrf", "ter", "bleu_tokenized"}
    assert "nrefs:1" in signatures["bleu"]
    assert "tok:13a" in signatures["bleu"]
    assert "tok:none" in signatures["bleu_tokenized"]
    assert all(case in signatures[name] for name in ("bleu", "bleu_tokenized", "chrf"))


def test_a_signature_is_that_of_sacrebleu():
    scorer = BLEU()
    scorer.corpus_score(PREDICTIONS, [TARGETS])
    assert TranslationScores().signatures()["bleu"] == str(scorer.get_signature())


def test_a_collection_has_every_score_as_a_scalar():
    collection = MetricCollection({"corpus": TranslationScores()})
    collection.update(PREDICTIONS, TARGETS)
    scores = collection.compute()
    assert {name: score.item() for name, score in scores.items()} == scored(TranslationScores())
    assert all(score.ndim == 0 for score in scores.values())


def test_different_numbers_of_predictions_and_targets_are_refused():
    with pytest.raises(ValueError, match="got 2 predictions for 1 targets"):
        TranslationScores().update(["a", "b"], ["a"])


def test_words_are_scored_as_detokenized_text():
    targets = [f"{word} runs, it's {word}." for word in ("a dog", "the cat", "one man")]
    tokenizer = SentenceTokenizer.learn(SentenceTokenizerConfig("words"), targets)
    predictions = [tokenizer.normalize(text) for text in targets]
    predictions[0] = predictions[0].replace("dog", "cat")
    detokenized = [text.replace("a dog", "a cat") for text in targets[:1]] + targets[1:]
    detokenized[0] = "a cat runs, it's a cat."
    scores = scored(TranslationScores(tokenizer), 3, predictions, targets)
    assert scores["ter"] == TER().corpus_score(detokenized, [targets]).score
    assert scores["ter"] < 20
    assert scores["bleu_tokenized"] < 100
