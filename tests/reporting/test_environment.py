"""Templates escape texts."""

from markupsafe import Markup

from rnn_lab.reporting.environment import ENVIRONMENT


def test_texts_are_escaped_and_markup_is_not():
    template = ENVIRONMENT.from_string("{{ text }}{{ markup }}")
    rendered = template.render(text="<script>\x00", markup=Markup("<b></b>"))
    assert rendered == "&lt;script&gt;�<b></b>"
