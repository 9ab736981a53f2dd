"""An image read layer by layer: from its registry, or as an engine hands it out. Streamed, nothing is stored."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, cast

from factory.errors import FactoryError, VerifyError
from factory.layering.contents import Entry, ImageContents, LayerContents, Step
from factory.layering.history import steps_of
from factory.layering.tar_reading import GZIP, PIECE_BYTES, TAR_BUFFER_BYTES, Chunks, Unreadable, read_layer
from factory.ports import Registry
from factory.records import Layer, Manifest, Progress, Tell
from factory.references import parse

READERS = 4  # layers at once: zlib and the digests leave Python's lock
RANGE_BYTES = 4 << 20  # one request; a registry that is cut off is asked for this much again
JSON_LIMIT_BYTES = 4 << 20
BASE_LABEL = "org.opencontainers.image.base"


Known = dict[str, tuple[Entry, ...]]  # a blob's digest → what is in it


def read_pushed(registry: Registry, reference: str, tell: Tell, known: Known | None = None) -> ImageContents:
    """Return what an image in a registry holds. Layers of weights are not read: the Hub says what is in them.

    `known` has the layers that were read before, and gets the new ones. Raises ImageNotInRegistry, BlobMissing,
    VerifyError and what else `ports.Registry` does.
    """
    manifest = registry.manifest(reference)
    repository = parse(reference).repository
    config = _config(registry, repository, manifest)
    steps = steps_of(config, base_layers=_base_layers(registry, config))
    diff_ids = config["rootfs"]["diff_ids"]
    known = {} if known is None else known
    with ThreadPoolExecutor(READERS) as pool:
        waiting = [
            pool.submit(_read, registry, repository, layer, str(diff_id), step, tell, known)
            for layer, diff_id, step in zip(manifest.layers, diff_ids, steps, strict=False)
        ]
        try:
            return ImageContents(reference, "registry", tuple(each.result() for each in waiting))
        finally:
            pool.shutdown(cancel_futures=True)


def _config(registry: Registry, repository: str, manifest: Manifest) -> Mapping[str, Any]:
    raw = registry.read(repository, manifest.config.digest, 0, manifest.config.size_bytes)
    return _parsed(raw, f"{repository}@{manifest.config.digest}")


def _parsed(raw: bytes, where: str) -> Mapping[str, Any]:
    """Return an image's config. Raises VerifyError when it names no layers."""
    try:
        config = json.loads(raw)
        config["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError) as error:
        raise VerifyError("the image's config names no layers", where=where, fix="build it again") from error
    return cast(Mapping[str, Any], config)


def _base_layers(registry: Registry, config: Mapping[str, Any]) -> int:
    """Return how many layers the base image brought, by its own config; 0 when nobody knows or can be asked."""
    labels = (config.get("config") or {}).get("Labels") or {}
    name, digest = labels.get(f"{BASE_LABEL}.name"), labels.get(f"{BASE_LABEL}.digest")
    if not name or not digest:
        return 0
    try:
        base = parse(str(name)).at(str(digest))
        found = _config(registry, base.repository, registry.manifest(str(base)))
    except FactoryError:
        return 0  # the template's first step says it too
    below = found["rootfs"]["diff_ids"]
    return len(below) if config["rootfs"]["diff_ids"][: len(below)] == below else 0


def _read(
    registry: Registry, repository: str, layer: Layer, diff_id: str, step: Step, tell: Tell, known: Known
) -> LayerContents:
    if step.kind == "weights":
        return LayerContents(diff_id, step, layer.size_bytes, None, note="weights are not read")
    try:
        entries = known.get(layer.digest)
        if entries is None:
            entries = read_layer(_ranges(registry, repository, layer, tell), f"{repository}@{layer.digest}")
            known[layer.digest] = entries
    except Unreadable as reason:
        return LayerContents(diff_id, step, layer.size_bytes, None, note=f"not read: {reason}")
    return LayerContents(diff_id, step, layer.size_bytes, _unpacked(entries), entries)


def _ranges(registry: Registry, repository: str, layer: Layer, tell: Tell) -> Iterator[bytes]:
    """Yield a blob's bytes, a range at a time."""
    for start in range(0, layer.size_bytes, RANGE_BYTES):
        length = min(RANGE_BYTES, layer.size_bytes - start)
        yield registry.read(repository, layer.digest, start, length)
        tell(Progress("bytes", layer.digest, "reading", current=start + length, total=layer.size_bytes))


def _unpacked(entries: Iterable[Entry]) -> int:
    return sum(entry.size_bytes for entry in entries)


# --- an engine's image -----------------------------------------------------------------------------------------------
def read_saved(chunks: Iterable[bytes], reference: str, tell: Tell) -> ImageContents:
    """Return what an image holds, from the stream of `docker save`: layers first, what names them last.

    Both forms are read: a folder per layer (docker 20.10), and blobs by digest (docker 25 and later; measured
    2026-11-25). Raises VerifyError when the stream is no such tar, and what the engine's port does.
    """
    layers: dict[str, tuple[Entry, ...]] = {}
    texts: dict[str, bytes] = {}
    links: dict[str, str] = {}
    read_bytes = 0
    stream = io.BufferedReader(Chunks(chunks), PIECE_BYTES)
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=TAR_BUFFER_BYTES) as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]
                if member.issym() or member.islnk():  # equal layers are saved once
                    links[member.name] = _target(member)
                elif member.isfile() and (content := tar.extractfile(member)):
                    layer, text = _part(content, member.size, member.name)
                    layers |= {member.name: layer} if layer is not None else {}
                    texts |= {member.name: text} if text is not None else {}
                read_bytes += member.size
                tell(Progress("bytes", reference, "reading", current=read_bytes))
        return _put_together(reference, layers, texts, links)
    except (tarfile.TarError, KeyError, IndexError, ValueError) as error:
        raise VerifyError(f"the engine's image can't be read ({error!r})", where=reference) from error


def _target(member: tarfile.TarInfo) -> str:
    """Return where a link leads, from the tar's root (`../ID/layer.tar`, docker 20.10)."""
    return member.linkname.removeprefix("../") if member.issym() else member.linkname


def _part(content: IO[bytes], size_bytes: int, name: str) -> tuple[tuple[Entry, ...] | None, bytes | None]:
    """Return a layer's entries or a text, whichever the part of a saved image is."""
    head = content.read(min(512, size_bytes))
    rest = iter(lambda: content.read(PIECE_BYTES), b"")
    whole = (piece for pieces in ([head], rest) for piece in pieces)
    is_tar = head[257:262] == b"ustar" or (len(head) == 512 and not head.strip(b"\0"))
    if is_tar or head.startswith(GZIP):
        return read_layer(whole, name), None
    return None, b"".join(whole) if size_bytes <= JSON_LIMIT_BYTES else None


def _put_together(
    reference: str, layers: Mapping[str, tuple[Entry, ...]], texts: Mapping[str, bytes], links: Mapping[str, str]
) -> ImageContents:
    named = json.loads(texts["manifest.json"])[0]
    config = _parsed(texts[named["Config"]], reference)
    found = [layers[links.get(path, path)] for path in named["Layers"]]
    parts = zip(config["rootfs"]["diff_ids"], steps_of(config), found, strict=True)
    return ImageContents(
        reference,
        "engine",
        tuple(LayerContents(str(diff_id), step, None, _unpacked(entries), entries) for diff_id, step, entries in parts),
    )
