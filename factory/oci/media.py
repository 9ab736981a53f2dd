"""Media types of images: Docker's manifest schema 2 and OCI image-spec v1.1 (media-types.md, read 2026-11-25)."""

from __future__ import annotations

from typing import Literal

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_TAR = "application/vnd.docker.image.rootfs.diff.tar"

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"


def is_oci(manifest_type: str) -> bool:
    """Is a manifest of this media type the OCI's? Docker's otherwise."""
    return manifest_type.startswith("application/vnd.oci.")


def config_type(*, oci: bool) -> str:
    """Return the media type of an image's config."""
    return OCI_CONFIG if oci else DOCKER_CONFIG


def layer_type(compression: Literal["gzip", "none"], *, oci: bool) -> str:
    """Return the media type of a layer."""
    if compression == "gzip":
        return OCI_LAYER_GZIP if oci else DOCKER_LAYER_GZIP
    return OCI_LAYER_TAR if oci else DOCKER_LAYER_TAR
