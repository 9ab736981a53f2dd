"""The journal, a file on its way, the shares of the connections, and what a server's words mean."""

from __future__ import annotations

import contextlib
import http.client
import random
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_app import git_sha1, sha256

from worker_runtime.recipe import Model, WeightFile
from worker_runtime.weights import arriving, hub, journal, wire
from worker_runtime.weights.arriving import Arriving
from worker_runtime.weights.journal import Journal
from worker_runtime.weights.work import Work

CONTENT = random.Random(5).randbytes(100_000)
PATHS = st.sampled_from(["a.bin", "sub/ü [x].bin", "\ud800"])
RANGES = st.tuples(st.integers(0, 90), st.integers(1, 10)).map(lambda pair: (pair[0], pair[0] + pair[1]))
ENTRIES = st.lists(
    st.one_of(
        st.tuples(st.just("range"), PATHS, RANGES),
        st.tuples(st.just("sealed"), PATHS, st.just("sha256:x")),
        st.tuples(st.just("reset"), PATHS, st.none()),
    ),
    max_size=12,
)


def weight(content: bytes = CONTENT, *, digest: str | None = None) -> WeightFile:
    """Return the recipe's row of a file."""
    return WeightFile(path="a.bin", size_bytes=len(content), digest=digest or sha256(content))


def write(path: Path, entries: list[tuple[str, str, object]]) -> None:
    """Write a journal."""
    found = Journal(path)
    for kind, name, value in entries:
        if isinstance(value, tuple):
            found.range(name, *value)
        elif kind == "sealed":
            found.sealed(name, str(value))
        else:
            found.reset(name)
    found.close()


@given(entries=ENTRIES, cut=st.integers(0, 400), more=ENTRIES)
def test_a_journal_cut_anywhere(
    entries: list[tuple[str, str, object]],
    cut: int,
    more: list[tuple[str, str, object]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever a kill left of the last line: what is read is what whole lines say, and later lines count in full."""
    path = tmp_path_factory.mktemp("journal") / "journal"
    write(path, entries)
    raw = path.read_bytes()
    path.write_bytes(raw[:cut])
    kept = raw[:cut].count(b"\n") - 1 if cut else 0  # the first line is empty
    whole = entries[: max(0, kept)]
    is_last_whole = cut < len(raw) and raw[cut : cut + 1] == b"\n" and cut > 0
    if is_last_whole and len(whole) < len(entries):
        whole = entries[: len(whole) + 1]  # only its end of line is missing
    write(path, more)
    expected = journal.Arrived()
    for kind, name, value in [*whole, *more]:
        if isinstance(value, tuple):
            expected.ranges.setdefault(name, []).append(value)
        elif kind == "sealed":
            expected.sealed[name] = str(value)
        else:
            expected.ranges.pop(name, None)
            expected.sealed.pop(name, None)
    assert journal.read(path) == expected


def test_a_journal_of_something_else(tmp_path: Path) -> None:
    """Lines that no journal has say nothing."""
    path = tmp_path / "journal"
    path.write_bytes(
        b'[]\n["range","a",5,5]\n["range","a",-1,5]\n["range","a","0",5]\n{"range":1}\n\xff\n["x","a"]\n7\n'
    )
    assert journal.read(path) == journal.Arrived()


@given(data=st.data())
def test_ranges_in_any_order(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In whatever order and pieces a file arrives, and with whatever it had before, its digest is judged rightly."""
    path = tmp_path_factory.mktemp("arriving") / "a.bin"
    is_wrong = data.draw(st.booleans())
    finished = data.draw(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 120)), max_size=4))
    before = [(start * 1000, end * 1000) for start, end in finished if start < end]
    path.write_bytes(CONTENT)
    file = Arriving(weight(digest="sha256:" + "0" * 64 if is_wrong else None), path, before)
    gaps = file.gaps(data.draw(st.integers(15_000, 60_000)))
    covered = bytearray(len(CONTENT))
    for start, end in [*before, *gaps]:
        covered[start:end] = b"x" * (min(end, len(CONTENT)) - start)
    assert bytes(covered) == b"x" * len(CONTENT)
    assert file.bytes_here + sum(end - start for start, end in gaps) == len(CONTENT)
    with path.open("r+b") as stream:
        for start, end in gaps:
            stream.seek(start)
            stream.write(bytes(end - start))  # what is missing is really missing
    file.open()
    order = random.Random(data.draw(st.integers(0, 1000))).sample(gaps, len(gaps))
    size = data.draw(st.integers(2_000, 40_000))
    verdicts = []
    for start, end in order:
        position = start
        while position < end:
            file.write(position, memoryview(CONTENT)[position : min(position + size, end)])
            position += size
        file.finish(start, end)
        verdicts.append(file.catch_up())
    if not order:
        verdicts.append(file.catch_up())
    assert verdicts == [False] * (len(verdicts) - 1) + [True]
    assert file.is_right() is not is_wrong
    file.close()
    assert path.read_bytes() == CONTENT


def test_content_that_the_journal_only_claims(tmp_path: Path) -> None:
    """A file shorter than its journal says (a crash of the whole machine) ends as wrong, not as an endless read."""
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT[:50_000])
    file = Arriving(weight(), path, [(0, len(CONTENT))])
    file.open()
    assert file.catch_up()
    assert not file.is_right()
    file.reset()
    assert file.gaps(1 << 20) == [(0, len(CONTENT))]
    file.close()


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
@pytest.mark.parametrize("digest", [sha256, git_sha1])
def test_digests_of_both_kinds(content: bytes, digest: object, tmp_path: Path) -> None:
    """sha256 of LFS files and git's sha1 of the others are both told right from wrong."""
    assert callable(digest)
    (tmp_path / "a").write_bytes(content)
    assert arriving.is_right(tmp_path / "a", weight(content, digest=digest(content)))
    assert not arriving.is_right(tmp_path / "a", weight(content, digest=digest(content + b"!")))


def test_space_is_reserved(tmp_path: Path) -> None:
    """The whole file's space is taken at once, and one that is too long is cut."""
    path = tmp_path / "sub/a.bin"
    file = Arriving(weight(), path)
    file.reserve()
    assert path.stat().st_size == len(CONTENT)
    assert path.stat().st_blocks * 512 >= len(CONTENT)
    path.write_bytes(bytes(len(CONTENT) + 7))
    file.close()
    file.reserve()
    file.close()
    assert path.stat().st_size == len(CONTENT)


def test_connections_keep_to_their_files(tmp_path: Path) -> None:
    """Each connection has a file of its own while there are enough; then it helps where the most is left."""
    files = [
        Arriving(WeightFile(path=name, size_bytes=megabytes << 20, digest="sha256:" + "0" * 64), tmp_path / name)
        for name, megabytes in (("a", 4), ("b", 6), ("c", 3))
    ]
    work = Work(files, 1 << 20)
    first = work.take(None, only_small=False)
    second = work.take(None, only_small=False)
    assert first is not None
    assert second is not None
    assert [first.arriving.file.path, second.arriving.file.path] == ["b", "a"]
    for start in (1, 2, 3, 4, 5):
        part = work.take(first.arriving, only_small=False)
        assert part is not None
        assert (part.arriving, part.start) == (first.arriving, start << 20)
        work.gave_back(part)
    part = work.take(first.arriving, only_small=False)
    assert part is not None
    assert part.arriving.file.path == "c"
    assert work.take(None, only_small=True) is None
    work.stop()
    assert work.take(first.arriving, only_small=False) is None
    assert work.wait(0)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"RateLimit": '"resolvers";r=0;t=55'}, 55),
        ({"RateLimit": '"api";r=0;t=7', "Retry-After": "99"}, 7),
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"RateLimit": "nonsense"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], wait_s: float | None) -> None:
    """The Hub's RateLimit wins over Retry-After, which is seconds or a date; nonsense is no word at all."""
    message = Message()
    for name, value in headers.items():
        message[name] = value
    assert hub.wait_s(message, now_epoch_s=100) == wait_s


def test_the_hubs_addresses() -> None:
    """A file's address is that of huggingface_hub, at the endpoint that is set; a token is a header."""
    model = Model(key="m", repo="a/b", commit="c" * 40, placement="volume", files=(weight(),))
    at = hub.Hub("http://127.0.0.1:1", "hf_x")
    assert (
        at.url(model, "sub/odd [n] #1.txt") == f"http://127.0.0.1:1/a/b/resolve/{'c' * 40}/sub/odd%20%5Bn%5D%20%231.txt"
    )
    assert at.headers()["authorization"] == "Bearer hf_x"
    assert hub.Hub(None, None).url(model, "x").startswith("https://huggingface.co/a/b/resolve/")


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("https://huggingface.co/x", ("proxy.local", 3128)),
        ("http://127.0.0.1:5/x", None),
        ("https://hub.internal/x", None),
        ("https://a.corp.example/x", None),
    ],
)
def test_which_hosts_go_through_the_proxy(url: str, through: tuple[str, int] | None) -> None:
    """HTTPS_PROXY takes https alone, and NO_PROXY what it names."""
    proxy = wire.Proxy("proxy.local:3128", "hub.internal,.corp.example")
    found = proxy.for_origin(wire.origin_of(url))
    assert (found and (found.hostname, found.port)) == through
    assert wire.Proxy().for_origin(wire.origin_of(url)) is None


def test_two_origins_differ_in_scheme_host_or_port() -> None:
    """The token's home is one scheme, one host and one port."""
    assert wire.origin_of("https://A.example/x") == wire.origin_of("https://a.example:443/y")
    others = {wire.origin_of(url) for url in ("http://a.example", "https://a.example:444", "https://b.example")}
    assert wire.origin_of("https://a.example") not in others
    for url in ("ftp://a.example/x", "/x", "https:///x"):
        with contextlib.suppress(ValueError):
            pytest.fail(str(wire.origin_of(url)))


def test_a_refused_connection(tmp_path: Path) -> None:
    """A connection that can't be made is an OSError, and leaves nothing open."""
    line = wire.Wire(1, wire.Proxy())
    with pytest.raises((OSError, http.client.HTTPException)):
        line.ask("GET", "http://127.0.0.1:9/x", {})
    line.close()
