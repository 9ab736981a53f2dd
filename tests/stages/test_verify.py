"""verify against fakes of its ports: what it reports, and the one sentence for each thing that is wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from factory.errors import (
    BlobMissing,
    DockerHubFailed,
    FactoryError,
    ImageNotInRegistry,
    PlatformMismatch,
    TestJobFailed,
    WorkerExited,
)
from factory.ports import Engine, ImageDirectory, Registry, Worker
from factory.recipe.model import Recipe
from factory.records import (
    BuildOptions,
    Context,
    HubTag,
    Image,
    ImageSize,
    Layer,
    Manifest,
    Progress,
    PullLimit,
    PushedImage,
    Report,
    Tell,
    tell_nobody,
)
from factory.stages.verify import verify

DIGEST = "sha256:" + "d" * 64
OTHER = "sha256:" + "e" * 64
TAR = b"tar" * 5000
LAYER = gzip.compress(TAR)
CONFIG = b"{}"


def blob_digest(content: bytes) -> str:
    """Return a blob's digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


MANIFEST = Manifest(
    DIGEST,
    "application/vnd.oci.image.manifest.v1+json",
    Layer(blob_digest(CONFIG), len(CONFIG), ""),
    (Layer(blob_digest(LAYER), len(LAYER), ""), Layer(blob_digest(TAR), len(TAR), "")),
    "amd64",
    "linux",
)
COMPRESSED = len(CONFIG) + len(LAYER) + len(TAR)


@dataclass
class FakeRegistry:
    """A registry with one image, whose blobs can be taken away."""

    manifest_: Manifest = MANIFEST
    named: str | None = DIGEST
    blobs: dict[str, bytes] = field(default_factory=lambda: {blob_digest(b): b for b in (CONFIG, LAYER, TAR)})
    limit: PullLimit | None = None

    def digest(self, reference: str) -> str | None:
        """What the tag names."""
        return self.named

    def manifest(self, reference: str) -> Manifest:
        """The one manifest, by its digest only."""
        if not reference.endswith(f"@{DIGEST}"):
            raise ImageNotInRegistry("no such image", where=reference)
        return self.manifest_

    def blob_size(self, repository: str, digest: str) -> int | None:
        """The size of what is there."""
        return len(self.blobs[digest]) if digest in self.blobs else None

    def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
        """A range of what is there."""
        return self.blobs[digest][start : start + length]

    def pull_limit(self, repository: str) -> PullLimit | None:
        """What was set."""
        return self.limit


ON_HUB = HubTag(DIGEST, len(LAYER) + len(TAR), "2026-11-24T00:00:00Z", is_private=False)


@dataclass
class FakeDirectory:
    """Docker Hub's API with one answer."""

    found: HubTag = ON_HUB
    asked: list[tuple[str, str]] = field(default_factory=list)

    def tag(self, repository: str, tag: str) -> HubTag:
        """The one answer."""
        self.asked.append((repository, tag))
        return self.found


@dataclass
class FakeWorker:
    """A worker that is ready after some polls and answers by a function."""

    answer: Callable[[Mapping[str, object]], Mapping[str, object]]
    log: str = ""
    polls_left: int = 1

    def is_ready(self) -> bool:
        """Ready after the given polls."""
        self.polls_left -= 1
        return self.polls_left < 0

    def call(self, job_input: Mapping[str, object], timeout_s: float) -> Mapping[str, object]:
        """What the function says."""
        return self.answer(job_input)

    def logs(self) -> str:
        """The log."""
        return self.log


def echo(job_input: Mapping[str, object]) -> Mapping[str, object]:
    """Answer as the SDK's local API does for the echo handler."""
    return {"id": "test-1", "status": "COMPLETED", "output": dict(job_input)}


@dataclass
class FakeEngine:
    """An engine that pulls anything and runs one worker."""

    worker: FakeWorker = field(default_factory=lambda: FakeWorker(echo))
    gpu: bool = False
    once: tuple[int, str] = (0, '{"ok": true}\n')
    unpacked_bytes: int = 20_000
    pulled: list[str] = field(default_factory=list)
    ran: list[tuple[str, Mapping[str, str], Path | None]] = field(default_factory=list)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    running: int = 0

    def find(self, reference: str) -> Image | None:
        """Nothing is here."""
        return None

    def free_bytes(self) -> int | None:
        """Unknown."""
        return None

    def pull(self, reference: str, tell: Tell) -> Image:
        """Pull."""
        self.pulled.append(reference)
        return Image(reference, "sha256:id", self.unpacked_bytes, was_built=False)

    def build(self, context: Context, options: BuildOptions, tell: Tell) -> Image:
        """Verify never builds."""
        raise AssertionError("verify must not build")

    def push(self, reference: str, tell: Tell) -> PushedImage:
        """Verify never pushes."""
        raise AssertionError("verify must not push")

    @contextmanager
    def run(
        self, reference: str, *, environment: Mapping[str, str], volume: Path | None, options: BuildOptions
    ) -> Iterator[Worker]:
        """Run the worker."""
        self.ran.append((reference, environment, volume))
        self.running += 1
        try:
            yield self.worker
        finally:
            self.running -= 1

    def has_gpu(self) -> bool:
        """As set."""
        return self.gpu

    def run_once(
        self, reference: str, command: Sequence[str], *, environment: Mapping[str, str], options: BuildOptions
    ) -> tuple[int, str]:
        """Give the set answer."""
        self.commands.append(tuple(command))
        return self.once

    def save(self, reference: str) -> Iterator[bytes]:
        """Verify never saves."""
        raise AssertionError("verify must not save images")

    def interrupt(self) -> None:
        """Nothing here takes time."""

    def remove(self, reference: str) -> None:
        """Pulled images stay."""
        raise AssertionError("verify must not remove images")


PUSHED = PushedImage("127.0.0.1:5000/factory/demo", "0123456789abcdef", DIGEST)
ON_DOCKER_HUB = PushedImage("ada/demo", "0123456789abcdef", DIGEST)


def recipe(*tests: dict[str, Any], **blocks: Any) -> Recipe:
    """Make a recipe with these tests."""
    plain = {"name": "demo", "image": {"repository": "factory/demo"}, "handler": {"name": "echo"}}
    return Recipe.model_validate(plain | {"tests": tests} | blocks)


def run(
    of: Recipe | None = None,
    pushed: PushedImage = PUSHED,
    registry: Registry | None = None,
    directory: ImageDirectory | None = None,
    engine: Engine | None = None,
    tell: Tell = tell_nobody,
) -> Report:
    """Verify with fakes for all that isn't given."""
    return verify(
        of or recipe(),
        pushed,
        registry or FakeRegistry(),
        directory=directory,
        engine=engine,
        environment={"HF_ENDPOINT": "http://hub"},
        volume=Path("/volume"),
        options=BuildOptions(),
        tell=tell,
    )


def verdicts(report: Report) -> dict[str, str]:
    """Return each check's verdict."""
    return {check.name: check.verdict for check in report.checks}


# --- the registry ----------------------------------------------------------------------------------------------------
def test_a_whole_image_without_running_it() -> None:
    """Everything there: each check is ok, the size exact, and running is skipped as asked."""
    report = run()
    assert verdicts(report) == {"manifest": "ok", "platform": "ok", "tag": "ok", "blobs": "ok", "run": "skipped"}
    assert report.size == ImageSize(COMPRESSED, 2 * len(TAR), is_exact=True)
    assert report.answers == ()


def test_every_broken_blob_is_told_at_once() -> None:
    """A missing and a truncated blob are one error with both, by digest."""
    registry = FakeRegistry()
    registry.blobs[blob_digest(LAYER)] = LAYER[:20]
    del registry.blobs[blob_digest(CONFIG)]
    with pytest.raises(BlobMissing, match="2 of 3 blobs not whole") as caught:
        run(registry=registry)
    assert f"{blob_digest(CONFIG)[:19]}… is not there" in str(caught.value)
    assert f"has 20 bytes, the manifest says {len(LAYER)}" in str(caught.value)
    assert len(caught.value.details["problems"]) == 2  # type: ignore[arg-type]


def test_a_blob_that_cannot_be_read_to_its_end() -> None:
    """A registry that reports the right size and has fewer bytes is found out by reading the ends."""

    @dataclass
    class Lying(FakeRegistry):
        def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
            if digest == blob_digest(TAR) and start:
                raise BlobMissing(f"{digest} ends before byte {start + length}", where=repository)
            return super().read(repository, digest, start, length)

    with pytest.raises(BlobMissing, match=f"1 of 3 blobs not whole: {blob_digest(TAR)} ends before byte {len(TAR)}"):
        run(registry=Lying())


@pytest.mark.parametrize("platform", [("linux", "arm64"), ("windows", "amd64")])
def test_another_platform(platform: tuple[str, str]) -> None:
    """An image for anything but linux/amd64 is refused before its blobs are asked for."""
    registry = FakeRegistry(replace(MANIFEST, os=platform[0], architecture=platform[1]), blobs={})
    with pytest.raises(PlatformMismatch, match=f"the image is {'/'.join(platform)}, and RunPod runs linux/amd64 only"):
        run(registry=registry)


def test_absent_image() -> None:
    """An image that is not in the registry is the registry's own error."""
    with pytest.raises(ImageNotInRegistry):
        run(pushed=replace(PUSHED, digest=OTHER))


@pytest.mark.parametrize(("named", "words"), [(None, "is not there"), (OTHER, "names another image now")])
def test_a_tag_that_moved_is_a_warning(named: str | None, words: str) -> None:
    """The digest is what counts; a tag that is gone or moved is told, also on the screen."""
    seen: list[Progress] = []
    report = run(registry=FakeRegistry(named=named), tell=seen.append)
    check = next(check for check in report.checks if check.name == "tag")
    assert (check.verdict, words in check.detail) == ("warning", True)
    assert any(progress.kind == "note" and words in progress.text for progress in seen)


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (PullLimit(80, 100, 21600), "ok"),
        (PullLimit(9, 100, 21600), "warning"),
        (PullLimit(0, 5, 0), "warning"),
        (PullLimit(5, 5, 0), "ok"),
    ],
)
def test_pull_limit(limit: PullLimit, verdict: str) -> None:
    """What a registry says of its pull limit is reported, and little left is a warning."""
    report = run(registry=FakeRegistry(limit=limit))
    assert verdicts(report)["pull limit"] == verdict


def test_a_size_that_only_the_engine_can_settle() -> None:
    """A layer that may be 4 GiB larger is inexact without an engine, and exact with its figure."""
    stored = 3 * 2**30
    true = stored + 2**32

    @dataclass
    class Huge(FakeRegistry):
        def blob_size(self, repository: str, digest: str) -> int | None:
            return stored if digest == blob_digest(LAYER) else super().blob_size(repository, digest)

        def read(self, repository: str, digest: str, start: int, length: int) -> bytes:
            if digest == blob_digest(LAYER):
                return (true % 2**32).to_bytes(4, "little") if start else LAYER[:length]
            return super().read(repository, digest, start, length)

    manifest = replace(MANIFEST, layers=(replace(MANIFEST.layers[0], size_bytes=stored),))
    assert run(registry=Huge(manifest)).size.is_exact is False
    report = run(registry=Huge(manifest), engine=FakeEngine(unpacked_bytes=true - 10_000_000))
    assert report.size == ImageSize(stored + len(CONFIG), true, is_exact=True)


# --- Docker Hub ------------------------------------------------------------------------------------------------------
def test_docker_hub_is_asked_about_its_own_images_only() -> None:
    """An image elsewhere never asks Docker Hub; one there must agree with it."""
    directory = FakeDirectory()
    assert "docker hub" not in verdicts(run(directory=directory))
    assert directory.asked == []
    report = run(pushed=ON_DOCKER_HUB, directory=directory)
    assert verdicts(report)["docker hub"] == "ok"
    assert directory.asked == [("ada/demo", "0123456789abcdef")]
    assert "docker hub" not in verdicts(run(pushed=ON_DOCKER_HUB, directory=None))


@pytest.mark.parametrize(("is_private", "words"), [(False, "public"), (True, "private: RunPod needs a registry login")])
def test_docker_hub_says_who_may_pull(is_private: bool, words: str) -> None:
    """Public or private stands in the report, with what private means for RunPod."""
    directory = FakeDirectory(replace(ON_HUB, is_private=is_private))
    report = run(pushed=ON_DOCKER_HUB, directory=directory)
    detail = next(check.detail for check in report.checks if check.name == "docker hub")
    assert words in detail
    assert "2026-11-24T00:00:00Z" in detail


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digest": OTHER}, "its tag 0123456789abcdef is sha256:eeeeeeeeeeee…, not sha256:dddddddddddd…"),
        ({"full_size_bytes": len(LAYER) + len(TAR) - 1}, "its full_size is"),
        ({"full_size_bytes": COMPRESSED + 5_000_000}, "its full_size is"),
    ],
)
def test_docker_hub_that_contradicts(changes: dict[str, Any], words: str) -> None:
    """Another digest, or a size that can't be this image's, is one sentence."""
    directory = FakeDirectory(replace(ON_HUB, **changes))
    with pytest.raises(DockerHubFailed, match="Docker Hub contradicts its registry") as caught:
        run(pushed=ON_DOCKER_HUB, directory=directory)
    assert words in str(caught.value)


# --- the worker ------------------------------------------------------------------------------------------------------
PHASES = (
    "starting\n"
    '{"event": "phase", "phase": "import", "seconds": 1.5}\n'
    '{"event": "phase", "phase": "load", "seconds": 0.25}\n{"half": \n[1]\n'
    '{"event": "job", "seconds": 9}\n'
)


def test_test_jobs_are_run_on_the_pulled_image() -> None:
    """The image is pulled and started by digest, with environment and volume; answers and phases are reported."""
    engine = FakeEngine(FakeWorker(echo, PHASES))
    of = recipe({"input": {"text": "hi"}, "expect": {"text": "hi"}}, {"name": "second", "input": {"n": 1}})
    report = run(of, engine=engine)
    assert engine.pulled == [PUSHED.reference]
    assert engine.ran == [(PUSHED.reference, {"HF_ENDPOINT": "http://hub"}, Path("/volume"))]
    assert [(answer.name, answer.output, answer.problems) for answer in report.answers] == [
        ("1", {"text": "hi"}, ()),
        ("second", {"n": 1}, ()),
    ]
    assert report.phases == {"import": 1.5, "load": 0.25}
    assert verdicts(report)["test jobs"] == "ok"


def test_every_wrong_answer_is_told_at_once() -> None:
    """All jobs are run, and each problem of each is in the one error; the container is gone."""
    engine = FakeEngine(FakeWorker(echo))
    of = recipe(
        {"name": "good", "input": {"n": 1}, "expect": {"n": 1}},
        {"name": "bad", "input": {"n": 1, "t": "x"}, "expect": {"n": 2, "t": "y"}},
        {"name": "lost", "input": {"n": 1}, "expect": {"m": 1}},
    )
    with pytest.raises(TestJobFailed, match="2 of 3 test jobs failed") as caught:
        run(of, engine=engine)
    found = caught.value.details["problems"]
    assert isinstance(found, list)
    assert [problem.split(":")[0] for problem in found] == ["bad", "bad", "lost"]
    assert engine.running == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": "FAILED", "error": "handler_failed: no memory"}, "the job failed: handler_failed: no memory"),
        ({"status": "FAILED", "error": {"code": "x"}}, 'the job failed: {"code": "x"}'),
    ],
)
def test_a_job_that_fails(answer: Mapping[str, object], words: str) -> None:
    """The SDK's error text becomes the problem, whatever its form."""
    with pytest.raises(TestJobFailed) as caught:
        run(recipe({"input": {"n": 1}}), engine=FakeEngine(FakeWorker(lambda _: answer)))
    assert words in str(caught.value)


def test_a_job_that_should_fail() -> None:
    """A test that expects an error passes when it comes."""
    worker = FakeWorker(lambda _: {"status": "FAILED", "error": "input_refused: too long"})
    report = run(recipe({"input": {"n": 1}, "expect": {"error": "too long"}}), engine=FakeEngine(worker))
    assert report.answers[0].problems == ()


def test_a_job_without_an_answer_does_not_hide_the_others() -> None:
    """A job that got no answer in time is a problem like others, and the next job is still run."""

    def answer(job_input: Mapping[str, object]) -> Mapping[str, object]:
        if job_input["n"] == 1:
            raise TestJobFailed("no answer within 5 s", where="x")
        return echo(job_input)

    with pytest.raises(TestJobFailed, match="1 of 2 test jobs failed: 1: no answer within 5 s"):
        run(recipe({"input": {"n": 1}}, {"input": {"n": 2}}), engine=FakeEngine(FakeWorker(answer)))


def test_a_container_that_ends_in_a_job() -> None:
    """A worker that dies in a job ends the matter: no further job is tried, and nothing is left running."""
    seen: list[object] = []

    def answer(job_input: Mapping[str, object]) -> Mapping[str, object]:
        seen.append(job_input)
        raise WorkerExited("the container exited with 7", where="x")

    engine = FakeEngine(FakeWorker(answer))
    with pytest.raises(WorkerExited, match="exited with 7"):
        run(recipe({"input": {"n": 1}}, {"input": {"n": 2}}), engine=engine)
    assert seen == [{"n": 1}]
    assert engine.running == 0


def test_a_container_that_ends_is_the_engines_error() -> None:
    """WorkerExited goes through as it is, and nothing is left running."""

    @dataclass
    class Ended(FakeWorker):
        def is_ready(self) -> bool:
            raise WorkerExited("the container exited with 1", where="x", details={"exit_status": 1})

    engine = FakeEngine(Ended(echo))
    with pytest.raises(WorkerExited):
        run(engine=engine)
    assert engine.running == 0


def test_a_worker_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the limit the last line of its log is in the sentence, and the container is gone."""
    monkeypatch.setattr("factory.stages.verify.START_LIMIT_S", 0.0)
    engine = FakeEngine(FakeWorker(echo, "loading\nstill loading\n", polls_left=5))
    with pytest.raises(FactoryError, match=r"does not answer after .* \(its last line: still loading\)"):
        run(engine=engine)
    assert engine.running == 0


def test_phases_are_told_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the worker logs while it starts reaches the listener, each line once."""
    monkeypatch.setattr("factory.stages.verify.POLL_S", 0.0)
    seen: list[Progress] = []
    run(engine=FakeEngine(FakeWorker(echo, PHASES, polls_left=4)), tell=seen.append)
    assert [p.text for p in seen if p.kind == "log"][:2] == ["phase import 1.5", "phase load 0.25"]
    assert len([p for p in seen if p.kind == "log"]) == 3


def test_no_tests_is_a_warning() -> None:
    """A recipe without tests proves that the image starts, and warns that nothing was asked of it."""
    report = run(recipe(), engine=FakeEngine())
    assert (verdicts(report)["start"], verdicts(report)["test jobs"]) == ("ok", "warning")


def test_a_gpu_recipe_without_a_gpu() -> None:
    """Its jobs can't run: the image must still start far enough to import its handler, and the report says so."""
    engine = FakeEngine()
    report = run(recipe({"input": {"n": 1}}, gpu={"pools": ["AMPERE_48"]}), engine=engine)
    assert engine.commands == [("python", "-m", "worker_runtime", "--check")]
    assert engine.ran == []
    assert (verdicts(report)["start"], verdicts(report)["test jobs"]) == ("ok", "skipped")
    assert "1 job not run: the recipe needs a GPU" in report.checks[-1].detail


def test_a_gpu_recipe_with_a_gpu_runs_its_jobs() -> None:
    """With a GPU in reach nothing is skipped."""
    report = run(recipe({"input": {"n": 1}}, gpu={"pools": ["AMPERE_48"]}), engine=FakeEngine(gpu=True))
    assert len(report.answers) == 1


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            json.dumps({"ok": False, "code": "handler_import", "sentence": "no module torch", "fix": "add torch"}),
            "the image can't start: no module torch (exit status 1); add torch",
        ),
        ("Traceback\nImportError: x\n", "the image can't start: its last line: ImportError: x (exit status 1)"),
        ("", "the image can't start: it printed nothing (exit status 1)"),
    ],
)
def test_a_gpu_image_that_cannot_start(output: str, sentence: str) -> None:
    """When the runtime's own check fails, its sentence and fix are ours."""
    with pytest.raises(WorkerExited) as caught:
        run(recipe(gpu={"pools": ["AMPERE_48"]}), engine=FakeEngine(once=(1, output)))
    assert sentence in str(caught.value)
    assert caught.value.details["exit_status"] == 1
