"""Workers as containers of a Docker engine on this machine: the image that was pushed, as RunPod starts it.

| as at RunPod | not so |
| --- | --- |
| pulled for linux/amd64, with the endpoint's registry login | the container disk has no limit: overlay2 gives none |
| its own command, or the endpoint's `args` | the host's network, so that it reaches the emulator on loopback |
| the volume at /runpod-volume | CPU and memory are the machine's |
| GPUs where the engine has NVIDIA's | without: RUNPOD_SKIP_GPU_CHECK |

The SDK's own system checks are off: they look at the container's disk, which is the machine's, and at 8.8.8.8. Docker
Desktop has no host network worth the name; its containers reach this machine as host.docker.internal (untested here).
Every container carries the label `factory.emulator`: its emulator as `owners.py` writes it. One whose emulator is gone
is removed when the next begins.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest

from factory import owners
from factory.emulator.runpod.entities import Login
from factory.emulator.runpod.launcher import VOLUME_PATH, Handle, LaunchFailed, Order, Say
from factory.emulator.runpod.worker_output import Outlet

LABEL = "factory.emulator"
PLATFORM = "linux/amd64"
DESKTOP_HOST = "host.docker.internal"
TIMEOUT_S = 60
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ENGINE_FAULTS = (DockerException, requests.RequestException, OSError)


class DockerLauncher:
    """Starts containers on the engine at `address` (None: the default socket)."""

    needs_url = True

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._client: docker.APIClient | None = None
        self._info: dict[str, Any] = {}

    def problem(self) -> str:
        """Return why no worker can be started there; empty when they can."""
        host = urlsplit(self._address or "").hostname
        if host is not None and host not in _LOOPBACK:
            return f"the engine at {host} is another machine: its containers can't reach the emulator, nor the volumes"
        try:
            self._connected()
        except _ENGINE_FAULTS as error:
            return _said(error)
        return ""

    async def sweep(self) -> None:
        """Remove the containers of emulators that are gone from this machine."""
        await anyio.to_thread.run_sync(self._remove_orphans)

    async def start(self, order: Order, say: Say) -> Handle:
        """Pull the image and start a container of it. Raises LaunchFailed."""
        outlet = Outlet(say)
        if problem := await anyio.to_thread.run_sync(self.problem):
            raise LaunchFailed(problem)
        container = await anyio.to_thread.run_sync(self._start, order, outlet)
        return DockerWorker(self._connected(), self._follower(), container, order.worker.id, outlet)

    # --- in threads --------------------------------------------------------------------------------------------------
    def _connected(self) -> docker.APIClient:
        if self._client is None:
            client = docker.APIClient(base_url=self._address, version="auto", timeout=TIMEOUT_S)
            self._info = client.info()
            self._client = client
        return self._client

    def _follower(self) -> docker.APIClient:
        """Return a connection of its own for a container's output, which may be silent for hours."""
        return docker.APIClient(base_url=self._address, version=self._connected().api_version, timeout=None)  # type: ignore[arg-type]

    def _remove_orphans(self) -> None:
        if self.problem():
            return
        client = self._connected()
        for container in client.containers(all=True, filters={"label": LABEL}):
            if owners.is_gone(container["Labels"].get(LABEL, "")):
                with contextlib.suppress(DockerException):
                    client.remove_container(container["Id"], force=True, v=True)

    def _start(self, order: Order, outlet: Outlet) -> str:
        self._pull(order.worker.image, order.login, outlet)
        client = self._connected()
        outlet.line(f"start container for {order.worker.image}: begin", "system")
        try:
            made = client.create_container(
                order.worker.image,
                command=shlex.split(order.endpoint.container.args) or None,
                environment=container_environment(order, self._info),
                labels={LABEL: owners.me(), f"{LABEL}.endpoint": order.endpoint.id},
                name=f"factory-{order.worker.id}",
                host_config=client.create_host_config(**host_settings(order, self._info)),
            )
        except _ENGINE_FAULTS as error:
            raise LaunchFailed(_said(error)) from error
        try:
            client.start(made["Id"])
        except _ENGINE_FAULTS as error:
            with contextlib.suppress(DockerException):
                client.remove_container(made["Id"], force=True, v=True)
            raise LaunchFailed(_said(error), exit_code=127) from error
        return str(made["Id"])

    def _pull(self, image: str, login: Login | None, outlet: Outlet) -> None:
        """Bring the image; one that is named by digest and there already can't have changed."""
        client = self._connected()
        if "@sha256:" in image:
            with contextlib.suppress(ImageNotFound):
                client.inspect_image(image)  # type: ignore[no-untyped-call]
                return
        outlet.line(f"image pull: {image}: pending", "system")
        auth = {"username": login.username, "password": login.password} if login else None
        try:
            for message in client.pull(image, auth_config=auth, platform=PLATFORM, stream=True, decode=True):
                if "error" in message:
                    raise LaunchFailed(str(message["error"]), is_pull=True)
        except _ENGINE_FAULTS as error:
            raise LaunchFailed(_said(error), is_pull=True) from error
        outlet.line(f"image pull: {image}: complete", "system")


class DockerWorker:
    """One container; a thread of its own carries its output and waits for its end."""

    def __init__(
        self, client: docker.APIClient, follower: docker.APIClient, container: str, name: str, outlet: Outlet
    ) -> None:
        self._client = client
        self._follower = follower
        self._container = container
        self._name = name
        self._outlet = outlet
        self._exit_code: int | None = None
        threading.Thread(target=self._follow, name=f"container-{name}", daemon=True).start()

    @property
    def name(self) -> str:
        """The container's name."""
        return f"factory-{self._name}"

    async def poll(self) -> int | None:
        """Return the container's exit code, None while it runs."""
        return self._exit_code

    async def stop(self, grace_s: float) -> None:
        """Stop and remove the container with its anonymous volumes. One that is gone is fine."""
        await anyio.to_thread.run_sync(self._stop, grace_s)

    def _stop(self, grace_s: float) -> None:
        with contextlib.suppress(NotFound):
            if grace_s > 0 and self._exit_code is None:
                self._client.stop(self._container, timeout=int(grace_s))
            self._client.remove_container(self._container, force=True, v=True)

    def _follow(self) -> None:
        code = 137  # what a container that was removed under our hands would have ended with
        try:
            self._outlet.pour(self._follower.logs(self._container, stdout=True, stderr=True, stream=True, follow=True))
            code = int(self._follower.wait(self._container)["StatusCode"])
            if self._follower.inspect_container(self._container)["State"].get("OOMKilled"):
                self._outlet.line("container ran out of memory", "system")
        except _ENGINE_FAULTS as error:
            if not isinstance(error, NotFound):
                self._outlet.line(f"the engine lost the container: {_said(error)}", "system")
        finally:
            self._follower.close()
            self._outlet.call(self._note_end, code)

    def _note_end(self, code: int) -> None:
        self._exit_code = code


def host_settings(order: Order, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the container gets of the machine: network, volume, GPUs."""
    settings: dict[str, Any] = {} if _is_desktop(info) else {"network_mode": "host"}
    if order.volume_folder:
        settings["binds"] = {str(order.volume_folder): {"bind": VOLUME_PATH, "mode": "rw"}}
    if order.worker.gpu_count and _has_nvidia(info):
        settings["device_requests"] = [DeviceRequest(count=order.worker.gpu_count, capabilities=[["gpu"]])]
    return settings


def container_environment(order: Order, info: Mapping[str, Any]) -> dict[str, str]:
    """Return the container's environment: RunPod's, and what a machine that isn't RunPod's needs beside it."""
    env = {"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true"}
    if not _has_nvidia(info):
        env["RUNPOD_SKIP_GPU_CHECK"] = "true"
    env |= order.env
    if not _is_desktop(info):
        return env
    port = urlsplit(order.url).port
    return {name: value.replace(order.url, f"http://{DESKTOP_HOST}:{port}") for name, value in env.items()}


def _is_desktop(info: Mapping[str, Any]) -> bool:
    return info.get("OperatingSystem") == "Docker Desktop"


def _has_nvidia(info: Mapping[str, Any]) -> bool:
    devices = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or []]
    return "nvidia" in (info.get("Runtimes") or {}) or any(name.startswith("nvidia.com/gpu=") for name in devices)


def _said(error: BaseException) -> str:
    """Return the engine's own sentence."""
    said = getattr(error, "explanation", None) if isinstance(error, APIError) else None
    return str(said or error).strip()[:500]
