"""Installed packages that extend rnn_lab through entry points; none is imported here."""

from importlib.metadata import EntryPoint, entry_points

GROUP = "rnn_lab"  # the entry point group


def plugins() -> list[EntryPoint]:
    """Return the entry points of the group `rnn_lab`, sorted by name.

    A package declares one in its `pyproject.toml`, for example
    `[project.entry-points.rnn_lab]` with `tagger = "conll_tagger"`.
    """
    return sorted(entry_points(group=GROUP), key=lambda plugin: plugin.name)
