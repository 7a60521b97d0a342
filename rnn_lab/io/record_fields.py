"""Records of texts: their fields in objects such as JSON's, and how labels are read."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from rnn_lab.errors import UserError
from rnn_lab.io.lines import format_names

Columns = str | int | Sequence[str | int]


class Record(NamedTuple):
    """A text with its labels.

    Attributes:
        text: The text.
        labels: One label, or any number in multi-label data; none if unlabeled.
        columns: The other columns of its row by name, if they are read.
    """

    text: str
    labels: tuple[str, ...]
    columns: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class RecordOptions:
    """Options of `rnn_lab.io.records.read_records`, and the name of the file in messages."""

    source: str
    text_column: Columns = "text"
    label_column: str | int = "label"
    encoding: str = "utf-8"
    label_separator: str | None = None
    header: bool = True
    labeled: bool = True
    separator: str | None = None
    allow_unlabeled: bool = False
    keep_columns: bool = False
    column_hint: str = ""

    @property
    def text_columns(self) -> Sequence[str | int]:
        """The text columns as a sequence."""
        single = isinstance(self.text_column, str | int)
        return cast(Any, (self.text_column,) if single else self.text_column)

    def has_no(self, kind: str, column: object, names: Iterable[object]) -> str:
        """Return the end of the message on a missing column or key."""
        hint = f" ({self.column_hint})" if self.column_hint else ""
        return f"has no {kind} {column!r}; it has: {format_names(names)}{hint}"

    def labels(self, field: str, location: str) -> tuple[str, ...]:
        """Split a label field without blanks around labels; only in some data it may be empty."""
        if self.label_separator is not None:
            parts = (part.strip() for part in field.split(self.label_separator))
            return tuple(part for part in parts if part)
        label = field.strip()
        if label or self.allow_unlabeled:
            return (label,) if label else ()
        raise UserError(_unlabeled(location))


def record_of_json(line: str, location: str, options: RecordOptions) -> Record:
    """Parse a record from a line with a JSON object."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{location} is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise UserError(f'{location} is not an object such as {{"text": "..."}}')
    return record_of_object(entry, location, options)


def record_of_object(entry: dict[Any, Any], location: str, options: RecordOptions) -> Record:
    """Return the record of an object with a key per column.

    Raises:
        UserError: If a key is missing, or has a value of another type.
    """
    texts = [_text(entry, key, location, options) for key in options.text_columns]
    labels = _labels(entry, location, options) if options.labeled else ()
    columns = {}
    if options.keep_columns:
        columns = {key: entry[key] for key in entry if key not in options.text_columns}
    return Record(" ".join(texts), labels, columns)


def _value(entry: dict[Any, Any], key: Any, location: str, options: RecordOptions) -> Any:
    if key not in entry:
        raise UserError(f"{location} {options.has_no('key', key, entry)}")
    return entry[key]


def _text(entry: dict[Any, Any], key: Any, location: str, options: RecordOptions) -> str:
    text = _value(entry, key, location, options)
    if not isinstance(text, str):
        raise UserError(f"{location}: {key!r} is {text!r:.50}, expected a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{location}: {key!r} contains an unpaired surrogate") from error
    return text


def _labels(entry: dict[Any, Any], location: str, options: RecordOptions) -> tuple[str, ...]:
    missing = entry.get(options.label_column) is None
    if options.allow_unlabeled and missing:
        return ()
    value = _value(entry, options.label_column, location, options)
    if value is None:
        raise UserError(_unlabeled(location))
    if isinstance(value, list):
        return tuple(_label(item, location).strip() for item in value)
    if options.allow_unlabeled and isinstance(value, float) and math.isnan(value):
        return ()
    return options.labels(_label(value, location), location)


def _unlabeled(location: str) -> str:
    return f"{location}: the label is empty (--data.columns.skip_unlabeled=true skips such rows)"


def _label(value: Any, location: str) -> str:
    """Return a label as text; tables store whole numbers with gaps as floats."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str | int):
        raise UserError(f"{location}: label {value!r:.50}, expected a string or an integer")
    return str(value)
