"""Why a build step failed, in plain words: known texts of pip, apt, git, the shell and the network.

The first row that matches any kept line wins, so causes stand before their consequences: without a trusted
certificate or a network, pip too says "No matching distribution" (pip 23.0, apt 2.6, met 2026-11-24).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from factory.records import BuildOptions


@dataclass(frozen=True, slots=True)
class Cause:
    """Why, and the one thing to do about it."""

    what: str
    fix: str


NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)

Explain = Callable[[re.Match[str], str, BuildOptions], Cause]


def find_cause(lines: Sequence[str], exit_code: int | None, options: BuildOptions) -> Cause | None:
    """Return the known cause in a failed step's output, or None when nothing known is in it."""
    text = "\n".join(lines)
    for pattern, explain in _ROWS:
        if found := pattern.search(text):
            return explain(found, text, options)
    if exit_code == 137:
        return Cause("it was killed, as a rule for want of memory", "give the engine more memory")
    return None


def _certificate(_found: re.Match[str], _text: str, options: BuildOptions) -> Cause:
    what = "it does not trust the certificate of the server that it asks"
    if options.ca_file:
        return Cause(what, f"check that {options.ca_file} holds the authority that signed it")
    return Cause(what, "name your authority's PEM bundle: factory build --ca FILE")


def _network(found: re.Match[str], _text: str, options: BuildOptions) -> Cause:
    what = f"it has no network ({found[0].strip()})"
    if options.network == "host":
        return Cause(what, "check this machine's network and its proxy settings")
    return Cause(what, "let it use this machine's network: factory build --network host")


def _pip(found: re.Match[str], text: str, options: BuildOptions) -> Cause:
    requirement = found[1]
    versions = re.search(r"\(from versions: ([^)]*)\)", text)
    known = [v.strip() for v in versions[1].split(",") if v.strip() not in ("", "none")] if versions else []
    if known:
        return Cause(f"the package index has no {requirement}", f"name a version that exists, such as {known[-1]}")
    # pip says "none" for a name that does not exist, for another Python's packages, and (with -q) without a network.
    reach = "" if options.network == "host" else ", or let it use this machine's network: factory build --network host"
    return Cause(
        f"pip found no {requirement} for this Python in any index that it reached",
        f"check the name and the version in image.pip{reach}",
    )


def _uv_absent(found: re.Match[str], _text: str, options: BuildOptions) -> Cause:
    reach = "" if options.network == "host" else ", or let it use this machine's network: factory build --network host"
    return Cause(f"no package index that it reached has {found[1]}", f"check the name in image.pip{reach}")


def _uv_version(found: re.Match[str], _text: str, _options: BuildOptions) -> Cause:
    return Cause(f"the package index has no {found[1]}", "name a version that exists in image.pip")


def _uv_conflict(found: re.Match[str], _text: str, _options: BuildOptions) -> Cause:
    what = re.sub(r"\s+", " ", found[1])
    return Cause(f"the packages contradict each other: {what}", "change one of the pins in image.pip")


def _hash(found: re.Match[str], _text: str, _options: BuildOptions) -> Cause:
    return Cause(
        f"what the package index has for {found[1]} has another hash than is locked",
        "ask who changed it; `factory lock --upgrade` takes what is there now",
    )


def _conflict(_found: re.Match[str], text: str, _options: BuildOptions) -> Cause:
    named = re.search(r"Cannot install (.+?) because", text)
    who = f" ({named[1]})" if named else ""
    return Cause(f"the pinned packages contradict each other{who}", "change one of the pins in image.pip")


def _apt(found: re.Match[str], _text: str, _options: BuildOptions) -> Cause:
    return Cause(f"the distribution has no package {found[1].strip(chr(39))}", "check the name in image.apt")


def _compiler(_found: re.Match[str], _text: str, _options: BuildOptions) -> Cause:
    return Cause("it compiles C code, and the image has no compiler", "add build-essential to image.apt")


def _git(found: re.Match[str], _text: str, _options: BuildOptions) -> Cause:
    return Cause(f"git: {found[1]}", "check url and commit in image.git")


def _command(found: re.Match[str], _text: str, _options: BuildOptions) -> Cause:
    return Cause(f"the image has no command {found[1]}", "install it with image.apt or image.pip")


_ROWS: tuple[tuple[re.Pattern[str], Explain], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), explain)
    for pattern, explain in (
        (
            r"certificate.verify.failed|invalid peer certificate|self.signed certificate|unable to get local issuer"
            r"|x509:",
            _certificate,
        ),
        (
            r"temporary failure (?:in name resolution|resolving)[^\n]*|could not resolve (?:host|proxy)[^\n]*"
            r"|network is unreachable|name or service not known|failed to establish a new connection"
            r"|could not connect to [^\n]*|connection timed out|cannot connect to proxy"
            r"|dns error|tcp connect error[^\n]*|failed to lookup address[^\n]*",
            _network,
        ),
        (r"hash mismatch for `([^`]+)`", _hash),
        (r"these packages do not match the hashes(?:.|\n)*?\n\s*(\S+) from", _hash),
        (r"because (\S+) was not found in the (?:package registry|provided package locations|cache)", _uv_absent),
        (r"because there (?:is|are) no versions? of (\S+) and", _uv_version),
        (r"no solution found(?:.|\n)*?because ((?:.|\n)+?)(?:, we can conclude|\n\n|$)", _uv_conflict),
        (r"no matching distribution found for ([^\n]+)", _pip),
        (r"resolutionimpossible|conflicting dependencies", _conflict),
        (r"unable to locate package (\S+)", _apt),
        (r"package (\S+) has no installation candidate", _apt),
        (r"(?:gcc|cc|g\+\+)'?(?:: command not found| failed: no such file)|no such file or directory: '(?:gcc|cc)'",
         _compiler),
        (r"fatal: ([^\n]+)", _git),
        (r"/bin/(?:ba)?sh: (?:line )?(?:\d+: )?([\w.+-]+): (?:command )?not found", _command),
    )
)  # fmt: skip
