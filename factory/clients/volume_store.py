"""A network volume's files through RunPod's S3 API: the `VolumeStore` port, over boto3.

The bucket is the volume's id, the region its data centre, a key the path from the volume's root; the keys are none of
the account's API key (RunPod's documentation of its S3 API, 2026-08-20). What that page warns of is met here: batch
deletes aren't there, a listing of more than 10,000 files may answer "same next token", and the end of a large upload
may take an hour and answer 502 though it worked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from factory.errors import StoreDenied, StoreError, StoreFailed, StoreFull, StoreMissing, StoreUnreachable
from factory.records import StoredObject

Kind = Literal["quick", "usual", "long"]

ATTEMPTS: Mapping[Kind, int] = {"quick": 2, "usual": 6, "long": 10}
"""Of one request, with botocore's back-off (up to 20 s): 10 is what RunPod's page gives for the end of an upload."""
CONNECT_S = 10
READ_S: Mapping[Kind, int] = {"quick": 20, "usual": 60, "long": 7200}
"""Silence that is borne: two hours, again RunPod's, where many parts become one file."""
CONNECTIONS = 32
PAGE = 1000
READ_BYTES = 1 << 20
RESUMES = 5  # of a download that broke off without a byte in between

_DENIED = frozenset(
    ("AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403")
)
_ABSENT = frozenset(("NoSuchKey", "404", "NotFound"))
_FULL = ("insufficientstorage", "quota", "no space left", "storagefull")


class S3VolumeStore:
    """One volume. `endpoint_url` is where its S3 API answers, `region` the id of its data centre.

    Keys never show in what this raises. Safe to use from several threads.
    """

    def __init__(
        self, volume_id: str, region: str, endpoint_url: str, access_key_id: str, secret_access_key: str
    ) -> None:
        self._bucket = volume_id
        self._region = region
        self._endpoint_url = endpoint_url
        self._keys = (access_key_id, secret_access_key)
        self._clients: dict[Kind, Any] = {}
        self._connecting = threading.Lock()
        self._where = f"volume {volume_id} at {urlsplit(endpoint_url).netloc}"

    def demand(self) -> None:
        """Say at once when the volume can't be reached: wrong keys, wrong address, no such volume."""
        # A HEAD's refusal has no words; a listing's says which key it is.
        self._ask("list_objects_v2", "quick", MaxKeys=1)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield every file below a prefix; an empty folder is yielded with a slash at its end."""
        seen: set[str] = set()
        place: dict[str, Any] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=prefix, MaxKeys=PAGE, **place)
            fresh = [row for row in page.get("Contents", ()) if row["Key"] not in seen]
            seen.update(row["Key"] for row in fresh)
            yield from map(_stored, fresh)
            if not page.get("IsTruncated"):
                return
            if not fresh:
                fix = "list a folder with less in it, or look from a worker"
                raise StoreFailed(
                    f"the listing doesn't go on after {len(seen)} files (RunPod warns of this above 10,000)",
                    where=self._where,
                    fix=fix,
                )
            token = page.get("NextContinuationToken")
            is_stuck = not token or token == place.get("ContinuationToken")
            place = {"StartAfter": fresh[-1]["Key"]} if is_stuck else {"ContinuationToken": token}

    def head(self, path: str) -> StoredObject | None:
        """Return a file's size and time, None when there is none."""
        try:
            says = self._ask("head_object", Key=path)
        except _Absent:
            return None
        return StoredObject(path, int(says["ContentLength"]), _when(says.get("LastModified")))

    def read(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the content from byte `start` to before `end`; a cut connection goes on where it broke."""
        stop = end if end is not None else self._size(path)
        at, tries = start, 0
        while at < stop:
            try:
                body = self._ask("get_object", Key=path, Range=f"bytes={at}-{stop - 1}")["Body"]
            except _Absent as error:
                raise self._gone(path) from error
            try:
                while chunk := body.read(READ_BYTES):
                    at, tries = at + len(chunk), 0
                    yield chunk
            except _broken() as error:
                tries += 1
                if tries > RESUMES:
                    raise self._in_words(error) from error
            else:
                if at < stop:
                    raise StoreFailed(f"{path} ends at byte {at} of {stop}", where=self._where, fix="try again")
            finally:
                body.close()

    def put(self, path: str, content: bytes | bytearray) -> None:
        """Write a file, whole or not at all."""
        self._ask("put_object", Key=path, Body=content)

    def copy(self, source: str, target: str) -> None:
        """Copy a file on the volume itself."""
        try:
            self._ask("copy_object", "long", Key=target, CopySource={"Bucket": self._bucket, "Key": source})
        except _Absent as error:
            raise self._gone(source) from error

    def delete(self, path: str) -> None:
        """Remove a file; one that isn't there is no error."""
        try:
            self._ask("delete_object", Key=path)
        except _Absent:
            return

    # --- a file in parts -----------------------------------------------------------------------------------------
    def begin(self, path: str) -> str:
        """Begin a file that comes in parts, and return the upload's id."""
        return str(self._ask("create_multipart_upload", Key=path)["UploadId"])

    def parts(self, path: str, upload_id: str) -> Mapping[int, str] | None:
        """Return the parts that have arrived: number → tag; None when there is no such upload (any more)."""
        found: dict[int, str] = {}
        marker = 0
        while True:
            try:
                page = self._ask("list_parts", Key=path, UploadId=upload_id, PartNumberMarker=marker)
            except _Absent:
                return None
            fresh = {int(row["PartNumber"]): str(row["ETag"]).strip('"') for row in page.get("Parts", ())}
            is_further = bool(fresh.keys() - found.keys())
            found |= fresh
            if not page.get("IsTruncated") or not is_further:
                return found  # what a broken listing leaves out is sent again
            marker = max(fresh)

    def send_part(self, path: str, upload_id: str, number: int, content: bytes | bytearray) -> str:
        """Send one part, and return its tag."""
        try:
            says = self._ask("upload_part", Key=path, UploadId=upload_id, PartNumber=number, Body=content)
        except _Absent as error:
            what = f"the upload of {path} has been dropped by somebody else"
            raise StoreFailed(what, where=self._where, fix="run it again: it begins that file anew") from error
        return str(says["ETag"]).strip('"')

    def complete(self, path: str, upload_id: str, tags: Mapping[int, str], size_bytes: int) -> None:
        """Make the parts one file, and demand that it has that size."""
        rows = [{"PartNumber": number, "ETag": f'"{tag}"'} for number, tag in sorted(tags.items())]
        with suppress(_Absent):  # an attempt before this one worked, and its answer was lost: the size says
            self._ask(
                "complete_multipart_upload", "long", Key=path, UploadId=upload_id, MultipartUpload={"Parts": rows}
            )
        found = self.head(path)
        if found is None or found.size_bytes != size_bytes:
            has = f"{found.size_bytes} bytes" if found else "nothing"
            raise StoreFailed(
                f"{path} has {has} after {size_bytes} bytes in {len(rows)} parts", where=self._where, fix="run it again"
            )

    def abort(self, path: str, upload_id: str) -> None:
        """Drop an upload and its parts; one that isn't there is no error."""
        try:
            self._ask("abort_multipart_upload", Key=path, UploadId=upload_id)
        except _Absent:
            return

    # --- the one door to the network -----------------------------------------------------------------------------
    def _ask(self, operation: str, kind: Kind = "usual", **what: object) -> Any:
        """Do one operation of S3. Raises the tree below StoreError, and `_Absent` for what isn't there."""
        try:
            return getattr(self._client(kind), operation)(Bucket=self._bucket, **what)
        except Exception as error:
            raise self._in_words(error) from error

    def _client(self, kind: Kind) -> Any:
        with self._connecting:
            if kind not in self._clients:
                self._clients[kind] = self._connect(kind)
            return self._clients[kind]

    def _connect(self, kind: Kind) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._endpoint_url,
            aws_access_key_id=self._keys[0],
            aws_secret_access_key=self._keys[1],
            region_name=self._region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": ATTEMPTS[kind], "mode": "standard"},
                connect_timeout=CONNECT_S,
                read_timeout=READ_S[kind],
                max_pool_connections=CONNECTIONS,
                # Storages other than AWS know the newer checksums only in part (boto3 issue 4400).
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def _size(self, path: str) -> int:
        found = self.head(path)
        if found is None:
            raise self._gone(path)
        return found.size_bytes

    def _gone(self, path: str) -> StoreFailed:
        return StoreFailed(f"there is no {path}", where=self._where, fix="see `factory volumes ls`")

    def _in_words(self, error: Exception) -> StoreError:
        """Turn what boto3 raises into one sentence without a key or a signature."""
        from botocore.exceptions import ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as NoConnection

        if isinstance(error, StoreError):
            return error
        if isinstance(error, ClientError):
            return self._refused(error.response)
        if isinstance(error, (NoConnection, HTTPClientError, *_broken())):
            what, fix = f"no connection ({type(error).__name__})", "check the network, or try again in some minutes"
            return StoreUnreachable(what, where=self._where, fix=fix)
        return StoreFailed(f"S3 raised {type(error).__name__}", where=self._where, fix="report it with --debug")

    def _refused(self, response: Mapping[str, Any]) -> StoreError:
        said, status = response.get("Error", {}), int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code, words = str(said.get("Code", "")), f"{said.get('Code', '')} {said.get('Message', '')}".lower()
        if code in _DENIED or status in (401, 403):
            fix = "set RUNPOD_S3_ACCESS_KEY_ID and RUNPOD_S3_SECRET_ACCESS_KEY to a pair of console.runpod.io, Settings"
            return StoreDenied(f"RunPod's S3 API refuses the keys ({code})", where=self._where, fix=fix)
        if code == "NoSuchBucket":
            return StoreMissing("there is no such volume", where=self._where, fix="see `factory volumes`")
        if code in (*_ABSENT, "NoSuchUpload") or status == 404:
            return _Absent(f"nothing there ({code})", where=self._where)
        if status == 507 or any(word in words for word in _FULL):
            return StoreFull(
                f"the volume is full ({code})", where=self._where, fix="make it larger: `factory volumes grow`"
            )
        return StoreFailed(f"RunPod's S3 API answers {status} ({code})", where=self._where, fix="try again later")


class _Absent(StoreError):
    """Nothing there, or no such upload; each method says what that means."""


def _broken() -> tuple[type[Exception], ...]:
    """Return what reading a body raises when the connection breaks."""
    from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

    return (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


def _stored(row: Mapping[str, Any]) -> StoredObject:
    return StoredObject(str(row["Key"]), int(row["Size"]), _when(row.get("LastModified")))


def _when(time: datetime | None) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds") if time else ""
