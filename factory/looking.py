"""What the registry says of a recipe's image before it is deployed: there, for linux/amd64, its CUDA, its size, public?

What a digest holds never changes, so it is kept on this machine (`kept.py`); a second look is two HEADs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from factory.errors import FactoryError, PlatformMismatch, RegistryDenied
from factory.kept import Kept
from factory.pipeline import Line
from factory.ports import Registry
from factory.provisioning.observed import ImageState
from factory.records import ImageSize, Manifest, PushedImage
from factory.references import is_loopback, parse
from factory.sizing.layers import HEAD_BYTES, TAIL_BYTES, unpacked

LoginFor = Callable[[str], tuple[str, str] | None]
READERS = 8


@dataclass(frozen=True, slots=True)
class ImageLook:
    """Looks at images. `anonymous` is the registry as a stranger sees it; `is_cloud_local`: is RunPod emulated here?

    `is_unbuilt`: no image is looked for; the emulator's workers run the rendered context that the tag names.
    """

    anonymous: Registry
    login_for: LoginFor
    kept: Kept
    is_cloud_local: bool = False
    is_unbuilt: bool = False

    def of(self, line: Line) -> ImageState:
        """Look for the image of a recipe as it is now, by its tag; one that isn't there is named by the tag."""
        reference = line.context.reference
        if self.is_unbuilt:
            return ImageState(reference, is_public=True)
        try:
            digest = line.doors.registry.digest(reference)
        except FactoryError as error:
            return ImageState(reference, is_pushed=False, problem=str(error))
        if digest is None:
            return ImageState(reference, is_pushed=False)
        return self(line, PushedImage(line.context.repository, line.context.tag, digest))

    def __call__(self, line: Line, pushed: PushedImage, *, is_public: bool | None = None) -> ImageState:
        """Look at an image that is in its registry. Raises what the registry raises.

        `is_public`: it is known already whether anybody may pull it, so no stranger asks.
        """
        return self._state(line.doors.registry, pushed, is_public)

    def public_digest(self, reference: str) -> str | None:
        """Return the digest that a tag has for a stranger; None where a stranger sees none, or the registry is down."""
        try:
            return self.anonymous.digest(reference)
        except FactoryError:
            return None

    def _state(self, registry: Registry, pushed: PushedImage, is_public: bool | None = None) -> ImageState:
        content = self._content(registry, pushed)
        size = content["size"]
        host = parse(pushed.repository).registry
        return ImageState(
            reference=pushed.reference,
            platform=content["platform"],
            cuda=content["cuda"],
            size=ImageSize(size["compressed_bytes"], size["unpacked_bytes"], size["is_exact"]),
            is_public=self._is_public(pushed.reference) if is_public is None else is_public,
            has_login=self.login_for(host) is not None,
            is_out_of_reach=is_loopback(host) and not self.is_cloud_local,
        )

    def at(self, reference: str, registry: Registry) -> ImageState:
        """Look at what any image's name leads to now, by tag or digest; `problem` says why it could not be seen."""
        if self.is_unbuilt:
            return ImageState(reference, is_public=True)
        has_login = self.login_for(parse(reference).registry) is not None
        unseen = ImageState(reference, is_pushed=False, has_login=has_login)
        try:
            digest = registry.digest(reference)
            if digest is None:
                return unseen
            name = parse(reference)
            found = PushedImage(name.repository, name.tag or "", digest)
            return self._state(registry, found)
        except RegistryDenied as error:
            return replace(unseen, problem=str(error), is_public=False)
        except PlatformMismatch as error:
            found_platforms = str(error.details.get("found") or "none")
            return replace(unseen, is_pushed=True, platform=found_platforms, is_public=self._is_public(reference))
        except FactoryError as error:
            return replace(unseen, problem=str(error))

    def _is_public(self, reference: str) -> bool | None:
        """May anybody pull it? None where the registry can't be asked just now."""
        try:
            return self.anonymous.digest(reference) is not None
        except RegistryDenied:
            return False
        except FactoryError:
            return None

    def _content(self, registry: Registry, pushed: PushedImage) -> dict[str, Any]:
        """Return what the digest holds, from this machine when it was read before."""
        kept: dict[str, Any] | None = self.kept.get("image", pushed.digest)
        if kept is None:
            kept = _read(registry, pushed)
            self.kept.put(kept, "image", pushed.digest)
        return kept


def _read(registry: Registry, pushed: PushedImage) -> dict[str, Any]:
    manifest = registry.manifest(pushed.reference)
    config = json.loads(registry.read(pushed.repository, manifest.config.digest, 0, manifest.config.size_bytes))
    size = _size(registry, pushed.repository, manifest)
    return {
        "platform": f"{manifest.os}/{manifest.architecture}",
        "cuda": cuda_of(config.get("config", {}).get("Env") or []),
        "size": {
            "compressed_bytes": size.compressed_bytes,
            "unpacked_bytes": size.unpacked_bytes,
            "is_exact": size.is_exact,
        },
    }


def cuda_of(environment: list[str]) -> str | None:
    """Return the CUDA version (major.minor) that an image says it needs, None when it says nothing.

    NVIDIA's images hold `NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=…` and `CUDA_VERSION=12.4.1` (nvidia/cuda on Docker Hub,
    read 2026-11-23), and what is built on them inherits both.
    """
    said = dict(entry.partition("=")[::2] for entry in environment)
    for name, pattern in (("NVIDIA_REQUIRE_CUDA", r"cuda>=(\d+\.\d+)"), ("CUDA_VERSION", r"(\d+\.\d+)")):
        if found := re.search(pattern, said.get(name, "")):
            return found[1]
    return None


def _size(registry: Registry, repository: str, manifest: Manifest) -> ImageSize:
    """Add up the layers as a worker's disk holds them, from both ends of each."""

    def unpacked_of(digest: str, size_bytes: int) -> tuple[int, bool]:
        head = registry.read(repository, digest, 0, min(HEAD_BYTES, size_bytes))
        last = min(TAIL_BYTES, size_bytes)
        found = unpacked(size_bytes, head, registry.read(repository, digest, size_bytes - last, last))
        return found.size_bytes, found.is_exact

    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(lambda layer: unpacked_of(layer.digest, layer.size_bytes), manifest.layers))
    total = sum(size for size, _ in found)
    return ImageSize(manifest.compressed_bytes, total, all(is_exact for _, is_exact in found))
