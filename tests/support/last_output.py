"""A small classifier in plain torch, to test that generated data can be learned."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence


class LastOutput(nn.Module):
    """Classify sequences by the last real output of a recurrent layer."""

    def __init__(self, embed: nn.Module, layer: nn.RNNBase, num_classes: int):
        super().__init__()
        self.embed, self.layer = embed, layer
        self.head = nn.Linear(layer.hidden_size, num_classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        output, _ = self.layer(self.embed(x[:, : lengths.max()]))
        return self.head(output[torch.arange(len(x)), lengths - 1])


def pad(sequences: list[Tensor], labels: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence(sequences, batch_first=True), lengths, torch.tensor(labels)


def accuracy_after_training(model: LastOutput, train: tuple, test: tuple, epochs: int) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True)
    for _ in range(epochs):
        for rows in torch.randperm(len(train[0])).split(32):
            x, lengths, labels = (part[rows] for part in train)
            optimizer.zero_grad()
            cross_entropy(model(x, lengths), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    with torch.no_grad():
        return (model(*test[:2]).argmax(1) == test[2]).float().mean().item()
