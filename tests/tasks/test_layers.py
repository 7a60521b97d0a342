"""Every recurrent layer learns in every kind of task, and takes its options there."""

import pytest
import torch

from rnn_lab.models import (
    Forecaster,
    LanguageModel,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    TextClassifier,
    Translator,
)
from rnn_lab.nn import GREEDY, LAYERS
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.options import EncoderOptions
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.translation.options import EncoderConfig

WORDS, ROWS, TIME = 12, 8, 6
LENGTHS = torch.tensor([6, 1, 4, 5, 2, 3, 6, 4])

every_layer = pytest.mark.parametrize("layer", LAYERS)


def words():
    torch.manual_seed(1)
    real = torch.arange(TIME) < LENGTHS.unsqueeze(1)
    tokens = torch.randint(4, WORDS, (ROWS, TIME))
    tokens[:, 0] = torch.arange(4, 4 + ROWS)  # no two rows alike, even those of one word
    return tokens.masked_fill(~real, 0)


def trained(model, loss, steps, rate=0.05):
    """Train with a rate that falls to zero, lest the end be a matter of luck; the loss there."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return float(value.detach())


@every_layer
def test_every_layer_memorizes_texts(layer):
    torch.manual_seed(0)
    model = TextClassifier(WORDS, 8, 16, 2, layer=layer, bidirectional=True).eval()
    batch = TextBatch(words(), torch.arange(ROWS) % 2, LENGTHS)
    assert trained(model, lambda: model.step(batch).loss, 40) < 0.1


@every_layer
def test_every_layer_memorizes_series(layer):
    torch.manual_seed(0)
    model = SequenceClassifier(3, 16, 2, layer=layer).eval()
    torch.manual_seed(1)
    real = (torch.arange(TIME) < LENGTHS.unsqueeze(1)).unsqueeze(2)
    values = torch.randn(ROWS, TIME, 3).masked_fill(~real, 0)
    batch = SequenceBatch(values, torch.arange(ROWS) % 2, LENGTHS)
    assert trained(model, lambda: model.step(batch).loss, 60) < 0.1


@every_layer
def test_every_layer_encodes_sentences_to_be_translated(layer):
    torch.manual_seed(0)
    model = Translator(WORDS, WORDS, 8, 16, 2, encoder=EncoderConfig(layer)).eval()
    src = words()
    src[torch.arange(ROWS), LENGTHS - 1] = 3
    trg = torch.zeros(ROWS, TIME + 2, dtype=torch.long)
    for row, n in enumerate(LENGTHS.tolist()):
        trg[row, 0], trg[row, 1 : n + 1], trg[row, n + 1] = 2, 4 + (row + src[row, :n]) % 8, 3
    net = model.net
    assert trained(model, lambda: net.loss(src, trg, 1.0, LENGTHS), 120, 0.03) < 0.3
    told = [best.tokens for best, *_ in model.decode(src, LENGTHS, GREEDY)]
    alone = model.decode(src[:1, : LENGTHS[0]], LENGTHS[:1], GREEDY)
    assert alone[0][0].tokens == told[0]
    wanted = [row[1 : n + 1].tolist() for row, n in zip(trg, LENGTHS.tolist(), strict=True)]
    assert sum(a == b for a, b in zip(told, wanted, strict=True)) >= ROWS - 1


def windows(horizon):
    torch.manual_seed(1)
    past, future = torch.randn(ROWS, TIME, 2), torch.randn(ROWS, horizon, 2)
    none, one = torch.zeros(ROWS, TIME, 0), torch.ones(ROWS, 2)
    no_kinds = torch.zeros(ROWS, 0, dtype=torch.long)
    after = torch.zeros(ROWS, horizon, 0)
    static, rows = torch.zeros(ROWS, 0), torch.arange(ROWS)
    return WindowBatch(past, future, none, after, static, no_kinds, 0 * one, one, one, rows)


@every_layer
@pytest.mark.parametrize("decoding", ["direct", "parallel", "recursive"])
def test_every_layer_forecasts(layer, decoding):
    torch.manual_seed(0)
    patch_length = 2 if decoding == "parallel" else 1
    encoder = EncoderOptions(patch_length=patch_length, channel_independent=False)
    model = Forecaster(2, 32, 1, 8, horizon=4, layer=layer, decoding=decoding, encoder=encoder)
    batch = windows(4)
    before = float(model.step(batch).loss.detach())
    assert trained(model, lambda: model.step(batch).loss, 150) < 0.5 * before
    assert model.eval().forecast(batch).point.shape == (ROWS, 4, 2)


@every_layer
def test_every_task_hands_options_to_its_layer(layer):
    options = {"zoneout": 0.1, "weight_drop": 0.2}
    built = [
        TextClassifier(WORDS, 8, 16, 2, layer=layer, layer_kwargs=options).recurrent,
        SequenceClassifier(3, 16, 2, layer=layer, layer_kwargs=options).recurrent,
        SequenceRegressor(3, 16, layer=layer, layer_kwargs=options).recurrent,
        SequenceTagger(WORDS, 16, num_classes=3, layer=layer, layer_kwargs=options).recurrent,
        Forecaster(
            2, 16, 1, 8, horizon=4, layer=layer, encoder=EncoderOptions(layer_kwargs=options)
        ).recurrent,
        Translator(
            WORDS, WORDS, 8, 16, 2, encoder=EncoderConfig(layer, options)
        ).net.encoder.recurrent,
        LanguageModel(WORDS, 8, 16, 1, layer=layer, dropouts=options).layers[0],
    ]
    assert {getattr(each, "lstm", each).weight_drop for each in built} == {0.2}
    with pytest.raises(ValueError, match="has no option zonout; it has zoneout"):
        TextClassifier(WORDS, 8, 16, 2, layer=layer, layer_kwargs={"zonout": 0.1})


def test_a_decoder_of_a_layer_that_it_cannot_step_is_refused():
    with pytest.raises(ValueError, match="the layer of a decoder must be one of RNN, LSTM, GRU"):
        Translator(WORDS, WORDS, 8, 16, 1, layer="MinGRU")
