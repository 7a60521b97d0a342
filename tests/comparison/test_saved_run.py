"""A run is read from its folder, also a damaged one."""

import pytest
from saved_runs import accuracy_run, write_run

from rnn_lab.comparison.saved_run import read_run
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import CONFIG, COST, METRICS, STATE


def test_options_scores_and_costs(tmp_path):
    run = read_run(accuracy_run(tmp_path / "a", 0.75, seed=4))
    assert (run.seed, run.options["model.layer"]) == ("4", "LSTM")
    assert dict(run.scores) == {"test/accuracy": 0.75}
    assert (run.cost["parameters"], run.targets_per_second) == (1000, 100.0)
    assert run.items.exists()


def test_a_run_that_was_killed_early_has_no_costs(tmp_path):
    folder = write_run(tmp_path / "a")
    for name in (COST, METRICS, STATE):
        (folder / name).unlink()
    run = read_run(folder)
    assert (dict(run.scores), run.state, run.cost, run.targets_per_second) == ({}, {}, {}, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, r"a has no config.yaml: it is not the folder of a run"),
        ("a: [", r"config.yaml cannot be read: .*"),
        ("- 1", r"config.yaml is not the config of a run"),
    ],
    ids=["missing", "broken", "list"],
)
def test_a_folder_without_a_readable_config_is_refused(text, reason, tmp_path):
    folder = write_run(tmp_path / "a")
    (folder / CONFIG).unlink() if text is None else (folder / CONFIG).write_text(text)
    with pytest.raises(UserError, match=reason) as error:
        read_run(folder)
    assert "\n" not in str(error.value)
