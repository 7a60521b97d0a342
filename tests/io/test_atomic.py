"""Atomic writes: a file is complete, or unchanged."""

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.atomic import atomic_path, atomic_write


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as file:
        file.write("été\n")
        assert not path.exists()
    assert path.read_bytes() == "été\n".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_file_unchanged_and_no_temporary_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_of_a_killed_writer_is_replaced(tmp_path):
    (tmp_path / ".a.txt.part").write_text("half of another")
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("complete")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_unwritable_folder_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), atomic_write(tmp_path / "file/a"):
        pass
