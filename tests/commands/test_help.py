"""Short help: it names real options, its examples parse, and it is shown without heavy imports."""

import inspect
import re
import shlex
import subprocess
import sys

import pytest
from measured import all_alike

from rnn_lab import datamodules, models
from rnn_lab.__main__ import commands, main
from rnn_lab.benchmarks import measure
from rnn_lab.commands import _cli, _help, kernels
from rnn_lab.commands._parsing import ConciseErrorsMixin, split_options
from rnn_lab.commands._spelling import check_known, nested_names
from rnn_lab.core.options import option_group
from rnn_lab.core.task import Task

OTHERS = [name for name in commands() if name not in (*_help.TRAINING, "list")]
EXAMPLES = [(name, line) for name in commands() for line in _help.examples(name)]
PUBLIC = [("model", each) for each in models.__all__]
PUBLIC += [("data", each) for each in datamodules.__all__]


class Built(Exception):
    """Carries a parser instead of parsing."""


@pytest.fixture(scope="module")
def training_options():
    """The options of the parsers of `fit`, `validate` and `test`."""

    def stop(cli, parser, args):
        raise Built(vars(cli._parser(args[0]))["_option_string_actions"])

    options = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_cli.LabCLI, "parse_arguments", stop)
        for name in _help.TRAINING:
            with pytest.raises(Built) as built:
                _cli.LabCLI([name])
            options[name] = built.value.args[0]
    return options


def options_in(text):
    """The options that a help describes, by the names at the beginning of its lines."""
    return set(re.findall(r"^  (-[-\w.]+)", text, re.MULTILINE))


@pytest.mark.parametrize("command", _help.TRAINING)
def test_every_option_in_the_help_of_training_exists(command, training_options):
    actions = training_options[command]
    shown = options_in(_help.command_help(command))
    assert {"--ckpt_path", "--data.help", "--trainer.devices", "--print_config"} < shown
    for name in shown:
        check_known([[name]], actions, nested_names(actions))
        if name not in actions:
            assert name.removeprefix("--model.") in inspect.signature(Task).parameters


@pytest.mark.parametrize("command", OTHERS)
def test_the_help_of_other_commands_has_every_option(command, monkeypatch):
    def stop(parser, *args):
        raise Built(parser)

    monkeypatch.setattr(ConciseErrorsMixin, "parse_args", stop)
    with pytest.raises(Built) as built:
        main([command])
    (parser,) = built.value.args
    spellings = ([n for n in each.option_strings if n[-1] != "+"] for each in parser._actions)
    names = {each[-1] for each in spellings if each}
    assert options_in(_help.command_help(command)) == names - {"--help"}


@pytest.mark.parametrize("command", commands())
def test_the_help_fits_on_one_screen(command, capsys):
    assert main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(f"usage: rnn-lab {command} ")
    assert main(["help", command]) == 0
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("option", ["-c CONFIG", "--print_config", "--model NAME"])
def test_the_main_options_are_explained_in_one_line_each(option):
    text = _help.command_help("fit")
    assert re.search(rf"^  {option} .*\n  \S", text, re.MULTILINE)


def test_every_command_has_an_example_and_fit_has_one_of_each_kind():
    assert {name for name, _ in EXAMPLES} == set(commands())
    text = " ".join(_help.examples("fit"))
    for word in ("TextFiles", "translator", "ForecastingFiles"):
        assert word in text


@pytest.mark.parametrize(("command", "line"), EXAMPLES)
def test_the_examples_parse(command, line, tmp_path, monkeypatch, capsys, training_options):
    monkeypatch.chdir(tmp_path)
    program, name, *options = shlex.split(line)
    assert (program, name) == ("rnn-lab", command)
    if command == "fit":
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, *options, "--print_config"])
        assert "class_path: rnn_lab." in capsys.readouterr().out
        return
    if command in _help.TRAINING:
        actions = training_options[command]
        check_known(split_options(options), actions, nested_names(actions))
    if command == "claims":
        options = [*options, "--list"]  # else it trains
    if command == "bench":
        monkeypatch.setattr(measure, "measure", all_alike)
    if command == "kernels":
        monkeypatch.setattr(kernels, "build", lambda compiler: "kernels.so")
    status = main([command, *options])
    error = capsys.readouterr().err
    missing = r"\w\.ckpt\b.* not .*|is not a folder|space\.yaml cannot be read"
    assert status == 0 or (status == 1 and re.search(missing, error)), error


@pytest.mark.parametrize(("kind", "name"), PUBLIC)
def test_the_options_of_a_class_are_those_of_its_constructor(kind, name):
    cls = getattr(models if kind == "model" else datamodules, name)
    found = _help.public_class(kind, name)
    expected = [each for each in inspect.signature(cls).parameters if each != "self"]
    assert list(found.arguments()) == expected
    for argument, described in found.arguments().items():
        assert described.text, f"{name}.{argument} is not described"
        group = option_group(cls, argument)
        assert (group and group.__name__) == (described.group and described.group.name)
        if group is not None:
            assert list(described.group.arguments()) == list(group.__dataclass_fields__)


def test_the_help_of_a_model_hides_what_the_data_sets(capsys):
    assert main(["fit", "--model.help", "TextClassifier"]) == 0
    shown = capsys.readouterr().out
    assert {"--model.hidden_dim", "--model.dropouts.word"} < options_in(shown)
    assert "The data sets vocab_size, num_classes." in shown
    assert "vocab_size" not in "".join(options_in(shown))


def test_the_help_with_model_and_data_shows_the_options_of_both(capsys):
    args = ["--model=rnn_lab.LSTMForecaster", "--data", "ETTh1"]
    assert main(["fit", *args, "--help"]) == 0
    shown = capsys.readouterr().out
    assert {"--model.hidden_dim", "--data.horizon"} < options_in(shown)
    assert "rnn-lab fit --help" in shown


def test_the_whole_help_comes_from_the_parser(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["fit", "--help=all"])
    shown = capsys.readouterr().out
    assert "--trainer.detect_anomaly" in shown
    assert len(shown.splitlines()) > 200


def test_a_class_path_is_left_to_the_parser():
    assert _help.short_help("fit", ["--model.help=my_package.MyModel"]) is None
    assert _help.short_help("fit", ["--model=LSTMClassifier"]) is None
    assert "usage: rnn-lab fit" in _help.short_help("fit", ["--model=my_package.MyModel", "-h"])


@pytest.mark.parametrize("args", [[], ["--help"], ["fit", "--help"], ["predict", "-h"]])
def test_help_imports_neither_torch_nor_lightning(args):
    code = (
        f"import sys\nfrom rnn_lab.__main__ import main\nassert main({args!r}) == 0\n"
        "assert not {'torch', 'lightning', 'jsonargparse', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_greeting_names_three_commands_that_parse(capsys, monkeypatch):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert len(_help.GREETING) == 3
    for line in _help.GREETING:
        assert f"  {line} " in shown
        command, *options = shlex.split(line)[1:]
        if command == "fit" and "--help" not in options:
            options.append("--print_config")
            with pytest.raises(SystemExit, match=r"^0$"):
                main([command, *options])
        else:
            assert main([command, *options]) == 0
