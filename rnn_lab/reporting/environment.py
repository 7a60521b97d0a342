"""The environment of Jinja in which the templates of reports are rendered."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rnn_lab.reporting.parts import clean


def _finalized(value: Any) -> Any:
    """Replace what a page must not contain; markup is left as it is."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


ENVIRONMENT = Environment(
    loader=PackageLoader("rnn_lab.reporting"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_finalized,
    trim_blocks=True,
    lstrip_blocks=True,
)
