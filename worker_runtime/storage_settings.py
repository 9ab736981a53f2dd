"""Which S3-compatible bucket outputs go to: the worker's own from its environment, or a job's `s3Config`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from worker_runtime.errors import InputInvalid, SettingsError

MAX_LINK_S = 604_800  # 7 days: what Signature Version 4 allows (AWS documentation, "Presigned URLs")

_AWS_BUCKET = re.compile(r"(?P<bucket>.+?)\.(?P<endpoint>s3[.-].*amazonaws\.com(?:\.cn)?)")
_REGIONS = (
    re.compile(r"(?:.*\.)?s3[.-](?P<region>[a-z0-9-]+)\.(?:amazonaws|backblazeb2|wasabisys)\.com(?:\.cn)?"),
    re.compile(r"(?:.*\.)?(?P<region>[a-z0-9-]+)\.digitaloceanspaces\.com"),
    re.compile(r"s3api-(?P<region>[a-z0-9-]+)\.runpod\.io"),
)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """A bucket, the way to it, and how files are put there. `link_s`: how long a link works, in seconds.

    `is_from_job`: a caller gave it, so its address must be public as that of any input.
    """

    endpoint_url: str
    bucket: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    region: str = "us-east-1"
    prefix: str = ""
    link_s: int = 86_400
    part_bytes: int = 16_000_000
    connections: int = 8
    is_from_job: bool = False

    @property
    def host(self) -> str:
        """The endpoint's host."""
        return urlsplit(self.endpoint_url).hostname or ""

    @property
    def has_links(self) -> bool:
        """Whether presigned links work: RunPod's S3 API to its volumes has none (its documentation, 2026-08-20)."""
        return not (self.host.startswith("s3api-") and self.host.endswith(".runpod.io"))

    @property
    def is_virtual_host(self) -> bool:
        """Whether the bucket belongs into the host name: AWS wants it, and of the others not all can do it."""
        return self.host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def from_environment(environ: Mapping[str, str]) -> StorageSettings | None:
    """Read the variables that RunPod's own workers use; None when there is no endpoint. Raises SettingsError.

    BUCKET_ENDPOINT_URL (it may hold the bucket), BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY, BUCKET_NAME, and of
    our own BUCKET_REGION, BUCKET_PREFIX and BUCKET_LINK_HOURS.
    """
    values = {name: environ.get(f"BUCKET_{name}", "").strip() for name in ("ENDPOINT_URL", "NAME", "REGION", "PREFIX")}
    keys = {name: environ.get(f"BUCKET_{name}", "").strip() for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")}
    if not values["ENDPOINT_URL"]:
        if any(keys.values()):
            raise SettingsError(
                "the bucket has keys and no endpoint", fix="set BUCKET_ENDPOINT_URL, or unset BUCKET_ACCESS_KEY_ID"
            )
        return None
    missing = [f"BUCKET_{name}" for name, value in keys.items() if not value]
    try:
        endpoint_url, bucket = _endpoint(values["ENDPOINT_URL"], values["NAME"])
    except ValueError as error:
        raise SettingsError(f"BUCKET_ENDPOINT_URL {error}", fix="write https://HOST, and BUCKET_NAME") from error
    if missing:
        raise SettingsError(
            f"{' and '.join(missing)} missing, and there is BUCKET_ENDPOINT_URL", fix="set them together"
        )
    return StorageSettings(
        endpoint_url,
        bucket,
        keys["ACCESS_KEY_ID"],
        keys["SECRET_ACCESS_KEY"],
        region=values["REGION"] or _region(endpoint_url),
        prefix=values["PREFIX"].strip("/"),
        link_s=_link_s(environ.get("BUCKET_LINK_HOURS", "").strip()),
    )


def from_job(config: Any) -> StorageSettings:
    """Read a job's `s3Config` {accessId, accessSecret, bucketName, endpointUrl}, or raise InputInvalid."""
    if not isinstance(config, Mapping):
        raise InputInvalid("s3Config is no object", fix="send accessId, accessSecret, bucketName and endpointUrl")
    names = ("accessId", "accessSecret", "endpointUrl")
    missing = [f"s3Config.{name}" for name in names if not isinstance(config.get(name), str) or not config[name]]
    if missing:
        raise InputInvalid(f"{', '.join(missing)}: missing, or no text", fix="send them all, or no s3Config")
    bucket = config.get("bucketName") or ""
    try:
        endpoint_url, bucket = _endpoint(config["endpointUrl"], bucket if isinstance(bucket, str) else "")
    except ValueError as error:
        raise InputInvalid(f"s3Config.endpointUrl {error}", fix="send https://HOST, and bucketName") from error
    return StorageSettings(
        endpoint_url,
        bucket,
        config["accessId"],
        config["accessSecret"],
        region=_region(endpoint_url),
        is_from_job=True,
    )


def _endpoint(url: str, bucket: str) -> tuple[str, str]:
    """Return the endpoint and the bucket, which consoles show as one URL: in the host (AWS) or as the path (R2)."""
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.username or parts.password:
        raise ValueError("is no plain http(s) URL")
    port = f":{parts.port}" if parts.port else ""
    path = parts.path.strip("/")
    in_host = _AWS_BUCKET.fullmatch(host)
    named = in_host["bucket"] if in_host else path
    if "/" in path or (in_host and path) or (named and bucket and named != bucket):
        raise ValueError(f"names another place than the bucket (found {named or path!r})")
    if not (named or bucket):
        raise ValueError("has no bucket in it, and none is named")
    literal = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{in_host['endpoint'] if in_host else literal}{port}", bucket or named


def _region(endpoint_url: str) -> str:
    host = urlsplit(endpoint_url).hostname or ""
    found = next((match["region"] for pattern in _REGIONS if (match := pattern.fullmatch(host))), None)
    if host.endswith(".r2.cloudflarestorage.com"):
        return "auto"
    if host.endswith(".runpod.io") and found:
        return found.upper()  # its regions are the names of its data centres
    return found or "us-east-1"  # what MinIO and most others take


def _link_s(hours: str) -> int:
    try:
        seconds = int(float(hours or 24) * 3600)
    except (ValueError, OverflowError):
        seconds = 0
    if not 0 < seconds <= MAX_LINK_S:
        raise SettingsError(
            f"BUCKET_LINK_HOURS is {hours!r}, and a link works 1 s to 168 h", fix="write 24, or unset it"
        )
    return seconds
