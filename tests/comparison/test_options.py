"""Options of runs have the names of the command line, and differences leave out seeds and names."""

from rnn_lab.comparison.options import differing, flatten, labels


def test_classes_and_their_arguments_are_options():
    config = {
        "seed_everything": 3,
        "model": {
            "class_path": "rnn_lab.TextClassifier",
            "init_args": {
                "dropouts": {"word": 0.1},
                "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
                "layer_kwargs": None,
            },
        },
        "trainer": {"callbacks": [{"class_path": "a.EMA", "init_args": {"decay": 0.9}}]},
    }
    assert flatten(config) == {
        "seed_everything": "3",
        "model": "TextClassifier",
        "model.dropouts.word": "0.1",
        "model.optimizer": "Adam",
        "model.optimizer.lr": "0.001",
        "model.layer_kwargs": "null",
        "trainer.callbacks": "EMA(decay=0.9)",
    }


def test_labels_are_equal_only_for_equal_values():
    one, other = {"a": "8", "c": "1"}, {"b": "8", "c": "1"}
    named = labels([one, other, one, {"a": "9"}, {}], ["a", "b"])
    assert named == ["a=8, b=-", "a=-, b=8", "a=8, b=-", "9", "-"]
    assert labels([{"a": "x", "b": "null"}, {"a": "y", "b": "2"}], ["a", "b"]) == ["x", "y, 2"]


def test_only_what_is_compared_differs():
    one = {"seed_everything": "1", "name": "a", "model.dim": "8", "data.batch_size": "4"}
    other = {"seed_everything": "2", "name": "b", "model.dim": "16", "model.heads": "2"}
    assert differing([one, one]) == {}
    assert differing([one, other]) == {
        "model.dim": ["8", "16"],
        "data.batch_size": ["4", "-"],
        "model.heads": ["-", "2"],
    }
