"""Tables and files of results."""

import json

from measured import result

from rnn_lab.benchmarks.comparison import Comparison, Variant
from rnn_lab.benchmarks.report import as_json, header, table
from rnn_lab.benchmarks.settings import Settings

VARIANTS = [Variant(name, name) for name in ("nn.GRU", "GRU")]
COMPARED = Comparison("layers", "2 x 3", {}, VARIANTS, ["nn.GRU"], [["nn.GRU", "GRU"]], "tokens")
MEASURED = result(COMPARED, {"nn.GRU": [1.0, 2.0, 4.0], "GRU": [1.0, 1.0, 1.0]})
MACHINE = {
    **{"rnn_lab": "1", "torch": "2", "processor": "P", "system": "S", "cores": 2},
    **{"device": "cpu", "kernels": "PyTorch", "capability": "AVX"},
}


def test_a_file_has_every_round_and_all_ratios():
    written = json.loads(json.dumps(as_json(MACHINE, Settings(threads=(1, 2)), [MEASURED])))
    assert written["machine"] == MACHINE
    assert written["settings"]["threads"] == [1, 2]
    (comparison,) = written["comparisons"]
    assert (comparison["part"], comparison["title"], comparison["unit"]) == (
        "layers", "2 x 3", "tokens",
    )  # fmt: skip
    variant = comparison["variants"][1]
    assert variant["seconds"] == [1.0, 1.0, 1.0]
    assert variant["per_second"] == 10.0
    assert variant["flops_per_second"] == 2e10
    assert variant["gemm_share"] == 0.2
    assert variant["kernels"] == "PyTorch"
    assert variant["time_ratios"]["nn.GRU"] == {
        "rounds": [1.0, 0.5, 0.25], "median": 0.5, "low": 0.375, "high": 0.75, "best": 1.0,
    }  # fmt: skip


def test_a_table_has_a_row_per_variant_with_ratio_spread_memory_and_share():
    title, _, head, _, first, second = table(MEASURED).splitlines()
    assert title == "layers: 2 x 3; matrix products 100 GFLOP/s"
    assert head.split() == [
        "|",
        "variant",
        "|",
        "tokens/s",
        "|",
        "/",
        "nn.GRU",
        "|",
        "peak",
        "MB",
        "|",
        "GFLOP/s",
        "|",
        "of",
        "products",
        "|",
    ]
    assert first.split("|")[3].strip() == "1"
    assert second.split("|")[3].strip() == "0.50 (0.38 to 0.75)"
    assert second.split("|")[-2].strip() == "20%"
    assert len(head) == len(first) == len(second)


def test_what_is_not_known_is_left_empty():
    for variant in (unknown := result(COMPARED, {"nn.GRU": [1.0], "GRU": [1.0]})).variants:
        variant.flops, variant.megabytes = 0.0, None
    assert "GFLOP" not in table(unknown).splitlines()[2]
    row = as_json(MACHINE, Settings(), [unknown])["comparisons"][0]["variants"][0]
    assert row["megabytes"] is row["gemm_share"] is row["flops_per_second"] is None


def test_the_header_names_versions_and_kernels():
    assert "torch 2, bfloat16 autocast, 9 rounds" in header(MACHINE, Settings(bfloat16=True))
    assert "kernels: PyTorch" in header(MACHINE, Settings())
