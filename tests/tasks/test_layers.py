"""Every recurrent layer learns in every task, and receives its options there."""

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
from rnn_lab.special_tokens import BOS_ID, EOS_ID
from rnn_lab.tasks.forecasting.batch import WindowBatch
from rnn_lab.tasks.forecasting.options import EncoderOptions
from rnn_lab.tasks.sequence_classification.batch import SequenceBatch
from rnn_lab.tasks.text_classification.batch import TextBatch
from rnn_lab.tasks.translation.options import DecoderConfig, EncoderConfig

VOCAB_SIZE, ROWS, TIME = 12, 8, 6
FEW = 4  # rows for models that train longer
LENGTHS = torch.tensor([6, 1, 4, 5, 2, 3, 6, 4])

every_layer = pytest.mark.parametrize("layer", LAYERS)


def random_tokens():
    torch.manual_seed(1)
    real = torch.arange(TIME) < LENGTHS.unsqueeze(1)
    tokens = torch.randint(4, VOCAB_SIZE, (ROWS, TIME))
    tokens[:, 0] = torch.arange(4, 4 + ROWS)  # all rows differ, also those of one token
    return tokens.masked_fill(~real, 0)


def train(model, compute_loss, steps, rate=0.05):
    """Train with a learning rate that decays to zero, for a stable result; return the last loss."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = compute_loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return float(loss.detach())


@every_layer
def test_every_layer_memorizes_texts(layer):
    torch.manual_seed(0)
    model = TextClassifier(VOCAB_SIZE, 8, 16, 2, layer=layer, bidirectional=True).eval()
    batch = TextBatch(random_tokens(), torch.arange(ROWS) % 2, LENGTHS)
    assert train(model, lambda: model.step(batch).loss, 40) < 0.1


@every_layer
def test_every_layer_memorizes_sequences_of_feature_vectors(layer):
    torch.manual_seed(0)
    model = SequenceClassifier(3, 16, 2, layer=layer).eval()
    torch.manual_seed(1)
    real = (torch.arange(TIME) < LENGTHS.unsqueeze(1)).unsqueeze(2)
    values = torch.randn(ROWS, TIME, 3).masked_fill(~real, 0)
    batch = SequenceBatch(values, torch.arange(ROWS) % 2, LENGTHS)
    assert train(model, lambda: model.step(batch).loss, 60) < 0.1


@every_layer
def test_every_layer_encodes_sentences_for_translation(layer):
    torch.manual_seed(0)
    decoder = DecoderConfig(attention_position="before")
    model = Translator(
        VOCAB_SIZE, VOCAB_SIZE, 8, 16, 1, encoder=EncoderConfig(layer), decoder=decoder
    ).eval()
    src, lengths = random_tokens()[:FEW], LENGTHS[:FEW]
    src[torch.arange(FEW), lengths - 1] = EOS_ID
    trg = torch.zeros(FEW, TIME + 2, dtype=torch.long)
    for row, n in enumerate(lengths.tolist()):
        trg[row, 0], trg[row, n + 1] = BOS_ID, EOS_ID
        trg[row, 1 : n + 1] = 4 + (row + src[row, :n]) % 8
    train(model, lambda: model.net.loss(src, trg, 1.0, lengths), 50)
    translations = [best.tokens for best, *_ in model.decode(src, lengths, GREEDY)]
    alone = model.decode(src[:1, : lengths[0]], lengths[:1], GREEDY)
    assert alone[0][0].tokens == translations[0]
    assert translations == [
        row[1 : n + 1].tolist() for row, n in zip(trg, lengths.tolist(), strict=True)
    ]


def random_windows(horizon):
    torch.manual_seed(1)
    past, future = torch.randn(FEW, TIME, 2), torch.randn(FEW, horizon, 2)
    past_covariates, future_covariates = torch.zeros(FEW, TIME, 0), torch.zeros(FEW, horizon, 0)
    static, categories = torch.zeros(FEW, 0), torch.zeros(FEW, 0, dtype=torch.long)
    shift, scale = torch.zeros(FEW, 2), torch.ones(FEW, 2)
    covariates = past_covariates, future_covariates, static, categories
    return WindowBatch(past, future, *covariates, shift, scale, scale, torch.arange(FEW))


@every_layer
@pytest.mark.parametrize("decoding", ["direct", "parallel", "recursive"])
def test_every_layer_forecasts(layer, decoding):
    torch.manual_seed(0)
    patch_length = 2 if decoding == "parallel" else 1
    encoder = EncoderOptions(patch_length=patch_length, channel_independent=False)
    model = Forecaster(2, 32, 1, 8, horizon=4, layer=layer, decoding=decoding, encoder=encoder)
    batch = random_windows(4)
    before = float(model.step(batch).loss.detach())
    assert train(model, lambda: model.step(batch).loss, 40, 0.1) < 0.5 * before
    assert model.eval().forecast(batch).point.shape == (FEW, 4, 2)


@every_layer
def test_every_task_passes_options_to_its_layer(layer):
    options = {"zoneout": 0.1, "weight_drop": 0.2}
    own = {"layer": layer, "layer_kwargs": options}
    forecaster = Forecaster(
        2, 16, 1, 8, horizon=4, layer=layer, encoder=EncoderOptions(layer_kwargs=options)
    )
    translator = Translator(VOCAB_SIZE, VOCAB_SIZE, 8, 16, 2, encoder=EncoderConfig(layer, options))
    layers = [
        TextClassifier(VOCAB_SIZE, 8, 16, 2, **own).recurrent,
        SequenceClassifier(3, 16, 2, **own).recurrent,
        SequenceRegressor(3, 16, **own).recurrent,
        SequenceTagger(VOCAB_SIZE, 16, num_classes=3, **own).recurrent,
        forecaster.recurrent,
        translator.net.encoder.recurrent,
        LanguageModel(VOCAB_SIZE, 8, 16, 1, layer=layer, dropouts=options).layers[0],
    ]
    assert {getattr(each, "lstm", each).weight_drop for each in layers} == {0.2}
    with pytest.raises(ValueError, match="has no option zonout; it has zoneout"):
        TextClassifier(VOCAB_SIZE, 8, 16, 2, layer=layer, layer_kwargs={"zonout": 0.1})


def test_a_decoder_refuses_layers_that_it_cannot_step():
    with pytest.raises(ValueError, match="the layer of a decoder must be one of RNN, LSTM, GRU"):
        Translator(VOCAB_SIZE, VOCAB_SIZE, 8, 16, 1, layer="MinGRU")
