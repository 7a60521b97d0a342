"""What `torch.load` builds from a checkpoint is bounded by the size of the file."""

import io
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch

from rnn_lab.core.checkpoint_pickle import PickleCheck, RefusedPickleError, check_archive

TENSOR = torch.arange(12.0).reshape(3, 4)
PLAIN = {
    "numbers": [0, 1, 255, 256, 65_535, 65_536, -1, 2**40, -(2**70), 1.5, float("inf"), True],
    "text": ["", "a", "été 日本", "x" * 300, "\ud800"],
    "containers": [{}, [], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"a": {"b": [(None,)]}}],
    "ordered": OrderedDict(a=1, b=OrderedDict()),
    "long": list(range(5000)),
    "sets": [set(), {1, 2, 3}],
    "bytes": [b"abc", bytes(range(256))],
    "shared": [TENSOR.tolist()] * 5,
    "shape": [TENSOR.shape, TENSOR.dtype, TENSOR.device],
    "tensors": [TENSOR, TENSOR.t(), TENSOR[1:, ::2], torch.zeros(()), torch.zeros(0), TENSOR],
    "parameter": torch.nn.Parameter(TENSOR),
    "kinds": [
        torch.zeros(2, dtype=dtype)
        for dtype in (
            *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
            *(torch.half, torch.bfloat16, torch.float, torch.double, torch.cfloat, torch.cdouble),
        )
    ],
    "state_dict": torch.nn.LSTM(2, 3, 2).state_dict(),
    "optimizer": torch.optim.Adam(torch.nn.Linear(2, 2).parameters()).state_dict(),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ckpt"


@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_and_tensors_are_accepted(name, path):
    torch.save(PLAIN[name], path)
    check_archive(path)
    torch.load(path, weights_only=True)


def shared(levels, kind):
    value = kind(["a"] * 10)
    for _ in range(levels):
        value = kind([value] * 10)
    return value


def recursive():
    value: list = []
    value.append(value)
    return value


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self._called = function, arguments

    def __reduce__(self):
        return self._called


REFUSED = {
    "a large bytearray": (Calls(bytearray, 5_000_000_000), "builtin__.bytearray"),
    "code": (Calls(print, "x"), "builtin__.print"),
    "a counter": (Calls(__import__("collections").Counter, "x"), "collections.Counter"),
    "shared lists": (shared(13, list), "repeat each other"),
    "shared tuples": (shared(13, tuple), "repeat each other"),
    "a recursive list": (recursive(), "contains itself"),
    "a class": (Calls, "neither tensor nor plain value"),
    "a view of stride 0": (torch.zeros(1).expand(1 << 40), "larger than its data"),
    "a large view": (torch.zeros(2).as_strided((3, 3), (0, 0)), "larger than its data"),
    "many views": ([TENSOR.view(12) for _ in range(40)], "tensors are larger than its data"),
    "quadratic bytes": (
        [Calls(__import__("_codecs").encode, "x" * 30_000, "latin1")] * 1
        + [Calls(__import__("_codecs").encode, PLAIN["text"][3], "utf-16")],
        "unusual bytes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_of_unbounded_size_are_refused(name, path):
    value, message = REFUSED[name]
    torch.save(value, path)
    with pytest.raises(RefusedPickleError, match=message):
        check_archive(path)


def test_many_calls_with_one_long_text_are_refused():
    encode = b"c_codecs\nencode\nq\0"
    text = b"X" + (20_000).to_bytes(4, "little") + b"x" * 20_000 + b"q\1"
    call = b"h\0h\1X\6\0\0\0latin1\x86R"
    content = b"\x80\2(]q\2(" + encode + text + call * 2000 + b"e."
    with pytest.raises(RefusedPickleError, match="repeat each other"):
        PickleCheck(content, {}).run()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_protocols_are_refused(protocol):
    with pytest.raises(RefusedPickleError):
        PickleCheck(pickle.dumps({"a": [1, (2,)]}, protocol), {}).run()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\2K\1K\2.", "unused values"),
        (b"\x80\2]q\0K\1ah\0K\2a.", "contains itself"),
        (b"\x80\2]q\0]q\1h\0ah\1h\0h\1aa.", "contains itself"),
        (b"\x80\2)(K\1K\2u.", "no new dict"),
        (b"\x80\2X\5\0\0\0ab", "incomplete"),
        (b"\x80\2K\1\x86.", "incomplete"),
        (b"\x80\2K\1Q.", "in place of a tuple"),
        (b"\x80\2}K\1b.", "sets the state"),
        (b"\x80\2K\1)R.", "in place of a global"),
    ],
)
def test_malformed_pickles_are_refused(content, message):
    with pytest.raises(RefusedPickleError, match=message):
        PickleCheck(content, {}).run()


def rewritten(path, change, **options):
    """Write the members of an archive again after a change of a dictionary of them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_an_archive_that_is_written_again_is_accepted(path):
    torch.save([TENSOR], path)
    rewritten(path, lambda members: None)
    check_archive(path)


def test_a_compressed_archive_is_refused(path):
    torch.save([TENSOR], path)
    rewritten(path, lambda members: None, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(RefusedPickleError, match="compressed"):
        check_archive(path)


@pytest.mark.parametrize("size", [0, 4, 44, 52, 4800])
def test_a_tensor_with_less_or_more_data_than_it_claims_is_refused(size, path):
    torch.save([TENSOR], path)
    rewritten(path, lambda members: members.update({"a/data/0": bytes(size)}))
    with pytest.raises(RefusedPickleError, match="size of a tensor's data is wrong"):
        check_archive(path)


def test_members_that_share_bytes_are_refused(path):
    torch.save([torch.zeros(5000)], path)
    with zipfile.ZipFile(path, "a") as archive:
        for i in range(1, 9):
            info = archive.getinfo("a/data/0")
            other = zipfile.ZipInfo(f"a/data/{i}")
            for name in ("header_offset", "CRC", "file_size", "compress_size"):
                setattr(other, name, getattr(info, name))
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True  # type: ignore[attr-defined]  # writes the directory again
    with pytest.raises(RefusedPickleError, match="directory does not match"):
        check_archive(path)


def test_an_archive_with_bytes_after_its_directory_is_refused(path):
    torch.save([TENSOR], path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK"
    with pytest.raises(RefusedPickleError, match="directory does not match"):
        check_archive(path)


def test_a_damaged_archive_is_refused():
    buffer = io.BytesIO()
    torch.save([TENSOR], buffer)
    for end in range(0, len(buffer.getvalue()), 37):
        with pytest.raises((RefusedPickleError, zipfile.BadZipFile)):
            check_archive(io.BytesIO(buffer.getvalue()[:end]))
