"""The patch lane: an image put together in the registry, from its environment there and what its Dockerfile's end says.

The environment's layers are mounted, one small layer is sent for each COPY of code, then a config and a manifest. No
engine is asked, nothing is pulled. Same context, same bytes: the same image is the same digest on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from factory.errors import ImageNotInRegistry, LaneUnavailable, RegistryRefused
from factory.lanes.top import Copy, Say, Top, cut_context
from factory.oci import media, tars
from factory.oci.config import Config
from factory.oci.digests import digest_of
from factory.oci.manifest import manifest as manifest_bytes
from factory.ports import ImageStore, Registry
from factory.records import Context, Layer, Manifest, PushedImage, StoredLayer, Tell, tell_nobody

AT_ONCE = 8  # requests; a layer's mount is one
CHUNK_BYTES = 8 << 20  # of a layer that must be copied from one repository to another

Bake = Callable[[bool], tuple[StoredLayer, ...]]  # whether OCI's media types are wanted → the weights' layers, in order


@dataclass(frozen=True, slots=True)
class Assembled:
    """An image put together: how many of the environment's layers the repository got without a copy, or by one."""

    pushed: PushedImage
    subject: Layer  # its manifest, as what is attached names it
    mounted: int
    copied: int


@dataclass(frozen=True, slots=True)
class Added:
    """What was put on top of an environment: tars of code, the config with its env, labels and history."""

    tars: tuple[bytes, ...]
    config: bytes


@dataclass(frozen=True, slots=True)
class Lower:
    """An environment as the registry has it."""

    repository: str
    tag: str
    manifest: Manifest
    config: bytes


Inspect = Callable[[Added], None]  # may refuse, before any of it is sent


def read_environment(context: Context, registry: Registry) -> Lower:
    """Return a context's environment from the registry. Raises LaneUnavailable when it isn't there."""
    environment = context.environment
    if environment is None:
        raise _unavailable(context, "its Dockerfile's end can't be told from what needs an engine", "docs/lanes.md")
    try:
        manifest = registry.manifest(environment.reference)
    except ImageNotInRegistry as error:
        what = f"the registry has no environment {environment.reference}"
        raise _unavailable(context, what, "leave --lane out once, where a Docker engine is") from error
    config = registry.read(environment.repository, manifest.config.digest, 0, manifest.config.size_bytes)
    return Lower(environment.repository, environment.tag, manifest, config)


def assemble(
    context: Context,
    lower: Lower,
    registry: Registry,
    store: ImageStore,
    *,
    bake: Bake | None = None,
    inspect: Inspect = lambda _: None,
    describe: Callable[[Layer], None] = lambda _: None,
    tell: Tell = tell_nobody,
) -> Assembled:
    """Put the context's image together under its tag, on top of its environment.

    `bake` sends the weights that go into it, where there are any; `inspect` sees the rest before any of it is sent;
    `describe` is told the manifest's descriptor, beside the last blobs and before the manifest is put. Raises the tree
    below PushError, and what these do.
    """
    below = cut_context(context)
    top = below.top if below else Top(())
    sent_before, is_oci = store.sent_bytes, media.is_oci(lower.manifest.media_type)
    code = [_code_layer(step, oci=is_oci) for step in top.steps if isinstance(step, Copy) and not step.weights]
    bare = _config(context, lower, top, _in_order(top, [layer for _, _, layer in code], ()))
    inspect(Added(tuple(tar for tar, _, _ in code), bare))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        placing = [
            pool.submit(_place, blob, lower, context.repository, registry, store, tell)
            for blob in lower.manifest.layers
        ]
        sending = [pool.submit(store.put, context.repository, blob) for _, blob, _ in code]
        ordered = _in_order(top, [layer for _, _, layer in code], bake(is_oci) if bake else ())
        config = _config(context, lower, top, ordered)
        sending.append(pool.submit(store.put, context.repository, config))
        content = _manifest(lower, config, ordered, oci=is_oci)
        kind = media.OCI_MANIFEST if is_oci else media.DOCKER_MANIFEST
        subject = Layer(digest_of(content), len(content), kind)
        describing = pool.submit(describe, subject)
        ways = [each.result() for each in placing]
        for each in sending:
            each.result()
        describing.result()
    store.put_manifest(context.repository, context.tag, kind, content)
    pushed = PushedImage(context.repository, context.tag, subject.digest, store.sent_bytes - sent_before)
    return Assembled(pushed, subject, ways.count("mounted"), ways.count("copied"))


def _manifest(lower: Lower, config: bytes, ordered: Sequence[StoredLayer | Say], *, oci: bool) -> bytes:
    described = Layer(digest_of(config), len(config), media.config_type(oci=oci))
    above = (step.blob for step in ordered if isinstance(step, StoredLayer))
    return manifest_bytes(described, [*lower.manifest.layers, *above], oci=oci)


# --- layers ----------------------------------------------------------------------------------------------------------
def _code_layer(step: Copy, *, oci: bool) -> tuple[bytes, bytes, StoredLayer]:
    """Return a COPY's tar, the blob that is sent, and what the image knows it by."""
    contents = {path: file.content or b"" for path, file in step.files}
    tar = tars.layer_tar(contents, {path: file.mode for path, file in step.files})
    blob = tars.gzipped(tar)
    layer = Layer(digest_of(blob), len(blob), media.layer_type("gzip", oci=oci))
    return tar, blob, StoredLayer(layer, digest_of(tar), sum(map(len, contents.values())), step.created_by)


def _in_order(top: Top, code: Sequence[StoredLayer], baked: Sequence[StoredLayer]) -> list[StoredLayer | Say]:
    """Return the top in the Dockerfile's order, layers for its COPYs: all weights lie where the first of them does."""
    rest, found, is_baked = iter(code), list[StoredLayer | Say](), False
    for step in top.steps:
        if isinstance(step, Say):
            found.append(step)
        elif not step.weights:
            found.append(next(rest))
        elif not is_baked:
            found += baked
            is_baked = True
    return found


def _config(context: Context, lower: Lower, top: Top, ordered: Sequence[StoredLayer | Say]) -> bytes:
    """Return the environment's config with the top's layers and words."""
    config = Config(lower.config, where=f"{lower.repository}@{lower.manifest.config.digest}")
    if config.layer_count != len(lower.manifest.layers):
        raise RegistryRefused("config and manifest name different layers", where=lower.repository)
    for step in ordered:
        if isinstance(step, StoredLayer):
            config.add_layer(step.diff_id, step.created_by)
        else:
            _say(config, step, is_command_set=top.is_command_set)
    config.say_labels(context.labels.items())
    return config.to_bytes()


def _say(config: Config, step: Say, *, is_command_set: bool) -> None:
    if step.kind == "ENV":
        config.say_env(step.pairs, step.created_by)
    elif step.kind == "LABEL":
        config.say_labels(step.pairs, step.created_by)
    elif step.kind == "ENTRYPOINT":
        config.say_entrypoint(step.words, step.created_by, is_command_set=is_command_set)
    else:
        config.say_command(step.words, step.created_by)


def _place(blob: Layer, lower: Lower, repository: str, registry: Registry, store: ImageStore, tell: Tell) -> str:
    """Let the repository have a layer of the environment; return how: `there`, `mounted` or `copied`."""
    if repository == lower.repository or store.has(repository, blob.digest):
        return "there"
    if store.mount(repository, blob.digest, lower.repository):
        return "mounted"
    copied = store.upload(repository, lambda: _content(blob, lower.repository, registry), tell, blob.digest[7:19])
    if copied.digest != blob.digest:
        what = f"the layer {blob.digest} came as {copied.digest}"
        raise RegistryRefused(what, where=lower.repository, fix="build the environment again (`--lane docker --force`)")
    return "copied"


def _content(blob: Layer, repository: str, registry: Registry) -> Iterator[bytes]:
    for start in range(0, blob.size_bytes, CHUNK_BYTES):
        yield registry.read(repository, blob.digest, start, min(CHUNK_BYTES, blob.size_bytes - start))


def _unavailable(context: Context, what: str, fix: str) -> LaneUnavailable:
    return LaneUnavailable(f"no patch lane here: {what}", where=context.reference, fix=fix)
