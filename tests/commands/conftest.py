"""What the command tests share: a hub over the fixture listings, and the command as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mend_bench import MendShop, mend_shop

from factory.emulator.hub import create_hub
from factory.emulator.serve import running

HUB = Path(__file__).parent.parent / "fixtures" / "hub"

Factory = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def hub() -> Iterator[str]:
    """A hub whose listings carry the true sizes of the shipped recipes' repositories."""
    with running(create_hub(HUB)) as url:
        yield url


@pytest.fixture(scope="session")
def mend_shop_kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MendShop]:
    """One account, with workers, for all that mends an endpoint."""
    with mend_shop(tmp_path_factory.mktemp("mending")) as opened:
        yield opened


@pytest.fixture
def shop(mend_shop_kept: MendShop) -> Iterator[MendShop]:
    """The same, emptied after each test."""
    yield mend_shop_kept
    mend_shop_kept.clear()


@pytest.fixture
def factory(hub: str, tmp_path: Path) -> Factory:
    """Run `factory ARGUMENTS…` in a process of its own, with no engine and no registry in reach."""

    def run(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("FACTORY_", "HF_"))}
        env |= {"HF_ENDPOINT": hub, "FACTORY_HOME": str(tmp_path / "home"), "FACTORY_REGISTRY": "127.0.0.1:9"}
        env |= {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "FACTORY_BASE": "127.0.0.1:9/base:1"}
        command = [sys.executable, "-m", "factory", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=env | environ, check=False, timeout=120)

    return run


@pytest.fixture
def wan(tmp_path: Path) -> Path:
    """A recipe of Wan2.1-T2V-14B, in a folder of its own."""
    path = tmp_path / "wan.yaml"
    path.write_text(
        "name: wan\n"
        "model:\n"
        "  repo: Wan-AI/Wan2.1-T2V-14B\n"
        "  dtype: bf16\n"
        "  placement: volume\n"
        "image:\n"
        "  repository: acme/wan\n"
        "gpu: [AMPERE_80]\n"
        "handler: echo\n"
        "tests:\n"
        "  - input: {prompt: a cat}\n"
        "    expect: {prompt: a cat}\n"
    )
    return path
