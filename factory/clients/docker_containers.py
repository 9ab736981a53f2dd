"""A worker's container: the image as RunPod starts it, with the SDK's own local API for test jobs.

Every container carries the label `factory.verify`: the process that it belongs to. One whose process is gone (a kill)
is removed before the next is made.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import DeviceRequest

from factory import owners
from factory.clients.docker_connection import Connection
from factory.clients.docker_faults import clean, engine_faults
from factory.errors import BaseMissing, Interrupted, TestJobFailed, WorkerExited
from factory.records import BuildOptions

VOLUME = "/runpod-volume"
LABEL = "factory.verify"
INNER_PORT = 8000
SHOWN_LINES = 15
WORKER_COMMAND = ("python", "-u", "-m", "worker_runtime")
ALIVE = ("created", "running", "restarting", "paused")

# What an exit status tells: 125 to 127 are the engine's and the shell's, above 128 it is a signal's number plus 128.
EXITS = {
    0: "it ended by itself",
    1: "the program failed",
    2: "the program refused its arguments, or its file is missing",
    125: "the engine could not run it",
    126: "its command can't be executed",
    127: "its command is not in the image",
    137: "it was killed (SIGKILL)",
    139: "it crashed (segmentation fault)",
    143: "it was told to end (SIGTERM)",
}


class ContainerWorker:
    """A running container of the image, answering at `url`."""

    def __init__(self, connection: Connection, reference: str, container: str, url: str) -> None:
        self._connection = connection
        self._reference = reference
        self._container = container
        self._url = url

    def is_ready(self) -> bool:
        """Is it answering HTTP? Raises WorkerExited when the container has ended."""
        self._require_running()
        try:
            httpx.get(f"{self._url}/openapi.json", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        return True

    def call(self, job_input: Mapping[str, object], timeout_s: float) -> Mapping[str, object]:
        """Run one job synchronously and return the SDK's answer (`status`, `output` or `error`).

        Raises WorkerExited when the container ends meanwhile, TestJobFailed when no answer comes in time or it is none.
        """
        try:
            answer = httpx.post(
                f"{self._url}/runsync", json={"input": dict(job_input)}, timeout=timeout_s, trust_env=False
            )
        except httpx.TimeoutException as error:
            self._require_running()
            raise TestJobFailed(f"no answer within {timeout_s:g} s", where=self._reference) from error
        except httpx.HTTPError as error:
            self._require_running(patience_s=2)
            raise TestJobFailed(f"the worker broke the connection off ({error})", where=self._reference) from error
        with contextlib.suppress(ValueError):
            body = answer.json()
            if answer.is_success and isinstance(body, dict):
                return body
        raise TestJobFailed(
            f"the worker's API answered {answer.status_code}: {clean(answer.text[:300])}", where=self._reference
        )

    def logs(self) -> str:
        """Return what the container has printed so far, both streams together as the engine read them."""
        with engine_faults(self._connection.base_url):
            printed = self._connection.logs(self._container, stdout=True, stderr=True)
        return bytes(printed).decode("utf-8", "replace")

    def _state(self) -> dict[str, Any]:
        with engine_faults(self._connection.base_url):
            return dict(self._connection.inspect_container(self._container)["State"])

    def _require_running(self, patience_s: float = 0) -> None:
        """Raise WorkerExited when it has ended; the engine may take a moment to notice a death that broke a call."""
        deadline_s = time.monotonic() + patience_s
        while (state := self._state())["Status"] in ALIVE:
            if time.monotonic() >= deadline_s:
                return
            time.sleep(0.1)
        code = int(state["ExitCode"])
        meaning = "it ran out of memory" if state.get("OOMKilled") else EXITS.get(code, "the program chose that number")
        lines = [clean(line) for line in self.logs().splitlines() if line.strip()]
        last = f"; its last line: {lines[-1][:300]}" if lines else "; it printed nothing"
        raise WorkerExited(
            f"the container exited with {code}, {meaning}{last}",
            where=self._reference,
            fix="see its last lines in the report" if len(lines) > 1 else "",
            details={"exit_status": code, "lines": lines[-SHOWN_LINES:]},
        )


@contextmanager
def run_worker(
    connection: Connection,
    reference: str,
    environment: Mapping[str, str],
    volume: Path | None,
    options: BuildOptions,
    *,
    gpus: DeviceRequest | None,
) -> Iterator[ContainerWorker]:
    """Start the container and remove it on leaving, whatever happens. Without the host's network it is published."""
    is_host = options.network == "host"
    port = _free_port() if is_host else INNER_PORT
    address = "127.0.0.1" if is_host else "0.0.0.0"  # noqa: S104 - within the container; published on loopback only
    settings: dict[str, Any] = {"network_mode": "host"} if is_host else {"port_bindings": {port: ("127.0.0.1", None)}}
    if volume:
        settings["binds"] = {str(volume.resolve()): {"bind": VOLUME, "mode": "rw"}}
    if gpus:
        settings["device_requests"] = [gpus]
    command = [*WORKER_COMMAND, "--rp_serve_api", "--rp_api_host", address, "--rp_api_port", str(port)]
    with engine_faults(connection.base_url):
        container = _create(connection, reference, command, environment, settings, [] if is_host else [port])
    try:
        with engine_faults(connection.base_url):
            _start(connection, reference, container)
            if not is_host:
                port = _published_port(connection, container)
        yield ContainerWorker(connection, reference, container, f"http://127.0.0.1:{port}")
    finally:
        with contextlib.suppress(DockerException):
            connection.remove_container(container, force=True, v=True)


def run_to_end(
    connection: Connection,
    reference: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    options: BuildOptions,
    is_interrupted: Callable[[], bool],
) -> tuple[int, str]:
    """Run a command in a container of its own; return its exit status and what it printed. Removes the container."""
    settings = {"network_mode": "host"} if options.network == "host" else {}
    container = _create(connection, reference, list(command), environment, settings, [])
    try:
        _start(connection, reference, container)
        while not is_interrupted():
            state = connection.inspect_container(container)["State"]
            if state["Status"] not in ALIVE:
                printed = bytes(connection.logs(container, stdout=True, stderr=True))
                return int(state["ExitCode"]), printed.decode("utf-8", "replace")
            time.sleep(0.05)
        raise Interrupted("stopped, and undone", where=reference)
    finally:
        with contextlib.suppress(DockerException):
            connection.remove_container(container, force=True, v=True)


def gpus_of(info: Mapping[str, Any]) -> DeviceRequest | None:
    """Return the request for all NVIDIA GPUs; None when the engine has neither NVIDIA's runtime nor a CDI device.

    `DiscoveredDevices` is in `info()` since API 1.50 (Docker's API version history, 2026-11-24). Untested with a GPU.
    """
    if "nvidia" in (info.get("Runtimes") or {}):
        return DeviceRequest(count=-1, capabilities=[["gpu"]])
    devices = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or []]
    if any(device.startswith("nvidia.com/gpu=") for device in devices):
        return DeviceRequest(driver="cdi", device_ids=["nvidia.com/gpu=all"])
    return None


def _create(
    connection: Connection,
    reference: str,
    command: list[str],
    environment: Mapping[str, str],
    settings: Mapping[str, Any],
    ports: list[int],
) -> str:
    _remove_orphans(connection)
    try:
        made = connection.create_container(
            reference,
            command=command,
            labels={LABEL: owners.me()},
            environment=dict(environment),
            ports=ports,
            host_config=connection.create_host_config(**settings),
        )
    except ImageNotFound as error:
        raise BaseMissing("the engine has no such image", where=reference, fix="build it or pull it first") from error
    return str(made["Id"])


def _remove_orphans(connection: Connection) -> None:
    """Remove what killed processes of this machine have left."""
    for container in connection.containers(all=True, filters={"label": LABEL}):
        if owners.is_gone(container["Labels"].get(LABEL, "")):
            with contextlib.suppress(DockerException):
                connection.remove_container(container["Id"], force=True, v=True)


def _start(connection: Connection, reference: str, container: str) -> None:
    try:
        connection.start(container)
    except APIError as error:
        raise WorkerExited(
            f"the container could not start ({clean(str(error.explanation or error))})",
            where=reference,
            fix="the image needs python on its PATH, and RunPod's command must be able to run",
        ) from error


def _published_port(connection: Connection, container: str) -> int:
    """Return the port on loopback; a container that has ended already has none, and `is_ready` says why."""
    ports = connection.inspect_container(container)["NetworkSettings"]["Ports"] or {}
    published = ports.get(f"{INNER_PORT}/tcp")
    return int(published[0]["HostPort"]) if published else INNER_PORT


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
