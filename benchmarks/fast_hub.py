"""A Hub that costs next to nothing: files by sendfile, a thread per connection. To time clients, not to test them.

`python -m benchmarks.fast_hub FOLDER` serves FOLDER as org/model at commit `c…c`, prints its URL, and ends with its
stdin. What it answers was checked with the unmodified huggingface_hub 2.4.0 (the emulator in factory/emulator does the
same and far more, and is too slow to time clients with).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPO = "org/model"
COMMIT = "c" * 40


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file in a folder, from beside it when it was computed before."""
    kept = folder.with_suffix(".digests")
    if kept.is_file():
        found: dict[str, str] = json.loads(kept.read_text())
        return found
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    kept.write_text(json.dumps(found))
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024  # headers in one packet
    folder: Path
    sha256: dict[str, str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the parent's name
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer a HEAD."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer a GET."""
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/_cdn/"):
            self._content(path.removeprefix("/_cdn/"))
        elif "/resolve/" in path:
            self._redirect(path.rsplit("/", 1)[1])
        elif "/tree/" in path:
            self._json([self._entry(name) for name in self.sha256])
        else:
            siblings = [{"rfilename": name} for name in self.sha256]
            self._json({"_id": "1", "id": REPO, "modelId": REPO, "sha": COMMIT, "tags": [], "siblings": siblings})

    def _entry(self, name: str) -> dict[str, object]:
        size, sha256 = self._path(name).stat().st_size, self.sha256[name]
        lfs = {"oid": sha256, "size": size, "pointerSize": 134}
        return {"type": "file", "path": name, "size": size, "oid": sha256[:40], "lfs": lfs}

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)
        self.wfile.flush()

    def _redirect(self, name: str) -> None:
        size = self._path(name).stat().st_size
        host, _, port = self.headers["Host"].partition(":")
        other = "localhost" if host == "127.0.0.1" else "127.0.0.1"
        etag = f'"{self.sha256[name]}"'
        headers = {"Location": f"http://{other}:{port}/_cdn/{name}?signature=0", "Content-Length": "0"}
        headers |= {"X-Repo-Commit": COMMIT, "ETag": etag, "X-Linked-Etag": etag, "X-Linked-Size": str(size)}
        self._head(302, headers)
        self.wfile.flush()

    def _content(self, name: str) -> None:
        with self._path(name).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            asked = self.headers.get("Range", "").removeprefix("bytes=")
            first, _, last = asked.partition("-")
            start, end = (int(first), int(last or size - 1) + 1) if asked else (0, size)
            headers = {"Content-Length": str(end - start), "ETag": f'"{self.sha256[name]}"', "Accept-Ranges": "bytes"}
            if asked:
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            self._head(206 if asked else 200, headers)
            self.wfile.flush()
            while start < end and self.command == "GET":
                start += os.sendfile(self.connection.fileno(), stream.fileno(), start, end - start)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that goes away in mid-body is nothing to tell."""


def main(folder: Path) -> None:
    """Serve until stdin ends."""
    handler = type("Handler", (_Handler,), {"folder": folder, "sha256": digests(folder)})
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
