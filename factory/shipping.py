"""How an image comes into its registry: by the Docker engine, or put together there (docs/lanes.md).

    the registry has this very tag         nothing is done
    it has the environment                 patch: code, env and labels are put on top of it there, no engine is asked
    the recipe bakes its weights           the engine makes the environment, and the weights go on top of it there
    else                                   the engine makes all of it, then leaves the environment for the next time

`--lane docker` is the engine's way whole, `--lane patch` the way without one or nothing.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from factory import __version__
from factory.errors import (
    BuildError,
    EngineForbidden,
    EngineUnreachable,
    FactoryError,
    LaneUnavailable,
    PushError,
    RegistryDenied,
    RegistryFailed,
    RegistryUnreachable,
    VerifyError,
)
from factory.ports import Engine
from factory.records import Artifact, Context, Image, Layer, Progress, PushedImage, Tell
from factory.stages.build import build
from factory.stages.push import push
from factory.wording import count_text, size_text

if TYPE_CHECKING:
    from factory.attesting.sbom import Components
    from factory.lanes.patch import Bake, Inspect, Lower
    from factory.pipeline import Line, Walk

Lane = Literal["auto", "docker", "patch"]
NO_ENGINE = "no Docker engine here; the endpoint's test jobs prove it"
MAKING: tuple[Literal["build"], Literal["push"]] = ("build", "push")


def ship(line: Line) -> PushedImage:
    """Bring a line's image into its registry, by the lane that it asks for. Raises LaneUnavailable, BuildError, …"""
    context, environment = line.context, line.context.environment
    if not line.is_forced and (digest := _find(line, context)) and is_own(line, context, digest):
        return take_as_it_is(line, digest)
    if line.lane == "patch":
        return _assemble(line)
    if line.lane == "docker" or environment is None:
        return _by_engine(line, environment if line.is_forced else None)  # forced: what lies there is made anew too
    if not _has(line, environment):
        with line.turns.take(environment.digest):  # of several recipes one makes it, the others find it
            if not _has(line, environment):
                return _with_engine(line, environment)
    return _assemble(line)


def _with_engine(line: Line, environment: Context) -> PushedImage:
    """Let the engine make what the registry lacks: all of it, or the environment alone under weights."""
    from factory.lanes.patch import read_environment

    if not line.baked:
        return _by_engine(line, environment)
    with line.stage("build") as stage:
        line.leak_scan.demand_clean_context(line.context)
        image = build(environment, line.doors.engine, line.machine.options, stage.tell)
        stage.summary = f"environment {environment.tag}, {size_text(image.unpacked_bytes)} unpacked"
    with line.stage("push") as stage:
        line.leak_scan.demand_clean_image(image, line.doors.engine, stage.tell)
        left = _push_environment(line, image, _installed(line, image.reference, stage.tell), stage.tell)
        lower = read_environment(line.context, line.doors.registry)
        return _put_together(line, lower, stage, sent_bytes=left.sent_bytes)


def _by_engine(line: Line, environment: Context | None) -> PushedImage:
    """Build and push by the engine, and leave the environment in the registry where there is one to leave."""
    image = line.image
    with line.stage("push") as stage:
        # Its environment, which may be left below, is the lower part of it.
        line.leak_scan.demand_clean_image(image, line.doors.engine, stage.tell)
        pushed = push(image, line.doors.engine, stage.tell)
        components = _installed(line, image.reference, stage.tell)
        if environment is not None:
            _leave(line, environment, components, stage.tell)
        sent_bytes = _attest(line, pushed, components, stage.tell)
        _sign(line, pushed, stage.tell)
        stage.is_cached = pushed.sent_bytes == 0
        pushed = replace(pushed, sent_bytes=pushed.sent_bytes + sent_bytes)
        stage.summary = f"{size_text(pushed.sent_bytes)} sent, {pushed.digest[:19]}…"
        return pushed


def _installed(line: Line, reference: str, tell: Tell) -> Components | None:
    """Ask an image of the engine what is in it; one that can't say is a note, and has no SBOM."""
    from factory.attesting.components import components
    from factory.attesting.packages import installed

    try:
        return components(installed(reference, line.doors.engine, line.machine.options))
    except (BuildError, VerifyError) as error:
        tell(Progress("note", "sbom", f"no SBOM: {error.what}"))
        return None


def _subject(line: Line, repository: str, digest: str) -> Layer:
    found = line.doors.registry.manifest(f"{repository}@{digest}")
    return Layer(digest, found.size_bytes, found.media_type)


def _attest(line: Line, pushed: PushedImage, components: Components | None, tell: Tell) -> int:
    """Attach SBOM and provenance to what the engine has pushed; return the bytes sent for them."""
    sent_before = line.doors.store.sent_bytes
    try:
        subject = _subject(line, pushed.repository, pushed.digest)
    except (PushError, VerifyError) as error:
        _note_unattached(error, tell)
    else:
        _attach(line, subject, _papers(line, subject, components, "docker"), tell)
    return line.doors.store.sent_bytes - sent_before


def _papers(line: Line, subject: Layer, components: Components | None, lane: str) -> tuple[Artifact, ...]:
    """Make what is attached to an image."""
    from factory.attesting.checking import papers
    from factory.attesting.provenance import Making

    lock = line.file.path.with_suffix(".lock")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest() if line.lock and lock.is_file() else None
    making = Making(line.file.sha256, digest, __version__, lane, line.machine.source_revision)
    return papers(line.context, line.models, components, subject.digest, making)


def _attach(line: Line, subject: Layer, made: tuple[Artifact, ...], tell: Tell) -> None:
    """Attach it; a registry that won't have it is a note, since the image is there."""
    try:
        line.doors.store.attach_all(line.context.repository, subject, made)
    except (PushError, VerifyError) as error:
        _note_unattached(error, tell)


def _note_unattached(error: FactoryError, tell: Tell) -> None:
    tell(Progress("note", "attest", f"SBOM and provenance could not be attached: {error.what}"))


def _sign(line: Line, pushed: PushedImage, tell: Tell) -> None:
    """Sign a pushed image where a key is configured. It was asked for, so what fails is an error below PushError."""
    from factory.attesting.signing import sign

    keys = line.machine.keys
    if keys is None or not keys.can_sign:
        return
    try:
        was_made = sign(pushed, keys, line.doors.store, line.doors.registry)
    except (PushError, VerifyError) as error:
        kind = type(error) if isinstance(error, PushError) else PushError
        what = f"the image is pushed, but could not be signed: {error.what}"
        raise kind(what, where=pushed.reference, fix=error.fix or "run the same command again") from error
    tell(Progress("step", "sign", f"{pushed.tag}: {'signed' if was_made else 'has our signature'}", "done"))


def is_own(line: Line, context: Context, digest: str) -> bool:
    """May what the registry has under a context's tag be taken as it is? Who signs takes nothing that he didn't sign.

    Else it would be made anew: to sign what somebody else put there would be to vouch for it unseen.
    """
    from factory.attesting.signing import is_signed

    keys = line.machine.keys
    if keys is None or not keys.can_sign:
        return True
    return is_signed(PushedImage(context.repository, context.tag, digest), keys, line.doors.store, line.doors.registry)


def _has(line: Line, environment: Context) -> bool:
    """Has the registry an environment that may be built upon?"""
    digest = _find(line, environment)
    return digest is not None and is_own(line, environment, digest)


def _demand_own(line: Line, lower: Lower) -> None:
    """Refuse to put an image together, and sign it, on an environment that isn't signed by the same key."""
    environment = line.context.environment
    if environment is not None and not is_own(line, environment, lower.manifest.digest):
        raise LaneUnavailable(
            f"the environment {lower.tag} is not signed by FACTORY_SIGN_KEY, so no image is put on it and signed",
            where=line.context.reference,
            fix="leave --lane out once, where a Docker engine is",
        )


def _leave_packages(line: Line, pushed: PushedImage, components: Components | None, tell: Tell) -> None:
    """Leave at an environment what is installed in it, for the SBOMs of images that are put together on it."""
    from factory.attesting.packages import store_components

    if components is None:
        return
    try:
        subject = _subject(line, pushed.repository, pushed.digest)
        store_components(components, pushed.repository, subject, line.doors.store)
    except (PushError, VerifyError) as error:
        tell(Progress("note", "sbom", f"the environment's packages could not be kept: {error.what}"))


def _stored_components(line: Line, lower: Lower, tell: Tell) -> Components | None:
    """Read what is installed in an environment; one that nobody asked is a note, and the image has no SBOM."""
    from factory.attesting.packages import stored_components

    try:
        found = stored_components(lower.repository, lower.manifest.digest, line.doors.store, line.doors.registry)
    except (PushError, VerifyError) as error:
        tell(Progress("note", "sbom", f"no SBOM: {error.what}"))
        return None
    if found is None:
        tell(
            Progress("note", "sbom", f"no SBOM: nobody left the packages of {lower.tag} (`--lane docker --force` does)")
        )
    return found


def _push_environment(line: Line, image: Image, components: Components | None, tell: Tell) -> PushedImage:
    """Push an environment with what is installed in it, signed."""
    left = push(image, line.doors.engine, tell)
    _leave_packages(line, left, components, tell)
    _sign(line, left, tell)
    return left


def _leave(line: Line, environment: Context, components: Components | None, tell: Tell) -> None:
    """Push the environment, which the engine has in its cache now; a registry that won't have it is a note."""
    try:
        image = build(environment, line.doors.engine, line.machine.options, tell)
        _push_environment(line, image, components, tell)
        line.has_environment()
    except (BuildError, PushError) as error:
        text = f"no patch lane next time, the environment could not be left at {environment.repository}: {error.what}"
        tell(Progress("note", "lane", text))


def _assemble(line: Line) -> PushedImage:
    """Put the image together in the registry, from its environment there."""
    from factory.lanes.patch import read_environment

    with line.stage("build") as stage:
        lower = read_environment(line.context, line.doors.registry)
        _demand_own(line, lower)
        stage.is_cached, stage.summary = True, f"patch lane: environment {lower.tag} is in the registry"
    with line.stage("push") as stage:
        return _put_together(line, lower, stage, sent_bytes=0)


def _put_together(line: Line, lower: Lower, stage: Walk, *, sent_bytes: int) -> PushedImage:
    """Put the top on an environment; `sent_bytes` is what the engine has sent for it.

    SBOM and provenance are made, and their blobs sent, while the image's are on their way.
    """
    from factory.lanes.patch import assemble

    line.has_environment()
    context, doors, tell = line.context, line.doors, stage.tell
    sent_before, made = doors.store.sent_bytes, list[Artifact]()

    def describe(subject: Layer) -> None:
        made.extend(_papers(line, subject, reading.result(), "patch"))
        with suppress(PushError):  # whoever attaches them says it
            for each in made:
                doors.store.put(context.repository, each.content)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_stored_components, line, lower, tell)
        done = assemble(
            context,
            lower,
            doors.registry,
            doors.store,
            bake=_bake(line, tell),
            inspect=_inspect(line),
            describe=describe,
            tell=tell,
        )
    line.is_assembled, line.needs_engine = True, False
    _attach(line, done.subject, tuple(made), tell)
    _sign(line, done.pushed, tell)
    pushed = replace(done.pushed, sent_bytes=doors.store.sent_bytes - sent_before + sent_bytes)
    parts = [f"{size_text(pushed.sent_bytes)} sent"]
    parts += [f"{count_text(done.mounted, 'layer')} mounted"] if done.mounted else []
    parts += [f"{count_text(done.copied, 'layer')} copied"] if done.copied else []
    stage.is_cached, stage.summary = pushed.sent_bytes == 0, ", ".join(parts)
    return pushed


def _inspect(line: Line) -> Inspect:
    """Return what refuses to send a top that holds a secret."""
    return lambda added: line.leak_scan.demand_clean_parts(added.tars, added.config, line.context.reference)


def _bake(line: Line, tell: Tell) -> Bake | None:
    """Return what sends the weights that go into the image; None when there are none."""
    if not line.baked:
        return None
    from factory.kept import Kept
    from factory.lanes.weights import bake

    doors, context = line.doors, line.context
    return lambda is_oci: bake(
        line.baked,
        context.repository,
        line.shared_repository,
        doors.weights,
        doors.store,
        doors.registry,
        Kept.below(line.machine.home),
        compress=line.compress,
        is_oci=is_oci,
        tell=tell,
    )


def is_answering(engine: Engine) -> bool:
    """Is there an engine that may be used? An image of the patch lane does without one."""
    try:
        engine.find("scratch-of-nobody")
    except (EngineUnreachable, EngineForbidden):
        return False
    return True


def take_as_it_is(line: Line, digest: str) -> PushedImage:
    """Return a line's image that the registry has, and say so of both stages.

    Raises AttestationWrong where this machine can only check signatures, and it has none.
    """
    from factory.attesting.signing import check_signature

    line.needs_engine = False
    pushed, keys = PushedImage(line.context.repository, line.context.tag, digest), line.machine.keys
    if keys and not keys.can_sign:  # who signs has looked already: what isn't his own is made anew
        check_signature(pushed, keys, line.doors.store, line.doors.registry)
    for name in MAKING:
        with line.stage(name) as stage:
            stage.is_cached, stage.summary = True, f"the registry has {digest[:19]}…"
    return pushed


def _find(line: Line, context: Context) -> str | None:
    """Return the digest of a context's image in the registry.

    A registry that won't tell this machine is one without it, unless nothing but the patch lane will do: an engine
    elsewhere may reach it all the same, and some answer 401 for a repository that is yet to be.
    """
    try:
        return line.doors.registry.digest(context.reference)
    except (RegistryDenied, RegistryUnreachable, RegistryFailed):
        if line.lane == "patch":
            raise
        return None
