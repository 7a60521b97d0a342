"""Large files of invented content, here small ones."""

import numpy as np
import pyarrow.parquet as pq

from rnn_lab.benchmarks import generated_files


def test_invented_words_differ_and_frequent_ones_are_short():
    words = generated_files.invented_words(np.random.default_rng(0), 300)
    assert len(set(words)) == 300
    assert len(words[0]) < len(words[-1])


def test_texts_have_a_label_and_reach_the_size(tmp_path):
    size = generated_files.write_texts(tmp_path / "texts.txt", 5000)
    assert size >= 5000
    lines = (tmp_path / "texts.txt").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"good", "bad"}
    assert {len(line.split()) for line in lines} == {1 + generated_files.WORDS_PER_TEXT}


def test_a_table_has_a_timestamp_per_second(tmp_path, monkeypatch):
    monkeypatch.setattr(generated_files, "ROWS_AT_ONCE", 3)
    assert generated_files.write_table(tmp_path / "table.parquet", 7) == 7
    table = pq.read_table(tmp_path / "table.parquet").to_pandas()
    assert list(table) == ["date", "y1", "y2", "y3"]
    assert table.date.diff().dropna().dt.total_seconds().eq(1).all()
