"""What a container gets of the machine, by kind of engine. Real containers: tests/e2e/test_emulated_workers.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runpod_box import an_endpoint

from factory.emulator.runpod.entities import Job, Worker
from factory.emulator.runpod.launch_docker import DockerLauncher, container_environment, host_settings
from factory.emulator.runpod.launcher import LaunchFailed, Order

URL = "http://127.0.0.1:8101"
LINUX: dict[str, Any] = {"OperatingSystem": "Debian GNU/Linux 12", "Runtimes": {"runc": {}}}
NVIDIA: dict[str, Any] = LINUX | {"Runtimes": {"runc": {}, "nvidia": {}}}
CDI: dict[str, Any] = LINUX | {"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}
DESKTOP: dict[str, Any] = LINUX | {"OperatingSystem": "Docker Desktop"}


def order(*, gpus: int = 1, folder: Path | None = None, **env: str) -> Order:
    """Return an order for a worker."""
    jobs: Any = Job  # a container is given neither jobs nor `joined`
    worker = Worker("w", "e", 1, "i", gpu_count=gpus)
    ping = {"RUNPOD_WEBHOOK_PING": f"{URL}/v2/e/ping/w?gpu=x"}
    return Order(worker, an_endpoint(), ping | env, folder, URL, None, jobs, lambda: None)


@pytest.mark.parametrize(
    ("info", "gpus", "network", "has_gpus"),
    [
        (LINUX, 1, "host", False),
        (NVIDIA, 1, "host", True),
        (CDI, 2, "host", True),
        (NVIDIA, 0, "host", False),  # a CPU worker
        (DESKTOP, 1, None, False),
    ],
)
def test_what_a_container_gets(info: dict[str, Any], gpus: int, network: str | None, has_gpus: bool) -> None:
    """The host's network but on Docker Desktop, GPUs where the engine has them, never any privilege."""
    settings = host_settings(order(gpus=gpus, folder=Path("/v")), info)
    assert settings.get("network_mode") == network
    assert ("device_requests" in settings) is has_gpus
    assert settings["binds"] == {"/v": {"bind": "/runpod-volume", "mode": "rw"}}
    assert "privileged" not in settings
    assert "binds" not in host_settings(order(), info)


@pytest.mark.parametrize(
    ("info", "skips_gpu_check", "host"),
    [(LINUX, "true", "127.0.0.1"), (NVIDIA, None, "127.0.0.1"), (DESKTOP, "true", "host.docker.internal")],
)
def test_what_a_container_is_told(info: dict[str, Any], skips_gpu_check: str | None, host: str) -> None:
    """Checks of what isn't there are off, unless the endpoint wants them; addresses are those that it can reach."""
    env = container_environment(order(MINE="1"), info)
    assert env["RUNPOD_WEBHOOK_PING"] == f"http://{host}:8101/v2/e/ping/w?gpu=x"
    assert (env["RUNPOD_SKIP_AUTO_SYSTEM_CHECKS"], env.get("RUNPOD_SKIP_GPU_CHECK")) == ("true", skips_gpu_check)
    assert env["MINE"] == "1"
    assert container_environment(order(RUNPOD_SKIP_GPU_CHECK="false"), info)["RUNPOD_SKIP_GPU_CHECK"] == "false"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("tcp://10.0.0.7:2375", "the engine at 10.0.0.7 is another machine"),
        ("ssh://ada@build.test", "the engine at build.test is another machine"),
        ("unix:///no/such/docker.sock", "No such file"),
    ],
)
@pytest.mark.anyio
async def test_engines_that_will_not_do(address: str, says: str) -> None:
    """Said before anything is started, and by the worker's start; sweeping there is no error."""
    launcher = DockerLauncher(address)
    assert says in launcher.problem()
    await launcher.sweep()
    with pytest.raises(LaunchFailed, match=says):
        await launcher.start(order(), lambda _source, _line: None)
