"""Is an image on its registry? Asked when an endpoint is made or changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from factory.emulator.runpod.images import Reference, is_near, parsed
from factory.emulator.serve import running

DIGEST = "sha256:" + "a" * 64
ENDPOINT: dict[str, Any] = {
    "name": "e",
    "type": "QUEUE",
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
    "gpu": {"pools": ["ADA_24"]},
}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("python", Reference("docker.io", "python", "latest")),
        ("org/worker:1", Reference("docker.io", "org/worker", "1")),
        ("127.0.0.1:5000/org/worker", Reference("127.0.0.1:5000", "org/worker", "latest")),
        (f"ghcr.io/org/worker@{DIGEST}", Reference("ghcr.io", "org/worker", DIGEST)),
        (f"localhost/worker:1@{DIGEST}", Reference("localhost", "worker", DIGEST)),
    ],
)
def test_an_image_has_three_parts(image: str, expected: Reference) -> None:
    """Host, repository, and tag or digest, as Docker reads them."""
    assert parsed(image) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:5000", True),
        ("localhost", True),
        ("[::1]:5000", True),
        ("192.168.1.2:5000", True),
        ("docker.io", False),
        ("8.8.8.8:5000", False),
        ("registry.example.com:443", False),
    ],
)
def test_only_registries_near_by_are_asked(host: str, expected: bool) -> None:
    """The emulator calls nobody on the internet."""
    assert is_near(host) is expected


async def _manifest(request: Request) -> Response:
    if request.path_params["repository"] == "private" and "authorization" not in request.headers:
        return Response(status_code=401)
    is_there = (request.method, request.path_params["version"]) in (("HEAD", "1"), ("HEAD", DIGEST))
    return Response(status_code=200 if is_there else 404)


@pytest.fixture
def registry() -> Iterator[str]:
    """The host and port of a registry that has `worker:1`, by tag and digest, and a private repository."""
    route = Route("/v2/{repository:path}/manifests/{version}", _manifest, methods=["GET", "HEAD"])
    with running(Starlette(routes=[route])) as url:
        yield url.removeprefix("http://")


@pytest.mark.parametrize(
    ("name", "status"),
    [("worker:1", 201), (f"worker@{DIGEST}", 201), ("worker:2", 400), ("worker", 400), ("private:2", 201)],
)
def test_a_missing_image_is_refused(client: TestClient, registry: str, name: str, status: int) -> None:
    """What the registry doesn't have is a 400 that names it; what it doesn't show is taken."""
    answer = client.post("/v2/serverless", json=ENDPOINT | {"image": f"{registry}/{name}"})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["detail"] == f"image {registry}/{name} was not found on its registry {registry}"


def test_a_login_is_used(client: TestClient, registry: str) -> None:
    """With it, a private repository says that the image is missing."""
    login = client.post("/v2/registries", json={"name": "r", "username": "u", "password": "p"}).json()["id"]
    body = ENDPOINT | {"image": f"{registry}/private:2", "registry": login}
    assert client.post("/v2/serverless", json=body).status_code == 400


def test_a_change_of_the_image_is_checked_too(client: TestClient, registry: str) -> None:
    """And a registry that can't be reached is no reason to refuse."""
    made = client.post("/v2/serverless", json=ENDPOINT | {"image": f"{registry}/worker:1"}).json()
    path = f"/v2/serverless/{made['id']}"
    assert client.patch(path, json={"image": f"{registry}/worker:2"}).status_code == 400
    assert client.patch(path, json={"image": "127.0.0.1:1/worker:2"}).status_code == 200
