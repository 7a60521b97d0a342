"""Classes are read from source files as Python would see them."""

import pytest

from rnn_lab.commands._sources import (
    entries,
    find_class,
    first_sentence,
    module_file,
    public_class,
    resolve,
    section,
)

SOURCE = '''
from dataclasses import dataclass
from missing_package import Absent

@dataclass(frozen=True)
class Group:
    """Options.

    Args:
        size: A size.
    """

    size: int = 3
    rate: float = 0.5

class Base:
    """Base.

    Args:
        width: Units of
            the layer. More are slower.
        group: See `Group`.
    """

    a, b = 1, "x"
    c: int = 2

    def __init__(self, width: int, *, group: Group | None = None, flag=True): ...

class Leaf(Base, Absent):
    """Leaf."""

    b = "y"
    c = unknown()

class Late(Base):
    def __init__(self, width: int = 1):
        """Create it.

        Args:
            width (int, optional): Another width.
        """

Assigned = None

class Documented: ...

Documented.__doc__ = r"""Do it.""" + rf"""

    Args:
        {shared}
        lr (float): rate
    """
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return path


def test_a_leaf_inherits_arguments_and_constants(file):
    leaf = resolve("Leaf", file)
    assert leaf.summary == "Leaf."
    arguments = leaf.arguments()
    assert list(arguments) == ["width", "group", "flag"]
    assert (arguments["width"].type, arguments["width"].default) == ("int", None)
    assert arguments["width"].text == "Units of the layer. More are slower."
    assert (arguments["flag"].default, arguments["flag"].text) == ("True", "")
    assert list(arguments["group"].group.arguments()) == ["size", "rate"]
    assert leaf.constants() == {"a": 1, "b": "y"}


def test_a_constructor_may_describe_its_arguments(file):
    late = resolve("Late", file)
    assert late.summary == "Create it."
    assert late.arguments()["width"].text == "Another width."


def test_a_docstring_that_is_assigned_later_is_read(file):
    documented = resolve("Documented", file)
    assert documented.summary == "Do it."
    assert documented.description("lr") == "rate"


def test_what_cannot_be_found_is_none(file):
    assert resolve("Absent", file) is None
    assert resolve("Assigned", file) is None
    assert find_class("missing_package.Class") is None
    assert find_class("rnn_lab.training.Absent") is None
    assert module_file("") is None
    assert public_class("model", "IMDB") is None


@pytest.mark.parametrize(
    ("path", "argument"),
    [
        ("torch.optim.Adam", "lr"),
        ("lightning.pytorch.trainer.trainer.Trainer", "max_epochs"),
        ("lightning.pytorch.callbacks.EarlyStopping", "monitor"),
        ("rnn_lab.training.CosineDecay", "warmup"),
    ],
)
def test_arguments_of_classes_that_packages_re_export_are_described(path, argument):
    cls = find_class(path)
    assert cls.name == path.rpartition(".")[2]
    assert len(cls.arguments()[argument].text) > 10


def test_sections_of_docstrings():
    text = "Run.\n\nArgs:\n    a: First\n        thing: x.\n\nAttributes:\n    b (int): Second.\n"
    assert entries(text) == {"a": "First thing: x.", "b": "Second."}
    assert section("Run.", "Examples") == []
    assert first_sentence("See :class:`A`. It runs.") == "See `A`."
