"""Items in chunks."""

from collections.abc import Iterator

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.chunks import chunks


def failing(count: int) -> Iterator[int]:
    yield from range(count)
    raise UserError("line 5 is damaged")


def test_chunks_are_full_but_the_last() -> None:
    assert list(chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks(range(6), 3)) == [[0, 1, 2], [3, 4, 5]]
    assert list(chunks([], 3)) == []


def test_chunks_are_lazy() -> None:
    consumed: list[int] = []
    iterator = chunks(map(consumed.append, range(100)), 2)
    next(iterator)
    assert consumed == [0, 1]


@pytest.mark.parametrize("count", [0, 4, 6])
def test_items_before_an_error_are_not_lost(count: int) -> None:
    items: list[int] = []
    with pytest.raises(UserError, match="line 5 is damaged"):
        list(map(items.extend, chunks(failing(count), 3)))
    assert items == list(range(count))


def test_a_chunk_ends_when_the_next_item_is_not_ready() -> None:
    answers = iter([True, False, False, True, True, True, True])
    assert list(chunks(range(6), 3, lambda: next(answers))) == [[0, 1], [2], [3, 4, 5]]
