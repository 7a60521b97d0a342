"""Files of run folders are read as far as they are complete."""

from PIL import Image

from rnn_lab.reporting.saved_files import (
    data_uri,
    read_entries,
    read_frame,
    read_table,
    read_text,
)


def test_missing_files_are_empty(tmp_path):
    assert read_frame(tmp_path) == {}
    assert read_table(tmp_path / "a.csv") == read_entries(tmp_path / "a.jsonl") == []
    assert read_text(tmp_path / "a.yaml") == data_uri(tmp_path / "a.png") == ""


def test_the_complete_part_of_interrupted_files_is_read(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,val/loss\n1,0.5\n2")
    assert read_frame(tmp_path) == {"step": [1, 2], "val/loss": [0.5, None]}
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3")
    assert read_table(tmp_path / "a.csv") == [{"a": "1", "b": "2"}]
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": ')
    assert read_entries(tmp_path / "a.jsonl") == [{"a": 1}]
    for damaged in (b"\xff", b"[]", b""):
        (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n{"a": 2}\n' + damaged + b'\n{"a": 3}\n')
        assert read_entries(tmp_path / "a.jsonl") == [{"a": 1}, {"a": 2}]
    assert read_entries(tmp_path / "a.jsonl", 1) == [{"a": 1}]


def test_damaged_files_are_empty(tmp_path):
    for name, content in (("metrics.csv", b"step\nx\n"), ("a.csv", b"\xff"), ("a.png", b"x")):
        (tmp_path / name).write_bytes(content)
    assert read_frame(tmp_path) == {}
    assert read_table(tmp_path / "a.csv") == []
    assert data_uri(tmp_path / "a.png") == ""


def test_an_image_becomes_a_data_uri(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert data_uri(tmp_path / "a.png").startswith("data:image/png;base64,")
