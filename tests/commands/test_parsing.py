"""Grouping and precedence of command-line options, and error messages."""

import pytest

from rnn_lab.commands._parsing import explain, sort_by_precedence, split_options, value_of
from rnn_lab.errors import UserError


def test_options_are_grouped_with_their_values():
    args = ["--a=1", "-c", "x.yaml", "--b", "-2", "--flag", "--input", "-"]
    expected = [["--a=1"], ["-c", "x.yaml"], ["--b", "-2"], ["--flag"], ["--input", "-"]]
    assert split_options(args) == expected


def test_config_files_and_classes_take_precedence_in_sorting():
    options = split_options(["--data.x=1", "--model.y=2", "--model=M", "-c", "a", "-c", "b"])
    expected = [["-c", "a"], ["-c", "b"], ["--model=M"], ["--data.x=1"], ["--model.y=2"]]
    assert sort_by_precedence(options) == expected


@pytest.mark.parametrize("option", [["--a=b=c"], ["--a", "b=c"]])
def test_a_value_is_given_with_or_without_equals_sign(option):
    assert value_of(option) == "b=c"


@pytest.mark.parametrize("option", [["--a"], ["--a", "b", "c"]])
def test_an_option_requires_exactly_one_value(option):
    with pytest.raises(UserError, match="--a needs a value"):
        value_of(option)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Parser key \"trainer.max_epochs\":\n  Expected a <class 'int'>\n  Given value: many",
            "--trainer.max_epochs must be int, got many",
        ),
        (
            "Parser key \"model\":\n  Expected a <class 'int'>\n  Expected a <class 'NoneType'>\n"
            "  Given value: x",
            "model must be int, got x",
        ),
        ('Parser key "a.b":\n  Given value: x', "invalid value for --a.b: x"),
        ("Option required: fit.model", "give --model=NAME, see `rnn-lab list` for the names"),
        (
            "arguments are required: ckpt_path",
            "give --ckpt_path=FILE, or --ckpt_path=best with the --name of a run",
        ),
        ("arguments are required: input", "give --input"),
        ("anything\n  else", "anything else"),
    ],
)
def test_an_error_message_of_the_parser_becomes_one_line(message, line):
    assert explain(message) == line


@pytest.mark.parametrize(
    ("message", "line", "explained"),
    [
        ('Parser key "lr":\n  Expected a <class \'float\'>\n  Given value: x',
         "--model.optimizer.lr=x", "--model.optimizer.lr must be float, got x"),
        ('Parser key "hidden_dim":\n  Expected a <class \'int\'>. Got value: 1.5',
         "--model.hidden_dim=1.5", "--model.hidden_dim must be int, got 1.5"),
        ('Parser key "trainer.callbacks":\n - No module named \'nope\'\n Given value: nope.X',
         "--trainer.callbacks+=nope.X",
         "--trainer.callbacks=nope.X cannot be imported: No module named 'nope'"),
        ('Parser key "a":\n - Expected a typing.Literal[\'x\', \'y\']\n Given value: z',
         "--a=z", "--a must be one of x, y, got z"),
        ("Option 'lrr' is not accepted", "--model.optimizer.lrr=1",
         "unknown option --model.optimizer.lrr; it can be lr"),
        ("arguments are required: save_dir", "--trainer.logger=TensorBoardLogger",
         "give --trainer.logger.save_dir"),
        ("unrecognized arguments: --rl=1", "--rl=1", "unrecognized arguments: --rl=1"),
    ],
)  # fmt: skip
def test_an_error_names_the_option_as_it_is_written_and_keeps_the_reason(message, line, explained):
    assert explain(message, [[line]], ["lr", "betas"]) == explained
