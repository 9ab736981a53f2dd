"""The registry client against a real docker-registry, and against Docker Hub's front with tokens and limits."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import stamina
from registries import PushedTestImage, RunningRegistry, free_port, layer_tar, pusher, running_registry, sha256
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from factory.clients.registry import DistributionRegistry
from factory.clients.retries import retry_after_s
from factory.emulator.dockerhub import create_dockerhub
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.serve import running
from factory.errors import (
    BlobMissing,
    FactoryError,
    ImageNotInRegistry,
    PlatformMismatch,
    RegistryDenied,
    RegistryFailed,
    RegistryUnreachable,
    VerifyError,
)
from factory.kept import Kept
from factory.records import PullLimit

ADA = ("ada", "secret")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A real registry without logins."""
    with running_registry(tmp_path_factory.mktemp("registry") / "data") as found:
        yield found


@pytest.fixture
def client() -> Iterator[DistributionRegistry]:
    """An anonymous client with little patience; waits are skipped."""
    with stamina.set_testing(True, attempts=3, cap=True), DistributionRegistry(lambda _: None, patience_s=20) as found:
        yield found


def fresh(registry: RunningRegistry, name: str, tag: str | None = "t", **changes: object) -> PushedTestImage:
    """Push an image whose layer no other test shares."""
    content = gzip.compress(layer_tar({"data": os.urandom(3000)}))
    return pusher(registry).image(name, tag, content, **changes)  # type: ignore[arg-type]


# --- what is there ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_reads_a_manifest(registry: RunningRegistry, client: DistributionRegistry, by: str) -> None:
    """By tag and by digest the manifest comes with its blobs, sizes and the config's platform."""
    image = fresh(registry, "ada/plain")
    manifest = client.manifest(f"{image.repository}:t" if by == "tag" else f"{image.repository}@{image.digest}")
    assert manifest.digest == image.digest
    assert (manifest.os, manifest.architecture) == ("linux", "amd64")
    assert [layer.digest for layer in manifest.layers] == list(image.layers)
    assert manifest.compressed_bytes == image.layer_bytes + image.config_bytes


def test_digest_is_a_head(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """A tag's digest is what was pushed; no tag, or no repository, is None."""
    image = fresh(registry, "ada/head")
    assert client.digest(f"{image.repository}:t") == image.digest
    assert client.digest(f"{image.repository}@{image.digest}") == image.digest
    assert client.digest(f"{image.repository}:other") is None
    assert client.digest(f"{registry.address}/ada/nothing:t") is None


def test_reads_ranges(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """Any range of a blob comes back exactly, an empty one without a call."""
    content = os.urandom(5000)
    image = pusher(registry).image("ada/ranges", "t", content)
    digest = image.layers[0]
    assert client.blob_size(image.repository, digest) == 5000
    assert client.read(image.repository, digest, 0, 10) == content[:10]
    assert client.read(image.repository, digest, 4990, 10) == content[-10:]
    assert client.read(image.repository, digest, 10, 0) == b""


def test_index_leads_to_linux_amd64(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """Of an index, the linux/amd64 child is read, whatever its place."""
    arm = fresh(registry, "ada/multi", None, architecture="arm64")
    amd = fresh(registry, "ada/multi", None)
    index = pusher(registry).index(
        "ada/multi",
        "t",
        (arm.digest, "linux", "arm64"),
        (amd.digest, "linux", "amd64"),
        (arm.digest, "unknown", "unknown"),
    )
    assert client.digest(f"{amd.repository}:t") == index
    assert client.manifest(f"{amd.repository}@{index}").digest == amd.digest


def test_index_without_amd64_says_what_it_has(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """An index without linux/amd64 is a wrong platform; attestations are not counted as one."""
    arm = fresh(registry, "ada/arm", None, architecture="arm64")
    pusher(registry).index("ada/arm", "t", (arm.digest, "linux", "arm64"), (arm.digest, "unknown", "unknown"))
    with pytest.raises(PlatformMismatch, match=r"no linux/amd64 image \(found linux/arm64\)"):
        client.manifest(f"{arm.repository}:t")


def test_single_image_of_another_platform_is_told(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """A plain manifest is returned with the platform of its config, for the caller to judge."""
    image = fresh(registry, "ada/windows", system="windows", architecture="arm64")
    manifest = client.manifest(f"{image.repository}:t")
    assert (manifest.os, manifest.architecture) == ("windows", "arm64")


# --- what is missing or broken ---------------------------------------------------------------------------------------
def test_no_such_image(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """An absent tag, and an absent repository, are images that aren't there."""
    fresh(registry, "ada/there")
    for name in ("ada/there:absent", "ada/absent:t"):
        with pytest.raises(ImageNotInRegistry, match="no such image") as caught:
            client.manifest(f"{registry.address}/{name}")
        assert caught.value.where == f"{registry.address}/{name}"


def test_blob_that_went_away(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """A blob whose file was deleted has no size, and reading it says that it isn't there."""
    image = fresh(registry, "ada/gone")
    registry.blob_file(image.layers[0]).unlink()
    assert client.blob_size(image.repository, image.layers[0]) is None
    with pytest.raises(BlobMissing, match="is not there"):
        client.read(image.repository, image.layers[0], 0, 4)


def test_blob_that_was_cut(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """A truncated blob reports its new size, and a range past its end is missing."""
    image = fresh(registry, "ada/cut")
    file = registry.blob_file(image.layers[0])
    file.write_bytes(file.read_bytes()[:100])
    assert client.blob_size(image.repository, image.layers[0]) == 100
    for start, length in [(90, 20), (200, 4)]:
        with pytest.raises(BlobMissing, match=f"ends before byte {start + length}"):
            client.read(image.repository, image.layers[0], start, length)


def test_config_that_went_away(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """Without its config an image is not whole."""
    image = fresh(registry, "ada/noconfig", architecture="amd64", system="gone")
    registry.blob_file(image.config).unlink()
    with pytest.raises(BlobMissing):
        client.manifest(f"{image.repository}:t")


# --- registries that are not themselves ------------------------------------------------------------------------------
def odd_registry(answer: Callable[[Request], Response]) -> Starlette:
    """Make a server that gives one answer to everything."""
    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "HEAD"])])


SCHEMA_1 = {"schemaVersion": 1, "name": "x", "tag": "t", "architecture": "amd64", "fsLayers": []}


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (
            JSONResponse(SCHEMA_1, media_type="application/vnd.docker.distribution.manifest.v1+prettyjws"),
            VerifyError,
            "schema 1",
        ),
        (PlainTextResponse("<html>welcome</html>"), VerifyError, "the manifest is no JSON"),
        (JSONResponse([1]), VerifyError, "the manifest is no mapping"),
        (
            JSONResponse({"schemaVersion": 2, "mediaType": "text/plain"}),
            VerifyError,
            "no image manifest but text/plain",
        ),
        (
            JSONResponse({"mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}),
            VerifyError,
            "names no config",
        ),
        (
            JSONResponse({"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": {}}),
            VerifyError,
            "is no list of mappings",
        ),
        (
            JSONResponse({"mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"size": -1}}),
            VerifyError,
            "a blob without digest or size",
        ),
        (Response(status_code=418), RegistryFailed, "HTTP 418 is no answer of a registry"),
        (Response(status_code=403), RegistryDenied, "access denied anonymously"),
        (Response(status_code=401), RegistryDenied, "access denied anonymously"),
        (
            Response(status_code=401, headers={"www-authenticate": 'Bearer realm="ftp://x"'}),
            RegistryDenied,
            "its 401 names no usable realm",
        ),
        (
            Response(status_code=401, headers={"www-authenticate": 'Bearer realm="http://x:y/"'}),
            RegistryDenied,
            "its 401 names no usable realm",
        ),
        (Response(status_code=500), RegistryFailed, r"it failed \(HTTP 500\)"),
        (Response(status_code=429), RegistryFailed, r"pull limit reached \(HTTP 429\)"),
        (Response(status_code=429, headers={"retry-after": "9000"}), RegistryFailed, "free again in 9000 s"),
    ],
)
def test_answers_that_make_no_sense(
    client: DistributionRegistry, answer: Response, error: type[FactoryError], sentence: str
) -> None:
    """Old manifests, web pages, half manifests and refusals are one sentence each."""
    with running(odd_registry(lambda _: answer)) as url, pytest.raises(error, match=sentence) as caught:
        client.manifest(f"{url.removeprefix('http://')}/ada/x:t")
    assert type(caught.value) is error
    assert caught.value.where.startswith("127.0.0.1")


def test_a_registry_that_ignores_ranges(client: DistributionRegistry) -> None:
    """A whole blob in answer to a range is taken from its start, and refused elsewhere, never read to its end."""
    with running(odd_registry(lambda _: PlainTextResponse("0123456789" * 1000))) as url:
        repository = f"{url.removeprefix('http://')}/ada/x"
        assert client.read(repository, sha256(b""), 0, 4) == b"0123"
        with pytest.raises(RegistryFailed, match="ignores byte ranges"):
            client.read(repository, sha256(b""), 5, 4)


def test_registry_down(client: DistributionRegistry) -> None:
    """No registry there is one sentence that names host and port."""
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(RegistryUnreachable, match=r"no answer \(ConnectError") as caught:
        client.digest(f"{address}/ada/x:t")
    assert caught.value.where == address


# --- logins ----------------------------------------------------------------------------------------------------------
def test_basic_login(tmp_path: Path, client: DistributionRegistry) -> None:
    """A registry that asks for HTTP Basic gets it; without a login, or with a wrong one, access is denied."""
    header = httpx.BasicAuth(*ADA)
    with running_registry(tmp_path / "data", login=True) as registry:
        request = next(header.auth_flow(httpx.Request("GET", "http://x")))
        image = pusher(registry, {"Authorization": request.headers["Authorization"]}).image("ada/x", "t")
        with DistributionRegistry(lambda _: ADA) as known:
            assert known.manifest(f"{image.repository}:t").digest == image.digest
        with pytest.raises(RegistryDenied, match="access denied anonymously"):
            client.digest(f"{image.repository}:t")
        with (
            DistributionRegistry(lambda _: ("ada", "wrong-password")) as wrong,
            pytest.raises(RegistryDenied, match="access denied as ada") as caught,
        ):
            wrong.digest(f"{image.repository}:t")
        assert "wrong-password" not in str(caught.value)


class Front:
    """Docker Hub's front over the real registry, with one public and one private image of ada's."""

    def __init__(self, app: Starlette, url: str, open_digest: str, closed_digest: str) -> None:
        self.app, self.address = app, url.removeprefix("http://")
        self.open = f"{self.address}/ada/open@{open_digest}"
        self.closed = f"{self.address}/ada/closed@{closed_digest}"

    def tokens_asked(self) -> int:
        """Count the calls to the realm."""
        return sum(call.path == "/token" for call in self.app.state.calls)


@pytest.fixture
def front(registry: RunningRegistry) -> Iterator[Front]:
    """A token-checking front, whose blobs are redirected to another origin."""
    opened, closed = fresh(registry, "ada/open"), fresh(registry, "ada/closed")
    app = create_dockerhub(registry.address, users=dict([ADA]), private=frozenset({"ada/closed"}))
    with running(app) as url:
        yield Front(app, url, opened.digest, closed.digest)


def test_anonymous_token(front: Front, client: DistributionRegistry) -> None:
    """A public image is read with an anonymous token, asked once for all of a repository's calls."""
    manifest = client.manifest(front.open)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.blob_size(front.open, manifest.layers[0].digest), range(8)))
    assert front.tokens_asked() == 1


def test_threads_share_one_token(front: Front, client: DistributionRegistry) -> None:
    """Eight threads that start without a token ask the realm once between them."""
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: client.digest(front.open), range(8)))) == 1
    assert front.tokens_asked() == 1


def test_private_image_needs_the_login(front: Front, client: DistributionRegistry) -> None:
    """A private image is denied anonymously, and read with its owner's password or identity token."""
    with pytest.raises(RegistryDenied, match="access denied anonymously"):
        client.manifest(front.closed)
    for login in (ADA, ("<token>", "ada:secret")):
        with DistributionRegistry(lambda _, found=login: found) as owner:  # type: ignore[misc]
            assert owner.manifest(front.closed).os == "linux"


@pytest.mark.parametrize(
    ("login", "sentence"),
    [(("ada", "wrong-pw"), "refuses a token as ada"), (("<token>", "ada:wrong-pw"), "a token with an identity token")],
)
def test_wrong_password(front: Front, login: tuple[str, str], sentence: str) -> None:
    """A realm that refuses the login is one sentence without the password."""
    with DistributionRegistry(lambda _: login) as wrong, pytest.raises(RegistryDenied, match=sentence) as caught:
        wrong.manifest(front.open)
    assert "wrong-pw" not in str(caught.value)


def test_token_is_renewed(front: Front, client: DistributionRegistry) -> None:
    """When a token is void before its time, a new one is asked for and the call goes through."""
    client.digest(front.open)
    front.app.state.hub.expire_tokens()
    assert client.digest(front.open) is not None
    assert front.tokens_asked() == 2


def test_stale_token_is_not_sent(registry: RunningRegistry, client: DistributionRegistry) -> None:
    """A token whose time is over is replaced before the registry has to refuse it."""
    image = fresh(registry, "ada/stale")
    app = create_dockerhub(registry.address, token_s=0)
    with running(app) as url, pytest.raises(RegistryDenied):
        client.digest(f"{url.removeprefix('http://')}/ada/stale@{image.digest}")
    manifests = [call for call in app.state.calls if "/manifests/" in call.path]
    assert [call.has_token for call in manifests] == [False, True]


def calls_of(front: Front) -> list[tuple[str, int]]:
    """Return the last path part of each call with its status, and forget them."""
    calls = [
        (call.path.split("/")[-2 if "manifests" in call.path else -1], call.status) for call in front.app.state.calls
    ]
    front.app.state.calls.clear()
    return calls


def test_the_next_process_needs_no_401(front: Front, tmp_path: Path) -> None:
    """What a registry's 401 said is kept: the token comes first, and no refusal. Token and password are not kept."""
    notes, met = Kept(tmp_path), [("manifests", 401), ("token", 200), ("manifests", 200)]
    for expected in (met, met[1:]):
        with DistributionRegistry(lambda _: ADA, notes=notes) as registry:
            assert registry.digest(front.closed)
        assert calls_of(front) == expected
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"realm" in kept and b"secret" not in kept and b"Bearer ey" not in kept
    with DistributionRegistry(lambda _: None, notes=notes) as stranger, pytest.raises(RegistryDenied):
        stranger.digest(front.closed)
    assert calls_of(front) == [("token", 200), ("manifests", 401)]


def test_a_kept_challenge_that_is_wrong_is_asked_for_anew(front: Front, tmp_path: Path) -> None:
    """The realm has moved, or takes no such scope: the registry says what holds now."""
    notes, url = Kept(tmp_path), f"http://{front.address}/v2/ada/closed"
    for said in (
        [f'Bearer realm="http://{front.address}/gone",service="s",scope="x"'],
        ['Bearer realm="https://elsewhere.invalid/token"'],
        ["Bearer"],
        ["Negotiate"],
        [],
    ):
        notes.put(said, "challenge", url)
        with DistributionRegistry(lambda _: ADA, notes=notes) as registry:
            assert registry.digest(front.closed), said
        calls_of(front)
        with DistributionRegistry(lambda _: ADA, notes=notes) as registry:
            assert registry.digest(front.closed)
        assert calls_of(front) == [("token", 200), ("manifests", 200)]


def test_basic_is_one_pass_for_all(tmp_path: Path) -> None:
    """A second repository of the same registry needs no 401, nor does the next process."""
    (tmp_path / "r").mkdir()
    notes = Kept(tmp_path / "notes")
    with running_registry(tmp_path / "r" / "data", login=True, has_access_log=True) as registry:
        for expected in (["401", "404", "404"], ["404", "404"]):
            before = len(registry.requests())
            with DistributionRegistry(lambda _: ADA, notes=notes) as client:
                assert client.digest(f"{registry.address}/ada/x:1") is client.digest(f"{registry.address}/ada/y:1")
            assert [line.split()[-1] for line in registry.requests()[before:]] == expected


def test_credentials_stay_on_their_host(front: Front) -> None:
    """Blobs come from another origin, and neither password nor token follow there."""
    with DistributionRegistry(lambda _: ADA) as owner:
        manifest = owner.manifest(front.closed)
        assert owner.read(front.closed, manifest.layers[0].digest, 0, 2) == b"\x1f\x8b"
    elsewhere = [call for call in front.app.state.calls if call.path.startswith("/_cdn/")]
    assert elsewhere
    assert not any(call.has_token for call in elsewhere)
    assert all(call.host.startswith("localhost") for call in elsewhere)


def test_no_login_for_a_realm_elsewhere() -> None:
    """A registry that names a realm on a foreign host gets no login there, and the error says why."""
    seen: list[str | None] = []

    def realm(request: Request) -> Response:
        seen.append(request.headers.get("authorization"))
        return JSONResponse({"token": "x"})

    with running(Starlette(routes=[Route("/token", realm)])) as url:
        foreign = url.replace("127.0.0.1", "localhost")
        challenge = {"www-authenticate": f'Bearer realm="{foreign}/token",service="x"'}
        with running(odd_registry(lambda _: Response(status_code=401, headers=challenge))) as front_url:
            reference = f"{front_url.removeprefix('http://')}/ada/x:t"
            with (
                DistributionRegistry(lambda _: ADA) as owner,
                pytest.raises(RegistryDenied, match="sends us to localhost for a token, which is not known"),
            ):
                owner.digest(reference)
            assert seen == []
            with DistributionRegistry(lambda _: None) as nobody, pytest.raises(RegistryDenied, match="anonymously"):
                nobody.digest(reference)
            assert seen == [None]


@pytest.mark.parametrize("realm", ["http://auth.example/token", "https://ghcr.io.evil.example/token", "/token"])
def test_no_password_in_the_open(realm: str) -> None:
    """Over plain HTTP off this machine, or to a host that only looks alike, no password travels."""
    challenge = {"www-authenticate": f'Bearer realm="{realm}"'}
    with (
        running(odd_registry(lambda _: Response(status_code=401, headers=challenge))) as url,
        DistributionRegistry(lambda _: ADA) as owner,
        pytest.raises(RegistryDenied),
    ):
        owner.digest(f"{url.removeprefix('http://')}/ada/x:t")


# --- faults on the way -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503, times=2, path="*/manifests/*"),
        Fault("status", status=429, times=2, wait_s=1, path="*/manifests/*"),
        Fault("status", status=500, times=1, path="/token"),
        Fault("cut", times=1, after_bytes=10, path="*/manifests/*", method="GET"),
    ],
)
def test_passing_faults_are_retried(front: Front, client: DistributionRegistry, fault: Fault) -> None:
    """A 503, a short 429, a realm that stumbles and a cut connection pass unnoticed."""
    front.app.state.faults.append(fault)
    assert client.manifest(front.open).os == "linux"


def test_lasting_faults_end(front: Front, client: DistributionRegistry) -> None:
    """A registry that stays down is one sentence after a few tries."""
    front.app.state.faults.append(Fault("status", status=503, times=FOREVER, path="*/manifests/*"))
    with pytest.raises(RegistryFailed, match="HTTP 503"):
        client.digest(front.open)
    assert len([call for call in front.app.state.calls if call.status == 503]) == 3


@pytest.mark.parametrize("path", ["*/manifests/*", "/_cdn/*"])
def test_bytes_that_do_not_match_their_digest(front: Front, client: DistributionRegistry, path: str) -> None:
    """A manifest or a config that is served with one byte changed is an error."""
    client.digest(front.open)  # the token is there before the fault is
    front.app.state.faults.append(Fault("flip", times=1, after_bytes=30, path=path, method="GET"))
    with pytest.raises(VerifyError, match=r"the registry's bytes hash to sha256:\w{12}…, not to sha256:\w{12}…"):
        client.manifest(front.open)


def test_pull_limit_is_seen(front: Front, client: DistributionRegistry) -> None:
    """A HEAD costs no pull and tells the limit; a GET costs one; none left is one sentence."""
    assert client.pull_limit(front.open) is None
    client.digest(front.open)
    assert client.pull_limit(front.open) == PullLimit(100, 100, 21600)
    client.manifest(front.open)
    assert client.pull_limit(front.open) == PullLimit(99, 100, 21600)
    front.app.state.hub.pulls_left = 0
    with pytest.raises(RegistryFailed, match=r"pull limit reached \(HTTP 429, free again in 21600 s\)"):
        client.manifest(front.open)
    assert client.digest(front.open) is not None


def test_redirects_do_not_loop(client: DistributionRegistry) -> None:
    """A registry that redirects in a circle is an error, not a hang."""
    with (
        running(odd_registry(lambda request: RedirectResponse(str(request.url)))) as url,
        pytest.raises(RegistryFailed, match="no sense in its answer"),
    ):
        client.digest(f"{url.removeprefix('http://')}/ada/x:t")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"x-retry-after": "12.5"}, 12.5),
        ({"x-retry-after": "1000000001"}, 0.0),
    ],
)
def test_waiting_time(headers: dict[str, str], expected: float | None) -> None:
    """Seconds and Unix times are understood; anything else is no answer."""
    assert retry_after_s(httpx.Response(429, headers=headers)) == expected
