"""Real registries for tests: Debian's docker-registry as a process, and a pusher that needs no engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
GZIP_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

# ada:secret, as `htpasswd -B` writes it.
HTPASSWD = "ada:$2b$05$CgmoRDkrRx.fEqgyyUY0N.ByhRv5.xDaDQm15/0JukrObh9rCDRyO\n"


@dataclass(frozen=True)
class RunningRegistry:
    """A registry of this test's own: its address, the folder that holds its blobs, its process."""

    address: str
    folder: Path
    pid: int

    def requests(self) -> list[str]:
        """Return each request since it started, as `HEAD /v2/acme/demo/manifests/1 200`; needs `has_access_log`."""
        log = (self.folder.parent / "registry.log").read_text(errors="replace")
        found = re.findall(r'"([A-Z]+) (/v2/\S*) HTTP/[\d.]+" (\d+) ', log)
        return [" ".join(parts) for parts in found]

    def blob_file(self, digest: str) -> Path:
        """Return the file that holds a blob."""
        value = digest.removeprefix("sha256:")
        return self.folder / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"


@contextmanager
def running_registry(
    folder: Path, *, port: int = 0, login: bool = False, has_access_log: bool = False
) -> Iterator[RunningRegistry]:
    """Run docker-registry on loopback while the block runs; `login` demands ada:secret (HTTP Basic).

    `has_access_log`: `RunningRegistry.requests` tells what it was asked.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (apt-get install docker-registry); scripts/engine installs it")
    address = f"127.0.0.1:{port or free_port()}"
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": not has_access_log}},
        "storage": {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}},
        # With a secret of its own a registry that was started again still knows its uploads.
        "http": {"addr": address, "secret": "of this test"},
    }
    if login:
        (folder.parent / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder.parent / "htpasswd")}}
    path = folder.parent / "registry.json"
    path.write_text(json.dumps(config))  # JSON is YAML
    with (folder.parent / "registry.log").open("w") as log:
        process = subprocess.Popen([program, "serve", str(path)], stdout=log, stderr=log)
    try:
        wait_for(address, process)
        yield RunningRegistry(address, folder, process.pid)
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(address: str, process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Wait until the registry answers; fail when it ends first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "docker-registry ended at once"
        try:
            httpx.get(f"http://{address}/v2/", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError("docker-registry did not answer")


def layer_tar(files: dict[str, bytes]) -> bytes:
    """Make a layer's tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@dataclass(frozen=True)
class PushedTestImage:
    """What a test pushed."""

    repository: str
    digest: str
    config: str
    layers: tuple[str, ...]
    layer_bytes: int
    config_bytes: int
    unpacked_bytes: int


@dataclass(frozen=True)
class Pusher:
    """Pushes small images with plain HTTP calls. `address` is the registry, `headers` its login, if any."""

    address: str
    headers: dict[str, str]

    def image(
        self,
        name: str,
        tag: str | None,
        *layers: bytes,
        architecture: str = "amd64",
        system: str = "linux",
        media_type: str = GZIP_LAYER,
        **changes: object,
    ) -> PushedTestImage:
        """Push an image whose layers are these bytes, as stored; `changes` go into its manifest."""
        stored = layers or (gzip.compress(layer_tar({"hello": name.encode() * 100}), mtime=0),)
        unpacked = [gzip.decompress(x) if x[:2] == b"\x1f\x8b" else x for x in stored]
        config = json.dumps(
            {
                "architecture": architecture,
                "os": system,
                "created": "2026-11-24T00:00:00Z",
                "rootfs": {"type": "layers", "diff_ids": list(map(sha256, unpacked))},
            }
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": self._entry(name, config, "application/vnd.docker.container.image.v1+json"),
            "layers": [self._entry(name, layer, media_type) for layer in stored],
            **changes,
        }
        content = json.dumps(manifest).encode()
        digest = self.manifest(name, tag, content, DOCKER_MANIFEST)
        return PushedTestImage(
            f"{self.address}/{name}",
            digest,
            sha256(config),
            tuple(map(sha256, stored)),
            sum(map(len, stored)),
            len(config),
            sum(map(len, unpacked)),
        )

    def index(self, name: str, tag: str, *children: tuple[str, str, str]) -> str:
        """Push an index of (digest, os, architecture) and return its digest."""
        entries = [
            {"mediaType": DOCKER_MANIFEST, "digest": d, "size": 1, "platform": {"os": o, "architecture": a}}
            for d, o, a in children
        ]
        content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        return self.manifest(name, tag, content, OCI_INDEX)

    def manifest(self, name: str, tag: str | None, content: bytes, media_type: str) -> str:
        """Put a manifest under a tag, or under its digest alone, and return the digest."""
        digest = sha256(content)
        url = f"http://{self.address}/v2/{name}/manifests/{tag or digest}"
        answer = httpx.put(url, content=content, headers={"Content-Type": media_type, **self.headers}, trust_env=False)
        assert answer.status_code == 201, answer.text
        return digest

    def _entry(self, name: str, content: bytes, media_type: str) -> dict[str, object]:
        digest = sha256(content)
        with httpx.Client(base_url=f"http://{self.address}", headers=self.headers, trust_env=False) as client:
            place = client.post(f"/v2/{name}/blobs/uploads/").raise_for_status().headers["Location"]
            client.put(place, params={**httpx.URL(place).params, "digest": digest}, content=content).raise_for_status()
        return {"mediaType": media_type, "size": len(content), "digest": digest}


def sha256(content: bytes) -> str:
    """Return a digest as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def pusher(registry: RunningRegistry | str, headers: dict[str, str] | None = None) -> Pusher:
    """Make a pusher for a registry or an address."""
    return Pusher(registry if isinstance(registry, str) else registry.address, dict(headers or {}))
