"""Options that `--sbatch` passes to sbatch do not change what `submit` relies on."""

import pytest

from rnn_lab.commands._sbatch_options import JOB_OPTIONS, SET_BY, check_sbatch_options, gpus_of
from rnn_lab.commands.submit import OPTIONS
from rnn_lab.errors import UserError


@pytest.mark.parametrize("name", SET_BY)
def test_an_option_that_submit_sets_is_refused(name):
    option = f"-{name}" if len(name) == 1 else f"--{name}"
    for line in (f"{option}=1", f"{option} 1", f"--exclusive {option} 1"):
        with pytest.raises(UserError, match=f"give {SET_BY[name]} instead"):
            check_sbatch_options([line], 1)


def test_the_options_to_give_instead_exist():
    names = {text.partition(",")[0].removeprefix("--") for text in SET_BY.values()}
    assert names <= {*OPTIONS, *JOB_OPTIONS, "name"}


@pytest.mark.parametrize(
    "line",
    [
        "--exclusive", "--comment='a -t 1'", "--mem-per-cpu=2G",
        "--dependency=afterok:1", "--gres=tmp:10G", "--nodelist=n1", "-x n1", "--no-requeue",
    ],
)  # fmt: skip
def test_other_options_are_passed_on(line):
    assert not check_sbatch_options([line], 0)


@pytest.mark.parametrize(
    "line", ["--gres=gpu", "--gres gpu:a100:4", "--gres=tmp:1G,gpu:2", "--tres-per-node=gres/gpu:2"]
)
def test_gpus_of_a_generic_resource_need_their_number(line):
    assert check_sbatch_options([line], 2)
    with pytest.raises(UserError, match="train on CPUs: give --gpus-per-node=NUMBER"):
        check_sbatch_options([line], 0)


@pytest.mark.parametrize("line", ["", "exclusive", "-", "--", "--comment='a"])
def test_what_is_no_option_is_refused(line):
    with pytest.raises(UserError, match="--sbatch"):
        check_sbatch_options([line], 0)


@pytest.mark.parametrize("text", ["", "two", "-1", "a100:", ":2", "a100:b:2", "1.5"])
def test_gpus_are_a_number_with_an_optional_type(text):
    assert gpus_of("0") == (0, "")
    with pytest.raises(UserError, match="--gpus-per-node must be a number"):
        gpus_of(text)
