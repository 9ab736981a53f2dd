"""A buildx builder: BuildKit somewhere else (remote, Kubernetes, a container), through Docker's own `buildx` command.

The context goes there as a tar on stdin, the image from there straight to the registry. What has to run an image
still needs an engine, which is asked only then. Provenance and SBOM of BuildKit's own are off: factory makes them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from factory.clients.docker_build import bases
from factory.clients.docker_buildkit import Trace
from factory.clients.docker_buildlog import BuildLog
from factory.clients.docker_connection import PLATFORM
from factory.clients.docker_containers import ContainerWorker
from factory.clients.docker_context import context_tar, machine_files
from factory.clients.docker_contexts import contexts
from factory.clients.docker_credentials import TOKEN_USERNAME
from factory.clients.docker_engine import DockerEngine
from factory.clients.docker_faults import clean, pull_error, push_error
from factory.clients.docker_rawjson import read_rawjson
from factory.errors import BuildError, EngineUnreachable, ImageNotInRegistry, Interrupted, SettingsError
from factory.records import BuildOptions, Context, Image, Progress, PushedImage, Tell, tell_nobody
from factory.references import parse

LoginFor = Callable[[str], tuple[str, str] | None]

DOCKER_HUB_KEY = "https://index.docker.io/v1/"  # how Docker's configuration names Docker Hub in `auths`
WORDS_KEPT = 40

_NO_BUILDER = re.compile(r'no builder "[^"]*" found|failed to find (?:instance|driver)', re.IGNORECASE)
_NO_BUILDX = re.compile(r"unknown (?:command: docker buildx|flag: --builder)|'buildx' is not a docker command")
_NOBODY = re.compile(
    r"cannot connect|connection refused|no such host|no valid drivers|unavailable desc|failed to (?:dial|boot)"
    r"|error while dialing|deadline exceeded|is not running|unable to (?:connect|load)",
    re.IGNORECASE,
)
# BuildKit's own exporter says "failed to push"; the engine's, behind a context, just what the registry said.
_PUSHING = re.compile(
    r"failed to push|failed to copy|failed commit|denied|unauthorized|no basic auth credentials|failed to authorize",
    re.IGNORECASE,
)
_NO_BASE = re.compile(r"failed to resolve source metadata|failed to load cache key|pull access denied", re.IGNORECASE)


class Digests(Protocol):
    """Of a registry (`ports.Registry`) what is needed here."""

    def digest(self, reference: str) -> str | None:
        """Return the digest that a tag has now; None when there is no such tag."""
        ...


@dataclass
class BuildxEngine:
    """Implements `ports.Engine` over the builder of that name; `engine` is what runs images.

    `config` is Docker's config.json: its folder holds the builders. What `login_for` returns is handed over in a
    configuration of the build's own, in a folder that only this user can read, and is gone with it.
    """

    builder: str
    engine: DockerEngine
    registry: Digests
    config: Path
    login_for: LoginFor
    _digests: dict[str, str] = field(default_factory=dict)
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _interrupted: threading.Event = field(default_factory=threading.Event)

    def find(self, reference: str) -> Image | None:
        """Return the image that the registry has by that name: a builder itself keeps none."""
        digest = self.registry.digest(reference)
        return Image(reference, digest, 0, was_built=False) if digest else None

    def free_bytes(self) -> int | None:
        """Return None: a builder doesn't say what room it has."""
        return None

    def build(self, context: Context, options: BuildOptions, tell: Tell) -> Image:
        """Build the context's image there, and push it from there. The image's size is not known here: 0.

        Raises SettingsError for an unknown builder, EngineUnreachable, the tree below BuildError and PushError, and
        Interrupted.
        """
        tell(Progress("note", "engine", f"building on the buildx builder {self.builder}"))
        log = BuildLog(context.recipe, options, tell)
        with self._configuration(context) as folder:
            metadata = folder / "metadata.json"
            code, words = self._run(self._command(context, options, folder, metadata), context, options, log)
            if code != 0:
                raise self._failure(log, words, context)
            digest = json.loads(metadata.read_text())["containerimage.digest"]
        self._digests[context.reference] = str(digest)
        return Image(context.reference, str(digest), 0, was_built=True)

    def push(self, reference: str, tell: Tell) -> PushedImage:
        """Return the digest of what the builder has pushed; nothing is sent from here."""
        digest = self._digests.get(reference) or self.registry.digest(reference)
        if digest is None:
            raise ImageNotInRegistry("the registry has no such image", where=reference, fix="build it with --force")
        named = parse(reference)
        return PushedImage(reference.removesuffix(f":{named.target}"), named.target, digest)

    def interrupt(self) -> None:
        """Stop the builds of other threads: each raises Interrupted."""
        self._interrupted.set()
        for process in tuple(self._running):
            process.terminate()
        self.engine.interrupt()

    # --- what needs an engine -----------------------------------------------------------------------------------
    def pull(self, reference: str, tell: Tell) -> Image:
        """Pull linux/amd64 of a reference into the engine."""
        return self.engine.pull(reference, tell)

    def run(
        self, reference: str, *, environment: Mapping[str, str], volume: Path | None, options: BuildOptions
    ) -> AbstractContextManager[ContainerWorker]:
        """Start the image in the engine."""
        return self.engine.run(reference, environment=environment, volume=volume, options=options)

    def has_gpu(self) -> bool:
        """Can the engine give a container a GPU?"""
        return self.engine.has_gpu()

    def run_once(
        self, reference: str, command: Sequence[str], *, environment: Mapping[str, str], options: BuildOptions
    ) -> tuple[int, str]:
        """Run a command in a fresh container of the engine."""
        return self.engine.run_once(reference, command, environment=environment, options=options)

    def save(self, reference: str) -> Iterator[bytes]:
        """Yield the image as the engine saves it, pulled from the registry first where the engine lacks it."""
        if self.engine.find(reference) is None:
            self.engine.pull(reference, tell_nobody)
        return self.engine.save(reference)

    def remove(self, reference: str) -> None:
        """Remove the image's name from the engine."""
        self.engine.remove(reference)

    # --- the command --------------------------------------------------------------------------------------------
    def _command(self, context: Context, options: BuildOptions, folder: Path, metadata: Path) -> list[str]:
        docker = shutil.which("docker")
        if docker is None:
            raise SettingsError("there is no `docker` command", where=self._where, fix="install docker-cli and buildx")
        # buildx takes a Docker context for a builder only where it is the current one.
        is_context = self.builder in contexts(self.config)
        command = [docker, "--config", str(folder), *(["--context", self.builder] if is_context else [])]
        command += ["buildx", "build", "--builder", self.builder, "--push"]
        command += ["--platform", PLATFORM, "--provenance=false", "--sbom=false", "--progress=rawjson"]
        command += ["--metadata-file", str(metadata), "--tag", context.reference]
        command += [word for name, value in context.labels.items() for word in ("--label", f"{name}={value}")]
        # Names alone: buildx takes their values from its environment, and no list of processes shows a password.
        command += [word for name in sorted(options.proxies) for word in ("--build-arg", name)]
        if options.network:
            command += ["--network", options.network, "--allow", f"network.{options.network}"]
        return [*command, "-"]

    def _run(
        self, command: Sequence[str], context: Context, options: BuildOptions, log: BuildLog
    ) -> tuple[int, list[str]]:
        """Run the command to its end; return its exit code and the words that were no progress, the last ones."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stdin and process.stderr
        self._running.add(process)
        sent = _Sender(process.stdin, context_tar(context, machine_files(options)))
        sent.start()
        words: list[str] = []
        try:
            for found in read_rawjson(line.decode("utf-8", "replace") for line in process.stderr):
                if isinstance(found, Trace):
                    log.read_trace(found)
                else:
                    words = [*words, found][-WORDS_KEPT:]
            code = process.wait()
        except KeyboardInterrupt as error:
            raise Interrupted("stopped", where=context.reference) from error
        finally:
            self._running.discard(process)
            process.terminate()
            process.wait()
            sent.join()
        if self._interrupted.is_set():
            raise Interrupted("stopped", where=context.reference)
        if sent.error is not None:
            raise sent.error
        return code, words

    def _failure(self, log: BuildLog, words: Sequence[str], context: Context) -> BaseException:
        text = clean(" ".join(words))
        if _NO_BUILDX.search(text):
            return SettingsError("docker has no buildx here", where=self._where, fix="install docker-buildx")
        if _NO_BUILDER.search(text):
            what = f"there is no buildx builder {self.builder!r}"
            return SettingsError(what, where=self._where, fix="see `docker buildx ls`, or `docker buildx create`")
        said = next((word for word in reversed(words) if word.startswith("ERROR: ")), text).removeprefix("ERROR: ")
        log.error = log.error or said
        failed = log.failure()
        if type(failed) is not BuildError:
            return failed
        if _NO_BASE.search(said):
            base = next((base for base in bases(context) if base in said), context.base.reference)
            return pull_error(said, base, PLATFORM)
        registry = parse(context.reference).registry
        if log.has_steps and (registry in said or _PUSHING.search(said)):
            login = self.login_for(registry)
            return push_error(said, context.reference, user=login[0] if login else None)
        if _NOBODY.search(said):
            return EngineUnreachable(
                f"the buildx builder {self.builder} does not answer ({said[:300]})",
                where=self._where,
                fix=f"run `docker buildx inspect {self.builder} --bootstrap`",
            )
        return failed

    @property
    def _where(self) -> str:
        return f"builder {self.builder}"

    @contextmanager
    def _configuration(self, context: Context) -> Iterator[Path]:
        """Have a Docker configuration with the logins that this build needs, beside all that Docker's own holds."""
        with tempfile.TemporaryDirectory(prefix="factory-docker-") as name:
            folder, own = Path(name), self.config.parent
            for path in own.iterdir() if own.is_dir() else ():
                if path.name != self.config.name:
                    (folder / path.name).symlink_to(path.resolve())
            content: dict[str, object] = {}
            with contextlib.suppress(OSError, ValueError):
                content = dict(json.loads(self.config.read_text(encoding="utf-8")))
            for key in ("credsStore", "credHelpers"):  # a helper would win over the logins below
                content.pop(key, None)
            registries = {parse(reference).registry for reference in (context.reference, *bases(context))}
            logins = {registry: login for registry in registries if (login := self.login_for(registry))}
            content["auths"] = {_key(registry): _entry(login) for registry, login in logins.items()}
            file = folder / "config.json"
            file.touch(0o600)
            file.write_text(json.dumps(content))
            yield folder


class _Sender(threading.Thread):
    """Writes the context to the command while its progress is read; `error` is what kept it from that."""

    def __init__(self, pipe: IO[bytes], chunks: Iterator[bytes]) -> None:
        super().__init__(daemon=True)
        self.error: BuildError | None = None
        self._pipe = pipe
        self._chunks = chunks

    def run(self) -> None:
        """Write it all; a command that ended early has said why."""
        try:
            with self._pipe as pipe:
                for chunk in self._chunks:
                    pipe.write(chunk)
        except BuildError as error:
            self.error = error
        except OSError:
            return


def _key(registry: str) -> str:
    return DOCKER_HUB_KEY if registry == "docker.io" else registry


def _entry(login: tuple[str, str]) -> dict[str, str]:
    name, secret = login
    if name == TOKEN_USERNAME:
        return {"identitytoken": secret, "auth": base64.b64encode(b"<token>:").decode()}
    return {"auth": base64.b64encode(f"{name}:{secret}".encode()).decode()}
