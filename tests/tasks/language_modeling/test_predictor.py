"""Probabilities of lines, and generated text."""

import math

import pytest
import torch

from rnn_lab.errors import UserError
from rnn_lab.models import LSTMLanguageModel
from rnn_lab.special_tokens import UNK_ID
from rnn_lab.tasks.language_modeling.predictor import LanguagePredictor
from rnn_lab.tasks.language_modeling.tokenizer import LINE_END, LMTokenizer
from rnn_lab.text.tokenizer import TokenizerConfig

LINES = ["one two three", "three two one", "two two four", "", "one one one three two"]


def build(kind="words"):
    """A predictor with random weights, large enough for distributions that are not uniform."""
    tokenizer = LMTokenizer.learn(TokenizerConfig(kind, lowercase=False), LINES)
    torch.manual_seed(0)
    task = LSTMLanguageModel(len(tokenizer), 8, 8).eval()
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.mul_(3)
    return LanguagePredictor(task, tokenizer)


@pytest.fixture
def predictor():
    return build()


@pytest.fixture
def character_predictor():
    return build("characters")


def prompt_ids(predictor, prompt):
    return predictor.tokenizer.encode_lines(prompt.split("\n"))[:-1]


def generated_ids(predictor, prompt, text):
    before, ids = prompt_ids(predictor, prompt), prompt_ids(predictor, text)
    assert ids[: len(before)] == before
    return ids[len(before) :]


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_greedy_decoding_is_the_argmax_of_forward(kind):
    predictor, prompt = build(kind), "one two\nthree"
    (text,) = predictor.generate(prompt, 12, temperature=0)
    ids = generated_ids(predictor, prompt, text)
    assert len(ids) == 12
    context = [LINE_END, *prompt_ids(predictor, prompt)]
    for token in ids:
        with torch.no_grad():
            logits, _ = predictor.task(torch.tensor([context]))
        logits[0, -1, UNK_ID] = -torch.inf
        assert int(logits[0, -1].argmax()) == token
        context.append(token)


def test_the_seed_determines_the_samples(predictor):
    first = predictor.generate("one", 30, seed=1, num_samples=3)
    assert first == build().generate("one", 30, seed=1, num_samples=3)
    assert len(set(first)) == 3
    assert first != predictor.generate("one", 30, seed=2, num_samples=3)


def test_tokens_are_sampled_with_their_probabilities(predictor):
    count = 4000
    texts = predictor.generate("one", 1, num_samples=count, allow_unknown=True)
    with torch.no_grad():
        logits, _ = predictor.task(torch.tensor([[LINE_END, *prompt_ids(predictor, "one")]]))
    expected = logits[0, -1].softmax(0)
    sampled = torch.tensor([generated_ids(predictor, "one", text)[0] for text in texts])
    frequencies = torch.bincount(sampled, minlength=len(predictor.tokenizer)) / count
    torch.testing.assert_close(frequencies, expected, atol=0.03, rtol=0)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-9}])
def test_sampling_from_the_most_likely_token_is_greedy(predictor, options):
    greedy = predictor.generate("two", 20, temperature=0)
    assert predictor.generate("two", 20, seed=5, **options) == greedy


def test_the_unknown_token_is_generated_only_if_allowed(predictor):
    with torch.no_grad():
        predictor.task.head.bias[UNK_ID] = 50
    texts = predictor.generate("one", 3, allow_unknown=True)
    assert texts == ["one <unk> <unk> <unk>"]
    assert "<unk>" not in predictor.generate("one", 50)[0]


def test_a_text_ends_before_the_stop_string(character_predictor):
    (whole,) = character_predictor.generate("one\nt", 300, seed=3)
    (line,) = character_predictor.generate("one\nt", 300, seed=3, stop="\n")
    assert len(whole) == len("one\nt") + 300
    assert line == whole[: whole.index("\n", 4)]
    assert character_predictor.generate("one", 300, stop="") == ["one"]


def test_each_sample_stops_independently(character_predictor):
    whole = character_predictor.generate("", 300, seed=3, num_samples=4)
    lines = character_predictor.generate("", 300, seed=3, num_samples=4, stop="\n")
    assert len({len(line) for line in lines}) > 1
    assert lines == [text.split("\n")[0] for text in whole]


def test_words_are_separated_from_the_prompt_and_characters_are_not(predictor, character_predictor):
    (text,) = predictor.generate("one", 1, temperature=0)
    assert text[:3] == "one"
    assert text[3] in " \n"
    (text,) = character_predictor.generate("on", 1, temperature=0)
    assert len(text) == 3


def test_the_probability_of_a_line_is_that_of_its_tokens_and_its_end(predictor):
    lines = ["one two", "", "three three zebra two one"]
    for line, answer in zip(lines, predictor.predict(lines), strict=True):
        ids = [LINE_END, *predictor.tokenizer.encode_lines([line])]
        with torch.no_grad():
            logits, _ = predictor.task(torch.tensor([ids[:-1]]))
        expected = logits[0].log_softmax(1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        assert answer["text"] == line
        assert answer["tokens"] == [predictor.tokenizer.words[i] for i in ids[1:]]
        assert answer["log_probabilities"] == pytest.approx(expected.tolist(), abs=1e-5)
        assert answer["log_probability"] == pytest.approx(float(expected.sum()), abs=1e-5)
        perplexity = math.exp(-float(expected.mean()))
        assert answer["perplexity"] == pytest.approx(perplexity, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ({"temperature": -1.0}, "temperature must be at least 0, got -1.0"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"temperature": 0, "top_k": 3}, "top_k has no effect at temperature 0"),
        ({"temperature": 0, "num_samples": 2}, "all samples are equal at temperature 0"),
    ],
)
def test_invalid_options_are_refused(predictor, options, message):
    with pytest.raises(UserError, match=message):
        predictor.generate("one", **options)
