import copy
import math
import random
from types import SimpleNamespace

import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF, TER
from torchmetrics import MetricCollection

from rnn_lab.tasks.translation.metrics import TranslationScores

TEXT = "a man in The red hat runs , and two dogs look at him . co-op isn't"
WORDS = TEXT.split()


class MosesReader:
    """Writes lower case with punctuation apart, as Moses does, and joins it again."""

    def __init__(self, lowercase=True, moses="en"):
        self.settings = SimpleNamespace(lowercase=lowercase, moses=moses)

    def normalized(self, text):
        text = text.lower() if self.settings.lowercase else text
        return text.replace(",", " ,").replace(".", " .") if self.settings.moses else text

    def plain(self, text):
        return text.replace(" ,", ",").replace(" .", ".") if self.settings.moses else text


def lines(seed, count=30):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(12))) for _ in range(count)]


PREDICTIONS, TARGETS = [text.lower() for text in lines(0)], lines(1)
PREDICTIONS[:5] = ["", *(MosesReader().normalized(text) for text in TARGETS[1:5])]


def scored(metric, size=30, predictions=PREDICTIONS, targets=TARGETS):
    for start in range(0, len(targets), size):
        metric.update(predictions[start : start + size], targets[start : start + size])
    return {name: score.item() for name, score in metric.compute().items()}


@pytest.mark.parametrize("size", [1, 7, 30])
def test_scores_are_those_of_sacrebleu_however_the_lines_are_cut(size):
    found = scored(TranslationScores(), size)
    assert found.pop("exact_match") == sum(map(str.__eq__, PREDICTIONS, TARGETS)) / 30
    scorers = {"bleu": BLEU(), "chrf": CHRF(), "ter": TER()}
    assert found == {
        name: scorer.corpus_score(PREDICTIONS, [TARGETS]).score for name, scorer in scorers.items()
    }


@pytest.mark.parametrize("size", [1, 7, 30])
def test_plain_scores_take_plain_text_and_tokenized_ones_what_the_model_wrote(size):
    reader = MosesReader()
    found = scored(TranslationScores(reader), size)
    plain = [reader.plain(text) for text in PREDICTIONS]
    wished = [reader.normalized(text) for text in TARGETS]
    assert found == {
        "bleu": BLEU(lowercase=True).corpus_score(plain, [TARGETS]).score,
        "chrf": CHRF(lowercase=True).corpus_score(plain, [TARGETS]).score,
        "ter": TER().corpus_score(plain, [TARGETS]).score,
        "bleu_tokenized": BLEU(tokenize="none").corpus_score(PREDICTIONS, [wished]).score,
        "exact_match": sum(map(str.__eq__, PREDICTIONS, wished)) / 30,
    }
    assert found["exact_match"] >= 4 / 30


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [([""], ["a man runs"]), (["a man runs"], [""]), ([""], [""]), (["a"], ["b"])],
)
def test_empty_and_strange_lines_score_as_sacrebleu_says(predictions, targets):
    found = scored(TranslationScores(), 1, predictions, targets)
    for name, scorer in {"bleu": BLEU(), "chrf": CHRF(), "ter": TER()}.items():
        assert found[name] == scorer.corpus_score(predictions, [targets]).score


def test_perfect_translations_have_perfect_scores():
    reader = MosesReader()
    perfect = scored(TranslationScores(reader), 7, [reader.normalized(text) for text in TARGETS])
    hundred = pytest.approx(100)
    assert perfect == {
        "bleu": hundred,
        "chrf": hundred,
        "ter": 0,
        "bleu_tokenized": hundred,
        "exact_match": 1,
    }


@pytest.mark.parametrize("told", [[], [([], [])]])
def test_scores_of_no_lines_are_nan(told):
    metric = TranslationScores(MosesReader())
    for predictions, targets in told:
        metric.update(predictions, targets)
    assert all(math.isnan(score) for score in metric.compute().values())


def test_counts_of_two_processes_add_up_to_those_of_one():
    halves = TranslationScores(), TranslationScores()
    halves[0].update(PREDICTIONS[:11], TARGETS[:11])
    halves[1].update(PREDICTIONS[11:], TARGETS[11:])
    merged = TranslationScores()
    for name, reduce in merged._reductions.items():
        setattr(merged, name, reduce(torch.stack([getattr(half, name) for half in halves])))
    assert merged.compute() == pytest.approx(scored(TranslationScores()), abs=0)


def test_a_reset_metric_starts_anew():
    metric = TranslationScores()
    metric.update(["a man"], ["two dogs"])
    metric.reset()
    assert scored(metric) == scored(TranslationScores())


def test_a_copy_counts_on_its_own():
    metric = TranslationScores(MosesReader())
    copied = copy.deepcopy(metric)
    copied.update(["a man"], ["two dogs"])
    assert scored(metric) == scored(TranslationScores(MosesReader()))


@pytest.mark.parametrize("moses", [None, "en"])
def test_tokenized_bleu_is_measured_where_moses_rules(moses):
    found = scored(TranslationScores(MosesReader(moses=moses)))
    assert ("bleu_tokenized" in found) == (moses is not None)


def test_ter_can_be_left_out():
    assert scored(TranslationScores(ter=False)).keys() == {"bleu", "chrf", "exact_match"}


@pytest.mark.parametrize(("lowercase", "case"), [(True, "case:lc"), (False, "case:mixed")])
def test_signatures_say_how_a_score_was_made(lowercase, case):
    signatures = TranslationScores(MosesReader(lowercase)).signatures()
    assert signatures.keys() == {"bleu", "chrf", "ter", "bleu_tokenized"}
    assert "nrefs:1" in signatures["bleu"]
    assert "tok:13a" in signatures["bleu"]
    assert "tok:none" in signatures["bleu_tokenized"]
    assert all(case in signatures[name] for name in ("bleu", "bleu_tokenized", "chrf"))


def test_a_signature_is_that_of_sacrebleu():
    scorer = BLEU()
    scorer.corpus_score(PREDICTIONS, [TARGETS])
    assert TranslationScores().signatures()["bleu"] == str(scorer.get_signature())


def test_in_a_collection_every_score_is_a_scalar_of_its_own_name():
    collection = MetricCollection({"corpus": TranslationScores()})
    collection.update(PREDICTIONS, TARGETS)
    found = collection.compute()
    assert {name: score.item() for name, score in found.items()} == scored(TranslationScores())
    assert all(score.ndim == 0 for score in found.values())


def test_lines_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="2 predictions do not fit 1 targets"):
        TranslationScores().update(["a", "b"], ["a"])
