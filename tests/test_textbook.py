"""The usage lines of the textbook chapter run unchanged with the classes of this package."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import rnn_lab

CLASSIFIER = """
vocab_size = 10000
model = LSTMClassifier(vocab_size=vocab_size, embedding_dim=100, hidden_dim=256, num_classes=5)
text = torch.randint(0, vocab_size, (32, 50))
output = model(text)
"""
TRANSLATOR = """
INPUT_DIM = 10000
OUTPUT_DIM = 8000
ENC_EMB_DIM = 256
DEC_EMB_DIM = 256
HID_DIM = 512
N_LAYERS = 2
encoder = Encoder(INPUT_DIM, ENC_EMB_DIM, HID_DIM, N_LAYERS)
decoder = Decoder(OUTPUT_DIM, DEC_EMB_DIM, HID_DIM, N_LAYERS)
model = Seq2Seq(encoder, decoder)
"""
FORECASTER = """
model = LSTMForecaster(input_dim=10, hidden_dim=64, num_layers=2, output_dim=1)
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
"""
LOADER = """
dataloader = DataLoader(
    dataset,
    batch_size=32,
    collate_fn=collate_variable_length
)
"""
SENTIMENT = """
device = torch.device('cpu')
model = SentimentLSTM(vocab_size=10000).to(device)
criterion = nn.BCELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
for epoch in range(1):
    model.train()
    for texts, labels, lengths in train_loader:
        texts, labels = texts.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(texts, lengths)
        loss = criterion(outputs, labels.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
"""


def run(code: str, **names: Any) -> dict[str, Any]:
    """Run lines of the textbook; every class that they do not import is looked up here."""
    torch.manual_seed(0)

    class Names(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            if name not in rnn_lab.__all__:
                raise KeyError(name)
            return getattr(rnn_lab, name)

    namespace = Names(torch=torch, nn=nn, DataLoader=DataLoader, range=range, **names)
    exec(code, {"__builtins__": {}}, namespace)
    return namespace


def sequences() -> list[tuple[torch.Tensor, int]]:
    return [(torch.randint(1, 10000, (3 + i % 5,)), i % 2) for i in range(40)]


def test_the_classifier_scores_five_classes():
    assert run(CLASSIFIER)["output"].shape == (32, 5)


def test_the_translator_scores_every_target_token():
    model = run(TRANSLATOR)["model"]
    src, trg = torch.randint(4, 8000, (4, 7)), torch.randint(4, 8000, (4, 6))
    assert model(src, trg, teacher_forcing_ratio=0.5).shape == (4, 6, 8000)


def test_the_forecaster_trains_in_the_loop_of_the_textbook():
    names = run(FORECASTER)
    loader = [(torch.randn(8, 20, 10), torch.randn(8, 1))] * 3
    arguments = names["model"], loader, names["criterion"], names["optimizer"], "cpu"
    first, *_, last = [rnn_lab.train_forecaster(*arguments) for _ in range(4)]
    assert last < first


def test_the_loader_pads_sequences_of_different_lengths():
    padded, labels, lengths = next(iter(run(LOADER, dataset=sequences())["dataloader"]))
    assert padded.shape == (32, 7)
    assert lengths.tolist() == [3 + i % 5 for i in range(32)]
    assert labels.tolist() == [i % 2 for i in range(32)]


@pytest.mark.slow
def test_the_complete_sentiment_example_trains():
    loader = run(LOADER, dataset=sequences())["dataloader"]
    names = run(SENTIMENT, train_loader=loader)
    assert names["outputs"].shape == (8,)
    assert bool(((names["outputs"] > 0) & (names["outputs"] < 1)).all())
    assert torch.isfinite(names["loss"])
