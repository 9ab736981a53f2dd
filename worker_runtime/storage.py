"""Puts files into an S3-compatible bucket with boto3, which comes with the runpod SDK and is imported when needed.

Parts go side by side. Every request is tried 4 times at most, with botocore's own back-off, so a server that is down
ends in a sentence after a bounded time. A bucket that a caller named is reached like an input: at public addresses.
"""

from __future__ import annotations

import datetime
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker_runtime.addresses import Resolver, system_resolver
from worker_runtime.errors import JobError, StorageDenied, StorageFailed, StorageUnreachable, WorkerError
from worker_runtime.input_rules import AllowList
from worker_runtime.storage_settings import StorageSettings

ATTEMPTS = 4
CONNECT_S = 10
READ_S = 60
DENIED = frozenset(
    ("AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403")
)
FULL = frozenset(("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "507"))


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a file lies: `s3://BUCKET/KEY`, and a link with the time when it ends, where links work."""

    location: str
    url: str | None
    expires_at: str | None


class Storage:
    """One bucket. Its client is made at the first file, and may be used by several threads."""

    def __init__(
        self, settings: StorageSettings, *, allow: AllowList | None = None, resolve: Resolver = system_resolver
    ) -> None:
        self._settings = settings
        self._allow = allow or AllowList()
        self._resolve = resolve
        self._client: Any = None

    def put(self, source: Path | bytes, key: str, content_type: str) -> Stored:
        """Store a file under the prefix and `key`. Raises StorageUnreachable, StorageDenied, StorageFailed."""
        settings = self._settings
        key = f"{settings.prefix}/{key}" if settings.prefix else key
        with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
            try:
                self._upload(file, key, content_type)
                url = self._link(key) if settings.has_links else None
            except WorkerError as error:  # the address of a caller's bucket was refused
                raise StorageFailed(f"s3Config.endpointUrl: {error.what}", fix="send a public bucket") from error
            except Exception as error:
                raise self._explain(error) from error
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=settings.link_s)
        return Stored(f"s3://{settings.bucket}/{key}", url, ends.isoformat(timespec="seconds") if url else None)

    def _upload(self, file: Any, key: str, content_type: str) -> None:
        from boto3.s3.transfer import TransferConfig

        self._client = self._client or self._connect()
        self._client.upload_fileobj(
            file,
            self._settings.bucket,
            key,
            ExtraArgs={"ContentType": content_type},
            Config=TransferConfig(
                multipart_threshold=self._settings.part_bytes,
                multipart_chunksize=self._settings.part_bytes,
                max_concurrency=self._settings.connections,
                preferred_transfer_client="classic",
            ),
        )

    def _link(self, key: str) -> str:
        where = {"Bucket": self._settings.bucket, "Key": key}
        return str(self._client.generate_presigned_url("get_object", Params=where, ExpiresIn=self._settings.link_s))

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config

        settings = self._settings
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            region_name=settings.region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "virtual" if settings.is_virtual_host else "path"},
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                max_pool_connections=settings.connections,
                # Storages other than AWS know the newer checksums only in part (boto3 issue 4400).
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        if settings.is_from_job:
            from worker_runtime.storage_pin import PinnedSender

            client.meta.events.register("before-send.s3", PinnedSender(self._allow, self._resolve))
        return client

    def _explain(self, error: Exception) -> JobError:
        """Turn what boto3 raises into one sentence without a key or a signature."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as NoConnection

        bucket, host = self._settings.bucket, self._settings.host
        if isinstance(error, ClientError):
            return self._explain_answer(error.response)
        if isinstance(error, NoConnection | HTTPClientError):
            return StorageUnreachable(
                f"no connection to the storage {host} in {ATTEMPTS} attempts ({type(error).__name__})",
                fix="check that the endpoint is right and up",
            )
        if isinstance(error, BotoCoreError | OSError | ValueError):
            return StorageFailed(
                f"the storage {host} could not take the file ({type(error).__name__})",
                fix="check the bucket's settings",
            )
        return StorageFailed(
            f"storing in {bucket} at {host} raised {type(error).__name__}", fix="report it with the log"
        )

    def _explain_answer(self, response: Any) -> JobError:
        bucket, host = self._settings.bucket, self._settings.host
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in DENIED or status in (401, 403):
            return StorageDenied(f"the storage {host} refuses the keys for {bucket} ({code})", fix="check both keys")
        if code == "NoSuchBucket" or status == 404:
            return StorageFailed(f"the storage {host} has no bucket {bucket}", fix="make it, or name another")
        if code in FULL or status == 507:
            return StorageFailed(f"the storage {host} is full ({code})", fix="make room there")
        return StorageFailed(f"the storage {host} answered {status} ({code})", fix="look at the storage's own log")
