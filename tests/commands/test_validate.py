"""`rnn-lab validate`."""

import pytest
from command_line import BEST, rows, run

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_validate_reproduces_the_metrics_of_training(trained):
    assert run("validate", "--ckpt_path", BEST) == 0
    (expected,) = [row["val/accuracy"] for row in rows() if row["val/accuracy"]]
    assert rows("metrics.validate.csv")[-1]["val/accuracy"] == expected
