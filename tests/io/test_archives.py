"""Compressed files and archives."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io.archives import members, open_bytes

CONTENT = b"1 a fine film\n0 a dull film\n"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_is_opened_plain_or_compressed(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / ("reviews.txt.gz" if compressed else "reviews.txt")
    path.write_bytes(gzip.compress(CONTENT) if compressed else CONTENT)
    with open_bytes(path) as content:
        assert content.read() == CONTENT


def test_a_truncated_gz_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "reviews.txt.gz"
    path.write_bytes(gzip.compress(CONTENT)[:-9])
    message = r"reviews\.txt\.gz is truncated or damaged: \w"
    with pytest.raises(UserError, match=message), open_bytes(path) as content:
        content.read()


def test_a_missing_file_is_named_in_one_line(tmp_path: Path) -> None:
    message = r"gone\.txt cannot be read: No such file"
    with pytest.raises(UserError, match=message), open_bytes(tmp_path / "gone.txt"):
        pass


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """Write files, in this order, to a zip or tar archive, depending on the name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
            for name, content in files.items():
                target.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as target:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return path


ARCHIVES = ["a.zip", "a.tar", "a.tar.gz", "a.tgz"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_matching_members_are_read_in_order(tmp_path: Path, name: str) -> None:
    files = {"./d/train/neg/1.txt": b"bad", "d/readme.md": b"?", "d/train/neg/0.txt": b""}
    matching = list(members(archive(tmp_path / name, files), "d/train/*/*.txt"))
    assert matching == [("d/train/neg/1.txt", b"bad"), ("d/train/neg/0.txt", b"")]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("member", ["/etc/passwd", "d/../../x.txt", "..", "C:\\x.txt", "d\\..\\x"])
def test_unsafe_names_are_refused(tmp_path: Path, name: str, member: str) -> None:
    path = archive(tmp_path / name, {member: b"x"})
    with pytest.raises(UserError, match=f"{name} contains the unsafe name"):
        list(members(path, "no such name"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as target:
        info = tarfile.TarInfo("d/x.txt")
        info.type, info.linkname = kind, "/etc/passwd"
        target.addfile(info)
    with pytest.raises(UserError, match=r"'d/x\.txt', a link, a device"):
        list(members(path))


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as target:
        info = zipfile.ZipInfo("d/x.txt")
        info.external_attr = 0o120777 << 16
        target.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match=r"'d/x\.txt', a link, a device"):
        list(members(path))


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_large_member_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / name, {"x.txt": bytes(5000)})
    assert len(list(members(path, member_limit=5000))) == 1
    with pytest.raises(UserError, match=r"contains 'x.txt' of more than 4999 bytes"):
        list(members(path, member_limit=4999))


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_large_archive_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / name, {f"{i}.txt": bytes(50_000) for i in range(9)})
    with pytest.raises(UserError, match="contains files of more than 400000 bytes"):
        list(members(path, total_limit=400_000))


def test_a_huge_extended_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as target:
        info = tarfile.TarInfo("x.txt")
        info.pax_headers = {"comment": "x" * (4 << 20)}
        target.addfile(info)
    assert len(list(members(path))) == 1
    with pytest.raises(UserError, match="contains a member of more than"):
        list(members(path, member_limit=1 << 20))


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.8, 0.99])
def test_a_truncated_archive_is_named_in_one_line(
    tmp_path: Path, name: str, fraction: float
) -> None:
    noise = {f"{i}.txt": hashlib.sha512(bytes([i])).digest() * 40 for i in range(20)}
    path = archive(tmp_path / name, noise)
    content = path.read_bytes()
    end = len(content.rstrip(b"\0")) if name == "a.tar" else len(content)
    path.write_bytes(content[: int(end * fraction)])
    with pytest.raises(UserError, match=f"{name} is truncated or damaged: .") as error:
        list(members(path))
    assert "\n" not in str(error.value)


def test_a_tar_truncated_between_members_is_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", {"0.txt": b"x" * 512, "1.txt": b"y" * 512})
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(UserError, match="damaged: the end of the archive is missing"):
        list(members(path))


def test_an_encrypted_zip_is_reported_as_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"x.txt": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted member
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged: .*encrypted"):
        list(members(path))
