"""A buildx builder on a second engine: what it builds lands in the registry, and each way in which it fails."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from buildx import docker_with_buildx
from hand_made import SHELL, make_context, shell_files
from private_dockerd import running_dockerd
from registries import RunningRegistry, free_port, running_registry

from factory.clients.docker_buildx import BuildxEngine
from factory.clients.docker_contexts import EngineAddress
from factory.clients.docker_engine import DockerEngine
from factory.clients.registry import DistributionRegistry
from factory.errors import (
    EngineUnreachable,
    FactoryError,
    Interrupted,
    PushDenied,
    RegistryUnreachable,
    SettingsError,
    StepFailed,
)
from factory.ports import Engine
from factory.records import BuildOptions, Progress, tell_nobody

pytestmark = pytest.mark.engine

_implements: type[Engine] = BuildxEngine
HOST = BuildOptions(network="host")  # a private engine has no other
LOGIN = ("ada", "secret")


@dataclass(frozen=True)
class Builders:
    """Docker's configuration with two contexts, which buildx takes for builders: `second` answers, `away` doesn't."""

    config: Path
    engine: DockerEngine

    def named(self, name: str, login: tuple[str, str] | None = None) -> BuildxEngine:
        """Return the builder of that name."""
        registry = DistributionRegistry(login_for=lambda _registry: login)
        return BuildxEngine(name, self.engine, registry, self.config, lambda _registry: login)


@pytest.fixture(scope="module")
def builders(request: pytest.FixtureRequest) -> Iterator[Builders]:
    """An engine of these tests' own, and buildx that finds it."""
    request.getfixturevalue("engine_host")  # skips, loudly, where the tests of an engine do
    with tempfile.TemporaryDirectory(prefix="factory-") as name, pytest.MonkeyPatch.context() as patch:
        folder, home = Path(name), Path(name) / "docker"
        home.mkdir()
        patch.setenv("PATH", docker_with_buildx(home))
        patch.delenv("DOCKER_HOST", raising=False)
        with running_dockerd(folder / "run", folder / "data") as address:
            write_context(home, "second", address)
            write_context(home, "away", f"tcp://127.0.0.1:{free_port()}")
            (home / "config.json").write_text(json.dumps({"credsStore": "no-such-helper"}))
            yield Builders(home / "config.json", DockerEngine(EngineAddress(address)))


def write_context(home: Path, name: str, url: str) -> None:
    """Write a context as `docker context create` lays it."""
    folder = home / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": url, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry on loopback that wants a login."""
    with running_registry(tmp_path_factory.mktemp("near") / "data", login=True) as found:
        yield found


def test_build_lands_in_the_registry(builders: Builders, near: RunningRegistry) -> None:
    """The image is in the registry by the digest that is returned, its steps were told, and no login stays behind."""
    builder = builders.named("second", LOGIN)
    told: list[Progress] = []
    dockerfile = SHELL + 'RUN ["/bin/sh", "-c", "echo a word"]\n'
    context = make_context(f"{near.address}/acme/by-buildx", dockerfile, shell_files())
    assert builder.find(context.reference) is None
    image = builder.build(context, HOST, told.append)
    assert image.was_built and image.id == DistributionRegistry(login_for=lambda _: LOGIN).digest(context.reference)
    pushed = builder.push(context.reference, told.append)
    assert (pushed.repository, pushed.tag, pushed.digest) == (context.repository, context.tag, image.id)
    assert [note.text for note in told if note.kind == "note"] == ["building on the buildx builder second"]
    assert any(step.kind == "step" and "RUN" in step.text and step.state == "done" for step in told)
    found = builder.find(context.reference)
    assert found is not None and found.id == image.id and not found.was_built
    kept = [
        path for path in builders.config.parent.rglob("*") if path.is_file() and b"YWRhOnNlY3JldA" in path.read_bytes()
    ]
    assert not kept and builders.config.read_text() == '{"credsStore": "no-such-helper"}'


def test_a_step_that_fails(builders: Builders, near: RunningRegistry) -> None:
    """A step's failure is the one that the engine's own build would give, with what the step said."""
    dockerfile = SHELL + 'RUN ["/bin/sh", "-c", "echo why >&2; exit 3"]\n'
    context = make_context(f"{near.address}/acme/fails", dockerfile, shell_files())
    with pytest.raises(StepFailed, match="exit code 3") as failed:
        builders.named("second", LOGIN).build(context, HOST, tell_nobody)
    assert failed.value.details["lines"] == ["why"]


@pytest.mark.parametrize(
    ("builder", "login", "is_up", "kind", "fix"),
    [
        ("nobody", LOGIN, True, SettingsError, "docker buildx ls"),
        ("away", LOGIN, True, EngineUnreachable, "docker buildx inspect away --bootstrap"),
        ("second", ("ada", "wrong-pass"), True, PushDenied, ""),
        ("second", None, True, PushDenied, "docker login"),
        ("second", LOGIN, False, RegistryUnreachable, ""),
    ],
)
def test_what_keeps_a_builder_from_it(
    builders: Builders,
    near: RunningRegistry,
    builder: str,
    login: tuple[str, str] | None,
    is_up: bool,
    kind: type[FactoryError],
    fix: str,
) -> None:
    """An unknown builder, one that is away, a wrong login, a registry that is away: each its own class and fix."""
    address = near.address if is_up else f"127.0.0.1:{free_port()}"
    context = make_context(f"{address}/acme/kept", SHELL, shell_files())
    with pytest.raises(kind) as failed:
        builders.named(builder, login).build(context, HOST, tell_nobody)
    assert fix in failed.value.fix and "wrong-pass" not in str(failed.value)


def test_interrupt_ends_the_build(builders: Builders, near: RunningRegistry) -> None:
    """From another thread a build is stopped in mid-step."""
    builder = builders.named("second", LOGIN)
    context = make_context(f"{near.address}/acme/long", SHELL + 'RUN ["/bin/sleep", "300"]\n', shell_files())

    def stop_at_the_step(progress: Progress) -> None:
        if progress.kind == "step" and "sleep" in progress.text and progress.state == "started":
            Thread(target=builder.interrupt).start()

    with pytest.raises(Interrupted):
        builder.build(context, HOST, stop_at_the_step)


def test_without_buildx(
    builders: Builders, near: RunningRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no docker command the sentence says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    context = make_context(f"{near.address}/acme/none", SHELL)
    with pytest.raises(SettingsError, match="no `docker` command"):
        builders.named("second").build(context, HOST, tell_nobody)
