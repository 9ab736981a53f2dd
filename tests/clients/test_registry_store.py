"""What writes to a registry, against a real docker-registry, and with everything between that breaks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import stamina
from cutting_proxy import cutting_proxy
from private_dockerd import small_memory_disk
from registries import GZIP_LAYER, RunningRegistry, free_port, pusher, running_registry, sha256
from registry_front import METHODS, Front
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from factory.clients.registry import DistributionRegistry
from factory.clients.registry_store import DistributionStore
from factory.clients.registry_upload import PIECE_BYTES, in_pieces
from factory.emulator.dockerhub import create_dockerhub
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.registry_proxy import Upstream
from factory.emulator.serve import running
from factory.errors import (
    FactoryError,
    HubFailed,
    PushDenied,
    RegistryFailed,
    RegistryFull,
    RegistryRefused,
    RegistryUnreachable,
)
from factory.oci.media import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from factory.records import Layer, Progress, tell_nobody

ADA = ("ada", "secret")
MIB = 1 << 20
SUBJECT = Layer(sha256(b"an image's manifest"), 19, OCI_MANIFEST)
SBOM = "application/vnd.cyclonedx+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A real registry without logins."""
    with running_registry(tmp_path_factory.mktemp("registry") / "data") as found:
        yield found


@pytest.fixture
def store() -> Iterator[DistributionStore]:
    """An anonymous store."""
    with DistributionStore(lambda _: None) as found:
        yield found


@pytest.fixture
def hasty() -> Iterator[DistributionStore]:
    """An anonymous store that waits for nothing and tries three times."""
    with stamina.set_testing(True, attempts=3, cap=True), DistributionStore(lambda _: None) as found:
        yield found


def pieces(count: int, seed: bytes = b"") -> Callable[[], Iterator[bytes]]:
    """Return a blob of so many MiB which no other test has."""
    salt = (seed or os.urandom(8)).ljust(8)
    return lambda: (salt + bytes([number]) * (MIB - 8) for number in range(count))


def whole(content: Callable[[], Iterator[bytes]]) -> bytes:
    """Return a blob's bytes."""
    return b"".join(content())


def uploads_left(registry: RunningRegistry, name: str) -> list[Path]:
    """List the uploads that a registry still keeps bytes of."""
    return sorted((registry.folder / f"docker/registry/v2/repositories/{name}/_uploads").glob("*/data"))


@pytest.fixture
def front(registry: RunningRegistry) -> Front:
    """The real registry behind a front."""
    return Front(registry.address)


# --- what arrives ----------------------------------------------------------------------------------------------------
def test_a_streamed_blob_arrives(registry: RunningRegistry, store: DistributionStore) -> None:
    """A blob whose digest nobody knew before is there, whole, in three requests, and its progress is told."""
    content, told = pieces(5), list[Progress]()
    repository = f"{registry.address}/ada/streamed"
    layer = store.upload(repository, content, told.append, "weights")
    assert layer == Layer(sha256(whole(content)), 5 * MIB, "")
    assert registry.blob_file(layer.digest).read_bytes() == whole(content)
    assert (store.requests, store.sent_bytes) == (3, 5 * MIB)
    assert [p.current for p in told if p.kind == "bytes"] == [MIB * n for n in (1, 2, 3, 4, 5, 5)]
    assert (told[-1].key, told[-1].state, told[-1].total) == ("weights", "done", 5 * MIB)
    assert uploads_left(registry, "ada/streamed") == []


@pytest.mark.parametrize("sizes", [[], [0, 0], [1], [MIB], [3 * MIB], [1, MIB, 1], [400_000] * 7])
def test_pieces_hold_the_same_bytes(sizes: list[int]) -> None:
    """Small parts are gathered to pieces worth a chunk, large ones go as they are, and nothing is lost."""
    parts = [os.urandom(size) for size in sizes]
    found = list(in_pieces(parts))
    assert b"".join(found) == b"".join(parts)
    assert all(len(piece) >= PIECE_BYTES for piece in found[:-1])


def test_an_empty_blob_arrives(registry: RunningRegistry, store: DistributionStore) -> None:
    """A blob without a byte is a blob."""
    layer = store.upload(f"{registry.address}/ada/empty", lambda: iter(()), tell_nobody, "x")
    assert (layer.size_bytes, layer.digest) == (0, sha256(b""))


def test_a_small_blob_is_sent_once(registry: RunningRegistry, store: DistributionStore) -> None:
    """What is there is not sent again."""
    repository = f"{registry.address}/ada/small"
    content = os.urandom(100)
    assert not store.has(repository, sha256(content))
    assert store.put(repository, content) == store.put(repository, content) == Layer(sha256(content), 100, "")
    assert store.has(repository, sha256(content))
    assert store.sent_bytes == 100


def test_a_mount_copies_nothing(registry: RunningRegistry, store: DistributionStore) -> None:
    """A blob of one repository is there in another at once; of an absent one no upload stays open."""
    layer = store.put(f"{registry.address}/ada/source", os.urandom(50))
    target = f"{registry.address}/bob/target"
    assert store.mount(target, layer.digest, f"{registry.address}/ada/source")
    assert store.has(target, layer.digest)
    assert not store.mount(target, sha256(b"nobody has this"), f"{registry.address}/ada/source")
    assert not store.mount(target, layer.digest, "ghcr.io/ada/source")
    assert store.sent_bytes == 50
    assert uploads_left(registry, "bob/target") == []


@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST, OCI_MANIFEST])
def test_an_image_put_together_is_read_back(
    registry: RunningRegistry, store: DistributionStore, media_type: str
) -> None:
    """Manifests of both kinds are taken under a tag and by digest, and any client of registries reads them."""
    image = pusher(registry).image("ada/model", None)
    with DistributionRegistry(lambda _: None) as reader:
        answer = reader.manifest(image.repository + "@" + image.digest)
        config = {"mediaType": "application/json", "digest": image.config, "size": image.config_bytes}
        layer = {"mediaType": GZIP_LAYER, "digest": image.layers[0], "size": image.layer_bytes}
        body = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]}
        content = json.dumps(body).encode()
        digest = store.put_manifest(image.repository, "again", media_type, content)
        assert digest == sha256(content) == reader.digest(f"{image.repository}:again")
        assert store.put_manifest(image.repository, digest, media_type, content) == digest
        assert reader.manifest(f"{image.repository}:again").layers[0].digest == answer.layers[0].digest


def test_threads_share_a_store(registry: RunningRegistry, store: DistributionStore) -> None:
    """Eight blobs at once arrive, each under its own digest."""
    contents = [pieces(2) for _ in range(8)]
    repository = f"{registry.address}/ada/threads"
    with ThreadPoolExecutor(8) as pool:
        layers = list(pool.map(lambda content: store.upload(repository, content, tell_nobody, "x"), contents))
    assert [layer.digest for layer in layers] == [sha256(whole(content)) for content in contents]
    assert store.sent_bytes == 16 * MIB


# --- what refers to an image -----------------------------------------------------------------------------------------
def test_artefacts_without_the_api(registry: RunningRegistry, store: DistributionStore) -> None:
    """docker-registry 2.8.2 has no referrers API: the fallback tag lists artefacts, an equal one is not sent twice."""
    repository = f"{registry.address}/ada/attested"
    assert store.referrers(repository, SUBJECT.digest) == ()
    sbom = store.attach(repository, SUBJECT, SBOM, b'{"components":[]}', SBOM)
    assert sbom.blob == Layer(sha256(b'{"components":[]}'), 17, SBOM)
    sent_bytes = store.sent_bytes
    assert store.attach(repository, SUBJECT, SBOM, b'{"components":[]}', SBOM) == sbom
    assert store.sent_bytes == sent_bytes
    other = store.attach(repository, SUBJECT, "application/vnd.in-toto+json", b"{}", "application/json")
    with DistributionStore(lambda _: None) as fresh, DistributionRegistry(lambda _: None) as reader:
        assert set(fresh.referrers(repository, SUBJECT.digest)) == {sbom, other}
        assert reader.read(repository, sbom.blob.digest, 0, 17) == b'{"components":[]}'
        assert reader.digest(f"{repository}:{SUBJECT.digest.replace(':', '-')}") is not None


def test_writers_of_one_list_lose_nothing(registry: RunningRegistry, store: DistributionStore) -> None:
    """Four artefacts attached at the same moment are all listed."""
    repository = f"{registry.address}/ada/many"
    with ThreadPoolExecutor(4) as pool:
        put = list(pool.map(lambda n: store.attach(repository, SUBJECT, SBOM, b'{"n":%d}' % n, SBOM), range(4)))
    assert set(store.referrers(repository, SUBJECT.digest)) == set(put)


def test_artefacts_with_the_api(registry: RunningRegistry, store: DistributionStore) -> None:
    """A registry that lists referrers itself gets no tag, and its list is read to the last page."""
    upstream, manifests = Upstream(registry.address), list[str]()

    async def serve(request: Request) -> Response:
        path = request.url.path
        if "/referrers/" in path:
            page = int(request.query_params.get("page", "0"))
            entries = [
                {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1} for digest in manifests[page : page + 1]
            ]
            more = {"link": f'<{path}?page={page + 1}>; rel="next"'} if page + 1 < len(manifests) else {}
            return JSONResponse({"schemaVersion": 2, "manifests": entries}, media_type=OCI_INDEX, headers=more)
        answer = await upstream.pass_on(request, path)
        if request.method == "PUT" and "/manifests/" in path:
            manifests.append(path.rsplit("/", 1)[1])
            answer.headers["oci-subject"] = SUBJECT.digest
        return answer

    with running(Starlette(routes=[Route("/{path:path}", serve, methods=METHODS)])) as url:
        repository = f"{url.removeprefix('http://')}/ada/api"
        put = [store.attach(repository, SUBJECT, SBOM, b'{"n":%d}' % n, SBOM) for n in range(3)]
        assert store.referrers(repository, SUBJECT.digest) == tuple(put)
        assert store.attach(repository, SUBJECT, SBOM, b'{"n":1}', SBOM) == put[1]
    assert manifests == [artefact.digest for artefact in put]


# --- faults that pass ------------------------------------------------------------------------------------------------
def test_a_patch_cut_half_way_begins_again(registry: RunningRegistry, store: DistributionStore) -> None:
    """An upload that broke off is made again from its beginning, and what arrives is right."""
    content, told = pieces(8), list[Progress]()
    with cutting_proxy(registry.address, cuts=2, after_bytes=3 * MIB) as proxy:
        layer = store.upload(f"{proxy.address}/ada/cut", content, told.append, "x")
    assert layer == Layer(sha256(whole(content)), 8 * MIB, "")
    assert registry.blob_file(layer.digest).read_bytes() == whole(content)
    assert proxy.patches == 3
    assert len([p for p in told if "again from its beginning" in p.text]) == 2
    assert 8 * MIB < store.sent_bytes < 8 * MIB + 2 * 8 * MIB


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_registry_killed_in_the_middle(tmp_path: Path, comes_back: bool) -> None:
    """Started again, the same call ends right; gone for good, it is one sentence."""
    content, told = pieces(6), list[Progress]()
    with ExitStack() as stack:
        first = stack.enter_context(running_registry(tmp_path / "data"))
        is_first = iter([True])

        def deadly() -> Iterator[bytes]:
            for number, piece in enumerate(content()):
                if number == 3 and next(is_first, False):
                    os.kill(first.pid, signal.SIGKILL)
                    if comes_back:
                        stack.enter_context(running_registry(tmp_path / "data", port=int(first.address[10:])))
                yield piece

        store = stack.enter_context(DistributionStore(lambda _: None, patience_s=30 if comes_back else 1))
        if comes_back:
            layer = store.upload(f"{first.address}/ada/killed", deadly, told.append, "x")
            assert layer.digest == sha256(whole(content))
            assert store.has(f"{first.address}/ada/killed", layer.digest)
        else:
            with pytest.raises(RegistryUnreachable, match="what has arrived is kept"):
                store.upload(f"{first.address}/ada/killed", deadly, told.append, "x")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503, times=1, method="POST"),
        Fault("status", status=429, times=1, wait_s=1, method="POST"),
        Fault("status", status=500, times=1, method="PATCH"),
        Fault("status", status=404, times=1, method="PATCH", body='{"errors":[{"code":"BLOB_UPLOAD_INVALID"}]}'),
        Fault("cut", times=1, method="POST"),
        Fault("status", status=429, times=1, wait_s=1, method="PUT"),
        Fault("status", status=502, times=1, method="PUT"),
        Fault("cut", times=1, method="PUT"),
    ],
    ids=lambda fault: f"{fault.method} {fault.kind} {fault.status}",
)
def test_passing_faults_pass(front: Front, hasty: DistributionStore, fault: Fault) -> None:
    """One 5xx, one 429, one lost upload or one cut answer is not seen in the result."""
    content = pieces(2)
    front.faults.append(fault)
    with running(front.app) as url:
        repository = f"{url.removeprefix('http://')}/ada/passing"
        assert hasty.upload(repository, content, tell_nobody, "x").digest == sha256(whole(content))
        assert hasty.has(repository, sha256(whole(content)))
    if fault.method == "PUT":  # the bytes had arrived: they are not sent again
        assert front.made("PATCH") == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_lost_answer_sends_nothing_twice(front: Front, hasty: DistributionStore, status: int) -> None:
    """When the registry has the blob and its answer got lost, that is found out by asking, not by sending."""
    content = pieces(2)
    front.faults.append(Fault("status", status=status, times=1, method="PUT", after=True))
    with running(front.app) as url:
        layer = hasty.upload(f"{url.removeprefix('http://')}/ada/lost", content, tell_nobody, "x")
    assert layer.digest == sha256(whole(content))
    assert front.made("PATCH") == 1
    assert hasty.sent_bytes == 2 * MIB


# --- faults that stay ------------------------------------------------------------------------------------------------
FULL_DISK = '{"errors":[{"code":"UNKNOWN","detail":{"DriverName":"filesystem","Enclosed":{"Op":"write","Err":28}}}]}'
TYPE = '{"errors":[{"code":"MANIFEST_INVALID","message":"media type x is not supported"}]}'


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault("status", status=500, times=FOREVER), RegistryFailed, r"still fails to take the blob \(HTTP 500"),
        (Fault("status", status=429, wait_s=9000), RegistryFailed, "too many requests .* again in 9000 s"),
        (Fault("status", status=404, times=FOREVER), RegistryFailed, "lost the upload of the blob each time"),
        (Fault("status", status=404, times=FOREVER, body='{"errors":[{"code":"NAME_UNKNOWN"}]}'), RegistryRefused,
         "no such repository, and makes none"),
        (Fault("status", status=413, method="PATCH"), RegistryRefused, r"the blob is too large for it \(HTTP 413\)"),
        (Fault("status", status=415, method="PATCH", body=TYPE), RegistryRefused, "media type x is not supported"),
        (Fault("status", status=400, method="PUT", body='{"errors":[{"code":"DIGEST_INVALID"}]}'), RegistryRefused,
         "DIGEST_INVALID"),
        (Fault("status", status=507, method="PATCH"), RegistryFull, "is full"),
        (Fault("status", status=500, method="PATCH", body=FULL_DISK), RegistryFull, "is full"),
        (Fault("status", status=403, body='{"errors":[{"message":"quota exceeded"}]}'), RegistryFull, "quota exceeded"),
        (Fault("status", status=403), PushDenied, r"does not let us write anonymously \(HTTP 403\)"),
        (Fault("status", status=405), RegistryRefused, "HTTP 405"),
    ],
    ids=lambda value: f"{value.method} {value.status}" if isinstance(value, Fault) else "",
)  # fmt: skip
def test_lasting_faults_are_one_sentence(
    registry: RunningRegistry, front: Front, hasty: DistributionStore, fault: Fault, error: type[FactoryError],
    sentence: str,
) -> None:  # fmt: skip
    """What no repetition mends is said at once, the rest after a few tries; and no upload stays behind."""
    fault.method = "POST" if fault.method == "*" else fault.method
    front.faults.append(fault)
    with running(front.app) as url, pytest.raises(error, match=sentence) as caught:
        hasty.upload(f"{url.removeprefix('http://')}/ada/lasting", pieces(2), tell_nobody, "x")
    assert type(caught.value) is error
    assert caught.value.fix
    assert front.made("POST") <= 3
    assert uploads_left(registry, "ada/lasting") == []


def test_another_digest_than_ours(front: Front, store: DistributionStore) -> None:
    """A registry that took something else than we sent is not believed."""

    async def serve(request: Request) -> Response:
        location = {"location": "/v2/ada/x/blobs/uploads/1", "docker-content-digest": sha256(b"other")}
        return Response(status_code=201 if request.method == "PUT" else 202, headers=location)

    with running(Starlette(routes=[Route("/{path:path}", serve, methods=METHODS)])) as url:
        repository = f"{url.removeprefix('http://')}/ada/x"
        with pytest.raises(RegistryRefused, match="for what we sent as"):
            store.upload(repository, pieces(1), tell_nobody, "x")
        with pytest.raises(RegistryRefused, match="for what we sent as"):
            store.put_manifest(repository, "t", OCI_MANIFEST, b"{}")


def test_a_full_disk(tmp_path: Path, store: DistributionStore) -> None:
    """A registry without room is one sentence, and once there is room the same call ends right."""
    content, port = pieces(2), free_port()
    repository = f"127.0.0.1:{port}/ada/full"
    with small_memory_disk(tmp_path / "disk", 6 * MIB) as disk:
        with running_registry(disk / "data", port=port), pytest.raises(RegistryFull, match="is full"):
            store.upload(repository, pieces(20), tell_nobody, "x")
        shutil.rmtree(disk / "data")  # it keeps what came, open files and all, until somebody makes room
        with running_registry(disk / "data", port=port):
            assert store.upload(repository, content, tell_nobody, "x").digest == sha256(whole(content))


def test_a_registry_that_is_not_there() -> None:
    """Nobody there is one sentence, with the address."""
    address = f"127.0.0.1:{free_port()}"
    with DistributionStore(lambda _: None, patience_s=0.5) as store:
        for call in (
            lambda: store.upload(f"{address}/a/b", pieces(1), tell_nobody, "x"),
            lambda: store.has(f"{address}/a/b", SUBJECT.digest),
            lambda: store.put(f"{address}/a/b", b"x"),
        ):
            with pytest.raises(RegistryUnreachable, match="no answer") as caught:
                call()
            assert caught.value.where == address


@pytest.mark.parametrize("error", [HubFailed("the Hub is down"), KeyboardInterrupt()])
def test_what_the_content_raises_comes_through(
    registry: RunningRegistry, store: DistributionStore, error: BaseException
) -> None:
    """A fault of the source, or Ctrl-C, is passed on as it is, once, and the registry forgets the upload."""
    asked = []

    def broken() -> Iterator[bytes]:
        asked.append(1)
        yield bytes(2 * MIB)
        raise error

    with pytest.raises(type(error)) as caught:
        store.upload(f"{registry.address}/ada/broken", broken, tell_nobody, "x")
    assert caught.value is error
    assert asked == [1]
    assert uploads_left(registry, "ada/broken") == []


KILLED = """
import sys
from factory.clients.registry_store import DistributionStore
def content():
    for number in range(6):
        if number == 4 and sys.argv[2] == "dies":
            print("half", flush=True); sys.stdin.read()
        yield bytes([number]) * (1 << 20)
with DistributionStore(lambda _: None) as store:
    print(store.upload(sys.argv[1], content, lambda _: None, "x").digest)
"""


def test_killed_and_started_again(registry: RunningRegistry) -> None:
    """A process that was killed in the middle of an upload does no harm to the next one, which ends right."""
    command = [sys.executable, "-c", KILLED, f"{registry.address}/ada/sigkill"]
    with subprocess.Popen([*command, "dies"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout and first.stdout.readline() == "half\n"
        first.kill()
    second = subprocess.run([*command, "lives"], capture_output=True, text=True, check=True)
    assert second.stdout.strip() == sha256(b"".join(bytes([number]) * MIB for number in range(6)))


# --- logins ----------------------------------------------------------------------------------------------------------
def test_basic_login(tmp_path: Path) -> None:
    """A password opens the door; without one, or with a wrong one, it is one sentence that doesn't hold it."""
    with running_registry(tmp_path / "data", login=True) as registry:
        repository, content = f"{registry.address}/ada/x", pieces(3)
        with DistributionStore(lambda _: ADA) as known:
            assert known.upload(repository, content, tell_nobody, "x").digest == sha256(whole(content))
            assert known.put(repository, b"small").size_bytes == 5
        for login, who in [(None, "anonymously"), (("ada", "wrong-password"), "as ada")]:
            with DistributionStore(lambda _, login=login: login) as wrong:  # type: ignore[misc]
                with pytest.raises(PushDenied, match=f"does not let us write {who}") as caught:
                    wrong.upload(repository, pieces(1), tell_nobody, "x")
                assert "wrong-password" not in str(caught.value)


def test_tokens_are_for_what_is_wanted(registry: RunningRegistry) -> None:
    """A pass for pull is not used to push, a mount's holds both repositories, and each is asked for once."""
    app = create_dockerhub(registry.address, users=dict([ADA]), private=frozenset({"ada/source"}))
    with running(app) as url, DistributionStore(lambda _: ADA) as store:
        host = url.removeprefix("http://")
        assert not store.has(f"{host}/ada/x", sha256(b"absent"))  # a pass for pull
        layer = store.upload(f"{host}/ada/x", pieces(2), tell_nobody, "x")
        store.upload(f"{host}/ada/x", pieces(2), tell_nobody, "x")
        assert store.has(f"{host}/ada/x", layer.digest)
        assert sum(call.path == "/token" for call in app.state.calls) == 2
        small = store.put(f"{host}/ada/source", b"to be mounted")
        assert store.mount(f"{host}/ada/x", small.digest, f"{host}/ada/source")
        assert not store.mount(f"{host}/ada/x", small.digest, f"{host}/bob/closed")
        with DistributionStore(lambda _: ("ada", "wrong-pw")) as wrong, pytest.raises(PushDenied) as caught:
            wrong.put(f"{host}/ada/x", b"y")
        assert "wrong-pw" not in str(caught.value)
        with pytest.raises(PushDenied, match="does not let us write as ada"):
            store.upload(f"{host}/bob/x", pieces(1), tell_nobody, "x")


def test_a_token_that_ends_in_a_long_upload(registry: RunningRegistry) -> None:
    """A token that is void at the end is renewed, and nothing but the last, empty request is made again."""
    app = create_dockerhub(registry.address, users=dict([ADA]))
    content = pieces(4)

    def slow() -> Iterator[bytes]:
        for number, piece in enumerate(content()):
            if number == 2:
                app.state.hub.expire_tokens()
            yield piece

    with running(app) as url, DistributionStore(lambda _: ADA) as store:
        layer = store.upload(f"{url.removeprefix('http://')}/ada/long", slow, tell_nobody, "x")
        assert layer.digest == sha256(whole(content))
        assert store.sent_bytes == 4 * MIB
    assert [(call.method, call.status) for call in app.state.calls if call.method != "GET"] == [
        ("POST", 401),
        ("POST", 202),
        ("PATCH", 202),
        ("PUT", 401),
        ("PUT", 201),
    ]


def test_a_stream_that_is_refused_for_its_token_begins_again(registry: RunningRegistry) -> None:
    """A 401 to the streamed request renews the token and sends the blob from its beginning."""
    app = create_dockerhub(registry.address, users=dict([ADA]))
    content = pieces(2)
    with running(app) as url, DistributionStore(lambda _: ADA) as store:
        refused = Fault("status", status=401, times=1, method="PATCH")
        app.state.faults.append(refused)
        with pytest.raises(PushDenied):  # a 401 without a challenge is an answer
            store.upload(f"{url.removeprefix('http://')}/ada/refused", content, tell_nobody, "x")
        begun = iter([True])

        def voided() -> Iterator[bytes]:
            if next(begun, False):
                app.state.hub.expire_tokens()
            yield from content()

        layer = store.upload(f"{url.removeprefix('http://')}/ada/refused", voided, tell_nobody, "x")
        assert layer.digest == sha256(whole(content))


@pytest.mark.parametrize("is_named_fully", [True, False])
def test_an_upload_that_goes_on_elsewhere(registry: RunningRegistry, is_named_fully: bool) -> None:
    """A Location on another host gets the bytes and never the login; a relative one is the registry's own."""
    seen: list[tuple[str, str, bool]] = []

    def server(location: Callable[[], str], name: str) -> Starlette:
        async def serve(request: Request) -> Response:
            await request.body()
            seen.append((name, request.method, "authorization" in request.headers))
            if name == "registry" and "authorization" not in request.headers:
                return Response(status_code=401, headers={"www-authenticate": 'Basic realm="x"'})
            status = 201 if request.method == "PUT" else 202
            return Response(status_code=status, headers={"location": location()})

        return Starlette(routes=[Route("/{path:path}", serve, methods=METHODS)])

    place = "/v2/a/b/blobs/uploads/1?state=%2Bx"
    with running(server(lambda: place, "elsewhere")) as foreign:
        target = (foreign.replace("127.0.0.1", "localhost") if is_named_fully else "") + place
        with running(server(lambda: target, "registry")) as url, DistributionStore(lambda _: ADA) as store:
            store.upload(f"{url.removeprefix('http://')}/a/b", pieces(1), tell_nobody, "x")
    then = "elsewhere" if is_named_fully else "registry"
    assert seen[-2:] == [(then, "PATCH", not is_named_fully), (then, "PUT", not is_named_fully)]


@pytest.mark.parametrize("location", ["http://registry.example/x", "https://169.254.1.1/x", "ftp://localhost/x", ""])
def test_an_upload_that_must_not_go_there(store: DistributionStore, location: str) -> None:
    """In the open, off this machine, or nowhere: such a place gets no byte."""

    async def serve(_: Request) -> Response:
        return Response(status_code=202, headers={"location": location} if location else {})

    with (
        running(Starlette(routes=[Route("/{path:path}", serve, methods=METHODS)])) as url,
        pytest.raises(RegistryFailed, match=r"would not be safe|doesn't say where"),
    ):
        store.upload(f"{url.removeprefix('http://')}/a/b", pieces(1), tell_nobody, "x")
    assert store.sent_bytes == 0
