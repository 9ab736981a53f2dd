"""Docker Hub in a box with a real engine: dockerd pushes and pulls through its token front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import docker.errors
import pytest
from registries import running_registry

from factory.clients.docker_connection import Connection
from factory.clients.dockerhub import DockerHub
from factory.clients.registry import DistributionRegistry
from factory.emulator.dockerhub import create_dockerhub
from factory.emulator.serve import running

pytestmark = pytest.mark.engine

ADA = {"username": "ada", "password": "secret"}


def test_dockerd_pushes_and_pulls_through_the_front(engine_host: str, base_image: str, tmp_path: Path) -> None:
    """A private image goes up and down with its owner's login only, and both our clients see what was pushed."""
    with running_registry(tmp_path / "data") as registry:
        app = create_dockerhub(registry.address, users={"ada": "secret"}, private=frozenset({"ada/x"}))
        with running(app) as url:
            repository = f"{url.removeprefix('http://')}/ada/x"
            api = Connection(engine_host, 120)
            if base_image not in [tag for image in api.images() for tag in image["RepoTags"] or []]:
                api.pull(base_image)
            api.tag(base_image, repository, "t")
            try:
                assert "incorrect username or password" in last(api, repository, {**ADA, "password": "no"})["error"]
                assert "denied" in last(api, repository, None)["error"]
                digest = last(api, repository, ADA)["aux"]["Digest"]
                api.remove_image(f"{repository}:t")
                with pytest.raises(docker.errors.NotFound, match="pull access denied"):
                    api.pull(repository, tag="t")
                api.pull(repository, tag="t", auth_config=ADA)
            finally:
                api.remove_image(f"{repository}:t")
            assert DockerHub(url, lambda _: ("ada", "secret")).tag("ada/x", "t").digest == digest
            with DistributionRegistry(lambda _: ("ada", "secret")) as client:
                assert client.digest(f"{repository}:t") == digest


def last(api: Connection, repository: str, login: dict[str, str] | None) -> dict[str, Any]:
    """Push, and return the engine's last word: the digest or the error."""
    words: list[dict[str, Any]] = list(api.push(repository, tag="t", stream=True, decode=True, auth_config=login))
    return words[-1]
