"""Layers as they stream by: the same entries in any chunks and compression, and one sentence for a broken one."""

from __future__ import annotations

import gzip
import random
import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layered import pieces, tar_of

from factory.errors import VerifyError
from factory.layering.contents import Entry
from factory.layering.tar_reading import Unreadable, read_layer

NAMES = st.text("abc./é", min_size=1, max_size=160).map(lambda name: f"x{name.replace('//', '/').strip('/')}")


@given(files=st.dictionaries(NAMES, st.binary(max_size=9000), max_size=6), size_bytes=st.integers(1, 20_000))
def test_every_file_is_found_in_any_chunks(files: dict[str, bytes], size_bytes: int) -> None:
    """Names of any length and content of any size come back, plain and gzipped alike; large content has a digest."""
    tar = tar_of(files)
    plain = read_layer(pieces(tar, size_bytes), "here")
    assert [(entry.path, entry.size_bytes) for entry in plain] == [(n, len(c)) for n, c in files.items()]
    assert all(bool(entry.digest) is (entry.size_bytes >= 4096) for entry in plain)
    assert read_layer(pieces(gzip.compress(tar), size_bytes), "here") == plain


def test_whiteouts_are_told_from_files() -> None:
    """A path that is gone, and a folder of which all below is, carry the names of what they hide."""
    found = read_layer(pieces(tar_of({"./a/.wh.b": b"", "c/.wh..wh..opq": b"", ".wh.d": b""})), "here")
    assert found == (Entry("a/b", "removed"), Entry("c", "emptied"), Entry("d", "removed"))


def test_equal_content_has_one_digest() -> None:
    """Two files of the same content and another of the same size."""
    one, other = random.Random(1).randbytes(5000), random.Random(2).randbytes(5000)
    found = {entry.path: entry.digest for entry in read_layer([tar_of({"a": one, "b": one, "c": other})], "here")}
    assert found["a"] == found["b"] != found["c"]


@pytest.mark.parametrize(
    "broken",
    [
        gzip.compress(tar_of({"a": random.Random(3).randbytes(9000)}))[:-2000],
        tar_of({"a": bytes(9000)})[:5000],
        b"\x1f\x8b" + bytes(600),
        b"no tar" * 200,
    ],
    ids=["cut gzip", "cut tar", "no gzip", "nothing known"],
)
def test_a_broken_layer_is_one_sentence(broken: bytes) -> None:
    """What is cut off or is no layer raises VerifyError with its place."""
    with pytest.raises(VerifyError, match="a layer can't be read") as caught:
        read_layer([broken], "r/x@sha256:1")
    assert caught.value.where == "r/x@sha256:1"


def test_zstd_is_told_not_guessed() -> None:
    """A layer in a form that the reader doesn't know is no broken one."""
    with pytest.raises(Unreadable, match="zstd"):
        read_layer([b"\x28\xb5\x2f\xfd" + bytes(100)], "here")


def test_memory_holds_names_and_no_content() -> None:
    """A layer of 150 MB goes by in a few megabytes of memory."""
    content, size_bytes = bytes(1 << 20), 150 << 20
    header = tarfile.TarInfo("weights")
    header.size = size_bytes

    def chunks() -> Iterator[bytes]:
        yield header.tobuf()
        for _ in range(size_bytes // len(content)):
            yield content
        yield bytes(10240)

    tracemalloc.start()
    try:
        [found] = read_layer(chunks(), "here")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.size_bytes == size_bytes
    assert peak_bytes < 12 << 20
