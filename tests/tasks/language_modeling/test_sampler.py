import numpy as np
import pytest

from rnn_lab.tasks.language_modeling.sampler import BPTTSampler


def lengths(seed, epoch):
    sampler = BPTTSampler(200_000, 10, 70, variable_bptt=True, seed=seed)
    return [segment.steps for segment in sampler.plan(epoch)]


def test_lengths_depend_on_seed_and_epoch_and_their_number_does_not():
    assert lengths(0, 0) == lengths(0, 0)
    assert len({tuple(lengths(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    assert len({len(lengths(0, epoch)) for epoch in range(5)}) == 1


def test_lengths_are_distributed_as_in_awd_lstm():
    sampled = lengths(0, 0)
    full = [n for n in sampled if n > 52]
    assert 0.9 < len(full) / len(sampled) < 1
    assert np.mean(full) == pytest.approx(70, abs=2)
    assert 3 < np.std(full) < 7
    assert np.mean([n for n in sampled if n <= 52]) == pytest.approx(35, abs=4)


@pytest.mark.parametrize("bptt", [2, 17, 1000])
def test_fixed_lengths_differ_by_at_most_one_step(bptt):
    steps = [segment.steps for segment in BPTTSampler(999, 2, bptt).plan()]
    assert max(steps) <= bptt
    assert max(steps) - min(steps) <= 1
    assert sum(steps) == 499


def test_a_text_that_is_too_short_for_all_processes_is_refused():
    with pytest.raises(ValueError, match="a text of 2 tokens is too short for 2 processes"):
        BPTTSampler(2, 8, 5, world_size=2)
