"""The Docker engine: the one that is there, or one of our own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

from private_engine import debian
from private_engine.layout import HOME, RUN, UNIQUE, Refusal, State, say
from private_engine.process import Service, find_by_mark, terminate

SOCKET = RUN / "docker.sock"
EXEC_ROOT = RUN / "exec"
CONFIG = HOME / "daemon.json"
PRIVATE_HOST = f"unix://{SOCKET}"
DEFAULT_HOST = "unix:///var/run/docker.sock"

SERVICE = Service(
    name="dockerd",
    command=("dockerd", "--config-file", str(CONFIG)),
    mark=str(CONFIG),
    pid_file=RUN / "dockerd.pid",
    log_file=HOME / "dockerd.log",
)


def find_or_start(state: State) -> None:
    """Fill in `state.docker_host`: an engine that answers, or a private one, started when it doesn't run.

    Raises Refusal when neither can be had.
    """
    state.docker_host = _engine_that_is_there()
    state.is_private = state.docker_host in ("", PRIVATE_HOST)
    if state.is_private:
        _start()
        state.docker_host = PRIVATE_HOST
    if shutil.which("docker") is None:
        debian.install(["docker-cli"], why="there is a Docker engine but no `docker` command")


def stop() -> bool:
    """Stop the private engine with its containers, and remove its mounts; return whether it was running."""
    was_running = SERVICE.stop(timeout_s=30)
    _clear_leftovers()
    return was_running


def answers(host: str) -> bool:
    """Does an engine answer at this address? Raises Refusal when its socket is there and closed to us."""
    if not host.startswith("unix://"):
        return subprocess.run(["docker", "-H", host, "version"], capture_output=True, timeout=20).returncode == 0
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        try:
            connection.connect(host.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except PermissionError:
            raise Refusal(
                f"the Docker engine's socket {host} is closed to you: join its group (`sudo usermod -aG docker $USER`),"
                " log in again, then run this again"
            ) from None
        except OSError:
            return False


def docker(state: State, *words: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run the `docker` command against the engine; the caller reads the exit status."""
    environment = {**os.environ, "DOCKER_HOST": state.docker_host}
    return subprocess.run(
        ["docker", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line in which a `docker` command that failed says why."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "it said nothing")[:300]


def _engine_that_is_there() -> str:
    """Return the address of the first that answers: DOCKER_HOST, ours, the Docker context's, the default socket."""
    asked_for = os.environ.get("DOCKER_HOST", "")
    if asked_for and asked_for != PRIVATE_HOST:
        if answers(asked_for):
            return asked_for
        say(f"nothing answers at DOCKER_HOST ({asked_for}), looking elsewhere")
    if SERVICE.pid() is not None:
        return PRIVATE_HOST
    return next((host for host in (_context_host(), DEFAULT_HOST) if host and answers(host)), "")


def _start() -> None:
    if os.geteuid() != 0 and shutil.which("dockerd"):
        raise Refusal("no Docker engine answers, and only root can start one: run `sudo systemctl start docker` first")
    debian.install(["docker.io", "docker-registry"], why="no Docker engine answers")
    if SERVICE.pid() is None:
        say("starting a private Docker engine")
        _clear_leftovers()
        RUN.mkdir(parents=True, exist_ok=True)
        CONFIG.write_text(json.dumps(_config(), indent=1) + "\n")
    SERVICE.start(lambda: answers(PRIVATE_HOST), timeout_s=90)


def _context_host() -> str:
    if shutil.which("docker") is None:
        return ""
    words = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def _config() -> dict[str, object]:
    """Return dockerd's configuration: nothing outside our folders is read, written or routed.

    Builds and containers use the host's network, so the engine gets no bridge and touches no firewall rule.
    dockerd deletes `docker0` when told `bridge: none` (seen with 20.10.24, 2026-11-24), which would cut off another
    engine's containers; where that bridge exists we name it, and then it is left as it is.
    A containerd that the system runs is used by dockerd 20.10 and later; names of our own keep the two apart there.
    """
    return {
        "data-root": str(HOME / "data"),
        "exec-root": str(EXEC_ROOT),
        "pidfile": str(RUN / "dockerd-own.pid"),
        "hosts": [PRIVATE_HOST],
        "bridge": "docker0" if Path("/sys/class/net/docker0").exists() else "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        "containerd-namespace": UNIQUE,
        "containerd-plugins-namespace": f"{UNIQUE}-plugins",
        "log-level": "warn",
    }


def _clear_leftovers() -> None:
    """Remove what an engine that was killed leaves: its containerd and shims, mounts, sockets and pid files."""
    for pid in find_by_mark(str(EXEC_ROOT)):
        terminate(pid, str(EXEC_ROOT), timeout_s=5)
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    ours = [point for point in mounts if f"{point}/".startswith((f"{EXEC_ROOT}/", f"{HOME}/data/"))]
    for point in reversed(ours):
        subprocess.run(["umount", "--lazy", point], capture_output=True)
    for name in ("dockerd-own.pid", "docker.sock"):
        (RUN / name).unlink(missing_ok=True)
    shutil.rmtree(EXEC_ROOT, ignore_errors=True)
