"""Media inputs: base64, data URLs, URLs, and the addresses that are refused."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker_runtime.errors import InputRefused, InputUnreadable
from worker_runtime.inputs import MediaReader


class Site(BaseHTTPRequestHandler):
    """A few pages."""

    def do_GET(self) -> None:
        """Answer by path."""
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file?signature=secret")
            self.end_headers()
        elif self.path == "/inward":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.2:9/latest/meta-data")
            self.end_headers()
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * 5000)
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "900")
            self.end_headers()
            self.wfile.write(b"half")
        elif self.path.startswith("/file"):
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"data")
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """A site on loopback: its host:port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@given(st.binary(max_size=200))
def test_base64_comes_back(content: bytes) -> None:
    """Base64, plain or as a data URL, gives the bytes that went in."""
    text = base64.b64encode(content).decode()
    reader = MediaReader(max_bytes=1000)
    assert reader.read(text) == content
    assert reader.read(f"data:audio/wav;base64,{text}") == content


@pytest.mark.parametrize("text", ["data:audio/wav,plain", "data:;base64", "not base64!", "abc"])
def test_neither_base64_nor_url(text: str) -> None:
    """Text that is no media is one sentence."""
    with pytest.raises(InputUnreadable):
        MediaReader(max_bytes=1000).read(text)


def test_reads_an_allowed_address(site: str) -> None:
    """An address that was opened on purpose is read, through a redirect too."""
    reader = MediaReader(max_bytes=1000, allow=[site])
    assert reader.read(f"http://{site}/file") == b"data"
    assert reader.read(f"http://{site}/moved") == b"data"


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("gone", InputUnreadable, "answered 404"),
        ("loop", InputUnreadable, "more than 5 redirects"),
        ("short", InputUnreadable, "broke off"),
        ("endless", InputRefused, "the limit is 0.0 MB"),
        ("inward", InputRefused, "127.0.0.2 is at the private address"),
    ],
)
def test_what_a_site_can_do_wrong(path: str, error: type[Exception], says: str, site: str) -> None:
    """Each way a download fails is one sentence; a redirect inward is refused although the site is allowed."""
    with pytest.raises(error, match=says):
        MediaReader(max_bytes=1000, allow=[site]).read(f"http://{site}/{path}")


def test_too_large_before_it_is_decoded() -> None:
    """Base64 over the limit is refused by its length."""
    with pytest.raises(InputRefused, match=r"the limit is 0\.0 MB"):
        MediaReader(max_bytes=10).read("A" * 100)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "2130706433", "0x7f000001", "0x7f.1",
        "017700000001", "0177.0.0.1", "0.0.0.0", "0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "2852039166",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]",
        "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]", "user@127.0.0.1", "127.0.0.1.",
        "[::127.0.0.1]",
    ],
)  # fmt: skip
def test_refuses_private_addresses(host: str) -> None:
    """No spelling of a private, loopback, link-local or metadata address is fetched."""
    with pytest.raises((InputRefused, InputUnreadable)) as caught:
        MediaReader(max_bytes=1000).read(f"http://{host}:9/latest/meta-data?x=secret")
    assert "no connection" not in str(caught.value), "a connection was tried"
    assert "secret" not in str(caught.value)


def test_every_address_of_a_name_must_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with one public and one private address is refused."""
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: rows)
    with pytest.raises(InputRefused, match=r"10\.0\.0\.1"):
        MediaReader(max_bytes=1000).read("http://both.example/")


@pytest.mark.parametrize("url", ["http://", "http:///x", "http://[::1", "http://a:99999/", "https://no.such.invalid/"])
def test_urls_that_are_none(url: str) -> None:
    """A URL that can't be read or resolved is one sentence."""
    with pytest.raises(InputUnreadable):
        MediaReader(max_bytes=1000).read(url)
