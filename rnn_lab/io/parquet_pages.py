"""Sizes of the pages of a Parquet file, read from their headers before a page is decompressed.

A page is decompressed as a whole, and a few kilobytes can stand for gigabytes. The sizes in the
footer of a file need not be those in its pages. pyarrow shows no headers of pages, and aborts the
process when it shows a damaged footer.

Source: https://parquet.apache.org/docs/file-format, and for the encoding of headers and footers
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

Wanted = dict[int, Any]  # ids of fields of a structure, with those wanted of its own fields

HEADER_BYTES = (1 << 9, 1 << 14, 1 << 24)  # read at once, more if a header is longer
FOOTER_END = 8  # bytes: the length of the footer, and PAR1
BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 3, 7, 8, 9, 10, 11, 12  # of the compact protocol
TRUTH_VALUES, INTEGERS = (1, 2), (4, 5, 6)
UNCOMPRESSED, COMPRESSED = 2, 3  # fields of the header of a page
ROW_GROUPS, COLUMNS, METADATA = 4, 1, 3  # fields of the footer, a row group, a column
SIZE, DATA, DICTIONARY = 7, 9, 11  # fields of the metadata of a column: size and positions
PAGE: Wanted = {UNCOMPRESSED: {}, COMPRESSED: {}}
FOOTER: Wanted = {ROW_GROUPS: {COLUMNS: {METADATA: {SIZE: {}, DATA: {}, DICTIONARY: {}}}}}


def page_sizes(path: Path) -> Iterator[int]:
    """Yield the uncompressed sizes of all pages in bytes, up to a damaged header.

    Raises:
        IndexError: If the footer is damaged, which may also be another exception.
    """
    with open(path, "rb") as file:
        for group in _read_footer(file)[ROW_GROUPS]:
            for column in group[COLUMNS]:
                metadata = column[METADATA]
                start = min(metadata[name] for name in (DATA, DICTIONARY) if metadata.get(name))
                yield from _pages(file, start, metadata[SIZE])


def _read_footer(file: BinaryIO) -> dict[int, Any]:
    end = file.seek(-FOOTER_END, os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(end - length)
    return CompactReader(file.read(length)).structure(FOOTER)


def _pages(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    position = start
    while position < start + size:
        page, length = _read_header(file, position)
        if page.get(COMPRESSED, -1) < 0:
            return
        yield page.get(UNCOMPRESSED, 0)
        position += length + page[COMPRESSED]


def _read_header(file: BinaryIO, position: int) -> tuple[dict[int, Any], int]:
    """Return the header of a page and its length; an empty one if it is damaged."""
    for length in HEADER_BYTES:
        file.seek(position)
        content = file.read(length)
        reader = CompactReader(content)
        try:
            return reader.structure(PAGE), reader.position
        except (IndexError, ValueError, RecursionError):  # it is longer, or damaged
            if len(content) < length:
                break
    return {}, 0


class CompactReader:
    """Read a structure in the compact protocol of Thrift.

    Args:
        content: Bytes that start with the structure.

    Attributes:
        position: Number of bytes that were read.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def structure(self, wanted: Wanted) -> dict[int, Any]:
        """Read the fields of a structure, and return the wanted ones by their ids.

        Raises:
            IndexError: If the structure is longer than the content.
            ValueError: If a field has an unknown type.
        """
        fields, field = {}, 0
        while byte := self._byte():
            field = field + (byte >> 4) if byte >> 4 else self._integer()
            value = self._value(byte & 15, wanted.get(field))
            if field in wanted:
                fields[field] = value
        return fields

    def _value(self, kind: int, wanted: Wanted | None) -> Any:
        if kind == STRUCT:
            return self.structure(wanted or {})
        if kind in (LIST, SET):
            byte = self._byte()
            items = self._items(self._varint() if byte >> 4 == 15 else byte >> 4, byte & 15, wanted)
            return list(items) if wanted is not None else sum(0 for _ in items)
        if kind == MAP:  # of keys and values, in turn
            count = self._varint()
            kinds = self._byte() if count else 0
            for _ in range(count):
                list(self._items(1, kinds >> 4, None))
                list(self._items(1, kinds & 15, None))
            return None
        return self._number(kind)

    def _number(self, kind: int) -> int:
        if kind in INTEGERS:
            return self._integer()
        if kind == BINARY:
            length = self._varint()
            self.position += length
        elif kind in (BYTE, DOUBLE):
            self.position += 1 if kind == BYTE else 8
        elif kind not in TRUTH_VALUES:  # which have no bytes
            raise ValueError(f"unknown type {kind} of the compact protocol")
        return 0

    def _items(self, count: int, kind: int, wanted: Wanted | None) -> Iterator[Any]:
        for _ in range(count):
            yield self._value(BYTE if kind in TRUTH_VALUES else kind, wanted)
            if self.position > len(self._content):
                raise IndexError(self.position)

    def _byte(self) -> int:
        self.position += 1
        return self._content[self.position - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
