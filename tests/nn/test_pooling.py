"""Laws of every pooling over time."""

import pytest
import torch
from torch import Tensor

from rnn_lab.nn import (
    LSTM,
    POOLINGS,
    FinalState,
    MaxPooling,
    MeanPooling,
    build_pooling,
    lengths_to_mask,
)

SIZE, TIME = 6, 5
LENGTHS = torch.tensor([2, 5, 1])

every_pooling = pytest.mark.parametrize("names", [*POOLINGS, "mean+max", "final+attention"])
every_direction = pytest.mark.parametrize("bidirectional", [False, True])


def outputs() -> Tensor:
    return torch.randn(3, TIME, SIZE, generator=torch.Generator().manual_seed(1))


@every_pooling
@every_direction
def test_padding_is_never_read(names: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    module, real = build_pooling(names, SIZE, bidirectional), lengths_to_mask(LENGTHS, TIME)
    dirty = outputs().masked_fill(~real[..., None], float("nan")).requires_grad_()
    pooled = module(dirty, LENGTHS)
    assert torch.equal(pooled, module(outputs(), LENGTHS))
    pooled.square().sum().backward()
    assert not dirty.grad[~real].any()
    assert dirty.grad[real].isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@every_pooling
@every_direction
def test_a_sequence_gives_the_same_result_alone_and_in_a_batch(
    names: str, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    module, output = build_pooling(names, SIZE, bidirectional), outputs()
    pooled = module(output, LENGTHS)
    assert pooled.shape == (3, module.output_size)
    for index, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(pooled[index], module(output[index : index + 1, :length])[0])


@every_pooling
def test_without_lengths_there_is_no_padding(names: str) -> None:
    module = build_pooling(names, SIZE)
    full = torch.full((3,), TIME)
    torch.testing.assert_close(module(outputs()), module(outputs(), full))


@every_direction
def test_final_state_equals_the_state_of_the_layer(bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = LSTM(4, SIZE, bidirectional=bidirectional)
    output, (h, _) = layer(torch.randn(3, TIME, 4), LENGTHS)
    final = FinalState(layer.output_size, bidirectional)(output, LENGTHS)
    assert torch.equal(final, torch.cat(tuple(h), dim=-1))


def test_mean_and_max_are_over_the_real_steps() -> None:
    output = outputs()
    torch.testing.assert_close(MeanPooling(SIZE)(output, LENGTHS)[0], output[0, :2].mean(0))
    assert torch.equal(MaxPooling(SIZE)(output, LENGTHS)[0], output[0, :2].amax(0))


def test_attention_weights_are_zero_on_padding_and_sum_to_one() -> None:
    torch.manual_seed(0)
    weights = POOLINGS["attention"](SIZE).weights(outputs(), LENGTHS)
    assert torch.equal(weights > 0, lengths_to_mask(LENGTHS, TIME))
    torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_joined_names_concatenate_poolings() -> None:
    both = build_pooling("mean+max", SIZE)(outputs(), LENGTHS)
    single = [build_pooling(name, SIZE)(outputs(), LENGTHS) for name in ("mean", "max")]
    assert torch.equal(both, torch.cat(single, dim=-1))


def test_the_error_on_an_unknown_pooling_names_it() -> None:
    with pytest.raises(ValueError, match="'median'"):
        build_pooling("mean+median", SIZE)
