"""Compressed files and archives, read member by member."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import downloads
from rnn_lab.io.archives import members, open_bytes
from rnn_lab.io.downloads import RemoteFile, locate

CONTENT = b"1 a fine film\n0 a dull film\n"
DIGEST = "md5:" + hashlib.md5(CONTENT).hexdigest()
NO_SERVER = "http://127.0.0.1:9/reviews.txt"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and no data root in the environment."""
    monkeypatch.delenv("RNN_LAB_DATA", raising=False)
    monkeypatch.setattr(downloads, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "rnn_lab" / "data"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("packed", [False, True])
def test_what_lies_in_the_root_is_used_plain_or_packed(root: Path, packed: bool) -> None:
    (root / "mine").mkdir(parents=True)
    path = root / "mine" / ("reviews.txt.gz" if packed else "reviews.txt")
    path.write_bytes(gzip.compress(CONTENT) if packed else CONTENT)
    file = RemoteFile("reviews.txt", (NO_SERVER,), DIGEST, len(CONTENT))
    assert locate("mine", file, str(root)) == path
    with open_bytes(path) as content:
        assert content.read() == CONTENT


def test_a_cut_gz_is_one_line_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "reviews.txt.gz"
    path.write_bytes(gzip.compress(CONTENT)[:-9])
    named = r"reviews\.txt\.gz is truncated or damaged: \w"
    with pytest.raises(UserError, match=named), open_bytes(path) as content:
        content.read()


def test_what_is_not_there_is_one_line_that_names_it(tmp_path: Path) -> None:
    named = r"gone\.txt cannot be read: No such file"
    with pytest.raises(UserError, match=named), open_bytes(tmp_path / "gone.txt"):
        pass


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """Pack files, in this order, into a zip or tar as the name says."""
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
def test_members_that_match_come_in_order(tmp_path: Path, name: str) -> None:
    files = {"./d/train/neg/1.txt": b"bad", "d/readme.md": b"?", "d/train/neg/0.txt": b""}
    found = list(members(archive(tmp_path / name, files), "d/train/*/*.txt"))
    assert found == [("d/train/neg/1.txt", b"bad"), ("d/train/neg/0.txt", b"")]
    assert left_over(tmp_path) == [name]


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("member", ["/etc/passwd", "d/../../x.txt", "..", "C:\\x.txt", "d\\..\\x"])
def test_unsafe_names_are_refused(tmp_path: Path, name: str, member: str) -> None:
    path = archive(tmp_path / name, {member: b"x"})
    with pytest.raises(UserError, match=f"{name} holds the unsafe name"):
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
    with pytest.raises(UserError, match=r"holds 'x.txt' of more than 4999 bytes"):
        list(members(path, member_limit=4999))


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_large_archive_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / name, {f"{i}.txt": bytes(50_000) for i in range(9)})
    with pytest.raises(UserError, match="holds files of more than 400000 bytes"):
        list(members(path, total_limit=400_000))


def test_a_bomb_in_an_extended_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as target:
        info = tarfile.TarInfo("x.txt")
        info.pax_headers = {"comment": "x" * (4 << 20)}
        target.addfile(info)
    assert len(list(members(path))) == 1
    with pytest.raises(UserError, match="holds a member of more than"):
        list(members(path, member_limit=1 << 20))


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.8, 0.99])
def test_a_cut_archive_is_one_line_that_names_it(tmp_path: Path, name: str, kept: float) -> None:
    noise = {f"{i}.txt": hashlib.sha512(bytes([i])).digest() * 40 for i in range(20)}
    path = archive(tmp_path / name, noise)
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0")) if name == "a.tar" else len(whole)
    path.write_bytes(whole[: int(end * kept)])
    with pytest.raises(UserError, match=f"{name} is truncated or damaged: .") as error:
        list(members(path))
    assert "\n" not in str(error.value)


def test_a_tar_cut_between_two_members_is_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", {"0.txt": b"x" * 512, "1.txt": b"y" * 512})
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(UserError, match="damaged: the end of the archive is missing"):
        list(members(path))


def test_an_encrypted_or_odd_zip_is_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"x.txt": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted member
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged: .*encrypted"):
        list(members(path))
