"""For tests with a real engine: contexts made by hand, and a count of what an engine holds."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from factory.records import BaseImage, Context, ContextFile

# The shell of the host on nothing: no base, no registry.
SHELL = "FROM scratch\nCOPY root/ /\n"


@dataclass(frozen=True)
class Holdings:
    """What an engine holds: images by id with their names, containers by id."""

    images: Mapping[str, tuple[str, ...]]
    containers: frozenset[str]


def holdings(address: str) -> Holdings:
    """Count, at an address, every image (nameless ones too) and every container."""
    client = docker.APIClient(base_url=address, version="auto")
    try:
        images: list[dict[str, Any]] = client.images(all=True)
        containers: list[dict[str, Any]] = client.containers(all=True)
    finally:
        client.close()
    return Holdings(
        {image["Id"]: tuple(sorted(image["RepoTags"] or ())) for image in images},
        frozenset(container["Id"] for container in containers),
    )


def shell_files() -> dict[str, bytes]:
    """Return the host's /bin/sh and a few programs with their libraries: a 5 MB root file system without any base."""
    names = ["/bin/sh", "/bin/dd", "/bin/sleep", "/bin/true", "/bin/cat"]
    listed = subprocess.run(["ldd", *names], capture_output=True, text=True, check=True).stdout
    words = {word for line in listed.splitlines() for word in line.split() if word.startswith("/") and ":" not in word}
    return {f"root{name}": Path(name).read_bytes() for name in (*names, *sorted(words))}


def make_context(repository: str, dockerfile: str, files: Mapping[str, bytes] | None = None) -> Context:
    """Make a context by hand: a Dockerfile and files (those below root/ executable), its digest over both."""
    contents = {"Dockerfile": dockerfile.encode(), ".machine/env": b"", **(files or {})}
    whole = hashlib.sha256()
    made = []
    for path, content in sorted(contents.items()):
        digest = hashlib.sha256(content).hexdigest()
        whole.update(f"{path}\0{digest}\n".encode())
        mode = 0o755 if path.startswith("root/") else 0o644
        made.append(ContextFile(path, mode, f"sha256:{digest}", len(content), content=content))
    return Context("by-hand", repository, tuple(made), BaseImage("scratch"), whole.hexdigest())
