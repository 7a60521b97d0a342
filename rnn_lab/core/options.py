"""Groups of options: small dataclasses that constructors take and checkpoints store as mappings."""

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rnn_lab.errors import UserError

if TYPE_CHECKING:  # typeshed has no module at run time
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


def check_named_arguments(cls: type) -> None:
    """Check that a constructor names its arguments, by which a checkpoint stores them.

    Raises:
        UserError: If it has an argument such as `*args` or `**kwargs`.
    """
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise UserError(
                f"the constructor of {cls.__name__} has the argument {parameter}, but a checkpoint "
                "can only store arguments by name: list all of them"
            )


def as_options(cls: type[Options], value: Options | Mapping[str, Any] | None) -> Options:
    """Return a group of options as an instance of its dataclass.

    Args:
        cls: The dataclass.
        value: An instance, which is returned as it is; a mapping from names of fields to values,
            as a checkpoint stores it; or None for the defaults of all fields.

    Raises:
        UserError: If it is none of these, the mapping has a key that is no field, or a field has
            another value than its choices.
        TypeError: If a field has a value of another type than it takes.
    """
    if isinstance(value, cls):
        _check_types(cls, vars(value))
        return value
    if value is None:
        return cls()
    if not isinstance(value, Mapping):
        raise UserError(f"expected {cls.__name__} or a mapping, got {type(value).__name__}")
    names = [field.name for field in fields(cls)]
    unknown = sorted(set(value) - set(names))
    if unknown:
        raise UserError(
            f"{cls.__name__} has no option {unknown[0]!r}; its options are {', '.join(names)}"
        )
    _check_types(cls, value)
    return cls(**value)


def _check_types(cls: Any, values: Mapping[str, Any]) -> None:
    """Check the values of fields that take numbers, strings, truth values or None."""
    hints = get_type_hints(cls)
    for name, value in values.items():
        if not fits(value, hints[name]):
            expected = " or ".join(_describe(hints[name]))
            is_choice = isinstance(value, str) and "one of" in expected
            error = UserError if is_choice else TypeError
            raise error(f"{cls.__name__}.{name} must be {expected}, got {value!r}")


def _describe(hint: Any) -> list[str]:
    """Return the types and choices that an argument takes."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return [f"one of {', '.join(map(str, args))}"]
    if origin in (Union, UnionType):
        return [each for arg in args for each in _describe(arg)]
    return ["None" if hint is NoneType else getattr(hint, "__name__", str(hint))]


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value has the type of an argument that takes a number, a string or None.

    An argument of any other type accepts every value. A whole number is also a float.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in args
    if origin in (Union, UnionType):
        return any(fits(value, arg) for arg in args)
    if hint is float:
        return type(value) in (int, float)
    return hint not in (str, int, bool, NoneType) or type(value) is hint


def option_group(cls: Any, argument: str) -> Any:
    """Return the dataclass that an argument of a constructor takes; None if it takes none."""
    try:
        hint = get_type_hints(cls.__init__).get(argument)
    except (AttributeError, NameError, TypeError):
        return None
    return next((each for each in (hint, *get_args(hint)) if is_dataclass(each)), None)


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
