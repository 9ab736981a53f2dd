"""The patch lane beside the Docker engine: the same image, and every tool can read it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from handlers import SHOUT

from factory.clients.docker_engine import DockerEngine

pytestmark = pytest.mark.engine

SAID = ("Env", "Labels", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "StopSignal")
# What an engine lays into each container, with the time of that moment.
LAID = {".dockerenv", "etc", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "dev", "proc", "sys"}
NOWHERE = "unix:///nowhere/docker.sock"
JOB = """echo '{"input": {"text": "hello"}}' | python -m worker_runtime --test-input - 2>/dev/null"""


@dataclass
class Shop:
    """The `factory` command on this machine's engine and registry, with a recipe in a folder of its own."""

    folder: Path
    client: docker.DockerClient
    made: set[str] = field(default_factory=set)

    def write(self, line: str) -> None:
        """Write the recipe; its handler ends in a line that no registry has met."""
        (self.folder / "handler.py").write_text(f"{SHOUT}\n# {line} {uuid.uuid4()}\n")
        (self.folder / "lanes.yaml").write_text(
            "name: lanes\nimage: {repository: factory-lanes/lanes, env: {A: 'b \"c\" $d', B: ''}}\n"
            "handler: handler.py\ntests: [{input: {text: hello}, expect: {text: HELLO}}]\n"
        )

    def build(self, *words: str, **environ: str) -> dict[str, Any]:
        """Build and push; return the record."""
        env = {**os.environ, "FACTORY_HOME": str(self.folder / "home"), **environ}
        command = [
            sys.executable,
            "-m",
            "factory",
            "build",
            str(self.folder / "lanes.yaml"),
            "--push",
            "--json",
            *words,
        ]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
        record: dict[str, Any] = json.loads(done.stdout)[0]
        self.made.add(record["tag"])
        return record

    def contents(self, reference: str) -> dict[str, tuple[object, ...]]:
        """Return every path of the image's file system: type, mode, owner, time, link and content."""
        container = self.client.containers.create(reference, ["true"])
        try:
            with tempfile.TemporaryFile() as file:
                for chunk in container.export():
                    file.write(chunk)  # type: ignore[arg-type]  # the stubs say str, and it is bytes
                file.seek(0)
                with tarfile.open(fileobj=file) as tar:
                    return {member.name: _facts(tar, member) for member in tar}
        finally:
            container.remove(force=True)

    def answer(self, reference: str) -> Any:
        """Return what the image answers to the recipe's test job."""
        out: bytes = self.client.containers.run(reference, ["sh", "-c", JOB], remove=True, network="none")
        return json.loads(out.splitlines()[-1])

    def said(self, reference: str) -> dict[str, object]:
        """Return what the config says to who runs it; None and empty are the same."""
        config = self.client.images.get(reference).attrs["Config"]
        return {name: config.get(name) or None for name in SAID}


def _facts(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    stream = tar.extractfile(member) if member.isfile() else None
    digest = hashlib.sha256(stream.read()).hexdigest() if stream else ""
    top = member.name.split("/")[0]
    # A folder that a COPY writes into has the build's own time, another one at each build of Docker's.
    is_timed = not (member.isdir() and top in ("app", "models")) and member.name not in LAID and top != "dev"
    time_s = member.mtime if is_timed else None
    return member.type, member.mode & 0o7777, member.uid, member.gid, time_s, member.linkname, digest


@pytest.fixture
def shop(tmp_path: Path, engine_host: str, registry: str) -> Any:
    """A shop whose images go when the test does."""
    made = Shop(tmp_path, docker.DockerClient(base_url=engine_host, timeout=300))
    yield made
    engine = DockerEngine(engine_host)
    for reference in made.made:
        engine.remove(reference)
    made.client.close()


def test_the_patch_lane_makes_the_image_that_docker_makes(shop: Shop, engine_host: str, tmp_path: Path) -> None:
    """Same files, modes, owners, times, config and answer to the test job; podman and skopeo read it; no engine."""
    shop.write("first")
    shop.build()  # leaves the environment
    shop.write("second")
    patched = shop.build("--lane", "patch", DOCKER_HOST=NOWHERE)
    assert patched["lane"] == "patch" and patched["sent_bytes"] < 200_000
    shop.client.images.pull(patched["image"])
    files, said = shop.contents(patched["image"]), shop.said(patched["image"])
    again = shop.build("--lane", "patch", "--force", DOCKER_HOST=NOWHERE)
    assert again["image"] == patched["image"]

    reference = shop.build("--lane", "docker", "--force")
    assert reference["lane"] == "docker" and reference["tag"] == patched["tag"]
    assert said == shop.said(reference["tag"])
    theirs = shop.contents(reference["tag"])
    assert files.keys() == theirs.keys()
    assert {path: (files[path], theirs[path]) for path in files if files[path] != theirs[path]} == {}

    answers = [shop.answer(image) for image in (patched["image"], reference["tag"])]
    assert answers[0] == answers[1] and answers[0]["output"] == {"text": "HELLO"}
    _read_elsewhere(patched["image"], tmp_path)


def _read_elsewhere(reference: str, folder: Path) -> None:
    """Let skopeo copy the image into an OCI layout, which checks every digest, and podman pull and save it."""
    source = f"docker://{reference}"
    _run("skopeo", "inspect", "--tls-verify=false", source)
    _run("skopeo", "copy", "--src-tls-verify=false", source, f"oci:{folder / 'layout'}:x")
    assert json.loads((folder / "layout" / "index.json").read_text())["manifests"]
    with tempfile.TemporaryDirectory(prefix="podman-") as short:  # podman allows a run root 50 characters
        podman = ("podman", "--root", str(folder / "root"), "--runroot", short, "--storage-driver", "vfs")
        _read_by_podman(podman, reference)


def _read_by_podman(podman: tuple[str, ...], reference: str) -> None:
    _run(*podman, "pull", "-q", "--tls-verify=false", reference)
    config = json.loads(_run(*podman, "image", "inspect", reference))[0]["Config"]
    assert config["Cmd"] == ["python", "-u", "-m", "worker_runtime"]
    _run(*podman, "rmi", "-f", reference)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
