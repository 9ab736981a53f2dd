"""`docker build` and `docker push`, as one types them: what a lane is held against.

The folder is what `factory render --out` writes, so both sides have the same Dockerfile. Docker's command brings
BuildKit's session with it and sends only files that have changed; nothing of ours runs while it is timed: no search for
secrets, no SBOM, no check of the registry, all of which the lanes' figures hold.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from benchmarks.timing import timed
from factory.clients.docker_context import machine_files
from factory.records import BuildOptions


def write_context(recipe: Path, folder: Path, environ: Mapping[str, str]) -> None:
    """Write a recipe's build context with what the machine adds to it; its weights lie there as files of their own."""
    _run([sys.executable, "-m", "factory", "render", str(recipe), "--out", str(folder)], environ)
    for path, content in added_files(environ).items():
        (folder / path).write_bytes(content)
    for link in [path for path in folder.rglob("*") if path.is_symlink()]:
        weights = link.resolve()
        link.unlink()
        shutil.copyfile(weights, link)


def added_files(environ: Mapping[str, str]) -> dict[str, bytes]:
    """Return what this machine adds to a context: the CA bundle of FACTORY_CA, where there is one."""
    ca_file = environ.get("FACTORY_CA")
    return machine_files(BuildOptions("host", Path(ca_file) if ca_file else None))


def build_and_push(folder: Path, tag: str, environ: Mapping[str, str]) -> tuple[float, float]:
    """Build a folder and push it under a tag by the engine of DOCKER_HOST; return the seconds of each."""
    own = {**environ, "DOCKER_BUILDKIT": "1"}
    command = _docker()
    build = _run([command, "build", "--quiet", "--network", "host", "--tag", tag, str(folder)], own)
    return build, _run([command, "push", "--quiet", tag], own)


@cache
def _docker() -> str:
    """Return a `docker` that brings BuildKit along: Debian's 20.10 does by itself, later ones by buildx."""
    for folder in os.environ["PATH"].split(os.pathsep):
        found = shutil.which("docker", path=folder)
        if found is None:
            continue
        said = subprocess.run([found, "--version"], capture_output=True, text=True).stdout  # Docker version 20.10.24+…
        has_buildx = subprocess.run([found, "buildx", "version"], capture_output=True).returncode == 0
        if has_buildx or int(said.split()[2].partition(".")[0]) < 23:
            return found
    sys.exit("no docker with BuildKit on PATH (apt-get install docker.io, or docker-buildx)")


def _run(command: Sequence[str], environ: Mapping[str, str]) -> float:
    run = timed(command, environ)
    if run.code != 0:
        sys.exit(f"{' '.join(command)}: exit status {run.code}: {run.err[-800:]}")
    return run.wall_s
