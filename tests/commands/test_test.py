"""`rnn-lab test`: what a checkpoint determines, and what options override."""

from pathlib import Path

import pytest
import torch
from command_line import BEST, OWN, REVIEWS, RUN, SIZES, error_of, resolved, rows, run

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_test_requires_only_a_checkpoint_which_options_override(trained, capfd):
    assert run("test", "--ckpt_path", BEST, "--data.batch_size=5") == 0
    config = resolved("config.test.yaml")
    assert config["ckpt_path"] == str(BEST)  # the tested checkpoint
    assert config["data"]["init_args"]["batch_size"] == 5  # from the command line
    assert config["data"]["init_args"]["test_size"] == 24  # from the checkpoint
    assert 0 <= float(rows("metrics.test.csv")[-1]["test/accuracy"]) <= 1
    assert "test/accuracy" not in rows()[-1]  # the training metrics are unchanged
    assert (RUN / "confusion_matrix.png").exists()
    assert (RUN / "misclassified.csv").exists()


def test_the_saved_averaged_weights_are_tested():
    """Lightning would test the weights before averaging, which it keeps for resuming."""
    average = [
        "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
        "--trainer.callbacks.decay=0.9",
    ]
    rate = ["--model.optimizer=Adam", "--model.optimizer.lr=0.05"]
    assert run("fit", *REVIEWS, *SIZES, *average, *rate, "--name=a", "--test=true") == 0
    assert run("test", "--ckpt_path", BEST, *average) == 0
    after_fit = [row["test/loss"] for row in rows() if row["test/loss"]]
    assert after_fit == [row["test/loss"] for row in rows("metrics.test.csv") if row["test/loss"]]
    saved = torch.load(BEST, weights_only=True)
    assert not torch.equal(
        saved["state_dict"]["fc.weight"], saved["current_model_state"]["fc.weight"]
    )


def test_a_checkpoint_of_own_files_asks_for_the_test_file(capsys):
    Path("own.csv").write_text(OWN)
    args = ["--data=TextFiles", "--data.train=own.csv", "--trainer.max_epochs=1", "--name=own"]
    assert run("fit", "--model=LSTMClassifier", *SIZES, *args) == 0
    best = "runs/TextFiles/own/checkpoints/best.ckpt"
    assert "--data.test=FILE" in error_of(capsys, "test", "--ckpt_path", best)
    assert run("test", "--ckpt_path", best, "--data.test=own.csv") == 0
    saved = torch.load(best, weights_only=True)
    del saved["state_dict"], saved["optimizer_states"]
    assert "own.csv" not in str(saved)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model=PackedLSTM"], "was saved by LSTMClassifier"),
        (["--model.hidden_dim=9"], "best.ckpt do not match"),
        (["--data=SyntheticChirps"], "try LSTMSequenceClassifier"),
    ],
)
def test_the_model_of_a_checkpoint_cannot_be_changed(trained, capsys, args, message):
    assert message in error_of(capsys, "test", "--ckpt_path", BEST, *args)
