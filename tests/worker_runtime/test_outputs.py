"""What becomes of a handler's output: values, files, and what is too large."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import io
import json
import re
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3_server
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from worker_runtime.errors import InputInvalid, OutputTooLarge, OutputUnserialisable, StorageDenied
from worker_runtime.input_rules import AllowList
from worker_runtime.outputs import JobOutputs, OutputRules
from worker_runtime.storage_settings import StorageSettings
from worker_runtime.values import LIST_ELEMENTS, jsonable

PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 40
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")


@dataclass
class Point:
    """A dataclass with an array in it."""

    x: int
    rows: Any


class Answer(BaseModel):
    """A pydantic model."""

    when: datetime.date


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (10**30, 10**30),
        ({}, {}),
        ("héllo 你好", "héllo 你好"),
        (b"abc", "YWJj"),
        (bytearray(b"abc"), "YWJj"),
        ((1, (2, 3)), [1, [2, 3]]),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]], dtype=np.int8), [[1, 2], [3, 4]]),
        (np.zeros((0, 3)), []),
        (np.array("text"), "text"),
        ({"a": np.array([0.25], dtype=np.float16)}, {"a": [0.25]}),
        ({1: "one", Colour.RED: "r"}, {"1": "one", "red": "r"}),
        (Path("/tmp/x"), "/tmp/x"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (Colour.RED, "red"),
        (Point(1, np.array([2])), {"x": 1, "rows": [2]}),
        (Answer(when=datetime.date(2026, 1, 2)), {"when": "2026-01-02"}),
    ],
    ids=repr,
)
def test_converts(value: object, plain: object) -> None:
    """A value becomes the plain JSON that docs/worker.md promises."""
    assert jsonable(value) == plain
    assert json.loads(json.dumps(plain)) == plain


def test_a_set_becomes_a_list() -> None:
    """A set is a list, in any order."""
    assert sorted(jsonable({3, 1, 2})) == [1, 2, 3]


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"scores": [1.0, float("nan")]}, r"output\.scores\.1 is nan, which JSON can't hold"),
        (float("inf"), "output is inf"),
        (np.array([[1.0, np.nan]]), r"output\.0\.1 is nan"),
        ({"images": [b"x", object()]}, r"output\.images\.1 is of type builtins\.object, which can't be JSON"),
        ({"a": print}, r"output\.a is of type builtins\.builtin_function_or_method"),
        ({(1, 2): "x"}, "has a key of type tuple"),
        ({"a": {1: "x", "1": "y"}}, r"output\.a has two keys that are both '1'"),
        ([10**5000], r"output\.0 is a whole number of 16610 bits"),
        ("\ud800", "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        (1 + 2j, "builtins.complex"),
        (CYCLE, "contains itself"),
        (np.longdouble(1) / 3, "numpy.longdouble"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isprintable() else type(value).__name__,
)
def test_refuses_with_the_path(value: object, says: str) -> None:
    """What can't be JSON is an error that names the value's path, never something that the SDK would drop."""
    with pytest.raises(OutputUnserialisable, match=says):
        jsonable(value)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_always_json_or_an_error(value: Any) -> None:
    """Whatever comes out is strict JSON in UTF-8; whatever does not come out is our error."""
    try:
        plain = jsonable(value)
    except OutputUnserialisable:
        return
    json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    assert jsonable(plain) == plain
    assert JobOutputs({"id": "j"}, OutputRules()).finish(value) == plain


@pytest.mark.parametrize("value", [None, {}, [], "", 0, False])
def test_an_empty_output_is_an_output(value: object) -> None:
    """What is empty comes out as what it is."""
    assert JobOutputs({"id": "j"}, OutputRules()).finish(value) == value


def posted(output: object) -> int:
    """Return the size of a result as the SDK posts it."""
    return len(json.dumps({"output": output, "stopPod": True}, ensure_ascii=False).encode())


@given(VALUES, st.integers(30, 300))
def test_what_comes_out_is_never_larger_than_the_limit(value: Any, limit_bytes: int) -> None:
    """Whatever is returned fits into what RunPod takes, the SDK's own envelope included."""
    try:
        plain = JobOutputs({"id": "j"}, OutputRules(max_result_bytes=limit_bytes)).finish(value)
    except (OutputUnserialisable, OutputTooLarge):
        return
    assert posted(plain) <= limit_bytes


@pytest.mark.parametrize(("job_id", "limit"), [("7f2a-u1", 10_000_000), ("sync-7f2a-u1", 20_000_000)])
def test_a_result_over_runpods_limit_fails_with_its_size(job_id: str, limit: int) -> None:
    """Without a bucket or a volume, one byte too many is an error with both numbers and what to do."""
    envelope = posted("")
    outputs = JobOutputs({"id": job_id}, OutputRules())
    with pytest.raises(
        OutputTooLarge, match=f"the output is {limit + 1} bytes of JSON, and RunPod takes {limit}; set BU"
    ):
        outputs.finish("x" * (limit + 1 - envelope))
    assert len(outputs.finish("é" * ((limit - envelope) // 2))) == (limit - envelope) // 2


def test_the_parts_of_a_stream_share_the_limit() -> None:
    """RunPod gets the sum of a stream's parts once more at its end, so they count together."""
    outputs = JobOutputs({"id": "j"}, OutputRules(max_result_bytes=1000))
    for _ in range(2):
        outputs.finish("x" * 400)
    with pytest.raises(OutputTooLarge, match=r"after \d+ bytes of earlier parts"):
        outputs.finish("x" * 400)


def test_without_a_bucket_small_files_are_in_the_result(tmp_path: Path) -> None:
    """A file that is small is base64 in the result, with its name, type and size."""
    (tmp_path / "a.png").write_bytes(PNG)
    answer = JobOutputs({"id": "j"}, OutputRules()).finish({"images": [tmp_path / "a.png"], "seed": 3})
    assert answer["seed"] == 3
    assert answer["images"] == [
        {"name": "a.png", "content_type": "image/png", "size_bytes": len(PNG), "base64": base64.b64encode(PNG).decode()}
    ]


def test_files_in_the_result_share_a_limit_and_then_go_to_the_volume(tmp_path: Path) -> None:
    """What no longer fits into the result is copied to the volume, under the job, each under a name of its own."""
    volume = tmp_path / "volume"
    volume.mkdir()
    for folder, content in (("1", b"one"), ("2", b"two"), ("3", b"three")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x y.bin").write_bytes(content)
    rules = OutputRules(volume=volume, inline_bytes=4)
    answer = JobOutputs({"id": "../j/1"}, rules).finish([tmp_path / n / "x y.bin" for n in ("1", "2", "3")])
    assert [set(file) - {"name", "content_type", "size_bytes"} for file in answer] == [{"base64"}, {"path"}, {"path"}]
    assert [file["name"] for file in answer] == ["x_y.bin", "x_y-2.bin", "x_y-3.bin"]
    places = [Path(file["path"]) for file in answer[1:]]
    assert [place.read_bytes() for place in places] == [b"two", b"three"]
    assert {place.parent for place in places} == {volume / "outputs" / "_j_1"}
    assert sorted(path.name for path in places[0].parent.iterdir()) == ["x_y-2.bin", "x_y-3.bin"]


def test_a_large_file_without_a_place_is_an_error(tmp_path: Path) -> None:
    """A file that fits nowhere names its place in the output, its size and the fix."""
    (tmp_path / "film.mp4").write_bytes(b"x" * 100)
    with pytest.raises(OutputTooLarge, match=r"output\.film is a file of 100 bytes, and 50 more .*BUCKET_"):
        JobOutputs({"id": "j"}, OutputRules(inline_bytes=50)).finish({"film": tmp_path / "film.mp4"})


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    """A path that doesn't lead to a file is an error with its place."""
    for path, says in ((tmp_path / "none", "is no file"), (tmp_path, "is a directory")):
        with pytest.raises(OutputUnserialisable, match=rf"output\.0 is the path .* which {says}"):
            JobOutputs({"id": "j"}, OutputRules()).finish([path])


def test_large_arrays_become_npy_files() -> None:
    """An array that would be too long as a list is a file that numpy reads back; a smaller one is a list."""
    large = np.arange(LIST_ELEMENTS + 1, dtype=np.uint8)
    rules = OutputRules()
    (answer,) = JobOutputs({"id": "j"}, rules).finish({"mask": large}).values()
    assert (answer["name"], answer["content_type"]) == ("mask.npy", "application/octet-stream")
    assert (np.load(io.BytesIO(base64.b64decode(answer["base64"]))) == large).all()
    assert JobOutputs({"id": "j"}, rules).finish(large[:3]) == [0, 1, 2]


def test_what_is_too_large_goes_to_the_volume_whole(tmp_path: Path) -> None:
    """A result over the limit becomes a JSON file, and the keys that are the SDK's stay."""
    outputs = JobOutputs({"id": "j"}, OutputRules(volume=tmp_path, max_result_bytes=1000))
    answer = outputs.finish({"text": "é" * 1000, "refresh_worker": True, "error": "half done"})
    assert {key: answer[key] for key in ("refresh_worker", "error")} == {"refresh_worker": True, "error": "half done"}
    place = Path(answer["output_file"]["path"])
    assert json.loads(place.read_bytes()) == {"text": "é" * 1000}
    assert place == tmp_path / "outputs" / "j" / "output.json"
    assert outputs.finish("y" * 900)["output_file"]["name"] == "output-2.json"


def test_a_full_volume_is_one_sentence(tmp_path: Path) -> None:
    """A copy that doesn't fit names both sizes and leaves nothing half behind."""
    if shutil.which("unshare") is None or subprocess.run([*OWN_MOUNTS, "true"], check=False).returncode != 0:
        pytest.skip("no small disk can be mounted here (unshare --user --mount fails)")
    volume, film = tmp_path / "volume", tmp_path / "film.mp4"
    volume.mkdir()
    film.write_bytes(b"x" * 2_000_000)
    code = f"""
from pathlib import Path
from worker_runtime.errors import StorageFailed
from worker_runtime.outputs import JobOutputs, OutputRules
volume = Path({str(volume)!r})
try:
    JobOutputs({{"id": "j"}}, OutputRules(volume=volume, inline_bytes=0)).finish({{"film": Path({str(film)!r})}})
except StorageFailed as error:
    print(error, [path.name for path in volume.rglob("*")])
"""
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    command = [*OWN_MOUNTS, "sh", "-c", mount, str(volume), sys.executable, "-c", code]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed == (
        f"storage_failed: output.film has 2000000 bytes, and {volume} has {2**20} free;"
        " remove old outputs, or grow the volume ['outputs', 'j']\n"
    )


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageSettings]:
    """A bucket on a real S3 server."""
    with s3_server.run(tmp_path_factory.mktemp("s3")) as server:
        keys = (s3_server.ACCESS_KEY_ID, s3_server.SECRET_ACCESS_KEY)
        yield StorageSettings(server.endpoint_url, s3_server.BUCKET, *keys)


def get(url: str) -> bytes:
    """Fetch a link as anybody would."""
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def test_with_a_bucket_every_file_is_a_link(bucket: StorageSettings, tmp_path: Path) -> None:
    """Files go to the bucket under the job's id, and their links work."""
    (tmp_path / "a.png").write_bytes(PNG)
    job = {"id": "sync-1-u1"}
    answer = JobOutputs(job, OutputRules(storage=bucket)).finish([tmp_path / "a.png", tmp_path / "a.png", "text"])
    assert answer[2] == "text"
    assert [file["location"] for file in answer[:2]] == [f"s3://outputs/sync-1-u1/a{n}.png" for n in ("", "-2")]
    assert all(get(file["url"]) == PNG and "base64" not in file for file in answer[:2])


def test_a_result_of_30_mb_arrives_through_the_bucket(bucket: StorageSettings) -> None:
    """What RunPod would refuse and the SDK would drop is one link, and every byte is behind it."""
    value = {"text": "é" * 15_000_000, "n": 1}
    answer = JobOutputs({"id": "large"}, OutputRules(storage=bucket)).finish(value)
    assert posted(answer) < 2000
    assert json.loads(get(answer["output_file"]["url"])) == value


@pytest.mark.parametrize("has_volume", [True, False])
def test_a_bucket_that_fails_loses_nothing(has_volume: bool, bucket: StorageSettings, tmp_path: Path) -> None:
    """With the bucket failing, files go into the result or onto the volume, with the reason; else it is the error."""
    volume = tmp_path if has_volume else None
    wrong = dataclasses.replace(bucket, secret_access_key="wrong")
    outputs = JobOutputs({"id": "j"}, OutputRules(storage=wrong, volume=volume, inline_bytes=10))
    (tmp_path / "small.bin").write_bytes(b"small")
    (tmp_path / "large.bin").write_bytes(b"x" * 100)
    small = outputs.finish(tmp_path / "small.bin")
    assert base64.b64decode(small["base64"]) == b"small"
    assert small["storage_error"].startswith("storage_denied: the storage 127.0.0.1 refuses the keys")
    if volume:
        assert Path(outputs.finish(tmp_path / "large.bin")["path"]).read_bytes() == b"x" * 100
    else:
        with pytest.raises(StorageDenied):
            outputs.finish(tmp_path / "large.bin")


def test_a_jobs_own_bucket_comes_first(bucket: StorageSettings, tmp_path: Path) -> None:
    """A job's s3Config wins over the worker's bucket, and is checked before the handler runs."""
    elsewhere = dataclasses.replace(bucket, bucket="none")
    config = {
        "accessId": bucket.access_key_id,
        "accessSecret": bucket.secret_access_key,
        "bucketName": bucket.bucket,
        "endpointUrl": bucket.endpoint_url,
    }
    rules = OutputRules(storage=elsewhere, allow=AllowList.parse(["127.0.0.1:*"]))
    (tmp_path / "a.txt").write_bytes(b"mine")
    assert get(JobOutputs({"id": "own", "s3Config": config}, rules).finish(tmp_path / "a.txt")["url"]) == b"mine"
    with pytest.raises(InputInvalid, match=r"s3Config\.accessSecret: missing"):
        JobOutputs({"id": "own", "s3Config": {**config, "accessSecret": ""}}, rules)


def test_importing_it_is_cheap() -> None:
    """No heavy library is imported before it is needed."""
    heavy = (
        "boto3",
        "botocore",
        "httpcore2",
        "urllib3",
        "numpy",
        "torch",
        "PIL",
        "runpod",
        "concurrent.futures.process",
    )
    code = f"import sys, worker_runtime.inputs, worker_runtime.outputs; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_what_it_imports_comes_with_the_workers_requirements() -> None:
    """boto3, urllib3 and certifi come with the SDK, httpcore2 with the Hub's client; the image installs no more."""

    def brings(package: str) -> set[str]:
        return {re.split(r"[^\w-]", line)[0] for line in metadata.requires(package) or [] if "extra ==" not in line}

    assert {"boto3", "urllib3", "requests"} <= brings("runpod")
    assert "certifi" in brings("requests")
    assert "httpx2" in brings("huggingface_hub") and "httpcore2" in brings("httpx2")
