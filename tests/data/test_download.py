"""A file is downloaded from a server on this machine: whole or absent, checked, and continued after a break."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import numpy as np
import pytest

from stampbench.data.download import Remote, download
from stampbench.errors import DataError
from tests.fixtures.images import md5

CONTENT = np.random.default_rng(0).bytes(10**6)


class Server(ThreadingHTTPServer):
    """A server of one file that breaks connections after `most` bytes; it may know ranges or not."""

    most, ranges, asked = 10**9, True, ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked = (*self.server.asked, asked)
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if self.path != "/file" or first >= len(CONTENT):
            self.send_error(404 if self.path != "/file" else 416)
            return
        self.send_response(206 if asked and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        self.wfile.write(CONTENT[first : first + self.server.most])

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "downloads"


def remote(server, sum_of=CONTENT) -> Remote:
    return Remote(server.url, "archive", md5(sum_of))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_file_arrives_once(server, folder):
    assert download(remote(server), folder).read_bytes() == CONTENT
    assert download(remote(server), folder).read_bytes() == CONTENT
    assert server.asked == (None,) and names(folder) == {"archive"}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_the_connection_broke(server, folder, ranges):
    server.most, server.ranges = 300_000, ranges
    with pytest.raises(OSError, match="broke after 300,000 of 1,000,000 bytes"):
        download(remote(server), folder)
    assert names(folder) == {"archive.part"}, "half a file must not bear its name"
    server.most = 10**9
    assert download(remote(server), folder).read_bytes() == CONTENT
    assert server.asked == (None, "bytes=300000-") and names(folder) == {"archive"}


@pytest.mark.parametrize("before", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_what_is_not_as_published_is_dropped_and_begun_anew(server, folder, before):
    folder.mkdir()
    (folder / "archive.part").write_bytes(before)
    if len(before) < len(CONTENT):
        with pytest.raises(DataError, match=r"other bytes than its authors published \(MD5"):
            download(remote(server), folder)
        assert names(folder) == set()
    assert download(remote(server), folder).read_bytes() == CONTENT


def test_another_content_is_refused(server, folder):
    with pytest.raises(DataError, match="other bytes"):
        download(remote(server, b"other"), folder)
    assert names(folder) == set()


def test_a_file_that_is_not_there_is_an_error(server, folder):
    with pytest.raises(HTTPError, match="404"):
        download(Remote(f"{server.url}s", "archive", None), folder)
    assert names(folder) == set()


def test_without_a_published_sum_the_length_alone_is_checked(server, folder):
    server.most = 10
    with pytest.raises(OSError, match="broke after 10 of"):
        download(Remote(server.url, "archive", None), folder)
