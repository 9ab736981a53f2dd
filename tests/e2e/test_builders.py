"""A second engine, reached in every way that Docker knows: a context, TLS, ssh; and how each of them fails."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hand_made import SHELL, make_context, shell_files
from private_dockerd import running_dockerd
from registries import RunningRegistry, free_port, running_registry
from sites import certified

from factory.clients.docker_contexts import EngineAddress, Tls, engine_address
from factory.clients.docker_engine import DockerEngine
from factory.clients.registry import DistributionRegistry
from factory.errors import EngineUnreachable
from factory.records import BuildOptions, Progress
from factory.stages.build import build
from factory.stages.push import push

pytestmark = pytest.mark.engine

# Stands in for the ssh program and a server at the other end: whoever asks talks to the engine's socket, as `docker
# system dial-stdio` would there. An sshd is no part of what these tests are about.
SSH = """#!{python}
import os, socket, sys, threading
assert sys.argv[-1] == "docker system dial-stdio" and "builder.example" in sys.argv, sys.argv
link = socket.socket(socket.AF_UNIX)
link.connect({socket!r})
def up():
    while chunk := os.read(0, 65536):
        link.sendall(chunk)
    link.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
try:
    while chunk := link.recv(65536):
        while chunk:
            chunk = chunk[os.write(1, chunk):]
except BrokenPipeError:
    os._exit(0)
"""


@dataclass(frozen=True)
class Second:
    """The second engine: its socket, its TLS port, and the file that is certificate, key and authority."""

    socket: Path
    port: int
    file: Path

    @property
    def url(self) -> str:
        """Its address over TLS."""
        return f"tcp://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def second(request: pytest.FixtureRequest) -> Iterator[Second]:
    """An engine of these tests' own that listens on its socket, and on loopback with TLS both ways."""
    request.getfixturevalue("engine_host")  # skips, loudly, where the tests of an engine do
    with tempfile.TemporaryDirectory(prefix="factory-") as name:
        folder, port = Path(name), free_port()
        certified("127.0.0.1", folder)
        file = folder / "certificate.pem"
        with running_dockerd(folder / "run", folder / "data", tls=(port, file)) as address:
            yield Second(Path(address.removeprefix("unix://")), port, file)


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry on loopback, which is the second engine's loopback too."""
    with running_registry(tmp_path_factory.mktemp("near") / "data") as found:
        yield found


def configured(folder: Path, second: Second, *, is_current: bool) -> Path:
    """Write a Docker configuration with the context `second`, and return its config.json."""
    store, name = folder / "contexts", hashlib.sha256(b"second").hexdigest()
    (store / "meta" / name).mkdir(parents=True)
    (store / "tls" / name / "docker").mkdir(parents=True)
    meta = {"Name": "second", "Metadata": {}, "Endpoints": {"docker": {"Host": second.url, "SkipTLSVerify": False}}}
    (store / "meta" / name / "meta.json").write_text(json.dumps(meta))
    for kind in ("ca", "cert", "key"):
        shutil.copy(second.file, store / "tls" / name / "docker" / f"{kind}.pem")
    (folder / "config.json").write_text(json.dumps({"currentContext": "second"} if is_current else {}))
    return folder / "config.json"


@pytest.mark.parametrize("way", ["context", "current context", "DOCKER_HOST with TLS", "ssh"])
def test_build_and_push_elsewhere(
    way: str, second: Second, near: RunningRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By each way the image is built there and pushed from there, and the build says where."""
    config = configured(tmp_path, second, is_current=way == "current context")
    if way == "DOCKER_HOST with TLS":
        for kind in ("ca", "cert", "key"):
            shutil.copy(second.file, tmp_path / f"{kind}.pem")
        address = engine_address(config, host=second.url, is_tls_verified=True)
    elif way == "ssh":
        program = tmp_path / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(SSH.format(python=sys.executable, socket=str(second.socket)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")
        address = engine_address(config, host="ssh://ada@builder.example:2222")
    else:
        address = engine_address(config, context="second" if way == "context" else None)
    engine = DockerEngine(address)
    told: list[Progress] = []
    context = make_context(f"{near.address}/acme/{way.replace(' ', '-').lower()}", SHELL, shell_files())
    image = build(context, engine, BuildOptions(network="host"), told.append)
    pushed = push(image, engine, told.append)
    assert image.was_built
    assert DistributionRegistry(login_for=lambda _registry: None).digest(context.reference) == pushed.digest
    assert [note.text for note in told if note.kind == "note"] == [f"building on {address}".replace("ada@", "***@")]
    assert engine.free_bytes() is None  # another machine's disk, as far as anybody can tell
    engine.remove(context.reference)


def test_an_engine_that_is_not_to_be_trusted(second: Second, tmp_path: Path) -> None:
    """A certificate of another authority is refused in one sentence that names the context."""
    certified("127.0.0.1", tmp_path)
    address = EngineAddress(second.url, Tls(tmp_path / "certificate.pem", second.file, second.file), "second")
    with pytest.raises(EngineUnreachable, match="certificate") as failed:
        DockerEngine(address).find("x:1")
    assert failed.value.where == f"{second.url} (Docker context second)"
    assert "docker --context second version" in failed.value.fix


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        (EngineAddress("tcp://127.0.0.1:1", None, "gone"), "docker --context gone version"),
        (EngineAddress("tcp://127.0.0.1:1"), "DOCKER_CERT_PATH"),
        (EngineAddress("ssh://127.0.0.1:1"), "docker -H ssh://127.0.0.1:1 version"),
    ],
)
def test_an_engine_that_is_away(address: EngineAddress, fix: str) -> None:
    """Nobody there: one sentence with the address, and what to try."""
    with pytest.raises(EngineUnreachable) as failed:
        DockerEngine(address).find("x:1")
    assert fix in failed.value.fix


def test_a_client_without_a_certificate_is_turned_away(second: Second) -> None:
    """The engine wants a certificate: without one it is unreachable, not a traceback."""
    with pytest.raises(EngineUnreachable):
        DockerEngine(EngineAddress(second.url, Tls(second.file, None, None))).find("x:1")
