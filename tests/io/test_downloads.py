"""Files of public datasets: where they are found, and how they are downloaded."""

import gzip
import hashlib
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rnn_lab.errors import UserError
from rnn_lab.io import downloads
from rnn_lab.io.downloads import RemoteFile, data_root, locate, locate_one_of, verify

CONTENT = b"1 a fine film\n0 a dull film\n"
DIGEST = "md5:" + hashlib.md5(CONTENT).hexdigest()
NO_SERVER = "http://127.0.0.1:9/reviews.txt"


class Server:
    """HTTP server of `files` on 127.0.0.1, which records the requested paths."""

    def __init__(self) -> None:
        self.files = {"/reviews.txt": CONTENT}
        self.content_lengths: dict[str, int] = {}
        self.requests: list[str] = []
        self.delay = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                time.sleep(outer.delay)
                content = outer.files.get(self.path)
                self.send_response(404 if content is None else 200)
                size = len(content or b"")
                self.send_header("Content-Length", str(outer.content_lengths.get(self.path, size)))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary cache folder, and no data root in the environment."""
    monkeypatch.delenv("RNN_LAB_DATA", raising=False)
    monkeypatch.setattr(downloads, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "rnn_lab" / "data"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def remote_file(server: Server, digest: str | None = DIGEST, size: int | None = None) -> RemoteFile:
    return RemoteFile("reviews.txt", (f"{server.address}/reviews.txt",), digest, size)


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_the_data_root_is_the_argument_else_the_environment_else_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data_root(None) == cache
    monkeypatch.setenv("RNN_LAB_DATA", str(tmp_path / "env"))
    assert data_root(None) == tmp_path / "env"
    assert data_root(str(tmp_path / "argument")) == tmp_path / "argument"


def test_a_missing_file_is_downloaded_once_without_output(
    server: Server, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = {locate("mine", remote_file(server), str(root)) for _ in range(3)}
    assert paths == {root / "mine" / "reviews.txt"}
    assert paths.pop().read_bytes() == CONTENT
    assert server.requests == ["/reviews.txt"]
    assert capfd.readouterr() == ("", "")
    assert file_names(root / "mine") == ["reviews.txt"]


def test_a_progress_bar_is_shown_on_a_terminal(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    locate("mine", remote_file(server), str(root))
    output = capsys.readouterr()
    assert output.out == ""
    assert "100%" in output.err


def test_a_compressed_download_stays_compressed_and_its_content_is_verified(
    server: Server, root: Path
) -> None:
    server.files["/reviews.txt.gz"] = gzip.compress(CONTENT)
    file = RemoteFile("reviews.txt", (f"{server.address}/reviews.txt.gz",), size=len(CONTENT))
    path = locate("mine", file, str(root))
    assert path == root / "mine" / "reviews.txt.gz"
    assert path.read_bytes() == server.files["/reviews.txt.gz"]
    assert locate("mine", file, str(root)) == path
    assert server.requests == ["/reviews.txt.gz"]
    server.files["/other.txt.gz"] = gzip.compress(b"changed")
    file = RemoteFile("other.txt", (f"{server.address}/other.txt.gz",), size=len(CONTENT))
    with pytest.raises(UserError, match=r"other\.txt as downloaded .* has 7 bytes.*: discarded"):
        locate("mine", file, str(root))


def test_the_next_url_is_tried(server: Server, root: Path) -> None:
    urls = (f"{server.address}/gone.txt", f"{server.address}/reviews.txt")
    path = locate("mine", RemoteFile("reviews.txt", urls, DIGEST), str(root))
    assert path.read_bytes() == CONTENT


def test_a_file_with_a_wrong_digest_is_discarded(server: Server, root: Path) -> None:
    expected = "md5:" + "0" * 32
    with pytest.raises(UserError) as error:
        locate("mine", remote_file(server, expected), str(root))
    for part in ("reviews.txt", "0" * 32, DIGEST.removeprefix("md5:"), server.address):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert file_names(root / "mine") == []


def test_a_wrong_size_is_refused_if_no_digest_is_published(server: Server, root: Path) -> None:
    with pytest.raises(UserError, match=f"has {len(CONTENT)} bytes, expected 7: discarded"):
        locate("mine", remote_file(server, None, 7), str(root))
    assert file_names(root / "mine") == []
    assert locate("mine", remote_file(server, None, len(CONTENT)), str(root)).is_file()


@pytest.mark.parametrize("failure", ["404", "no server", "truncated"])
def test_a_failed_download_is_reported_with_file_folder_and_url(
    server: Server, root: Path, failure: str
) -> None:
    file = remote_file(server)
    if failure == "404":
        del server.files["/reviews.txt"]
    elif failure == "truncated":
        server.content_lengths["/reviews.txt"] = 2 * len(CONTENT)
    else:
        file = RemoteFile("reviews.txt", (NO_SERVER,))
    with pytest.raises(UserError) as error:
        locate("mine", file, str(root))
    for part in ("reviews.txt is not in", str(root / "mine"), file.urls[0]):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert file_names(root / "mine") == []


def test_a_file_without_a_url_must_be_provided(root: Path) -> None:
    with pytest.raises(UserError, match=r"Arabic\.txt is not in .*mine and has no URL"):
        locate("mine", RemoteFile("Arabic.txt"), str(root))


@pytest.mark.parametrize("name", ["reviews.txt", "reviews.txt.gz"])
@pytest.mark.parametrize("digest", [DIGEST, None])
def test_a_modified_file_in_the_root_is_refused_but_not_removed(
    root: Path, name: str, digest: str | None
) -> None:
    (root / "mine").mkdir(parents=True)
    path = root / "mine" / name
    path.write_bytes(gzip.compress(b"changed") if name.endswith(".gz") else b"changed")
    with pytest.raises(UserError, match=f"{name} .*, expected .*: remove or replace it"):
        locate("mine", RemoteFile("reviews.txt", (), digest, len(CONTENT)), str(root))
    assert path.is_file()


def test_a_file_modified_after_verification_is_verified_again(tmp_path: Path) -> None:
    path = tmp_path / "reviews.txt"
    path.write_bytes(CONTENT)
    verify(path, RemoteFile("reviews.txt", (), DIGEST))
    path.write_bytes(b"other")
    with pytest.raises(UserError, match="expected"):
        verify(path, RemoteFile("reviews.txt", (), DIGEST))


@pytest.mark.parametrize("folder", ["root", "root/mine"])
def test_downloads_go_to_the_cache_if_the_root_is_read_only(
    server: Server, tmp_path: Path, cache: Path, folder: str
) -> None:
    protected = tmp_path / folder
    protected.mkdir(parents=True)
    protected.chmod(0o555)
    paths = [locate("mine", remote_file(server), str(tmp_path / "root")) for _ in range(2)]
    protected.chmod(0o755)
    assert paths == [cache / "mine" / "reviews.txt"] * 2
    assert len(server.requests) == 1
    assert not list(protected.iterdir())


def test_a_folder_below_a_file_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert not downloads._writable(tmp_path / "file" / "mine")
    assert downloads._writable(tmp_path / "mine")


def test_a_complete_choice_is_preferred_to_downloading_the_first(
    server: Server, root: Path
) -> None:
    one = (remote_file(server),)
    parts = (RemoteFile("train.txt"), RemoteFile("test.txt"))
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "train.txt").write_bytes(b"1 x\n")
    assert locate_one_of("mine", (one, parts), str(root)) == (root / "mine" / "reviews.txt",)
    (root / "mine" / "reviews.txt").unlink()
    (root / "mine" / "test.txt.gz").write_bytes(gzip.compress(b"1 x\n"))
    paths = locate_one_of("mine", (one, parts), str(root))
    assert [path.name for path in paths] == ["train.txt", "test.txt.gz"]


def download(url: str, root: str) -> None:
    locate("mine", RemoteFile("reviews.txt", (url,), DIGEST), root)


@pytest.mark.slow
def test_concurrent_processes_download_once(server: Server, root: Path) -> None:
    server.delay = 1.0
    spawn = multiprocessing.get_context("spawn")
    arguments = (f"{server.address}/reviews.txt", str(root))
    processes = [spawn.Process(target=download, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert server.requests == ["/reviews.txt"]
