"""Docker Hub in a box, as any client sees it: plain HTTP calls against it, over a real registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from registries import DOCKER_MANIFEST, PushedTestImage, free_port, pusher, running_registry
from starlette.applications import Starlette

from factory.emulator.dockerhub import create_dockerhub
from factory.emulator.serve import running


@dataclass(frozen=True)
class Box:
    """The emulator, a client of it, and ada's two images."""

    app: Starlette
    http: httpx.Client
    opened: PushedTestImage
    closed: PushedTestImage

    def token(self, scope: str, **options: object) -> dict[str, str]:
        """Ask the realm and return the header."""
        answer = self.http.get("/token", params={"scope": scope, "service": "x"}, **options)  # type: ignore[arg-type]
        return {"Authorization": f"Bearer {answer.json()['token']}"}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Docker Hub in a box over a real registry."""
    with running_registry(tmp_path_factory.mktemp("hub") / "data") as registry:
        opened, closed = pusher(registry).image("ada/open", "v1"), pusher(registry).image("ada/closed", "v1")
        app = create_dockerhub(registry.address, users={"ada": "secret"}, private=frozenset({"ada/closed"}))
        with running(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
            yield Box(app, http, opened, closed)


PULL = {"Accept": DOCKER_MANIFEST}


def test_the_first_call_is_sent_to_the_realm(box: Box) -> None:
    """Without a token the answer is 401 with realm, service and scope, for manifests and for Docker's ping."""
    for path, scope in [("/v2/ada/open/manifests/v1", 'scope="repository:ada/open:pull"'), ("/v2/", "Bearer")]:
        answer = box.http.get(path)
        assert answer.status_code == 401
        assert f'realm="{box.http.base_url}'.rstrip("/") in answer.headers["www-authenticate"]
        assert scope in answer.headers["www-authenticate"]


def test_a_token_opens_its_own_repository_only(box: Box) -> None:
    """A token for one repository is `insufficient_scope` at another."""
    token = box.token("repository:ada/open:pull")
    assert box.http.get("/v2/", headers=token).status_code == 200
    assert box.http.get("/v2/ada/open/manifests/v1", headers=token | PULL).status_code == 200
    refused = box.http.get("/v2/ada/closed/manifests/v1", headers=token | PULL)
    assert refused.status_code == 401
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


def test_private_repositories_need_their_owner(box: Box) -> None:
    """Anonymously a token for a private repository opens nothing; with the password it does; a wrong one is 401."""
    scope = "repository:ada/closed:pull"
    path = "/v2/ada/closed/manifests/v1"
    assert box.http.get(path, headers=box.token(scope) | PULL).status_code == 401
    assert box.http.get(path, headers=box.token(scope, auth=("ada", "secret")) | PULL).status_code == 200
    assert box.http.get("/token", params={"scope": scope}, auth=("ada", "wrong")).status_code == 401
    assert box.http.get("/token", headers={"Authorization": "Basic %%%"}).status_code == 200


def test_blobs_come_from_another_origin(box: Box) -> None:
    """A blob is redirected to where a login is refused, and ranges work there."""
    headers = box.token("repository:ada/open:pull")
    sent = box.http.get(f"/v2/ada/open/blobs/{box.opened.layers[0]}", headers=headers)
    assert sent.status_code == 307
    place = sent.headers["location"]
    assert httpx.URL(place).host == "localhost"
    assert box.http.get(place, headers=headers).status_code == 400
    part = box.http.get(place, headers={"Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, b"\x1f\x8b")


def test_pulls_are_counted(box: Box) -> None:
    """A manifest GET is a pull, a HEAD is not, and with none left a GET is 429 with the time to wait."""
    headers = box.token("repository:ada/open:pull") | PULL
    state = box.app.state.hub
    state.pulls_left = 2
    path = "/v2/ada/open/manifests/v1"
    left = [box.http.request(how, path, headers=headers).headers["ratelimit-remaining"] for how in ("HEAD", "GET")]
    assert left == ["2;w=21600", "1;w=21600"]
    state.pulls_left = 0
    refused = box.http.get(path, headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "21600")
    assert refused.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert box.http.head(path, headers=headers).status_code == 200
    state.pulls_left = 100


def test_pushing_goes_through(box: Box) -> None:
    """With the owner's token a whole image can be pushed, blob by blob; without push rights nothing can."""
    mine = box.token("repository:ada/new:pull,push", auth=("ada", "secret"))
    image = pusher(box.http.base_url.netloc.decode(), mine).image("ada/new", "v1", b"z" * 3_000_000)
    found = box.http.get("/v2/repositories/ada/new/tags/v1").json()
    assert (found["digest"], found["full_size"]) == (image.digest, 3_000_000)
    theirs = box.token("repository:ada/open:pull,push")
    assert box.http.post("/v2/ada/open/blobs/uploads/", headers=theirs).status_code == 401


def test_the_tag_api(box: Box) -> None:
    """Both documented addresses of a tag say the same; what is absent or hidden is 404."""
    found = box.http.get("/v2/repositories/ada/open/tags/v1").json()
    assert found == box.http.get("/v2/namespaces/ada/repositories/open/tags/v1").json()
    assert found["images"][0]["architecture"] == "amd64"
    assert found["tag_status"] == "active"
    for path in ("ada/open/tags/absent", "ada/absent/tags/v1", "ada/closed/tags/v1", "ada/closed/"):
        assert box.http.get(f"/v2/repositories/{path}").status_code == 404
    assert box.http.get("/v2/ada/open/nothing").status_code == 404


def test_logging_in_to_the_api(box: Box) -> None:
    """Name and password give an access token that shows private repositories; a wrong password gives 401."""
    refused = box.http.post("/v2/auth/token", json={"identifier": "ada", "secret": "no"})
    assert refused.status_code == 401
    token = box.http.post("/v2/auth/token", json={"identifier": "ada", "secret": "secret"}).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert box.http.get("/v2/repositories/ada/closed/", headers=headers).json()["is_private"] is True
    box.app.state.hub.expire_tokens()
    assert box.http.get("/v2/repositories/ada/closed/", headers=headers).status_code == 404


def test_a_registry_that_is_down() -> None:
    """Without the registry behind it, calls are 502 with a registry's error."""
    app = create_dockerhub(f"127.0.0.1:{free_port()}", users={"ada": "secret"})
    with running(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        token = http.get("/token", params={"scope": "repository:ada/x:pull"}).json()["token"]
        answer = http.get("/v2/ada/x/manifests/v1", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (502, "UNAVAILABLE")
        assert http.get("/v2/repositories/ada/x/tags/v1").status_code == 502
