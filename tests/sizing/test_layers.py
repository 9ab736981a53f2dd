"""A layer's unpacked size from its ends: exact where it can be known, and said to be a guess where it can't."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.sizing.layers import GZIP, HEAD_BYTES, TAIL_BYTES, WRAP, ZSTD, Unpacked, settle, unpacked

GIB = 2**30


def ends(blob: bytes) -> Unpacked:
    """Ask for a whole blob's unpacked size."""
    return unpacked(len(blob), blob[:HEAD_BYTES], blob[-TAIL_BYTES:])


def gzip_of(stored_bytes: int, true_bytes: int) -> Unpacked:
    """Ask for a gzip layer that is too large to make."""
    return unpacked(stored_bytes, GZIP, (true_bytes % WRAP).to_bytes(4, "little"))


@given(st.binary(max_size=4000), st.integers(0, 9))
def test_gzip_is_exact(content: bytes, level: int) -> None:
    """Any content, at any level, gives its own length back."""
    assert ends(gzip.compress(content, level)) == Unpacked(len(content), is_exact=True)


@pytest.mark.parametrize(
    "content", [b"", os.urandom(100_000), bytes(100_000)], ids=["nothing", "incompressible", "zeros"]
)
def test_extremes_of_compression(content: bytes) -> None:
    """What can't be compressed, and what vanishes, is exact too."""
    assert ends(gzip.compress(content)) == Unpacked(len(content), is_exact=True)


def test_plain_tar_is_its_own_size() -> None:
    """A layer that is no gzip and no zstd is a tar."""
    assert ends(b"bin/" + bytes(508)) == Unpacked(512, is_exact=True)


@pytest.mark.parametrize(
    ("stored", "true", "is_exact"),
    [
        (int(0.4 * GIB), int(1.5 * GIB), True),
        (int(2.8 * GIB), int(4.6 * GIB), False),  # CUDA libraries: over 4 GiB, the least plausible multiple is right
        (5 * GIB, int(5.6 * GIB), False),  # weights
        (int(1.2 * GIB), int(4.4 * GIB), False),
        (14 * GIB, 15 * GIB, False),
    ],
)
def test_large_layers(stored: int, true: int, is_exact: bool) -> None:
    """Over 4 GiB the smallest size that the stored bytes allow is taken, and called open when others fit."""
    assert gzip_of(stored, true) == Unpacked(true, is_exact=is_exact, may_wrap=not is_exact)


def test_several_members_are_a_guess() -> None:
    """A stream of several gzip members (eStargz) can't be told from its end, and says so."""
    blob = b"".join(gzip.compress(os.urandom(5000)) for _ in range(20)) + gzip.compress(b"")
    found = ends(blob)
    assert not found.is_exact
    assert found.size_bytes > len(blob)


@given(st.integers(0, 2**34), st.integers(0, 2**36))
def test_never_below_what_is_stored(stored: int, true: int) -> None:
    """Whatever stands in the tail, a layer does not shrink by unpacking, except by gzip's own overhead."""
    assert gzip_of(stored, true).size_bytes >= stored / 1.001 - 65


@given(st.binary(max_size=40), st.integers(0, 2**40))
def test_any_bytes_give_a_size(head: bytes, stored: int) -> None:
    """No bytes make it fail."""
    for start in (b"", GZIP, ZSTD):
        assert unpacked(stored, start + head, head[-4:]).size_bytes >= 0


@pytest.mark.parametrize(
    ("header", "stored", "expected"),
    [
        (bytes([0x20, 200]), 150, Unpacked(200, is_exact=True)),  # single segment, one byte
        (bytes([0x60]) + (1000 - 256).to_bytes(2, "little"), 700, Unpacked(1000, is_exact=True)),
        (bytes([0x80, 0x58]) + (70_000).to_bytes(4, "little"), 30_000, Unpacked(70_000, is_exact=True)),
        (bytes([0xC0, 0x58]) + (6 * GIB).to_bytes(8, "little"), 4 * GIB, Unpacked(6 * GIB, is_exact=True)),
        (bytes([0xA1, 7]) + (70_000).to_bytes(4, "little"), 30_000, Unpacked(70_000, is_exact=True)),  # dictionary id
        (bytes([0x00, 0x58]), 1000, Unpacked(2500, is_exact=False)),  # a stream: its writer did not know
        (bytes([0x20, 200]), 90_000, Unpacked(225_000, is_exact=False)),  # many frames
    ],
)
def test_zstd_frame_header(header: bytes, stored: int, expected: Unpacked) -> None:
    """Each form of zstd's frame header is read; without a size it is a guess that says so."""
    assert unpacked(stored, (ZSTD + header).ljust(HEAD_BYTES, b"\0"), b"") == expected


@pytest.mark.parametrize(
    ("total", "engine", "expected"),
    [
        (5 * GIB, int(4.9 * GIB), 5 * GIB),
        (2 * GIB, int(5.9 * GIB), 6 * GIB),
        (2 * GIB, int(9.8 * GIB), 10 * GIB),
        (5 * GIB, 2 * GIB, None),  # an engine that counts compressed bytes
        (1_000_000, 100_000, 1_000_000),
    ],
)
def test_an_engine_settles_the_multiples(total: int, engine: int, expected: int | None) -> None:
    """The engine's own figure says how often 4 GiB were lost; one that fits nothing says nothing."""
    assert settle(total, engine) == expected


def test_isize_is_where_zlib_puts_it() -> None:
    """zlib itself writes the length where we read it."""
    packer = zlib.compressobj(wbits=31)
    blob = packer.compress(b"x" * 123_456) + packer.flush()
    assert ends(blob).size_bytes == 123_456
