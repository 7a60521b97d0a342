"""Names of model and data in options and config files."""

from pathlib import Path

import pytest

from rnn_lab.commands._class_paths import default_optimizer, is_class_path, named_classes

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_names_in_config_files_come_before_those_in_options():
    Path("a.yaml").write_text("model: {class_path: a.Model}\ndata: Data\n")
    options = [["--model=b.Model"], ["-c", "a.yaml"], ["--data.class_path", "c.Data"]]
    assert list(named_classes(options)) == [
        *(("model", "a.Model"), ("data", "Data")),
        *(("model", "b.Model"), ("data", "c.Data")),
    ]


@pytest.mark.parametrize("text", ["model: [", "- model", "\0", "model: 3"])
def test_an_invalid_config_names_nothing(text):
    Path("a.yaml").write_text(text)
    assert not list(named_classes([["-c", "a.yaml"], ["--config=missing.yaml"]]))


def test_a_class_path_is_no_name_config_or_file():
    Path("model.yaml").touch()
    assert is_class_path("package.Model")
    for value in ("Model", "{class_path: a.B}", "a-b.Model", "3.Model", "model.yaml", "a..B"):
        assert not is_class_path(value)


@pytest.mark.parametrize(
    ("config", "line", "added"),
    [
        ("model: {class_path: A}", ["--model.optimizer.lr=1"], True),
        ("model: {init_args: {optimizer: {class_path: B}}}", ["--model.optimizer.lr=1"], False),
        ("model: {optimizer: B}", ["--model.optimizer.lr=1"], False),
        ("[", ["--model.optimizer.lr=1"], True),
        ("model: {class_path: A}", ["--model.optimizer=B", "--model.optimizer.lr=1"], False),
        ("model: {class_path: A}", ["--model.layer=GRU"], False),
    ],
    ids=["unset", "set", "short", "broken", "line", "other"],
)
def test_options_of_no_optimizer_are_those_of_adam(config, line, added, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(config)
    options = [["-c", str(path)], *([option] for option in line)]
    assert default_optimizer(options) == [["--model.optimizer=torch.optim.Adam"]] * added
