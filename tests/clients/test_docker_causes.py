"""Known texts of pip, apt, git and the network, each with why and the one thing to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.clients.docker_causes import find_cause
from factory.records import BuildOptions

PLAIN = BuildOptions()
HOST = BuildOptions(network="host")

# (what the step printed, its exit status, the options) → (why, what to do).
# Printed by pip 23.0, uv 0.13.9, apt 2.6 and git 2.39.
CASES = {
    "pip: no such version": (
        "ERROR: Could not find a version that satisfies the requirement six==99.1 (from versions: 1.16.0, 1.17.0)\n"
        "ERROR: No matching distribution found for six==99.1",
        PLAIN,
        "the package index has no six==99.1",
        "name a version that exists, such as 1.17.0",
    ),
    "pip: nothing at all": (
        "ERROR: Could not find a version that satisfies the requirement sixx==1 (from versions: none)\n"
        "ERROR: No matching distribution found for sixx==1",
        HOST,
        "pip found no sixx==1 for this Python in any index that it reached",
        "check the name and the version in image.pip",
    ),
    "pip: no certificate": (
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))\n"
        "ERROR: No matching distribution found for six==1.17.0",
        HOST,
        "it does not trust the certificate of the server that it asks",
        "name your authority's PEM bundle: factory build --ca FILE",
    ),
    "pip: the wrong certificate": (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        BuildOptions(ca_file=Path("my.pem")),
        "it does not trust the certificate of the server that it asks",
        "check that my.pem holds the authority that signed it",
    ),
    "pip: no network": (
        "NewConnectionError('<…>: Failed to establish a new connection: [Errno 111] Connection refused')\n"
        "ERROR: No matching distribution found for six==1.17.0",
        PLAIN,
        "it has no network (Failed to establish a new connection)",
        "let it use this machine's network: factory build --network host",
    ),
    "pip: pins that contradict": (
        "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.\n"
        "ERROR: ResolutionImpossible",
        PLAIN,
        "the pinned packages contradict each other (a==1 and b==2)",
        "change one of the pins in image.pip",
    ),
    "uv: no such version": (
        "error: No solution found when resolving dependencies\n  cause: Because there is no version of six==99 and you "
        "require six==99, we can conclude that your requirements are unsatisfiable.",
        PLAIN,
        "the package index has no six==99",
        "name a version that exists in image.pip",
    ),
    "uv: no such package": (
        "  cause: Because sixx was not found in the package registry and you require sixx==1, we can conclude that …",
        HOST,
        "no package index that it reached has sixx",
        "check the name in image.pip",
    ),
    "uv: pins that contradict": (
        "error: No solution found when resolving dependencies\n  cause: Because a==1 depends on b>=2 and you require "
        "a==1, we can conclude that you require b>=2.\n         And because you require b==1, we can conclude that "
        "your requirements are unsatisfiable.",
        PLAIN,
        "the packages contradict each other: a==1 depends on b>=2 and you require a==1",
        "change one of the pins in image.pip",
    ),
    "uv: another file than is locked": (
        "error: Failed to download `six==1.17.0`\n  cause: Hash mismatch for `six==1.17.0`\n         Expected:\n"
        "           sha256:00\n         Computed:\n           sha256:11",
        PLAIN,
        "what the package index has for six==1.17.0 has another hash than is locked",
        "ask who changed it; `factory lock --upgrade` takes what is there now",
    ),
    "uv: no certificate": (
        "error: Failed to fetch: https://example.org/simple/six/\n  cause: client error (Connect)\n"
        "  cause: invalid peer certificate: UnknownIssuer",
        HOST,
        "it does not trust the certificate of the server that it asks",
        "name your authority's PEM bundle: factory build --ca FILE",
    ),
    "uv: no network": (
        "  cause: error sending request for url (https://example.org/simple/six/)\n  cause: client error (Connect)\n"
        "  cause: dns error\n  cause: failed to lookup address information: Temporary failure in name resolution",
        PLAIN,
        "it has no network (dns error)",
        "let it use this machine's network: factory build --network host",
    ),
    "apt: no such package": (
        "Reading package lists...\nE: Unable to locate package no-such",
        PLAIN,
        "the distribution has no package no-such",
        "check the name in image.apt",
    ),
    "apt: no candidate": (
        "E: Package 'python2' has no installation candidate",
        PLAIN,
        "the distribution has no package python2",
        "check the name in image.apt",
    ),
    "apt: no network": (
        "W: Failed to fetch … Temporary failure resolving 'deb.example.org'\nE: Unable to locate package ffmpeg",
        HOST,
        "it has no network (Temporary failure resolving 'deb.example.org')",
        "check this machine's network and its proxy settings",
    ),
    "a compiler": (
        "error: command 'gcc' failed: No such file or directory",
        PLAIN,
        "it compiles C code, and the image has no compiler",
        "add build-essential to image.apt",
    ),
    "git": (
        "fatal: remote error: upload-pack: not our ref 0123",
        PLAIN,
        "git: remote error: upload-pack: not our ref 0123",
        "check url and commit in image.git",
    ),
    "a command": (
        "/bin/sh: 1: ffmpeg: not found",
        PLAIN,
        "the image has no command ffmpeg",
        "install it with image.apt or image.pip",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_known_causes(name: str) -> None:
    """Each text is told as its cause, and a cause wins over its consequence."""
    printed, options, what, fix = CASES[name]
    cause = find_cause(printed.splitlines(), 1, options)
    assert cause is not None and (cause.what, cause.fix) == (what, fix)


def test_killed_for_want_of_memory() -> None:
    """137 without any known text is told as a kill; another status tells nothing."""
    cause = find_cause(["Killed"], 137, PLAIN)
    assert cause is not None and "memory" in cause.what
    assert find_cause(["Killed"], 1, PLAIN) is None


@given(st.lists(st.text()), st.none() | st.integers())
def test_any_output_is_borne(lines: list[str], exit_code: int | None) -> None:
    """No output makes the search raise."""
    find_cause(lines, exit_code, PLAIN)
