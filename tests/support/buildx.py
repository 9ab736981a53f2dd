"""Docker's command with buildx, for tests of builders: what is installed, else Debian's packages in a folder.

bookworm has no buildx; trixie's docker-cli and docker-buildx run on it (tried 2026-11-25). They are fetched by apt with
lists and cache of their own: the machine's package sources stay as they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".factory" / "buildx"
SOURCES = """Types: deb
URIs: {uri}
Suites: trixie
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
PACKAGES = ("docker-cli", "docker-buildx")


def docker_with_buildx(config: Path) -> str:
    """Return a PATH with a `docker` whose buildx answers with this configuration folder, or skip where there is none.

    The plug-in is linked below `config`, where Docker's command looks first.
    """
    if _answers(os.environ["PATH"], config):
        return os.environ["PATH"]
    programs = _fetched()
    (config / "cli-plugins").mkdir(exist_ok=True)
    (config / "cli-plugins/docker-buildx").symlink_to(programs / "docker-buildx")
    path = f"{programs}:{os.environ['PATH']}"
    assert _answers(path, config), "buildx was fetched and does not answer"
    return path


def _answers(path: str, config: Path) -> bool:
    docker = shutil.which("docker", path=path)
    if docker is None:
        return False
    return subprocess.run([docker, "--config", str(config), "buildx", "version"], capture_output=True).returncode == 0


def _fetched() -> Path:
    """Return the folder with Debian's programs, fetched once."""
    programs = CACHE / "bin"
    if (programs / "docker-buildx").is_file():
        return programs
    if shutil.which("apt-get") is None:
        pytest.skip("no buildx, and no apt-get to fetch it with (install docker-buildx)")
    for folder in ("lists/partial", "cache/archives/partial", "unpacked"):
        (CACHE / folder).mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    uri = next((line.split()[1] for line in listed if line.startswith("Debian ") and "security" not in line), None)
    if uri is None:
        pytest.skip("no buildx, and this machine's package sources are not Debian's (install docker-buildx)")
    (CACHE / "trixie.sources").write_text(SOURCES.format(uri=uri))
    options = [f"Dir::State::Lists={CACHE}/lists", f"Dir::Cache={CACHE}/cache", "APT::Sandbox::User=root"]
    options += [f"Dir::Etc::SourceList={CACHE}/trixie.sources", "Dir::Etc::SourceParts=-"]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    try:
        subprocess.run([*apt, "update"], check=True, capture_output=True, timeout=300)
        subprocess.run([*apt, "download", *PACKAGES], check=True, capture_output=True, timeout=300, cwd=CACHE)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no buildx, and Debian's can't be fetched ({error.stderr.decode()[-200:]})")
    for package in CACHE.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(CACHE / "unpacked")], check=True)
    staged = CACHE / f"bin-{os.getpid()}"
    staged.mkdir()
    shutil.copy(CACHE / "unpacked/usr/bin/docker", staged)
    shutil.copy(CACHE / "unpacked/usr/libexec/docker/cli-plugins/docker-buildx", staged)
    staged.rename(programs)
    return programs
