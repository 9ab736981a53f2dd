"""Docker Hub's own API, asked of the emulator over a real registry: a tag, logins, and each refusal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import stamina
from registries import PushedTestImage, free_port, pusher, running_registry
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from factory.clients.dockerhub import DockerHub
from factory.emulator.dockerhub import create_dockerhub
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.serve import running
from factory.errors import DockerHubFailed

ADA = ("ada", "secret")


@dataclass(frozen=True)
class Box:
    """The emulator, its address, and ada's two images."""

    app: Starlette
    url: str
    opened: PushedTestImage
    closed: PushedTestImage

    def client(self, login: tuple[str, str] | None = None) -> DockerHub:
        """A client with this login."""
        return DockerHub(self.url, lambda _: login, patience_s=20)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Docker Hub in a box over a real registry."""
    with running_registry(tmp_path_factory.mktemp("hub") / "data") as registry:
        opened, closed = pusher(registry).image("ada/open", "v1"), pusher(registry).image("ada/closed", "v1")
        pusher(registry).image("library/ubuntu", "v1")
        arm = pusher(registry).image("ada/multi", None, b"x" * 900, architecture="arm64")
        amd = pusher(registry).image("ada/multi", None, b"y" * 500)
        pusher(registry).index("ada/multi", "v1", (arm.digest, "linux", "arm64"), (amd.digest, "linux", "amd64"))
        app = create_dockerhub(registry.address, users=dict([ADA]), private=frozenset({"ada/closed"}))
        with running(app) as url:
            yield Box(app, url, opened, closed)


@pytest.fixture(autouse=True)
def _no_waits(box: Box) -> Iterator[None]:
    """Skip the waits between tries, and start without faults."""
    box.app.state.faults.clear()
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def test_a_public_tag(box: Box) -> None:
    """Digest, compressed size, date and openness of a public tag, without a login."""
    found = box.client().tag("ada/open", "v1")
    assert found.digest == box.opened.digest
    assert found.full_size_bytes == box.opened.layer_bytes
    assert found.last_updated == "2026-11-24T00:00:00Z"
    assert found.is_private is False


def test_an_official_image(box: Box) -> None:
    """An image without a name space is Docker's own, below library/."""
    assert box.client().tag("ubuntu", "v1").is_private is False


def test_the_size_is_linux_amd64s(box: Box) -> None:
    """Of several platforms the size is that of linux/amd64."""
    assert box.client().tag("ada/multi", "v1").full_size_bytes == 500


def test_a_private_tag_needs_a_login(box: Box) -> None:
    """A private tag is not there without a login, and is with the owner's, which is asked for a token once."""
    with pytest.raises(DockerHubFailed, match=r"no such tag \(or it is private, and nobody is logged in\)") as caught:
        box.client().tag("ada/closed", "v1")
    assert caught.value.where == "ada/closed:v1"
    owner = box.client(ADA)
    before = len(box.app.state.calls)
    assert owner.tag("ada/closed", "v1").is_private is True
    assert owner.tag("ada/closed", "v1").digest == box.closed.digest
    assert sum(call.path == "/v2/auth/token" for call in box.app.state.calls[before:]) == 1


def test_an_identity_token_is_not_sent(box: Box) -> None:
    """An identity token is for registries; the API is asked anonymously."""
    assert box.client(("<token>", "ada:secret")).tag("ada/open", "v1").is_private is False


def test_a_wrong_login(box: Box) -> None:
    """A refused login is one sentence with the user and without the password."""
    with pytest.raises(DockerHubFailed, match=r"refuses the login of ada \(HTTP 401\)") as caught:
        box.client(("ada", "wrong-pw")).tag("ada/open", "v1")
    assert "wrong-pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("status", status=404), "Docker Hub has no such tag"),
        (Fault("status", status=401), r"denies access \(HTTP 401\)"),
        (Fault("status", status=403), r"denies access \(HTTP 403\)"),
        (
            Fault("status", status=429, wait_s=400),
            r"too many calls to Docker Hub's API \(HTTP 429, free again in 400 s",
        ),
        (Fault("status", status=429, wait_s=2_000_000_000), r"too many calls .*free again in \d+ s"),
        (Fault("status", status=503), "Docker Hub answers HTTP 503"),
        (Fault("status", status=418), "HTTP 418 is no answer of Docker Hub's API"),
        (Fault("html"), "HTTP 200 is no answer of Docker Hub's API"),
        (Fault("cut", after_bytes=5), "no answer from 127.0.0.1"),
    ],
)
def test_refusals(box: Box, fault: Fault, sentence: str) -> None:
    """Each refusal that stays is one sentence."""
    fault.times = FOREVER
    box.app.state.faults.append(fault)
    with pytest.raises(DockerHubFailed, match=sentence) as caught:
        box.client().tag("ada/open", "v1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", [Fault("status", status=502, times=2), Fault("status", status=429, wait_s=1)])
def test_passing_faults_are_retried(box: Box, fault: Fault) -> None:
    """What passes after a moment is not seen."""
    box.app.state.faults.append(fault)
    assert box.client().tag("ada/open", "v1").digest == box.opened.digest


def test_nobody_there() -> None:
    """No connection is one sentence that names the host."""
    with pytest.raises(DockerHubFailed, match=r"no answer from 127.0.0.1 \(ConnectError\)"):
        DockerHub(f"http://127.0.0.1:{free_port()}", lambda _: None, patience_s=5).tag("ada/open", "v1")


@pytest.mark.parametrize("missing", ["last_updated", "full_size", "digest"])
def test_an_answer_without_what_we_need(missing: str) -> None:
    """An answer of another shape names the field that it lacks."""
    whole: dict[str, object] = {"is_private": False, "last_updated": "x", "full_size": 1, "digest": "d", "images": None}
    lacking = {key: value for key, value in whole.items() if key != missing}
    app = Starlette(routes=[Route("/{path:path}", lambda _: JSONResponse(lacking))])
    with running(app) as url, pytest.raises(DockerHubFailed, match=f"its answer lacks '{missing}'"):
        DockerHub(url, lambda _: None).tag("ada/open", "v1")


def test_a_token_is_asked_again_when_it_is_old(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its life is over, a token is replaced before the next call."""
    owner = box.client(ADA)
    owner.tag("ada/closed", "v1")
    box.app.state.hub.expire_tokens()
    now = time.monotonic()
    monkeypatch.setattr("factory.clients.dockerhub.time.monotonic", lambda: now + 500)
    before = len(box.app.state.calls)
    box.app.state.hub.token_s = 10_000
    assert owner.tag("ada/closed", "v1").is_private is True
    assert sum(call.path == "/v2/auth/token" for call in box.app.state.calls[before:]) == 1
