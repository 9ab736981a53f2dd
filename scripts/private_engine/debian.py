"""Install packages from the distribution, and leave the machine's services as they were."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from private_engine.layout import Refusal, say

POLICY = Path("/usr/sbin/policy-rc.d")


def install(packages: list[str], *, why: str) -> None:
    """Install those of the packages that are missing; raise Refusal with the command when we can't.

    Their services are neither started now nor at the next boot: we run our own copies.
    """
    missing = [name for name in packages if not _is_installed(name)]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Refusal(
            f"{why}, and this is not Debian or Ubuntu: install {' and '.join(missing)} your system's way first"
        )
    if os.geteuid() != 0:
        raise Refusal(f"{why}, and you are not root: run `sudo apt-get install {' '.join(missing)}` first")
    say(f"installing {', '.join(missing)} from the distribution")
    services_before = _enabled_services()
    with _no_service_starts():
        apt_get("update")
        apt_get("install", "--yes", "--no-install-recommends", *missing)
    _disable(_enabled_services() - services_before)


def apt_get(*words: str) -> None:
    """Run apt-get, quietly; raise Refusal with its first error."""
    done = subprocess.run(
        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *words],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr.strip()[-300:]]
        raise Refusal(f"apt-get {words[0]} failed ({errors[0]}): mend the machine's package sources, then try again")


def _is_installed(package: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    answer = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True)
    return answer.stdout == "installed"


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep packages from starting their services (Debian policy 9.3.3: policy-rc.d that exits 101 forbids it)."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _enabled_services() -> set[str]:
    folders = Path("/etc/systemd/system").glob("*.wants")
    return {link.name for folder in folders for link in folder.iterdir()}


def _disable(services: set[str]) -> None:
    if services and shutil.which("systemctl"):
        subprocess.run(["systemctl", "disable", "--quiet", *sorted(services)], capture_output=True, check=False)
