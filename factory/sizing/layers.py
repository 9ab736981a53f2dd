"""How large a layer is unpacked, from its first and last bytes: no download of the layer. Pure functions.

| stored as | where its tar's size is | exact |
| --- | --- | --- |
| plain tar | the blob's own size | yes |
| gzip | ISIZE, the last four bytes, modulo 2^32 (RFC 1952, 2.3.1) | when one multiple alone is plausible |
| zstd | Frame_Content_Size of the first frame (RFC 8878, 3.1.1), where the writer put one | when it is there |

Measured 2026-11-23: 1,661.56 MB foretold, 1,661.6 MB unpacked, for an image of Python and CPU torch.
"""

from __future__ import annotations

from typing import NamedTuple

HEAD_BYTES = 18  # magic number and the longest frame header of zstd
TAIL_BYTES = 4  # gzip's ISIZE

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

WRAP = 2**32
# Deflate can't blow up by more than 5 bytes in each stored block, of at most 65,535 (RFC 1951, 3.2.4).
MOST_GROWTH = 1.001
# Whole images unpack to 1.1 (weights) to 3.7 times (Python packages) their size (measured 2026-11-23); no layer of
# software comes near eight times.
HIGHEST_RATIO = 8
TYPICAL_RATIO = 2.5  # what an unknown layer is taken for


class Unpacked(NamedTuple):
    """A layer's tar: its bytes, whether they are certain, and if not, whether whole multiples of 4 GiB are open."""

    size_bytes: int
    is_exact: bool
    may_wrap: bool = False


def unpacked(stored_bytes: int, head: bytes, tail: bytes) -> Unpacked:
    """Return the unpacked size of a layer of `stored_bytes` with these first (18) and last (4) bytes."""
    if head.startswith(GZIP):
        return _gzip(stored_bytes, int.from_bytes(tail[-TAIL_BYTES:], "little"))
    if head.startswith(ZSTD):
        return _zstd(stored_bytes, head)
    return Unpacked(stored_bytes, is_exact=True)


def settle(total_bytes: int, engine_bytes: int) -> int | None:
    """Return a total with the 4 GiB multiples that an engine's own figure settles; None when the two don't fit.

    The engine counts the files' content, a tar adds a header of 512 bytes or more and padding for each, so the tars
    are the larger by some per cent: less than half for any image that matters here.
    """
    wraps = max(0, round((engine_bytes - total_bytes) / WRAP))
    settled = total_bytes + wraps * WRAP
    return settled if engine_bytes <= settled * 1.01 and settled <= engine_bytes * 1.5 + 64_000_000 else None


def _gzip(stored_bytes: int, isize: int) -> Unpacked:
    least = int(stored_bytes / MOST_GROWTH) - 64
    wraps = max(0, -((isize - least) // WRAP)) if isize < least else 0
    size = isize + wraps * WRAP
    most = stored_bytes * HIGHEST_RATIO
    if size > most and wraps:
        # Smaller than what is stored, and no multiple fits: several gzip members (eStargz), each with its own ISIZE.
        return Unpacked(int(stored_bytes * TYPICAL_RATIO), is_exact=False)
    may_wrap = size + WRAP <= most
    return Unpacked(size, is_exact=not may_wrap, may_wrap=may_wrap)


def _zstd(stored_bytes: int, head: bytes) -> Unpacked:
    guess = Unpacked(int(stored_bytes * TYPICAL_RATIO), is_exact=False)
    if len(head) < HEAD_BYTES:
        return guess
    descriptor = head[4]
    is_single = bool(descriptor & 0x20)
    width = {0: 1 if is_single else 0, 1: 2, 2: 4, 3: 8}[descriptor >> 6]
    start = 5 + (0 if is_single else 1) + (0, 1, 2, 4)[descriptor & 0x03]
    if width == 0:
        return guess
    size = int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)
    # A first frame smaller than the blob is one of many (zstd:chunked).
    return Unpacked(size, is_exact=True) if size * MOST_GROWTH + 64 >= stored_bytes else guess
