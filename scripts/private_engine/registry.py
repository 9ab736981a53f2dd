"""A registry on the loopback interface: Debian's docker-registry, or the official image where Docker Hub answers."""

from __future__ import annotations

import http.client
import secrets
import shutil
import socket
import time

from private_engine import debian, dockerd
from private_engine.layout import HOME, RUN, UNIQUE, Refusal, State, say
from private_engine.process import Service

CONFIG = HOME / "registry.yml"
CONTAINER = f"{UNIQUE}-registry"
IMAGE = "registry:2"

SERVICE = Service(
    name="docker-registry",
    command=("docker-registry", "serve", str(CONFIG)),
    mark=str(CONFIG),
    pid_file=RUN / "registry.pid",
    log_file=HOME / "registry.log",
)

# `secret` signs the state of uploads under way: without one they are void after a restart.
CONFIG_TEXT = """version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {data}}}
  delete: {{enabled: true}}
http: {{addr: {address}, secret: {secret}}}
"""


def find_or_start(state: State) -> None:
    """Fill in `state.registry`: ours, started when it doesn't run, on the port it had before where that is free.

    Raises Refusal when there is neither a docker-registry nor a way to get one.
    """
    if state.registry and _is_ours(state) and answers(state.registry):
        return
    stop(state)
    port = _free_port(state.registry)
    if shutil.which("docker-registry") is None and not state.is_private and _start_container(state, port):
        return
    debian.install(["docker-registry"], why="no registry runs here")
    state.registry = f"127.0.0.1:{port}"
    _start_process(state.registry)


def stop(state: State) -> bool:
    """Stop our registry, keeping what was pushed to it; return whether it was running."""
    was_running = SERVICE.stop(timeout_s=10)
    if state.docker_host and not state.is_private and shutil.which("docker"):
        was_running |= dockerd.docker(state, "rm", "--force", CONTAINER).stdout.strip() == CONTAINER
    return was_running


def answers(registry: str) -> bool:
    """Does a registry answer at this host:port?"""
    return _status(registry, "/v2/") == http.client.OK


def has(registry: str, repository: str, tag: str) -> bool:
    """Does the registry have this tag?"""
    return _status(registry, f"/v2/{repository}/manifests/{tag}") == http.client.OK


def _status(registry: str, path: str) -> int:
    connection = http.client.HTTPConnection(registry, timeout=10)
    try:
        connection.request("HEAD" if "manifests" in path else "GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _is_ours(state: State) -> bool:
    if SERVICE.pid() is not None:
        return True
    return not state.is_private and dockerd.docker(state, "inspect", CONTAINER).returncode == 0


def _free_port(remembered: str) -> int:
    """Return the remembered port when nobody has it now, else a free one."""
    for port in (int(remembered.rpartition(":")[2] or 0), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Refusal("no port is free on 127.0.0.1: stop something that listens there")


def _start_process(registry: str) -> None:
    say(f"starting a registry at {registry}")
    RUN.mkdir(parents=True, exist_ok=True)
    CONFIG.touch(mode=0o600)
    CONFIG.write_text(CONFIG_TEXT.format(data=HOME / "registry", address=registry, secret=secrets.token_hex(32)))
    SERVICE.start(lambda: answers(registry), timeout_s=30)


def _start_container(state: State, port: int) -> bool:
    """Start the official image; False when the engine neither has it nor can pull it."""
    say(f"starting {IMAGE} at 127.0.0.1:{port}")
    started = dockerd.docker(
        state, "run", "--detach", "--name", CONTAINER, "--publish", f"127.0.0.1:{port}:5000",
        "--volume", f"{CONTAINER}:/var/lib/registry", "--env", "REGISTRY_STORAGE_DELETE_ENABLED=true",
        "--env", f"REGISTRY_HTTP_SECRET={secrets.token_hex(32)}", IMAGE,
    )  # fmt: skip
    if started.returncode != 0:
        dockerd.docker(state, "rm", "--force", CONTAINER)
        say(f"{IMAGE} can't be started ({dockerd.complaint(started)})")
        return False
    state.registry = f"127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while not answers(state.registry):
        if time.monotonic() > deadline:
            raise Refusal(f"{IMAGE} does not answer at {state.registry}: see `docker logs {CONTAINER}`")
        time.sleep(0.2)
    return True
