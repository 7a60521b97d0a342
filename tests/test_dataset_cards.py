"""The site has a card for each benchmark dataset, and its table has the counts of the files."""

import re
from pathlib import Path

import pytest
from count_datasets import PAGE, count, counted
from dataset_cards import benchmarks, card, configs_of, paragraphs, remote_files

from rnn_lab import datamodules

NAMES = list(benchmarks())
PAGE_TEXT = PAGE.read_text(encoding="utf-8")


def lines_of(name: str) -> list[str]:
    return re.findall(rf"^\| {name} \|.*$", counted(PAGE_TEXT), re.M)


def test_every_data_module_is_a_benchmark_or_generated_or_reads_files():
    others = [name for name in datamodules.__all__ if name not in NAMES]
    generated = ("Synthetic", "AddingProblem", "CopyMemory")
    assert [n for n in others if not n.startswith(generated) and not n.endswith("Files")] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_card_states_origin_license_files_and_commands(name):
    text = "\n".join(card(name))
    assert "<http" in paragraphs(benchmarks()[name])[-1]
    assert re.search(r"licen|CC BY|public domain|\buse\b", paragraphs(benchmarks()[name])[-1])
    assert remote_files(benchmarks()[name])[0].name in text
    assert all(f"-c {config} " in text for config in configs_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_table_has_the_number_of_records_that_the_class_checks(name):
    declared = vars(benchmarks()[name]).get("counts", {})
    for line in lines_of(name):
        split, shown = line.split(" | ")[1:3]
        assert split not in declared or shown == f"{declared[split]:,}"


@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_the_counts_of_the_files(name, data_root: Path):
    assert list(count(name)) == lines_of(name), "run python docs/count_datasets.py"
