"""Groups of options: small dataclasses that constructors take and checkpoints store as mappings."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from rnn_lab.errors import UserError

Options = TypeVar("Options")


def as_options(cls: type[Options], value: Options | Mapping[str, Any] | None) -> Options:
    """Return a group of options as an instance of its dataclass.

    Args:
        cls: The dataclass.
        value: An instance, which is returned as it is; a mapping from names of fields to values,
            as a checkpoint stores it; or None for the defaults of all fields.

    Raises:
        UserError: If it is none of these, or the mapping has a key that is no field.
    """
    if isinstance(value, cls):
        return value
    if value is None:
        return cls()
    if not isinstance(value, Mapping):
        raise UserError(f"expected {cls.__name__} or a mapping, got {type(value).__name__}")
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    unknown = sorted(set(value) - set(names))
    if unknown:
        raise UserError(
            f"{cls.__name__} has no option {unknown[0]!r}; its options are {', '.join(names)}"
        )
    return cls(**value)


def option_group(cls: type, argument: str) -> type | None:
    """Return the dataclass that an argument of a constructor takes; None if it takes none."""
    try:
        hint = get_type_hints(cls.__init__).get(argument)  # type: ignore[misc]
    except (AttributeError, NameError, TypeError):
        return None
    return next((each for each in (hint, *get_args(hint)) if is_dataclass(each)), None)  # type: ignore[return-value]


def plain_options(value: Any) -> Any:
    """Return a value with every group of options in it, at any depth, as a plain dict.

    A checkpoint read with `weights_only=True` holds no instances of dataclasses.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain_options(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain_options(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain_options(each) for each in value)
    return value
