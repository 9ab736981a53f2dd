"""Every fault of an engine or a registry, for real: one sentence, the right class, and nothing left behind.

The engine is these tests' own, with a small disk: it may be filled, and what it holds is what they left.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from hand_made import SHELL, holdings, make_context, shell_files
from private_dockerd import running_dockerd, small_disk, small_memory_disk
from registries import RunningRegistry, free_port, pusher, running_registry

from factory.clients.docker_engine import DockerEngine
from factory.errors import (
    BaseMissing,
    BuildError,
    EngineDiskFull,
    EngineForbidden,
    EngineUnreachable,
    FactoryError,
    Interrupted,
    PushDenied,
    RegistryFull,
    RegistryUnreachable,
    StepFailed,
    WorkerExited,
    WrongPlatform,
)
from factory.records import BuildOptions, Context, Progress, tell_nobody
from factory.stages.build import build
from factory.stages.push import push

pytestmark = pytest.mark.engine

NOBODY = 65534
MB = 1_000_000
HOST = BuildOptions(network="host")  # a private engine has no other
# BuildKit fetches its front end by itself and has no login: the classic builder takes over, which ignores the line.
CLASSIC = "# syntax={registry}/front:end\n"
PIP = "python3 -m venv /v && /v/bin/pip install --no-index no-such-package==99.1"
APT = "apt-get install -y no-such"
HEADS = [pytest.param("", id="buildkit"), pytest.param(CLASSIC, id="classic")]


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """An engine whose disk holds 1.2 GB, and whose socket only root may use."""
    request.getfixturevalue("engine_host")  # skips, loudly, where the tests of an engine do
    with (
        tempfile.TemporaryDirectory(prefix="factory-") as folder,
        small_disk(Path(folder) / "disk", 1200 * MB) as disk,
        running_dockerd(Path(folder) / "run", disk / "data") as found,
    ):
        yield found


@pytest.fixture
def engine(address: str) -> DockerEngine:
    """The engine; a registry that is gone is given up after 1.5 s."""
    return DockerEngine(address, patience_s=1.5)


@pytest.fixture
def same_holdings(address: str) -> Iterator[None]:
    """Nothing is left behind: the same images, names and containers after the test as before."""
    before = holdings(address)
    yield
    assert holdings(address) == before


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that wants a login."""
    with running_registry(tmp_path_factory.mktemp("guarded") / "data", login=True) as found:
        yield found


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry for bases that are wrong."""
    with running_registry(tmp_path_factory.mktemp("open") / "data") as found:
        yield found


@contextmanager
def built(engine: DockerEngine, context: Context) -> Iterator[str]:
    """Have an image while the block runs."""
    image = build(context, engine, HOST)
    try:
        yield image.reference
    finally:
        engine.remove(image.reference)


def run_until_ready(engine: DockerEngine, reference: str) -> None:
    """Start a worker and wait for it."""
    with engine.run(reference, environment={}, volume=None, options=HOST) as worker:
        while not worker.is_ready():
            time.sleep(0.05)


def context_bytes(context: Context) -> int:
    """Return the bytes of a context's files."""
    return sum(file.size_bytes for file in context.files)


def sentence(error: FactoryError) -> str:
    """Return what a person reads, which is one line and no traceback."""
    text = str(error)
    assert "\n" not in text and "Traceback" not in text
    return text


# --- the engine ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("nowhere", "fix"),
    [("unix:///nowhere/docker.sock", "scripts/engine up"), ("tcp://127.0.0.1:{port}", "check DOCKER_HOST")],
)
def test_engine_down(nowhere: str, fix: str) -> None:
    """No engine at the address: said with the address, and how to start one here, or what to look at elsewhere."""
    nowhere = nowhere.format(port=free_port())
    with pytest.raises(EngineUnreachable, match="no Docker engine answers") as caught:
        DockerEngine(nowhere).find("any:thing")
    assert caught.value.exit_code == 51
    assert nowhere in sentence(caught.value) and fix in caught.value.fix


def test_no_permission_on_the_socket(address: str) -> None:
    """A user outside the group gets the command that lets him in."""
    Path(address.removeprefix("unix://")).parent.parent.chmod(0o755)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(EngineForbidden, match="may not use the Docker engine's socket") as caught:
            DockerEngine(address).find("any:thing")
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
    assert caught.value.exit_code == 52
    assert "usermod -aG docker" in sentence(caught.value)


@pytest.mark.usefixtures("same_holdings")
def test_too_little_space_is_seen_before_the_build(engine: DockerEngine) -> None:
    """A context that can't fit is refused with both numbers, and not a byte is sent."""
    context = make_context("test/large", "FROM scratch\nCOPY big /big\n", {"big": bytes(300 * MB)})
    told: list[Progress] = []
    with pytest.raises(EngineDiskFull, match=r"are free, .* 300\.0 MB of context needs about 1\.4 GB") as caught:
        engine.build(context, BuildOptions(), told.append)
    assert (
        caught.value.exit_code == 53 and caught.value.details["needed_bytes"] == 3 * context_bytes(context) + 500 * MB
    )
    assert not told


@pytest.mark.usefixtures("same_holdings")
@pytest.mark.parametrize("head", HEADS)
def test_disk_full_in_mid_build(head: str, engine: DockerEngine, guarded: RunningRegistry) -> None:
    """A step that fills the engine's disk is told as such, not as the step's own fault."""
    steps = SHELL + "RUN dd if=/dev/zero of=/filler bs=1000000 count=2000\n"
    context = make_context("test/filler", head.format(registry=guarded.address) + steps, shell_files())
    with pytest.raises(EngineDiskFull, match="disk is full") as caught:
        engine.build(context, HOST, tell_nobody)
    assert "docker system prune" in sentence(caught.value)
    wait_until(lambda: (engine.free_bytes() or 0) > 600 * MB, "the engine to drop what the failed step wrote")


# --- the base --------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("same_holdings")
@pytest.mark.parametrize(
    ("base", "says"),
    [
        ("{open}/no/such:tag", "has no image of that name"),
        ("{guarded}/no/such:tag", "it does not exist, or needs a login"),
        ("{nobody}/no/such:tag", "can't be reached"),
    ],
)
def test_base_missing(
    base: str,
    says: str,
    engine: DockerEngine,
    open_registry: RunningRegistry,
    guarded: RunningRegistry,
) -> None:
    """A base that can't be had is one of three sentences: unknown, withheld, out of reach."""
    name = base.format(open=open_registry.address, guarded=guarded.address, nobody=f"127.0.0.1:{free_port()}")
    with pytest.raises(BaseMissing, match=says) as caught:
        engine.build(make_context("test/based", f"FROM {name}\nRUN true\n"), BuildOptions(), tell_nobody)
    assert caught.value.exit_code == 54 and caught.value.where == name
    sentence(caught.value)


@pytest.mark.usefixtures("same_holdings")
def test_base_of_the_wrong_platform(engine: DockerEngine, open_registry: RunningRegistry) -> None:
    """A base for another processor is refused before the build, whether the engine pulls it or not."""
    pusher(open_registry).image("test/arm", "1", architecture="arm64")
    name = f"{open_registry.address}/test/arm:1"
    with pytest.raises(WrongPlatform, match="linux/amd64") as caught:
        engine.build(make_context("test/based", f"FROM {name}\n"), BuildOptions(), tell_nobody)
    assert caught.value.exit_code == 56
    sentence(caught.value)


@pytest.mark.usefixtures("same_holdings")
def test_base_of_the_wrong_platform_that_the_engine_has(
    address: str, engine: DockerEngine, open_registry: RunningRegistry
) -> None:
    """One that lies in the engine already is refused too, and is left where it is: it isn't ours."""
    pusher(open_registry).image("test/arm", "2", architecture="arm64")
    name = f"{open_registry.address}/test/arm:2"
    client = docker.APIClient(base_url=address, version="auto")
    client.pull(f"{open_registry.address}/test/arm", "2")
    with pytest.raises(WrongPlatform, match=r"is for linux/arm64, and RunPod runs only linux/amd64") as caught:
        engine.build(make_context("test/based", f"FROM {name}\n"), BuildOptions(), tell_nobody)
    assert "docker rmi" in sentence(caught.value)
    client.remove_image(name)  # raises when it is gone
    client.close()


@pytest.fixture(scope="module")
def base(address: str, base_image: str) -> str:
    """A base image with Python, in the engine from here on."""
    return DockerEngine(address).pull(base_image, tell_nobody).reference


# --- the steps -------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("same_holdings")
@pytest.mark.parametrize(
    ("head", "step", "says", "fix"),
    [
        pytest.param("", PIP, r"exit code 1: pip found no no-such-package==99\.1", "image.pip", id="pip"),
        pytest.param("", APT, "exit code 100: the distribution has no package no-such", "image.apt", id="apt"),
        pytest.param(CLASSIC, APT, "exit code 100: the distribution has no package no-such", "image.apt", id="classic"),
    ],
)
def test_step_fails(
    step: str,
    says: str,
    fix: str,
    head: str,
    engine: DockerEngine,
    base: str,
    guarded: RunningRegistry,
) -> None:
    """pip and apt failures name the step, its command and why; the details carry its last lines."""
    dockerfile = f"{head.format(registry=guarded.address)}FROM {base}\nRUN echo first\nRUN {step}\n"
    with pytest.raises(StepFailed, match=says) as caught:
        engine.build(make_context("test/step", dockerfile), HOST, tell_nobody)
    assert caught.value.exit_code == 55 and fix in caught.value.fix
    assert caught.value.where == "by-hand, step 3/3"
    assert caught.value.details["step"] == "3/3" and caught.value.details["lines"]
    sentence(caught.value)


@pytest.mark.usefixtures("same_holdings")
def test_dockerfile_that_is_none(engine: DockerEngine) -> None:
    """A Dockerfile with an unknown instruction is told with its line."""
    with pytest.raises(BuildError, match=r"the Dockerfile can't be read \(line 2: unknown instruction: RUM") as caught:
        engine.build(make_context("test/broken", "FROM scratch\nRUM x\n"), BuildOptions(), tell_nobody)
    assert caught.value.exit_code == 50


@pytest.mark.usefixtures("same_holdings")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("how", ["ctrl-c", "another thread"])
def test_interrupted_build(
    how: str,
    head: str,
    engine: DockerEngine,
    guarded: RunningRegistry,
) -> None:
    """Ctrl-C stops the step that runs, in the engine too, and takes back what the build had made."""
    steps = SHELL + f"RUN echo {how}\nRUN echo started; sleep 51\n"
    context = make_context("test/stopped", head.format(registry=guarded.address) + steps, shell_files())

    def stop(progress: Progress) -> None:
        if progress.kind == "log" and progress.text == "started":
            if how == "ctrl-c":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                engine.interrupt()

    with pytest.raises(Interrupted) as caught:
        engine.build(context, HOST, stop)
    assert caught.value.exit_code == 130
    assert engine.find(context.reference) is None
    wait_until(lambda: not runs("sleep", "51"), "the step to end")


def runs(*words: str) -> bool:
    """Does a process with that command line run on this machine, in whatever container?"""
    wanted = b"".join(word.encode() + b"\0" for word in words)
    return any(_command_line(folder) == wanted for folder in Path("/proc").iterdir() if folder.name.isdigit())


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Give the engine a moment for what it does after its answer."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def _command_line(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


# --- the registry ----------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("same_holdings")
@pytest.mark.parametrize(
    ("login", "says"), [(None, "wants a login, and there is none"), (("ada", "wrong"), "refused the login of 'ada'")]
)
def test_push_refused(
    login: tuple[str, str] | None,
    says: str,
    address: str,
    engine: DockerEngine,
    guarded: RunningRegistry,
) -> None:
    """Without a login, or with a wrong one, the push is refused at once, and no password is printed."""
    context = make_context(f"{guarded.address}/test/refused", "FROM scratch\nCOPY a /a\n", {"a": b"a"})
    known = DockerEngine(address, login_for=lambda _: login)
    with built(engine, context) as reference, pytest.raises(PushDenied, match=says) as caught:
        known.push(reference, tell_nobody)
    assert caught.value.exit_code == 61
    assert "docker login" in sentence(caught.value) and "wrong" not in str(caught.value)


@pytest.mark.usefixtures("same_holdings")
def test_push_with_a_login(address: str, engine: DockerEngine, guarded: RunningRegistry) -> None:
    """With the right login the same push succeeds, and a second one sends nothing."""
    context = make_context(f"{guarded.address}/test/let-in", "FROM scratch\nCOPY a /a\n", {"a": b"a" * 1000})
    known = DockerEngine(address, login_for=lambda _: ("ada", "secret"))
    with built(engine, context) as reference:
        first, second = (known.push(reference, tell_nobody) for _ in range(2))
    assert first.digest == second.digest
    assert 0 < first.sent_bytes <= 1000 and second.sent_bytes == 0


@pytest.mark.usefixtures("same_holdings")
def test_registry_down(engine: DockerEngine) -> None:
    """A registry that isn't there is tried again, then told with its address."""
    address = f"127.0.0.1:{free_port()}"
    context = make_context(f"{address}/test/down", "FROM scratch\nCOPY a /a\n", {"a": b"a"})
    says = f"{address} can't be reached"
    with built(engine, context) as reference, pytest.raises(RegistryUnreachable, match=says) as caught:
        engine.push(reference, tell_nobody)
    assert caught.value.exit_code == 62
    sentence(caught.value)


@pytest.mark.usefixtures("same_holdings")
def test_registry_gone_in_mid_push(engine: DockerEngine, tmp_path: Path) -> None:
    """A registry killed in the middle of a layer is told long before the engine's own 50 s of retries are over."""
    with running_registry(tmp_path / "data") as registry:
        files = {"big": os.urandom(48 * MB)}
        context = make_context(f"{registry.address}/test/gone", "FROM scratch\nCOPY big /big\n", files)
        is_killed = False

        def kill(progress: Progress) -> None:
            nonlocal is_killed
            if not is_killed and progress.kind == "bytes" and 0 < progress.current < (progress.total or 0):
                os.kill(registry.pid, signal.SIGKILL)
                is_killed = True

        says = f"{registry.address} can't be reached"
        with built(engine, context) as reference, pytest.raises(RegistryUnreachable, match=says) as caught:
            engine.push(reference, kill)
    assert is_killed and caught.value.exit_code == 62
    assert "push again" in sentence(caught.value)


@pytest.mark.usefixtures("same_holdings")
def test_registry_disk_full(engine: DockerEngine, tmp_path: Path) -> None:
    """A registry without room is told as that, though the engine hears only a 500."""
    with small_memory_disk(tmp_path / "small", 4 * MB) as disk, running_registry(disk / "data") as registry:
        files = {"big": os.urandom(8 * MB)}
        context = make_context(f"{registry.address}/test/full", "FROM scratch\nCOPY big /big\n", files)
        says = f"the storage of {registry.address} is full"
        with built(engine, context) as reference, pytest.raises(RegistryFull, match=says) as caught:
            engine.push(reference, tell_nobody)
    assert caught.value.exit_code == 63
    sentence(caught.value)


# --- the worker ------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("same_holdings")
@pytest.mark.parametrize(
    ("program", "says", "status"),
    [
        ("echo torch is missing >&2; exit 1", "exited with 1, the program failed; its last line: torch is missing", 1),
        ("exit 137", "exited with 137, it was killed", 137),
        ("exit 0", "exited with 0, it ended by itself; it printed nothing", 0),
    ],
)
def test_container_exits_at_once(
    program: str,
    says: str,
    status: int,
    engine: DockerEngine,
) -> None:
    """A worker that ends before its first job is told with its exit status, what that means, and its last line."""
    files = {**shell_files(), "root/bin/python": f"#!/bin/sh\n{program}\n".encode()}
    context = make_context("test/ending", SHELL + "ENV PATH=/bin\n", files)
    with built(engine, context) as reference, pytest.raises(WorkerExited, match=says) as caught:
        run_until_ready(engine, reference)
    assert caught.value.exit_code == 74 and caught.value.details["exit_status"] == status
    sentence(caught.value)


@pytest.mark.usefixtures("same_holdings")
def test_image_without_python(engine: DockerEngine) -> None:
    """An image that can't run the worker's command at all is told as that."""
    context = make_context("test/bare", SHELL, shell_files())
    with built(engine, context) as reference, pytest.raises(WorkerExited, match="could not start"):
        run_until_ready(engine, reference)


@pytest.mark.usefixtures("same_holdings")
def test_a_command_runs_to_its_end(engine: DockerEngine) -> None:
    """`run_once` gives the exit status and both streams; an unknown image or command is told as that."""
    with built(engine, make_context("test/once", SHELL, shell_files())) as reference:
        command = ["/bin/sh", "-c", 'echo "$WORD"; echo aside >&2; exit 3']
        status, printed = engine.run_once(reference, command, environment={"WORD": "hello"}, options=HOST)
        assert (status, sorted(printed.split())) == (3, ["aside", "hello"])
        with pytest.raises(WorkerExited, match="could not start"):
            engine.run_once(reference, ["/bin/nothing"], environment={}, options=HOST)
    with pytest.raises(BaseMissing, match="the engine has no such image"):
        engine.run_once(reference, command, environment={}, options=HOST)


# --- what is sent ----------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("same_holdings")
def test_a_changed_handler_sends_one_layer(engine: DockerEngine, open_registry: RunningRegistry) -> None:
    """One changed line in the last file: only its layer is built and sent, and the push is a few bytes."""
    repository = f"{open_registry.address}/test/handler"
    dockerfile = SHELL + "COPY handler.py /app/handler.py\n"
    first = make_context(repository, dockerfile, {**shell_files(), "handler.py": b"answer = 1\n"})
    second = make_context(repository, dockerfile, {**shell_files(), "handler.py": b"answer = 22\n"})
    assert first.tag != second.tag
    with built(engine, first) as reference:
        whole = push(build(first, engine, BuildOptions()), engine)
        assert whole.sent_bytes > 1 * MB
        told: list[Progress] = []
        image = build(second, engine, BuildOptions(), told.append)
        try:
            made = [step.text.split()[0] for step in told if step.kind == "step" and step.state == "done"]
            assert made == ["2/2"]
            changed = push(image, engine)
        finally:
            engine.remove(image.reference)
        assert reference != image.reference
    assert 0 < changed.sent_bytes < 1000
    assert changed.digest != whole.digest
