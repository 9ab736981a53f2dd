"""verify with a real engine and a real registry: a small worker image is pushed, pulled back, started and asked.

The image speaks the SDK's local API with the standard library alone, so it builds in a second; the real runtime's
images are verified by the test of the whole line.
"""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from registries import RunningRegistry, pusher, running_registry

from factory.clients.docker_connection import Connection
from factory.clients.docker_engine import DockerEngine
from factory.clients.registry import DistributionRegistry
from factory.errors import BlobMissing, ImageNotInRegistry, PlatformMismatch, TestJobFailed, WorkerExited
from factory.recipe.model import Recipe
from factory.records import BuildOptions, PushedImage, Report
from factory.stages.verify import verify

pytestmark = pytest.mark.engine

WORKER = """
import http.server, json, sys
if "--check" in sys.argv:
    print(json.dumps({"ok": True, "recipe": "tiny"}))
    raise SystemExit(0)
def flag(name): return sys.argv[sys.argv.index(name) + 1]
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.reply({})
    def do_POST(self):
        job = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
        if job.get("exit"):
            print("last words", flush=True)
            import os; os._exit(7)
        self.reply({"id": "test-1", "status": "COMPLETED", "output": job})
    def reply(self, body):
        raw = json.dumps(body).encode()
        self.send_response(200); self.send_header("content-length", str(len(raw))); self.end_headers()
        self.wfile.write(raw)
    def log_message(self, *_): pass
print(json.dumps({"event": "phase", "phase": "load", "seconds": 0.125}), flush=True)
http.server.ThreadingHTTPServer((flag("--rp_api_host"), int(flag("--rp_api_port"))), Api).serve_forever()
"""


@pytest.fixture(scope="module")
def own_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry of these tests' own, whose storage they may damage; loopback needs no leave from the engine."""
    with running_registry(tmp_path_factory.mktemp("registry") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def api(engine_host: str) -> Iterator[Connection]:
    """A connection of docker-py, to build and to look."""
    client = Connection(engine_host, 120)
    yield client
    client.close()


@dataclass(frozen=True)
class Images:
    """Builds and pushes worker images, and verifies them; all are removed from the engine at the end."""

    api: Connection
    registry: RunningRegistry
    base: str
    host: str
    made: list[str]

    def push(self, module: str = WORKER) -> PushedImage:
        """Build an image with this `worker_runtime`, push it, and forget the engine's own copy."""
        tag = uuid.uuid4().hex[:12]
        repository = f"{self.registry.address}/e2e/tiny"
        dockerfile = (
            f"FROM {self.base}\nWORKDIR /app\nCOPY worker_runtime.py /app/\n"
            'CMD ["python", "-u", "-m", "worker_runtime"]\n'
        )
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            for name, text in {"Dockerfile": dockerfile, "worker_runtime.py": module}.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
        context.seek(0)
        name = f"{repository}:{tag}"
        built: list[dict[str, Any]] = list(
            self.api.build(fileobj=context, custom_context=True, tag=name, rm=True, decode=True)
        )
        assert not [line["error"] for line in built if "error" in line]
        sent: list[dict[str, Any]] = list(self.api.push(repository, tag=tag, stream=True, decode=True))
        digest = next(line["aux"]["Digest"] for line in sent if "aux" in line)
        self.api.remove_image(name, force=True)
        self.made.append(f"{repository}@{digest}")
        return PushedImage(repository, tag, digest)

    def verify(self, pushed: PushedImage, *tests: Mapping[str, Any], runs: bool = True, gpu: bool = False) -> Report:
        """Verify with an engine, and see to it that no container is left, whatever the outcome."""
        plain = {"name": "tiny", "image": {"repository": "e2e/tiny"}, "handler": {"name": "echo"}, "tests": tests}
        recipe = Recipe.model_validate(plain | ({"gpu": {"pools": ["AMPERE_48"]}} if gpu else {}))
        options = BuildOptions(network=os.environ.get("FACTORY_NETWORK") or None)
        try:
            with DistributionRegistry(lambda _: None, patience_s=5) as client:
                return verify(
                    recipe,
                    pushed,
                    client,
                    directory=None,
                    engine=DockerEngine(self.host) if runs else None,
                    environment={},
                    volume=None,
                    options=options,
                )
        finally:
            left = self.api.containers(all=True, filters={"ancestor": pushed.reference}) if self._has(pushed) else []
            assert left == []

    def _has(self, pushed: PushedImage) -> bool:
        try:
            return bool(self.api.details_of(pushed.reference))
        except docker.errors.ImageNotFound:
            return False


@pytest.fixture(scope="module")
def images(api: Connection, own_registry: RunningRegistry, base_image: str, engine_host: str) -> Iterator[Images]:
    """The builder of worker images."""
    made: list[str] = []
    yield Images(api, own_registry, base_image, engine_host, made)
    for name in made:
        try:
            api.remove_image(name, force=True)
        except docker.errors.ImageNotFound:
            continue


@pytest.fixture(scope="module")
def good(images: Images) -> PushedImage:
    """A worker image that works."""
    return images.push()


def test_a_built_image_is_verified(images: Images, good: PushedImage) -> None:
    """Pulled back by digest it starts, answers its job as expected, and tells its phases; the image stays."""
    report = images.verify(good, {"input": {"text": "hé"}, "expect": {"text": "hé"}})
    assert {check.name: check.verdict for check in report.checks} == {
        "manifest": "ok",
        "platform": "ok",
        "tag": "ok",
        "blobs": "ok",
        "pull": "ok",
        "start": "ok",
        "test jobs": "ok",
    }
    assert report.answers[0].output == {"text": "hé"}
    assert report.phases == {"load": 0.125}
    assert images.api.details_of(good.reference)


def test_the_size_is_what_the_engine_unpacks(images: Images, good: PushedImage) -> None:
    """The exact size, read from the layers' last bytes, is the engine's own plus the tars' headers."""
    report = images.verify(good)
    engine_bytes = images.api.details_of(good.reference)["Size"]
    assert report.size.is_exact
    assert engine_bytes <= report.size.unpacked_bytes <= engine_bytes * 1.2
    assert report.size.compressed_bytes < engine_bytes


def test_without_running(images: Images, good: PushedImage) -> None:
    """With no engine the registry alone is asked."""
    report = images.verify(good, {"input": {"n": 1}}, runs=False)
    assert report.checks[-1].verdict == "skipped"
    assert report.answers == ()


def test_a_wrong_answer(images: Images, good: PushedImage) -> None:
    """A job whose answer is not as expected fails with what was found."""
    with pytest.raises(TestJobFailed, match="1 of 1 test job failed: sum: n: is 1, expected 2"):
        images.verify(good, {"name": "sum", "input": {"n": 1}, "expect": {"n": 2}})


def test_a_gpu_recipe_without_a_gpu(images: Images, good: PushedImage) -> None:
    """On an engine without GPU the image's own check is run, and the jobs are said to be skipped."""
    if DockerEngine(images.host).has_gpu():
        pytest.skip("this engine has a GPU, so nothing is skipped")
    report = images.verify(good, {"input": {"n": 1}}, gpu=True)
    assert [(check.name, check.verdict) for check in report.checks[-2:]] == [("start", "ok"), ("test jobs", "skipped")]


@pytest.mark.parametrize(
    ("module", "gpu", "sentence"),
    [
        ("print('no such module')\nraise SystemExit(3)", False, "no such module"),
        ("import json\nprint(json.dumps({'ok': False, 'sentence': 'no torch', 'fix': 'add it'}))\nraise SystemExit(1)",
         True, "the image can't start: no torch"),
    ],
)  # fmt: skip
def test_a_container_that_exits_at_once(images: Images, module: str, gpu: bool, sentence: str) -> None:
    """A worker that ends before its first job is one sentence with its last words."""
    with pytest.raises(WorkerExited) as caught:
        images.verify(images.push(module), {"input": {"n": 1}}, gpu=gpu)
    assert sentence in str(caught.value)


def test_a_container_that_dies_in_a_job(images: Images, good: PushedImage) -> None:
    """A worker that ends in mid-job is told with its exit status, and its container is gone."""
    with pytest.raises(WorkerExited, match="7"):
        images.verify(good, {"input": {"exit": True}})


def damage(change: Callable[[Path], object]) -> Callable[[RunningRegistry, str], None]:
    """Make a change of a blob's file."""

    def apply(registry: RunningRegistry, digest: str) -> None:
        change(registry.blob_file(digest))

    return apply


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (damage(lambda file: file.unlink()), "is not there"),
        (damage(lambda file: os.truncate(file, 10)), "has 10 bytes, the manifest says"),
    ],
)
def test_a_registry_that_lost_bytes(
    images: Images, change: Callable[[RunningRegistry, str], None], sentence: str
) -> None:
    """A layer that was deleted or cut in the registry's storage is found before anything is pulled."""
    pushed = images.push(f"{WORKER}\n# {uuid.uuid4()}\n")
    with DistributionRegistry(lambda _: None) as client:
        layer = client.manifest(pushed.reference).layers[-1]
    change(images.registry, layer.digest)
    with pytest.raises(BlobMissing, match=sentence):
        images.verify(pushed)
    images.made.remove(pushed.reference)


def test_an_image_that_was_never_pushed(images: Images, good: PushedImage) -> None:
    """A digest that the registry doesn't have is one sentence."""
    with pytest.raises(ImageNotInRegistry, match="no such image"):
        images.verify(PushedImage(good.repository, good.tag, "sha256:" + "0" * 64))


def test_another_platform(images: Images) -> None:
    """An image for another platform is refused at the registry, before the engine is asked."""
    image = pusher(images.registry).image("e2e/arm", "t", architecture="arm64")
    with pytest.raises(PlatformMismatch, match="linux/arm64"):
        images.verify(PushedImage(image.repository, "t", image.digest))
