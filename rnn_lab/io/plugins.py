"""Installed packages that extend rnn_lab, by their entry points; none is imported here."""

from importlib.metadata import EntryPoint, entry_points

GROUP = "rnn_lab"  # of entry points


def plugins() -> list[EntryPoint]:
    """Return the entry points of the group `rnn_lab`, by name.

    A package declares one in its `pyproject.toml`, for example
    `[project.entry-points.rnn_lab]` with `tagger = "conll_tagger"`.
    """
    return sorted(entry_points(group=GROUP), key=lambda plugin: plugin.name)
