"""verify: the registry has every byte of the image, RunPod can pull it, it starts, and it answers its test jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from factory.errors import (
    BlobMissing,
    DockerHubFailed,
    PlatformMismatch,
    TestJobFailed,
    VerifyError,
    WorkerExited,
)
from factory.ports import Engine, ImageDirectory, Registry, Worker
from factory.recipe.expect import problems
from factory.recipe.model import Recipe, Test
from factory.records import (
    BuildOptions,
    Check,
    ImageSize,
    JobAnswer,
    Layer,
    Manifest,
    Progress,
    PushedImage,
    Report,
    Tell,
    tell_nobody,
)
from factory.references import parse
from factory.sizing.layers import HEAD_BYTES, TAIL_BYTES, settle, unpacked
from factory.wording import count_text, seconds_text, size_text

PLATFORM = ("linux", "amd64")
READERS = 8  # blobs asked for at once
POLL_S = 0.2
START_LIMIT_S = 3600.0  # a first start brings the weights: 70 GB at 20 MB/s
SHOWN_LINES = 15
FEW_PULLS = 10
# Docker does not say whether `full_size` counts the config and the manifest (at most 4 MiB) beside the layers.
HUB_SIZE_SLACK_BYTES = 4 * 1024 * 1024
CHECK_COMMAND = ("python", "-m", "worker_runtime", "--check")


@dataclass(slots=True)
class _Notes:
    """The checks so far; each is told as soon as it is made."""

    tell: Tell
    checks: list[Check] = field(default_factory=list)

    def add(self, check: Check) -> None:
        self.checks.append(check)
        if check.verdict == "warning":
            self.tell(Progress("note", check.name, check.detail))
        else:
            self.tell(Progress("step", check.name, check.detail, "done" if check.verdict == "ok" else "cached"))

    @contextmanager
    def step(self, key: str, text: str) -> Iterator[None]:
        """Tell that something longer has begun, and when it failed."""
        self.tell(Progress("step", key, text, "started"))
        try:
            yield
        except BaseException:
            self.tell(Progress("step", key, text, "failed"))
            raise


def verify(
    recipe: Recipe,
    pushed: PushedImage,
    registry: Registry,
    *,
    directory: ImageDirectory | None,
    engine: Engine | None,
    environment: Mapping[str, str],
    volume: Path | None,
    options: BuildOptions,
    why_still: str = "as asked",
    tell: Tell = tell_nobody,
) -> Report:
    """Prove a pushed image, by digest. Images that are pulled stay, containers don't.

    `directory` is asked about images on Docker Hub only; with `engine` None nothing is started, and `why_still` is
    said with it; `environment` and `volume` (mounted at /runpod-volume) are the worker's. Raises the tree below
    VerifyError, each error with all that was found of its kind, and what the ports raise.
    """
    notes = _Notes(tell)
    with notes.step("registry", f"asking {parse(pushed.repository).registry}"):
        manifest = _check_manifest(pushed, registry, notes)
        size = _check_blobs(pushed, manifest, registry, notes)
        _check_pull_limit(pushed, registry, notes)
    if directory is not None and parse(pushed.repository).is_docker_hub:
        with notes.step("docker hub", "asking Docker Hub's API"):
            notes.add(_check_docker_hub(pushed, manifest, directory))
    if engine is None:
        notes.add(Check("run", "skipped", f"not started, {why_still}"))
        return Report(pushed, size, tuple(notes.checks))
    size = _pull(pushed, size, engine, notes)
    if recipe.gpu is not None and not engine.has_gpu():
        _check_start(recipe, pushed, engine, environment, options, notes)
        return Report(pushed, size, tuple(notes.checks))
    answers, phases = _run_jobs(recipe, pushed, engine, environment, volume, options, notes)
    return Report(pushed, size, tuple(notes.checks), answers, phases)


# --- what the registry holds -----------------------------------------------------------------------------------------
def _check_manifest(pushed: PushedImage, registry: Registry, notes: _Notes) -> Manifest:
    """Read the manifest by digest, and see what the tag names now. Raises PlatformMismatch."""
    manifest = registry.manifest(pushed.reference)
    notes.add(Check("manifest", "ok", f"{count_text(len(manifest.layers), 'layer')}, {pushed.digest[:19]}…"))
    found = (manifest.os, manifest.architecture)
    if found != PLATFORM:
        raise PlatformMismatch(
            f"the image is {'/'.join(found)}, and RunPod runs {'/'.join(PLATFORM)} only",
            where=pushed.reference,
            fix="build it for linux/amd64 and push again",
        )
    notes.add(Check("platform", "ok", "/".join(found)))
    named = registry.digest(f"{pushed.repository}:{pushed.tag}")
    if named in (pushed.digest, manifest.digest):
        notes.add(Check("tag", "ok", f"{pushed.tag} names this image"))
    else:
        other = f"names another image now ({named[:19]}…)" if named else "is not there"
        notes.add(Check("tag", "warning", f"{pushed.tag} {other}; deploy by digest, or push again"))
    return manifest


def _check_blobs(pushed: PushedImage, manifest: Manifest, registry: Registry, notes: _Notes) -> ImageSize:
    """Ask for every blob's size, read both its ends, and add up. Raises BlobMissing with all that is wrong."""
    blobs = list({blob.digest: blob for blob in (manifest.config, *manifest.layers)}.values())
    with ThreadPoolExecutor(READERS) as pool:
        looks = dict(
            zip(
                (blob.digest for blob in blobs),
                pool.map(lambda blob: _look_at(pushed.repository, blob, registry), blobs),
                strict=True,
            )
        )
    wrong = [look.problem for look in looks.values() if look.problem]
    if wrong:
        raise BlobMissing(
            f"{len(wrong)} of {count_text(len(blobs), 'blob')} not whole: {'; '.join(wrong)}",
            where=pushed.reference,
            fix="push the image again",
            details={"problems": wrong},
        )
    notes.add(
        Check("blobs", "ok", f"all {len(blobs)} there, {size_text(manifest.compressed_bytes)}, both ends of each read")
    )
    tars = [unpacked(layer.size_bytes, looks[layer.digest].head, looks[layer.digest].tail) for layer in manifest.layers]
    return ImageSize(manifest.compressed_bytes, sum(tar.size_bytes for tar in tars), all(tar.is_exact for tar in tars))


@dataclass(frozen=True, slots=True)
class _Look:
    """One blob: its first and last bytes, or what is wrong with it."""

    head: bytes = b""
    tail: bytes = b""
    problem: str = ""


def _look_at(repository: str, blob: Layer, registry: Registry) -> _Look:
    short = f"{blob.digest[:19]}…"
    size = registry.blob_size(repository, blob.digest)
    if size is None:
        return _Look(problem=f"{short} is not there")
    if size != blob.size_bytes:
        return _Look(problem=f"{short} has {size} bytes, the manifest says {blob.size_bytes}")
    first, last = min(HEAD_BYTES, size), min(TAIL_BYTES, size)
    try:
        head = registry.read(repository, blob.digest, 0, first)
        return _Look(head, registry.read(repository, blob.digest, size - last, last))
    except BlobMissing as error:
        return _Look(problem=error.what)


def _check_pull_limit(pushed: PushedImage, registry: Registry, notes: _Notes) -> None:
    limit = registry.pull_limit(pushed.repository)
    if limit is not None:
        hours = f" in {limit.window_s / 3600:g} h" if limit.window_s else ""
        is_scarce = limit.left < min(FEW_PULLS, limit.limit)
        text = f"{limit.left} of {limit.limit} pulls left{hours} for this login"
        notes.add(Check("pull limit", "warning" if is_scarce else "ok", text))


def _check_docker_hub(pushed: PushedImage, manifest: Manifest, directory: ImageDirectory) -> Check:
    """Hold Docker Hub's own API against the registry. Raises DockerHubFailed when they contradict each other."""
    found = directory.tag(pushed.repository, pushed.tag)
    layers = sum(layer.size_bytes for layer in manifest.layers)
    wrong = []
    if found.digest not in (pushed.digest, manifest.digest):
        wrong.append(f"its tag {pushed.tag} is {found.digest[:19]}…, not {pushed.digest[:19]}…")
    if not layers <= found.full_size_bytes <= manifest.compressed_bytes + HUB_SIZE_SLACK_BYTES:
        wrong.append(f"its full_size is {found.full_size_bytes} bytes, the layers have {layers}")
    if wrong:
        raise DockerHubFailed(
            f"Docker Hub contradicts its registry: {'; '.join(wrong)}",
            where=f"{pushed.repository}:{pushed.tag}",
            fix="wait a minute and verify again; if it stays, push again",
        )
    access = "private: RunPod needs a registry login" if found.is_private else "public"
    return Check("docker hub", "ok", f"same digest, {size_text(found.full_size_bytes)}, {found.last_updated}, {access}")


# --- what the image does ---------------------------------------------------------------------------------------------
def _pull(pushed: PushedImage, size: ImageSize, engine: Engine, notes: _Notes) -> ImageSize:
    """Pull by digest; an engine's own figure settles a size that the registry left open."""
    with notes.step("pull", pushed.reference):
        start = time.monotonic()
        image = engine.pull(pushed.reference, notes.tell)
        notes.add(Check("pull", "ok", f"by digest, in {seconds_text(time.monotonic() - start)}"))
    if size.is_exact:
        return size
    settled = settle(size.unpacked_bytes, image.unpacked_bytes)
    return size if settled is None else ImageSize(size.compressed_bytes, settled, is_exact=True)


def _check_start(
    recipe: Recipe,
    pushed: PushedImage,
    engine: Engine,
    environment: Mapping[str, str],
    options: BuildOptions,
    notes: _Notes,
) -> None:
    """Prove without a GPU that the image starts: its runtime reads the recipe and imports the handler."""
    with notes.step("start", " ".join(CHECK_COMMAND)):
        start = time.monotonic()
        code, output = engine.run_once(pushed.reference, CHECK_COMMAND, environment=environment, options=options)
        if code != 0:
            said = next((e for e in _events(output) if e.get("ok") is False), {})
            reason = str(said.get("sentence") or _last_line(output))
            raise WorkerExited(
                f"the image can't start: {reason} (exit status {code})",
                where=pushed.reference,
                fix=str(said.get("fix") or "see its last lines in the report"),
                details={"exit_status": code, "lines": output.splitlines()[-SHOWN_LINES:]},
            )
        took = seconds_text(time.monotonic() - start)
        notes.add(Check("start", "ok", f"recipe read and handler imported in {took}, without a GPU"))
    jobs = count_text(len(recipe.tests), "job")
    notes.add(Check("test jobs", "skipped", f"{jobs} not run: the recipe needs a GPU, and this engine has none"))


def _run_jobs(
    recipe: Recipe,
    pushed: PushedImage,
    engine: Engine,
    environment: Mapping[str, str],
    volume: Path | None,
    options: BuildOptions,
    notes: _Notes,
) -> tuple[tuple[JobAnswer, ...], dict[str, float]]:
    """Start the image, run every test job, and read the start-up phases from its log. Raises TestJobFailed."""
    with (
        notes.step("start", "starting the pulled image"),
        engine.run(pushed.reference, environment=environment, volume=volume, options=options) as worker,
    ):
        took = _wait(worker, pushed, notes)
        notes.add(Check("start", "ok", f"answers after {seconds_text(took)}"))
        answers = tuple(_ask(worker, test, number, notes) for number, test in enumerate(recipe.tests, 1))
        phases = _phases(worker.logs())
    failed = [answer for answer in answers if answer.problems]
    if failed:
        found = [f"{answer.name}: {problem}" for answer in failed for problem in answer.problems]
        raise TestJobFailed(
            f"{len(failed)} of {count_text(len(answers), 'test job')} failed: {'; '.join(found)}",
            where=pushed.reference,
            fix="mend the handler or the test's `expect`, then build again",
            details={"problems": found},
        )
    if answers:
        notes.add(Check("test jobs", "ok", f"{count_text(len(answers), 'job')} answered as expected"))
    else:
        notes.add(Check("test jobs", "warning", "the recipe has no tests, so no job was run"))
    return answers, phases


def _wait(worker: Worker, pushed: PushedImage, notes: _Notes) -> float:
    """Wait until the worker answers, telling each phase as its log has it, and return the seconds."""
    start = time.monotonic()
    told = 0
    while not worker.is_ready():
        events = _events(worker.logs())
        for event in events[told:]:
            notes.tell(Progress("log", "start", _describe(event)))
        told = len(events)
        if time.monotonic() - start > START_LIMIT_S:
            lines = worker.logs().splitlines()[-SHOWN_LINES:]
            raise VerifyError(
                f"the worker does not answer after {seconds_text(START_LIMIT_S)} ({_last_line(worker.logs())})",
                where=pushed.reference,
                fix="see its last lines in the report",
                details={"lines": lines},
            )
        time.sleep(POLL_S)
    return time.monotonic() - start


def _ask(worker: Worker, test: Test, number: int, notes: _Notes) -> JobAnswer:
    """Run one test job and hold its answer against what the recipe expects."""
    name = test.name or str(number)
    start = time.monotonic()
    notes.tell(Progress("step", f"job {name}", "running", "started"))
    try:
        answer = worker.call(test.input, test.timeout_s)
        output, failure = answer.get("output"), answer.get("error")
        found = problems(test.expect, output, None if failure is None else _text(failure))
    except TestJobFailed as error:  # no answer, or none that is one
        output, found = None, (error.what,)
    took = time.monotonic() - start
    text = "; ".join(found) or f"answered in {seconds_text(took)}"
    notes.tell(Progress("step", f"job {name}", text, "failed" if found else "done"))
    return JobAnswer(name, output, took, found)


# --- the worker's log ------------------------------------------------------------------------------------------------
def _events(log: str) -> list[Mapping[str, object]]:
    """Return the JSON objects among the lines; what else the container prints is skipped."""
    found = []
    for line in log.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def _phases(log: str) -> dict[str, float]:
    """Return the start-up phases and their seconds, in order."""
    phases = {}
    for event in _events(log):
        seconds = event.get("seconds")
        if event.get("event") == "phase" and isinstance(seconds, int | float):
            phases[str(event.get("phase"))] = float(seconds)
    return phases


def _describe(event: Mapping[str, object]) -> str:
    return " ".join(str(value) for value in event.values())


def _last_line(output: str) -> str:
    lines: Sequence[str] = [line.strip() for line in output.splitlines() if line.strip()]
    return f"its last line: {lines[-1][:300]}" if lines else "it printed nothing"


def _text(failure: object) -> str:
    return failure if isinstance(failure, str) else json.dumps(failure, ensure_ascii=False)
