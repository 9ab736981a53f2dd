"""A package index on the loopback interface, of wheels made by hand: small, offline, and tampered with at will."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

# What worker_runtime/requirements.txt asks for.
RUNTIME = (("runpod", "1.12.0"), ("huggingface_hub", "2.4.0"), ("pydantic", "2.14.4"))


@dataclass(frozen=True)
class WheelIndex:
    """The index's URL and its folder, which is what it serves at any moment."""

    url: str
    folder: Path
    requests: list[str] = field(default_factory=list)

    def add(self, name: str, version: str, *needs: str, source: str = "", tag: str = "py3-none-any") -> str:
        """Offer a wheel of one module that holds `source`; return its sha256 (hex). The same name is replaced."""
        content = wheel(name, version, *needs, source=source, tag=tag)
        (self._folder_of(name) / f"{name}-{version}-{tag}.whl").write_bytes(content)
        self._list(name)
        return hashlib.sha256(content).hexdigest()

    def add_file(self, name: str, path: Path) -> None:
        """Offer a wheel that is there already."""
        (self._folder_of(name) / path.name).write_bytes(path.read_bytes())
        self._list(name)

    def _folder_of(self, name: str) -> Path:
        folder = self.folder / "simple" / re.sub(r"[-_.]+", "-", name).lower()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _list(self, name: str) -> None:
        folder = self._folder_of(name)
        links = (f'<a href="{file.name}">{file.name}</a>\n' for file in sorted(folder.glob("*.whl")))
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{''.join(links)}</body></html>\n")


def wheel(name: str, version: str, *needs: str, source: str = "", tag: str = "py3-none-any") -> bytes:
    """Return a wheel, the same bytes for the same words."""
    info = f"{name}-{version}.dist-info"
    required = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{name}/__init__.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},sha256={_record_hash(text)},{len(text.encode())}\n" for path, text in files.items())
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


@contextmanager
def wheel_index(folder: Path) -> Iterator[WheelIndex]:
    """Serve an index that has the worker runtime's own requirements (empty modules), and what is added."""
    (folder / "simple").mkdir(parents=True)
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            requests.append(format % args)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    index = WheelIndex(f"http://127.0.0.1:{server.server_address[1]}/simple", folder, requests)
    for name, version in RUNTIME:
        index.add(name, version)
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
