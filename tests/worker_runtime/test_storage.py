"""Files into a bucket of a real S3 server, and every way in which that can fail."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import s3_server
import sites
from s3_server import BUCKET, S3Server

from worker_runtime.errors import (
    InputInvalid,
    JobError,
    SettingsError,
    StorageDenied,
    StorageFailed,
    StorageUnreachable,
)
from worker_runtime.input_rules import AllowList
from worker_runtime.storage import ATTEMPTS, Storage
from worker_runtime.storage_settings import StorageSettings, from_environment, from_job

MB = 1_000_000
PART = "put multipart upload"  # rclone's word for it in its log


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that all tests of this file share."""
    with s3_server.run(tmp_path_factory.mktemp("s3")) as server:
        yield server


def settings(server: S3Server, **changes: Any) -> StorageSettings:
    """Return the settings for the server, as the environment of a worker would have them."""
    found = from_environment(
        {
            "BUCKET_ENDPOINT_URL": server.endpoint_url,
            "BUCKET_NAME": BUCKET,
            "BUCKET_ACCESS_KEY_ID": s3_server.ACCESS_KEY_ID,
            "BUCKET_SECRET_ACCESS_KEY": s3_server.SECRET_ACCESS_KEY,
        }
    )
    assert found is not None
    return dataclasses.replace(found, **changes)


def get(url: str) -> bytes:
    """Fetch a link as anybody would: plain HTTP, no keys."""
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def test_bytes_become_a_link_that_anybody_can_open(s3: S3Server) -> None:
    """A small file goes in one request, with its content type, and its link works without keys."""
    stored = Storage(settings(s3)).put(b"hello", "job 1/a b.txt", "text/plain")
    assert stored.location == f"s3://{BUCKET}/job 1/a b.txt"
    assert stored.url is not None and stored.expires_at is not None
    with urllib.request.urlopen(stored.url) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"hello", "text/plain")
    with pytest.raises(HTTPError, match=r"40[03]"):
        get(stored.url.partition("?")[0])


def test_a_large_file_goes_in_parts(s3: S3Server, tmp_path: Path) -> None:
    """30 MB go in parts, and come back to the byte through the link."""
    file = tmp_path / "film.mp4"
    file.write_bytes(os.urandom(30 * MB))
    before = s3.requests(PART)
    stored = Storage(settings(s3, prefix="of/us", part_bytes=8 * MB)).put(file, "job/film.mp4", "video/mp4")
    assert stored.location == f"s3://{BUCKET}/of/us/job/film.mp4"
    assert s3.requests(PART) - before == 4
    assert stored.url is not None
    assert hashlib.sha256(get(stored.url)).digest() == hashlib.sha256(file.read_bytes()).digest()


def test_the_same_key_again_is_replaced(s3: S3Server) -> None:
    """A job that is run again gives the same key, and the newer file."""
    storage = Storage(settings(s3))
    storage.put(b"old", "again", "text/plain")
    storage.put(b"new", "again", "text/plain")
    assert s3.object("again").read_bytes() == b"new"


def test_a_link_ends(s3: S3Server) -> None:
    """The link's lifetime is that of the settings."""
    stored = Storage(settings(s3, link_s=77)).put(b"x", "short", "text/plain")
    assert stored.url is not None and "X-Amz-Expires=77&" in stored.url


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"secret_access_key": "wrong-secret"}, StorageDenied, "refuses the keys for outputs"),
        ({"access_key_id": "wrong-key"}, StorageDenied, "refuses the keys for outputs"),
        ({"bucket": "no-such-bucket"}, StorageFailed, "has no bucket no-such-bucket"),
    ],
)
def test_what_is_wrong_with_the_bucket(changes: dict[str, str], error: type[JobError], says: str, s3: S3Server) -> None:
    """Wrong keys and a missing bucket are one sentence each, without a key in it, for small and large files."""
    storage = Storage(settings(s3, part_bytes=1 * MB, **changes))
    for size_bytes in (10, 3 * MB):
        with pytest.raises(error, match=says) as caught:
            storage.put(b"x" * size_bytes, "k", "text/plain")
        assert "wrong-" not in str(caught.value) and s3_server.SECRET_ACCESS_KEY not in str(caught.value)


def test_a_server_that_is_down(tmp_path: Path) -> None:
    """No connection ends in a sentence after a bounded number of attempts."""
    with s3_server.run(tmp_path) as gone:
        pass
    with pytest.raises(StorageUnreachable, match=r"no connection to the storage 127\.0\.0\.1 in 4 attempts"):
        Storage(settings(gone)).put(b"x", "k", "text/plain")


def test_a_server_that_fails_is_tried_a_bounded_number_of_times(s3: S3Server) -> None:
    """A 5xx is tried again, and not for ever."""

    def fail(request: sites.Request) -> None:
        request.rfile.read(int(request.headers["Content-Length"]))
        sites.page(b"", status=503)(request)

    with sites.serve({f"/{BUCKET}/k": fail}) as site:
        with pytest.raises(StorageFailed, match="answered 503"):
            Storage(settings(s3, endpoint_url=site.url(""))).put(b"x", "k", "text/plain")
        assert len(site.seen) == ATTEMPTS


def can_mount() -> bool:
    """Whether this machine lets us mount a small disk of our own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="no small disk can be mounted here (unshare --user --mount fails)")
def test_a_server_whose_disk_is_full(tmp_path: Path) -> None:
    """A storage without room is one sentence, and what fits is still taken."""
    mount = 'mount -t tmpfs -o size=4m tmpfs "$0" && mkdir "$0/outputs" && exec "$@"'
    before = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path / "objects"))
    with s3_server.run(tmp_path, before=before) as small:
        storage = Storage(settings(small))
        with pytest.raises(StorageFailed, match="storage 127"):
            storage.put(b"x" * 8 * MB, "too-large", "text/plain")
        stored = storage.put(b"fits", "small", "text/plain")
        assert stored.url is not None and get(stored.url) == b"fits"


JOB_CONFIG = {
    "accessId": s3_server.ACCESS_KEY_ID,
    "accessSecret": s3_server.SECRET_ACCESS_KEY,
    "bucketName": BUCKET,
}


def test_a_jobs_own_bucket(s3: S3Server) -> None:
    """A job's bucket is reached at the address that was checked, small and in parts, under its own name."""
    config = from_job({**JOB_CONFIG, "endpointUrl": f"http://bucket.test:{s3.port}"})
    allow = AllowList.parse([f"127.0.0.1:{s3.port}"])
    storage = Storage(dataclasses.replace(config, part_bytes=MB), allow=allow, resolve=lambda host, port: ["127.0.0.1"])
    storage.put(b"small", "job/small", "text/plain")
    stored = storage.put(b"large" * MB, "job/large", "text/plain")
    assert s3.object("job/small").read_bytes() == b"small"
    assert s3.object("job/large").stat().st_size == 5 * MB
    assert stored.url is not None and stored.url.startswith(f"http://bucket.test:{s3.port}/{BUCKET}/job/large?")


def test_a_jobs_own_bucket_inside_is_refused(s3: S3Server) -> None:
    """An s3Config can't make the worker talk to an address that isn't public."""
    with sites.serve({}) as inside:
        for endpoint in (inside.url(""), f"http://inward.test:{inside.port}", f"http://127.1:{inside.port}"):
            storage = Storage(
                from_job({**JOB_CONFIG, "endpointUrl": endpoint}), resolve=lambda host, port: ["127.0.0.1"]
            )
            with pytest.raises(StorageFailed, match=r"s3Config\.endpointUrl: the URL was not fetched"):
                storage.put(b"x", "k", "text/plain")
        assert inside.connections == 0


def test_a_jobs_own_bucket_that_is_down(s3: S3Server) -> None:
    """The pinned way retries and fails as the other one does."""
    with sites.serve({}) as gone:
        pass
    config = from_job({**JOB_CONFIG, "endpointUrl": gone.url("")})
    with pytest.raises(StorageUnreachable, match="in 4 attempts"):
        Storage(config, allow=AllowList.parse([gone.host])).put(b"x", "k", "text/plain")


KEYS = {"BUCKET_ACCESS_KEY_ID": "id", "BUCKET_SECRET_ACCESS_KEY": "secret"}


@pytest.mark.parametrize(
    ("endpoint", "bucket", "found"),
    [
        ("https://s3.eu-west-1.amazonaws.com", "b", ("https://s3.eu-west-1.amazonaws.com", "b", "eu-west-1")),
        ("https://my.b.s3.us-east-2.amazonaws.com/", "", ("https://s3.us-east-2.amazonaws.com", "my.b", "us-east-2")),
        ("https://b.s3.amazonaws.com", "b", ("https://s3.amazonaws.com", "b", "us-east-1")),
        ("https://x.r2.cloudflarestorage.com/b", "", ("https://x.r2.cloudflarestorage.com", "b", "auto")),
        ("https://nyc3.digitaloceanspaces.com", "b", ("https://nyc3.digitaloceanspaces.com", "b", "nyc3")),
        ("https://s3.us-west-004.backblazeb2.com", "b", ("https://s3.us-west-004.backblazeb2.com", "b", "us-west-004")),
        ("https://s3api-eu-ro-1.runpod.io/", "vol", ("https://s3api-eu-ro-1.runpod.io", "vol", "EU-RO-1")),
        ("http://minio:9000", "b", ("http://minio:9000", "b", "us-east-1")),
        ("http://[::1]:9000", "b", ("http://[::1]:9000", "b", "us-east-1")),
    ],
)
def test_endpoints_as_consoles_show_them(endpoint: str, bucket: str, found: tuple[str, str, str]) -> None:
    """Endpoint, bucket and region are read from what the providers' consoles give, and nothing asked twice."""
    read = from_environment({**KEYS, "BUCKET_ENDPOINT_URL": endpoint, "BUCKET_NAME": bucket})
    assert read is not None
    assert (read.endpoint_url, read.bucket, read.region) == found


def test_runpods_own_storage_has_no_links() -> None:
    """RunPod's S3 API knows no presigned links, so none is promised."""
    read = from_environment({**KEYS, "BUCKET_ENDPOINT_URL": "https://s3api-eu-ro-1.runpod.io", "BUCKET_NAME": "v"})
    assert read is not None and not read.has_links


def test_settings_never_show_their_keys() -> None:
    """A log line with the settings in it has no secret in it."""
    read = from_environment({**KEYS, "BUCKET_ENDPOINT_URL": "https://h", "BUCKET_NAME": "b"})
    assert "secret" not in repr(read).replace("secret_access_key", "")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({**KEYS, "BUCKET_ENDPOINT_URL": "https://h"}, "has no bucket in it"),
        ({**KEYS, "BUCKET_ENDPOINT_URL": "h:9000", "BUCKET_NAME": "b"}, "no plain http"),
        ({**KEYS, "BUCKET_ENDPOINT_URL": "https://u:p@h", "BUCKET_NAME": "b"}, "no plain http"),
        ({**KEYS, "BUCKET_ENDPOINT_URL": "https://h/other", "BUCKET_NAME": "b"}, "names another place"),
        ({**KEYS, "BUCKET_ENDPOINT_URL": "https://a.s3.amazonaws.com", "BUCKET_NAME": "b"}, "names another place"),
        (
            {"BUCKET_ENDPOINT_URL": "https://h", "BUCKET_NAME": "b"},
            "ID and BUCKET_SECRET_ACCESS_KEY missing",
        ),
        (KEYS, "keys and no endpoint"),
        ({**KEYS, "BUCKET_ENDPOINT_URL": "https://h/b", "BUCKET_LINK_HOURS": "200"}, "a link works"),
        ({**KEYS, "BUCKET_ENDPOINT_URL": "https://h/b", "BUCKET_LINK_HOURS": "x"}, "a link works"),
    ],
)
def test_half_a_bucket_stops_the_worker(environ: dict[str, str], says: str) -> None:
    """Variables that don't make a bucket are said at the start, by name, not after the first job's work."""
    with pytest.raises(SettingsError, match=says):
        from_environment(environ)


def test_no_bucket_is_no_mistake() -> None:
    """Without the variables there is simply no storage."""
    assert from_environment({}) is None


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("x", "s3Config is no object"),
        ({}, "s3Config.accessId, s3Config.accessSecret, s3Config.endpointUrl: missing"),
        ({**JOB_CONFIG, "endpointUrl": 5}, "s3Config.endpointUrl: missing"),
        ({**JOB_CONFIG, "endpointUrl": "ftp://x"}, "no plain http"),
        ({**JOB_CONFIG, "endpointUrl": "https://[x"}, "s3Config.endpointUrl"),
        ({"accessId": "i", "accessSecret": "s", "endpointUrl": "https://h"}, "has no bucket in it"),
    ],
)
def test_half_a_bucket_in_a_job(config: object, says: str) -> None:
    """An s3Config that can't be used is an input error that names the field."""
    with pytest.raises(InputInvalid, match=says):
        from_job(config)
