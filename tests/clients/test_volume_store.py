"""The S3 client where RunPod's API is odd: a listing that turns in circles, an end that answers 502, a cut read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import s3_server
from s3_server import S3Server
from scripted_site import Asked, Step, scripted
from volume_stage import door

from factory.account import S3_DATA_CENTERS, s3_url
from factory.errors import StoreDenied, StoreFailed, StoreFull, StoreMissing, StoreUnreachable

XML = '<?xml version="1.0"?>'


def page(keys: list[str], token: str | None) -> Step:
    """Return a page of a listing."""
    rows = "".join(
        f"<Contents><Key>{key}</Key><Size>3</Size><LastModified>2026-11-25T01:02:03Z</LastModified></Contents>"
        for key in keys
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return Step(200, f"{XML}<ListBucketResult>{rows}{more}</ListBucketResult>".encode())


def refusal(status: int, code: str, message: str = "no") -> Step:
    """Return S3's answer for an error."""
    return Step(status, f"{XML}<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


def query(asked: Asked) -> dict[str, str]:
    """Return a request's query."""
    return {name: values[0] for name, values in parse_qs(urlsplit(asked.path).query, keep_blank_values=True).items()}


def test_a_listing_goes_on_by_token() -> None:
    """Pages follow each other by their token."""
    with scripted(page(["a", "b"], "one"), page(["c"], "two"), page(["d/"], None)) as site:
        found = [(o.path, o.size_bytes, o.changed_at) for o in door(site.url).list("x")]
    assert [path for path, *_ in found] == ["a", "b", "c", "d/"] and found[0][1:] == (3, "2026-11-25T01:02:03+00:00")
    assert [query(asked).get("continuation-token") for asked in site.asked] == [None, "one", "two"]


def test_a_token_that_comes_again_is_gone_around() -> None:
    """RunPod's "same next token" above 10,000 files: the listing goes on after the last name, each file once."""

    def choose(asked: Asked) -> Step:
        after = query(asked).get("start-after")
        if after == "d":
            return page(["e"], None)
        return page(["a", "b"], "same") if "continuation-token" not in query(asked) else page(["b", "c", "d"], "same")

    with scripted(choose=choose) as site:
        assert [o.path for o in door(site.url).list()] == ["a", "b", "c", "d", "e"]


def test_a_listing_in_circles_ends_in_a_sentence() -> None:
    """When not even that helps, it says so instead of turning for ever."""
    with scripted(page(["a"], "same")) as site:
        listing = door(site.url).list()
        assert next(listing).path == "a"
        with pytest.raises(StoreFailed, match="the listing doesn't go on after 1 files"):
            list(listing)
        assert len(site.asked) <= 3


@pytest.mark.parametrize(
    ("size_bytes", "is_there"), [(10, True), (11, False)], ids=["the size is right", "it is another file"]
)
def test_an_end_that_answered_502_may_have_worked(size_bytes: int, is_there: bool) -> None:
    """After 502 the upload is gone and the file is there: its size says whether all went well."""
    ends = iter([refusal(502, "BadGateway"), refusal(404, "NoSuchUpload")])

    def choose(asked: Asked) -> Step:
        return Step(200, b"0123456789") if asked.method == "HEAD" else next(ends)

    with scripted(choose=choose) as site:
        complete: Callable[[], None] = lambda: door(site.url).complete("f", "u", {1: "a", 2: "b"}, size_bytes)  # noqa: E731
        if is_there:
            complete()
        else:
            with pytest.raises(StoreFailed, match="f has 10 bytes after 11 bytes in 2 parts"):
                complete()


@pytest.mark.parametrize(
    ("step", "error", "sentence"),
    [
        (refusal(403, "SignatureDoesNotMatch"), StoreDenied, "refuses the keys (SignatureDoesNotMatch)"),
        (refusal(404, "NoSuchBucket"), StoreMissing, "there is no such volume"),
        (refusal(507, "InsufficientStorage"), StoreFull, "the volume is full"),
        (refusal(400, "Bad", "Disk quota exceeded"), StoreFull, "the volume is full"),
        (refusal(400, "Strange"), StoreFailed, "answers 400 (Strange)"),
    ],
)
def test_each_refusal_is_one_sentence(step: Step, error: type[Exception], sentence: str) -> None:
    """What is wrong, where, what to do; no key and no signature."""
    with scripted(step) as site, pytest.raises(error) as caught:
        door(site.url).put("a", b"x")
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    assert s3_server.ACCESS_KEY_ID not in str(caught.value) and s3_server.SECRET_ACCESS_KEY not in str(caught.value)


def test_a_read_that_breaks_off_goes_on_where_it_broke() -> None:
    """Half an answer is followed by a request for the other half; breaking off without a byte has an end."""

    def choose(asked: Asked) -> Step:
        start, stop = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
        content = bytes(range(100))[start : stop + 1]
        return Step(206, content, ends="cut" if start == 0 else "whole")

    with scripted(choose=choose) as site:
        assert b"".join(door(site.url).read("f", 0, 100)) == bytes(range(100))
        assert [asked.headers["range"] for asked in site.asked] == ["bytes=0-99", "bytes=50-99"]
    with scripted(Step(206, b"x", ends="cut")) as site, pytest.raises(StoreUnreachable, match="no connection"):
        list(door(site.url).read("f", 0, 100))


def test_an_address_for_each_data_centre() -> None:
    """RunPod's address has the data centre's id in small letters; elsewhere there is none."""
    assert s3_url("EUR-IS-1") == "https://s3api-eur-is-1.runpod.io"
    assert s3_url("US-TX-3") is None and len(S3_DATA_CENTERS) == 15


# --- against a real server -----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """rclone, over an empty folder."""
    with s3_server.run(tmp_path_factory.mktemp("s3")) as started:
        yield started


@pytest.mark.parametrize("path", ["a", "a b/ü.bin", "models/org--m@0123/x+y (1).txt"])
def test_files_come_back_as_they_went(server: S3Server, path: str) -> None:
    """Any name; whole, a range, copied, gone."""
    store = door(server.endpoint_url)
    store.demand()
    store.put(path, b"0123456789")
    assert server.object(path).read_bytes() == b"0123456789"
    found = store.head(path)
    assert found and (found.path, found.size_bytes) == (path, 10) and found in list(store.list())
    assert b"".join(store.read(path)) == b"0123456789" and b"".join(store.read(path, 3, 5)) == b"34"
    store.copy(path, f"{path}.copy")
    assert b"".join(store.read(f"{path}.copy")) == b"0123456789"
    for name in (path, f"{path}.copy", path):
        store.delete(name)
    assert store.head(path) is None
    with pytest.raises(StoreFailed, match="there is no"):
        list(store.read(path))


def test_parts_become_a_file_at_the_end(server: S3Server, tmp_path: Path) -> None:
    """Nothing is seen before; what was dropped is no upload any more."""
    store = door(server.endpoint_url)
    upload = store.begin("big")
    tags = {number: store.send_part("big", upload, number, bytes([number]) * 1000) for number in (1, 2, 3)}
    assert store.parts("big", upload) == tags and store.head("big") is None
    store.complete("big", upload, tags, 3000)
    assert server.object("big").read_bytes() == b"".join(bytes([n]) * 1000 for n in (1, 2, 3))
    other = store.begin("big")
    store.abort("big", other)
    store.abort("big", other)
    assert store.parts("big", other) is None
