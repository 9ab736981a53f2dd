"""uv, run as a program: which Python packages go together for an image, and the hashes of their files.

It gets pip's own index settings, as the build does (templates/install.py), through a configuration file and not as
arguments: an index's URL may hold a password, and arguments are for all to see. What exists on this machine alone (a
folder of wheels, a `file:` index) is left out, since a lock must hold elsewhere too.

`uv pip compile --format pylock.toml` (PEP 751) names the wheels of the asked platform only, and takes versions from the
file that it is to write where they still fit (uv 0.13.9, measured 2026-11-25).
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from factory.errors import RenderError
from factory.records import LockedPackage

# The newest C library that a base of Debian 12 has (glibc 2.36), so every wheel for older ones too.
PLATFORM = "x86_64-manylinux_2_36"
TIMEOUT_S = 600

_REMOTE = re.compile(r"https?://")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class UvIndex:
    """The package indexes that pip would ask on this machine, asked by uv."""

    def resolve(
        self, requirements: Sequence[str], python: str, preferred: Sequence[LockedPackage]
    ) -> tuple[LockedPackage, ...]:
        """Return every package that the requirements bring, by name. Raises RenderError."""
        with tempfile.TemporaryDirectory(prefix="factory-lock-") as name:
            folder = Path(name)
            (folder / "requirements.in").write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
            (folder / "pylock.toml").write_text(_preferences(preferred), encoding="utf-8")
            (folder / "uv.toml").write_text(_configuration(_pip_settings()), encoding="utf-8")
            _run(folder, python, is_fresh=not preferred)
            return tuple(sorted(_packages((folder / "pylock.toml").read_text("utf-8")), key=lambda each: each.name))


def _run(folder: Path, python: str, *, is_fresh: bool) -> None:
    command = [find_uv_bin(), "pip", "compile", "requirements.in", "--output-file", "pylock.toml", "--quiet"]
    command += ["--format", "pylock.toml", "--python-platform", PLATFORM, "--python-version", python]
    command += ["--no-header", "--config-file", "uv.toml"]
    command += ["--refresh"] if is_fresh else []  # the newest is wanted, and uv remembers an index for ten minutes
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RenderError(f"uv did not answer ({type(error).__name__})", fix="run the command again") from error
    if done.returncode:
        raise complaint(done.stderr)


def complaint(said: str) -> RenderError:
    """Return what uv's failure means, in one sentence (uv 0.13.9, met 2026-11-25); no credentials are in it."""
    said = _CREDENTIALS.sub("", said)
    lines = [re.sub(r"^\s*(?:error|cause):\s*", "", line).strip() for line in said.splitlines() if line.strip()]
    text = " ".join(lines)
    if found := re.search(r"Because (\S+) was not found in", text):
        return RenderError(f"no package index that it reached has {found[1]}", fix="check the name in image.pip")
    if found := re.search(r"Because there (?:is|are) no versions? of (.+?) and", text):
        return RenderError(f"no package index has {found[1]}", fix="name a version that exists in image.pip")
    if found := re.search(r"Because (.+?)(?:, we can conclude|$)", text):
        return RenderError(f"the packages contradict each other: {found[1]}", fix="change one of the pins in image.pip")
    if found := re.search(r"Couldn't parse requirement in \S+ at position \d+ ([^^]+)", text):
        return RenderError(f"a requirement can't be read: {found[1].strip()}", fix="mend the line in image.pip")
    if "certificate" in text:
        fix = "set SSL_CERT_FILE to your authority's PEM bundle"
        return RenderError("the package index's certificate is not trusted", fix=fix)
    if found := re.search(r"Failed to fetch: (\S+)", text):
        return RenderError(f"the package index can't be reached ({found[1].strip('`')})", fix="check the network")
    return RenderError(f"uv failed: {(lines or ['it said nothing'])[-1][:300]}", fix="mend image.pip")


def _preferences(packages: Sequence[LockedPackage]) -> str:
    """Return the least that uv takes for a lock to keep to: names and versions."""
    head = 'lock-version = "1.0"\ncreated-by = "factory"\n'
    entry = "\n[[packages]]\nname = {}\nversion = {}\n"
    known = [entry.format(json.dumps(each.name), json.dumps(each.version)) for each in packages if each.url is None]
    return head + ("".join(known) or "packages = []\n")


def _pip_settings() -> Mapping[str, str]:
    """Return what pip has been told on this machine, empty without pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in told.splitlines():
        section, _, rest = line.partition(".")
        name, _, value = rest.partition("=")
        if section in found and value:
            found[section][name] = str(ast.literal_eval(value))
    return {**found["global"], **found["install"], **found[":env:"]}


def _configuration(pip: Mapping[str, str]) -> str:
    """Return pip's settings as uv's configuration file. pip takes the best of all indexes, so uv shall too."""
    values: dict[str, object] = {"index-strategy": "unsafe-best-match", "system-certs": True}
    if _REMOTE.match(index := pip.get("index-url", "")):
        values["index-url"] = index
    for key in ("extra-index-url", "find-links"):
        if remote := [each for each in pip.get(key, "").split() if _REMOTE.match(each)]:
            values[key] = remote
    if hosts := pip.get("trusted-host", "").split():
        values["allow-insecure-host"] = hosts
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def _packages(text: str) -> list[LockedPackage]:
    return [_package(each) for each in tomllib.loads(text).get("packages", ())]


def _package(entry: Mapping[str, Any]) -> LockedPackage:
    """Return one package: its wheels, or its source where it has none; an archive by its URL."""
    name = str(entry["name"])
    if archive := entry.get("archive"):
        return LockedPackage(name, "", _hashes([archive]), str(archive["url"]))
    files = entry.get("wheels") or ([entry["sdist"]] if "sdist" in entry else [])
    if not files:
        raise RenderError(
            f"{name} comes from a repository or a folder, which has no hash to hold it to",
            fix="take it by image.git and install it in image.steps, or name a wheel's URL",
        )
    return LockedPackage(name, str(entry["version"]), _hashes(files))


def _hashes(files: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted({f"{kind}:{value}" for file in files for kind, value in file["hashes"].items()}))
