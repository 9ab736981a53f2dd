"""gzip by ISA-L, and whether it pays: a sample of the file and the uplink say so.

ISA-L packs bf16 weights to 78 % as fast as a loopback registry takes them (measured 2026-11-23), where zlib manages
7 MiB/s a core; every engine can pull gzip, older ones no zstd. Weights that don't shrink are sent as they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from factory.lanes.packing import Compress, Compression, Parcel
from factory.ports import WeightSource
from factory.references import is_loopback, parse

GZIP_LEVEL = 1  # of ISA-L's 0 to 3
GZIP_WINDOW = 31  # zlib's `wbits` for a gzip container
SAMPLE_BYTES = 4 << 20
SAVES_ENOUGH = 0.5  # of the bytes of each worker's pull, whatever the uplink; less isn't worth the unpacking there
ASSUMED_UPLINK_BYTES_PER_S = 12_500_000.0  # 100 Mbit/s, until this run has sent something
LOOPBACK_BYTES_PER_S = 1e9  # a registry on this machine


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided for a layer, and why, for people."""

    compression: Compression
    why: str


def packed(content: Iterator[bytes]) -> Iterator[bytes]:
    """Yield it as gzip, with neither name nor time: the same bytes for the same version of ISA-L."""
    from isal import isal_zlib

    packer = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, GZIP_WINDOW)
    for piece in content:
        if part := packer.compress(piece):
            yield part
    yield packer.flush()


def known_uplink(repository: str) -> float | None:
    """Return what is known of the way to a repository's registry before anything was sent: bytes a second."""
    return LOOPBACK_BYTES_PER_S if is_loopback(parse(repository).registry) else None


def choose(compress: Compress, parcel: Parcel, source: WeightSource, uplink_bytes_per_s: float | None) -> Choice:
    """Decide for a layer; `auto` reads the beginning of its largest file. Raises what the source does."""
    if compress != "auto":
        return Choice(compress, "as asked")
    ratio, pace = _measure(parcel, source)
    return decide(ratio, pace, uplink_bytes_per_s)


def decide(ratio: float, gzip_bytes_per_s: float, uplink_bytes_per_s: float | None) -> Choice:
    """Return gzip when it saves half, or when packing and sending at once end before sending all would."""
    uplink = uplink_bytes_per_s or ASSUMED_UPLINK_BYTES_PER_S
    said = "known" if uplink_bytes_per_s else "assumed"
    why = f"a sample shrinks to {ratio:.0%}, uplink {uplink / 125_000:,.0f} Mbit/s ({said})"
    is_faster = max(1 / gzip_bytes_per_s, ratio / uplink) < 1 / uplink
    return Choice("gzip" if ratio <= SAVES_ENOUGH or (is_faster and ratio < 1) else "none", why)


def _measure(parcel: Parcel, source: WeightSource) -> tuple[float, float]:
    """Return what a sample shrinks to, and how many bytes a second ISA-L takes of it."""
    largest = max(parcel.weights, key=lambda weight: weight.file.size_bytes)
    sample = bytearray()
    for piece in source.read(largest.repo, largest.commit, largest.file):
        sample += piece
        if len(sample) >= SAMPLE_BYTES:
            break  # the iterator falls away, and its connection with it
    if not sample:
        return 1.0, float(SAMPLE_BYTES)
    start_s = time.perf_counter()
    size = sum(map(len, packed(iter([bytes(sample)]))))
    return size / len(sample), len(sample) / max(time.perf_counter() - start_s, 1e-6)
