"""Items in chunks, which are processed together."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def chunks(
    items: Iterable[Item], size: int, ready: Callable[[], bool] = lambda: True
) -> Iterator[list[Item]]:
    """Yield items in chunks.

    An error of the items is raised after the items before it were yielded.

    Args:
        items: The items.
        size: Items per chunk; the last one may have fewer.
        ready: Returns whether the next item can be read without waiting; if not, the chunk ends.
    """
    iterator, chunk = iter(items), list[Item]()
    failure: BaseException | None = None
    while failure is None:
        try:
            while len(chunk) < size and (not chunk or ready()):
                chunk.append(next(iterator))
        except StopIteration as end:
            failure = end
        except Exception as error:
            failure = error
        if chunk:
            yield chunk
            chunk = []
    if not isinstance(failure, StopIteration):
        raise failure
