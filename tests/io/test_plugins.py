"""Entry points of installed packages."""

from pathlib import Path

import pytest

from rnn_lab.io.plugins import plugins


def test_entry_points_of_the_group_are_listed_by_name_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {plugin.name for plugin in plugins()}
    metadata = tmp_path / "absent_lab-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: absent-lab\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[rnn_lab]\nzulu = absent_lab.b\nalpha = absent_lab.a\n[other]\nignored = absent_lab\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    added = [plugin for plugin in plugins() if plugin.name not in before]
    assert [(plugin.name, plugin.value) for plugin in added] == [
        ("alpha", "absent_lab.a"),
        ("zulu", "absent_lab.b"),
    ]
