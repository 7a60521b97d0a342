"""The command that measures speed; nothing is measured here."""

import json

import pytest
from measured import all_alike, result

from rnn_lab.__main__ import main
from rnn_lab.benchmarks import measure
from rnn_lab.benchmarks.parts import PARTS
from rnn_lab.errors import UserError

QUICK = ["bench", "layers", "--quick", "--layers", "GRU", "--threads", "1"]


@pytest.fixture(autouse=True)
def _alike(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "measure", all_alike)
    monkeypatch.chdir(tmp_path)


def test_a_table_is_printed_for_each_comparison(capsys):
    assert main([*QUICK, "--threads", "1", "2"]) == 0
    printed = capsys.readouterr().out
    assert "float32, 5 rounds" in printed
    assert "\nlayers: 32 x 64 x 128, 1 thread; " in printed
    assert "\nlayers: generated lengths, bidirectional, 128 units, 2 threads; " in printed


def test_tables_are_chosen_by_words_of_their_titles(capsys):
    assert main([*QUICK, "--only", "generated lengths", "none"]) == 0
    printed = capsys.readouterr().out
    assert "generated lengths" in printed
    assert "32 x 64 x 128" not in printed


def test_the_help_names_all_parts(capsys):
    assert main(["bench", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{', '.join(PARTS)} or all" in printed


def test_results_and_a_figure_are_written(tmp_path):
    line = ["--json", "bench.json", "--plot", "bench.png", "--precision=bf16", "--rounds=3"]
    assert main([*QUICK, *line]) == 0
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["settings"]["bfloat16"] is True
    assert written["settings"]["rounds"] == 3
    assert len(written["comparisons"]) == 2
    assert (tmp_path / "bench.png").stat().st_size > 1000


def test_ratios_are_compared_with_those_written_before(capsys, monkeypatch):
    assert main([*QUICK, "--write_baseline", "ratios.json"]) == 0
    assert main([*QUICK, "--baseline", "ratios.json"]) == 0
    assert "all ratios are within 25% of ratios.json" in capsys.readouterr().out

    def slower(comparison, rounds):
        seconds = {each.name: [1.0 + (each.name == "GRU")] for each in comparison.variants}
        return result(comparison, seconds)

    monkeypatch.setattr(measure, "measure", slower)
    assert main([*QUICK, "--baseline", "ratios.json"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # of equal and of different lengths
    assert all("slower by more than 25%" in line for line in lines)


def test_a_comparison_that_fails_does_not_lose_the_others(capsys, monkeypatch, tmp_path):
    def fail_once(comparison, rounds):
        if comparison.references[0] == "nn.LSTM":
            raise UserError("the losses differ")
        return all_alike(comparison, rounds)

    monkeypatch.setattr(measure, "measure", fail_once)
    assert main([*QUICK, "--json", "bench.json"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "rnn-lab: the losses differ\n"
    assert "generated lengths" in printed.out
    assert len(json.loads((tmp_path / "bench.json").read_text())["comparisons"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [*QUICK[1:], "--only", "SST2"],
            "no table has SST2 in its title: 32 x 64 x 128, 1 thread; generated lengths",
        ),
        (["walking"], "there is no part walking: choose from layers"),
        (["--precision=8"], "precision must be 32-true or bf16-mixed, got 8"),
        (["--rounds=0"], "--rounds must be at least 1, got 0"),
        (["--threads", "1", "0"], "--threads must be at least 1, got 0"),
        (["--device=tpu"], "device must be cpu or cuda, got tpu"),
        (["--json", "absent/a.json"], "absent/a.json cannot be written: there is no folder absent"),
        (["layers", "--layers", "GRUU"], "there is no recurrent layer GRUU"),
        (["--baseline", "absent.json"], "absent.json cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(options, message, capsys):
    assert main(["bench", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rnn-lab: {message}")
