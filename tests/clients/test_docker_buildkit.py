"""BuildKit's trace, decoded without protobuf: right on what BuildKit sends, and quiet on junk."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from factory.clients.docker_buildkit import Log, Status, Trace, decode, wire_fields


def varint(number: int) -> bytes:
    """Encode a number as protobuf does."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | bytes) -> bytes:
    """Encode a field: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def encoded(*fields: bytes) -> str:
    """Encode a message as the engine sends it."""
    return base64.b64encode(b"".join(fields)).decode()


def test_a_vertex() -> None:
    """Digest, name, cached, both times and the error are read."""
    times = field(5, field(1, 100) + field(2, 500_000_000)), field(6, field(1, 103))
    body = (
        field(1, b"sha256:a"),
        field(2, b"sha256:0"),
        field(3, b"[2/3] RUN x"),
        field(4, 1),
        *times,
        field(7, b"no"),
    )
    (vertex,) = decode(encoded(field(1, b"".join(body)))).vertexes
    assert (vertex.digest, vertex.name, vertex.is_cached, vertex.error) == ("sha256:a", "[2/3] RUN x", True, "no")
    assert (vertex.started_s, vertex.completed_s) == (100.5, 103)


def test_statuses_and_logs() -> None:
    """What moves and what is printed is read, several to a message."""
    status = field(1, b"layer") + field(2, b"sha256:a") + field(4, 7) + field(5, 1 << 40)
    logs = (field(3, field(1, b"sha256:a") + field(3, 1) + field(4, text)) for text in (b"caf\xc3\xa9\n", b"\xff"))
    assert decode(encoded(field(2, status), *logs)) == Trace(
        statuses=(Status("layer", "sha256:a", 7, 1 << 40),), logs=(Log("sha256:a", "café\n"), Log("sha256:a", "\ufffd"))
    )


def test_unknown_fields_are_passed_over() -> None:
    """Fields of other kinds and later versions change nothing."""
    later = varint(9 << 3 | 1) + bytes(8) + varint(10 << 3 | 5) + bytes(4) + field(99, b"later")
    assert decode(encoded(later, field(3, field(4, b"hi")))).logs == (Log("", "hi"),)


@given(st.dictionaries(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1) | st.binary(max_size=300), max_size=8))
def test_what_is_written_is_read(fields: dict[int, int | bytes]) -> None:
    """Every message of numbers and bytes comes back."""
    written = b"".join(field(number, value) for number, value in fields.items())
    assert wire_fields(written) == {number: [value] for number, value in fields.items()}


@given(st.binary(max_size=400))
def test_junk_never_raises(junk: bytes) -> None:
    """Progress is no reason to fail a build, whatever arrives."""
    wire_fields(junk)
    decode(base64.b64encode(junk).decode())
    decode(junk.decode("latin-1"))


@given(st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.text()))
def test_aux_of_another_kind_is_an_empty_trace(aux: object) -> None:
    """`aux` may be anything; what isn't base64 of a message is nothing."""
    assert isinstance(decode(aux), Trace)


def test_a_cut_message_gives_its_whole_fields() -> None:
    """A message cut anywhere gives what was whole before the cut."""
    whole = field(3, field(4, b"one")) + field(3, field(4, b"two"))
    assert [len(decode(base64.b64encode(whole[:cut]).decode()).logs) for cut in (0, 4, 7, 8, len(whole))] == [
        0,
        0,
        1,
        1,
        2,
    ]
