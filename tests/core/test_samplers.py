from itertools import pairwise, product

import numpy as np
import pytest

from rnn_lab.core.samplers import POOL_SIZE, BucketBatchSampler

SIZES = (1, 2, 3, 7, 8, 9, 50, 129, 1000)
BATCHES = (1, 2, 3, 8, 64)
WORLDS = (1, 2, 3, 4)


def some_lengths(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).integers(1, 60, rows)


def ranks(rows: int, batch: int, world: int, shuffle: bool) -> list[BucketBatchSampler]:
    lengths = some_lengths(rows)
    return [
        BucketBatchSampler(lengths, batch, shuffle=shuffle, rank=rank, world_size=world)
        for rank in range(world)
    ]


def each_size(world: int) -> list[tuple[int, int]]:
    return [(rows, batch) for rows, batch in product(SIZES, BATCHES) if rows >= world]


@pytest.mark.parametrize("world", WORLDS)
def test_training_reads_every_row_once_in_equally_many_batches_per_process(
    world: int,
) -> None:
    for rows, batch in each_size(world):
        plans = [buckets.plan(epoch=3) for buckets in ranks(rows, batch, world, shuffle=True)]
        assert len({len(plan) for plan in plans}) == 1
        batches = [rows for plan in plans for rows in plan]
        assert sorted(np.concatenate(batches)) == list(range(rows))
        assert all(
            1 <= len(rows) <= batch + 1 for rows in batches
        )  # a small remainder joins the last batch


@pytest.mark.parametrize("world", WORLDS)
def test_evaluation_reads_every_row_once_for_any_number_of_processes(world: int) -> None:
    for rows, batch in product(SIZES, BATCHES):
        plans = [buckets.plan() for buckets in ranks(rows, batch, world, shuffle=False)]
        batches = [rows for plan in plans for rows in plan]
        assert sorted(np.concatenate(batches)) == list(range(rows))
        assert all(1 <= len(rows) <= batch for rows in batches)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world", WORLDS)
def test_the_length_is_the_number_of_batches(world: int, shuffle: bool) -> None:
    for rows, batch in each_size(world):
        for buckets in ranks(rows, batch, world, shuffle):
            assert len(buckets) == len(list(buckets))


def test_the_order_depends_only_on_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        np.random.seed(epoch + 10)  # noqa: NPY002  # must not matter
        buckets = BucketBatchSampler(some_lengths(500), 8, shuffle=True, seed=seed)
        return [rows.tolist() for rows in buckets.plan(epoch)]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 1) != order(1, 0)


def test_iteration_uses_the_epoch_that_was_set() -> None:
    buckets = BucketBatchSampler(some_lengths(100), 8, shuffle=True)
    buckets.set_epoch(4)
    for one, other in zip(buckets, buckets.plan(4), strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluation_reads_rows_from_the_longest_to_the_shortest() -> None:
    lengths = some_lengths(200)
    order = np.concatenate(BucketBatchSampler(lengths, 8, shuffle=False).plan())
    assert (np.diff(lengths[order]) <= 0).all()
    assert all(a < b for a, b in pairwise(order) if lengths[a] == lengths[b])


@pytest.mark.parametrize("world", [1, 4])
def test_padding_is_at_most_a_fifth_of_that_of_a_random_order(world: int) -> None:
    lengths = np.random.default_rng(0).geometric(0.02, 32 * world * POOL_SIZE * 3)

    def padded(batches: list[np.ndarray]) -> int:
        return sum(int((lengths[rows].max() - lengths[rows]).sum()) for rows in batches)

    random = np.random.default_rng(1).permutation(len(lengths))[::world].reshape(-1, 32)
    plan = BucketBatchSampler(lengths, 32, shuffle=True, world_size=world).plan()
    assert padded(plan) < padded(list(random)) / 5


def test_short_and_long_batches_are_mixed_over_the_epoch() -> None:
    lengths = some_lengths(5000)
    means = [lengths[rows].mean() for rows in BucketBatchSampler(lengths, 10, shuffle=True).plan()]
    half = len(means) // 2
    assert abs(np.mean(means[:half]) - np.mean(means[half:])) < 5


def test_processes_read_rows_of_similar_lengths_at_the_same_step() -> None:
    first, second = (one.plan() for one in ranks(1000, 8, 2, shuffle=True))
    lengths = some_lengths(1000)
    gaps = [
        abs(int(lengths[a].max()) - int(lengths[b].max()))
        for a, b in zip(first, second, strict=True)
    ]
    assert np.mean(gaps) < 2


def test_an_epoch_resumes_at_its_start_and_the_next_one_is_complete() -> None:
    buckets = BucketBatchSampler(some_lengths(100), 8, shuffle=True)
    epoch = [rows.tolist() for rows in buckets]
    buckets.start = 5
    assert [rows.tolist() for rows in buckets] == epoch[5:]
    assert [rows.tolist() for rows in buckets] == epoch


def some_pairs(rows: int) -> np.ndarray:
    """Lengths of sources and targets that differ by a few words."""
    rng = np.random.default_rng(rows)
    trg = rng.integers(2, 40, rows)
    return np.stack([np.maximum(1, trg + rng.integers(-5, 6, rows)), trg], 1)


class TestTokens:
    """Batches with about `batch_tokens` tokens of the last side."""

    def plans(
        self, lengths: np.ndarray, tokens: int, world: int = 1, epoch: int = 0
    ) -> list[list[np.ndarray]]:
        return [
            BucketBatchSampler(
                lengths, 1, batch_tokens=tokens, shuffle=True, rank=rank, world_size=world
            ).plan(epoch)
            for rank in range(world)
        ]

    @pytest.mark.parametrize("world", WORLDS)
    def test_every_epoch_reads_every_row_once_in_equally_many_batches_per_process(
        self, world: int
    ) -> None:
        for rows, tokens in product(SIZES, (1, 5, 60, 500, 10**6)):
            if rows < world:
                continue
            lengths = some_pairs(rows)
            buckets = BucketBatchSampler(
                lengths, 1, batch_tokens=tokens, shuffle=True, world_size=world
            )
            for epoch in (0, 1, 7):
                plans = self.plans(lengths, tokens, world, epoch)
                assert {len(plan) for plan in plans} == {len(buckets)}
                batches = [batch for plan in plans for batch in plan]
                assert min(map(len, batches)) >= 1
                assert sorted(np.concatenate(batches)) == list(range(rows))

    @pytest.mark.parametrize("world", [1, 3])
    @pytest.mark.parametrize("sides", [1, 2])
    def test_batches_have_about_the_requested_number_of_tokens(
        self, world: int, sides: int
    ) -> None:
        lengths = some_pairs(5000)[:, -sides:]
        lengths = lengths[:, 0] if sides == 1 else lengths
        last = lengths.reshape(5000, -1)[:, -1]
        for plan in self.plans(lengths, 600, world, epoch=2):
            sizes = np.array([last[rows].sum() for rows in plan])
            assert abs(sizes.mean() - 600) < 600 / 20
            assert abs(sizes - 600).max() < 600 / 10 + last.max()

    def test_padding_of_both_sides_is_at_most_a_fifth_of_that_of_a_random_order(self) -> None:
        lengths = some_pairs(20_000)

        def padded(batches: list[np.ndarray]) -> np.ndarray:
            return sum((lengths[rows].max(0) - lengths[rows]).sum(0) for rows in batches)

        random = np.array_split(np.random.default_rng(1).permutation(20_000), 420)
        (plan,) = self.plans(lengths, 1000)
        source, target = padded(plan) / padded(random)
        assert source < 0.2
        assert target < 0.02

    def test_the_order_depends_only_on_seed_and_epoch(self) -> None:
        def order(epoch: int) -> list[list[int]]:
            return [rows.tolist() for rows in self.plans(some_pairs(500), 90, epoch=epoch)[0]]

        assert order(0) == order(0) != order(1)

    def test_evaluation_batches_are_limited_by_rows(self) -> None:
        lengths = some_pairs(50)
        buckets = BucketBatchSampler(lengths, 8, batch_tokens=3, shuffle=False)
        assert list(map(len, buckets)) == [8] * 6 + [2]
        order = np.concatenate(buckets.plan())
        assert (np.diff(lengths[order, 1]) <= 0).all()


def test_batches_of_equal_target_lengths_have_similar_source_lengths() -> None:
    lengths = some_pairs(3000)
    plan = BucketBatchSampler(lengths, 16, shuffle=False).plan()
    spread = [np.ptp(lengths[rows], 0) for rows in plan]
    assert np.mean(spread, 0).max() < 2


def test_invalid_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_tokens must be at least 1, got 0"):
        BucketBatchSampler(some_lengths(3), 1, batch_tokens=0, shuffle=True)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        BucketBatchSampler(some_lengths(3), 0, shuffle=True)
    with pytest.raises(ValueError, match="3 rows cannot be sharded over 4 processes"):
        BucketBatchSampler(some_lengths(3), 1, shuffle=True, world_size=4)
