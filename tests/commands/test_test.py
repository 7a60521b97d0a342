"""`rnn-lab test`: what a checkpoint determines, and what options override."""

import csv
from pathlib import Path
from unittest.mock import ANY

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


def of_test(command, name):
    """Return the rows of a table that a test of `command` wrote."""
    assert command == 0
    with open(Path("runs", name), newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_texts_with_several_labels_from_training_to_answers(empty_folder, capsys):
    lines = ["text;topics", "goal vote;sport, law", "goal match;sport", "vote;law", "the of;"]
    Path("own.csv").write_text("\n".join([lines[0], *(lines[1:] * 8)]))
    Path("test.csv").write_text("\n".join([lines[0], "goal vote;law, sport", "goal match;law"]))
    args = ["--data=TextFiles", "--data.train=own.csv", "--data.valid=own.csv"]
    args += ["--data.columns.label=topics", "--data.columns.label_separator=,"]
    args += ["--data.batch_size=8", "--trainer.max_epochs=15"]
    model = ["--model=TextClassifier", "--model.loss.multi_label=true", *SIZES]
    fast = ["--model.optimizer=Adam", "--model.optimizer.lr=0.05", "--trainer.accelerator=cpu"]
    assert run("fit", *model, *fast, *args, "--name=a") == 0
    best = "runs/TextFiles/a/checkpoints/best.ckpt"
    status = run("test", "--ckpt_path", best, "--data.test=test.csv")
    assert of_test(status, "TextFiles/a/misclassified.csv") == [
        {
            "row": "2", "text": "goal match", "truth": "law", "predicted": "sport",
            "label": ANY, "probability": ANY,
        }
    ]  # fmt: skip
    scores = of_test(0, "TextFiles/a/per_class.csv")
    assert [(row["label"], row["support"]) for row in scores] == [("law", "2"), ("sport", "1")]
    assert Path("runs/TextFiles/a/confusion_matrix.png").exists()
    capsys.readouterr()
    assert run("predict", "--ckpt_path", best, "--input=test.csv", "--format=text") == 0
    assert capsys.readouterr().out.splitlines() == ["law|sport", "sport"]
    message = error_of(capsys, "fit", *model, *args, "--data.columns.label_separator=")
    assert "label_separator must not be empty" in message


@pytest.mark.slow
def test_labeled_series_from_training_to_answers(empty_folder, capsys):
    def series(label, start):
        return ",".join(str(start + step) for step in range(6)) + f":{label}"

    def write(name, rows):
        Path(name).write_text("\n".join(["@classLabel true low high", "@data", *rows]))

    write("own.ts", [series(*pair) for pair in [("low", -8.0), ("high", 8.0)] * 20])
    write("test.ts", [series("low", -7.5), series("low", 8.5), series("high", 7.5)])
    model = ["--model=GRUClassifier", "--model.hidden_dim=8", "--trainer.accelerator=cpu"]
    model += ["--model.optimizer=Adam", "--model.optimizer.lr=0.05", "--trainer.max_epochs=15"]
    data = ["--data=LabeledSeriesFiles", "--data.train=own.ts", "--data.valid=own.ts"]
    assert run("fit", *model, *data, "--data.batch_size=8", "--name=a") == 0
    best = "runs/LabeledSeriesFiles/a/checkpoints/best.ckpt"
    status = run("test", "--ckpt_path", best, "--data.test=test.ts")
    assert of_test(status, "LabeledSeriesFiles/a/misclassified.csv") == [
        {"row": "2", "steps": "6", "truth": "low", "predicted": "high", "probability": ANY}
    ]
    scores = of_test(0, "LabeledSeriesFiles/a/per_class.csv")
    assert [(row["label"], row["support"]) for row in scores] == [("low", "2"), ("high", "1")]
    capsys.readouterr()
    assert run("predict", "--ckpt_path", best, "--input=test.ts", "--format=text") == 0
    assert capsys.readouterr().out.splitlines() == ["low", "high", "high"]


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


def test_a_checkpoint_with_generated_data_of_a_huge_size_is_refused_in_one_line(trained, capsys):
    content = torch.load(BEST, weights_only=True)
    content["rnn_lab"]["data"]["init_args"]["train_size"] = 10**12
    torch.save(content, "huge.ckpt")
    assert "train_size must be at most" in error_of(capsys, "test", "--ckpt_path=huge.ckpt")
