"""What `fit`, `validate` and `test` print when they end."""

import pytest
from command_line import BEST, REVIEWS, SIZES, rows, run

pytestmark = pytest.mark.usefixtures("empty_folder")
METRICS = ["loss", "accuracy", "auroc", "f1"]


def test_fit_prints_the_metrics_of_the_best_checkpoint_once(capsys):
    epochs = "--trainer.max_epochs=3"
    assert run("fit", *REVIEWS, *SIZES, epochs, "--test", "--name=a") == 0
    header, *table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table] == METRICS
    assert len({len(line) for line in (header, *table)}) == 1
    best = max((row for row in rows() if row["val/accuracy"]), key=lambda r: r["val/accuracy"])
    assert header.split() == ["metric", "val", "(epoch", f"{best['epoch']})", "test"]
    for line in table:
        name, *values = line.split()
        expected = best[f"val/{name}"], rows()[-1][f"test/{name}"]
        assert [float(value) for value in values] == pytest.approx(list(map(float, expected)), 1e-3)
        assert all(len(value.lstrip("0.").replace(".", "")) <= 4 for value in values)


@pytest.mark.parametrize(("command", "stage"), [("validate", "val"), ("test", "test")])
def test_an_evaluation_prints_one_table_unless_told_otherwise(command, stage, trained, capsys):
    capsys.readouterr()
    assert run(command, "--ckpt_path", BEST) == 0
    header, *table = capsys.readouterr().out.splitlines()
    assert header.split() == ["metric", stage]
    assert [line.split()[0] for line in table] == METRICS
    assert run(command, "--ckpt_path", BEST, "--verbose=false") == 0
    assert capsys.readouterr().out == ""


def test_a_run_without_validation_prints_no_table(capsys):
    args = ["--trainer.limit_val_batches=0", "--name=a"]
    assert run("fit", *REVIEWS, *SIZES, *args) == 0
    assert capsys.readouterr().out == ""
