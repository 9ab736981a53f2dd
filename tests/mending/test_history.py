"""What ran when, and what to go back to: tables of histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from factory.account import Endpoint, EndpointSpec, Release
from factory.errors import AmbiguousName, CannotChange, FactoryError
from factory.journal import Outcome, Past
from factory.mending.history import Ran, choose, ran

NOW = 1_790_000_000.0


def spec(letter: str, **changes: Any) -> EndpointSpec:
    """Return a configuration whose image's digest is made of this letter."""
    base = EndpointSpec("demo", f"ghcr.io/acme/demo@sha256:{letter * 64}", 20, {"A": "1"}, pools=("ADA_24",))
    return replace(base, **changes)


def past(number: int, letter: str, outcome: Outcome = "good", *, restored: int = 0, **changes: Any) -> Past:
    """Return the n-th entry of a history."""
    found = spec(letter, **changes)
    return Past(
        NOW + number,
        outcome,
        "ep1",
        found,
        problems=("1: wrong",) if outcome != "good" else (),
        restored_at=NOW + restored if restored else 0.0,
    )


def endpoint(now: EndpointSpec) -> Endpoint:
    """Return the endpoint as it is."""
    return Endpoint("ep1", now, is_queue=True)


A, B, C = past(1, "a"), past(2, "b"), past(3, "c")
BACK: dict[str, tuple[list[Past], EndpointSpec, str]] = {
    "to the one before": ([A, B], spec("b"), "a"),
    "over one that failed": ([A, past(2, "b", "rolled_back"), C], spec("c"), "a"),
    "from what nobody here released": ([A, B], spec("d"), "b"),
    "from the middle": ([A, B, C], spec("b"), "a"),
    "further back after a rollback": ([A, B, C, past(4, "b", restored=2)], spec("b"), "a"),
    "from a guarded endpoint": ([A, B], spec("b", workers_max=0), "a"),
    "with a login under another id": ([A, B], spec("b", login_id="new"), "a"),
    "to the same image with another scale": ([past(1, "a", workers_max=9), past(2, "a")], spec("a"), "a"),
    "from a release that came again": ([A, B, past(3, "a")], spec("a"), "b"),
    "from a rollback that did not help": ([A, B, C, past(4, "b", "failed", restored=2)], spec("b"), "a"),
}


@pytest.mark.parametrize("name", BACK)
def test_the_newest_good_one_before_is_chosen(name: str) -> None:
    """Never what runs, never what failed, never forth again."""
    history, now, letter = BACK[name]
    found = choose(ran(history, endpoint(now), ()), now, None)
    assert found.image == spec(letter).image and found.outcome == "good" and found.endpoint != now


@pytest.mark.parametrize(
    ("history", "now"),
    [
        ([], spec("a")),
        ([A], spec("a")),
        ([past(1, "a", "stopped"), B], spec("b")),
        ([A, B, past(3, "a", restored=1)], spec("a")),
    ],
)
def test_where_nothing_good_is_earlier_it_says_so(history: list[Past], now: EndpointSpec) -> None:
    """One sentence."""
    with pytest.raises(CannotChange, match="no earlier release of it is known"):
        choose(ran(history, endpoint(now), ()), now, None)


AB, AC = "ab" * 32, "ac" * 32
NAMED = [
    replace(A, endpoint=replace(A.endpoint, image=f"demo@sha256:{AB}")),
    replace(B, endpoint=replace(B.endpoint, image=f"demo@sha256:{AC}")),
    past(3, "f", "rolled_back"),
    replace(C, endpoint=replace(C.endpoint, image="demo:tagged")),
]


@pytest.mark.parametrize(
    ("to", "image"),
    [
        ("ab", f"demo@sha256:{AB}"),
        ("sha256:ac", f"demo@sha256:{AC}"),
        ("SHA256:" + AC[:9], f"demo@sha256:{AC}"),
        (AB, f"demo@sha256:{AB}"),
        ("AB", f"demo@sha256:{AB}"),
        ("demo:tagged", "demo:tagged"),
        ("a", AmbiguousName),
        ("b", CannotChange),
        ("f", CannotChange),
        ("", CannotChange),
        ("sha256:", CannotChange),
        ("demo", CannotChange),
    ],
)
def test_a_digest_is_known_by_its_beginning(to: str, image: str | type[FactoryError]) -> None:
    """One image or one sentence."""
    rows = ran(NAMED, endpoint(spec("a")), ())
    if isinstance(image, str):
        assert choose(rows, spec("a"), to).image == image
    else:
        with pytest.raises(image) as caught:
            choose(rows, spec("a"), to)
        assert caught.value.fix and to in caught.value.where


def release(version: int, *changes: tuple[str, object, object]) -> Release:
    """Return RunPod's words of one version."""
    return Release(version, f"2026-11-2{version}T10:00:00Z", 0, changes)


IMAGE = ("template.imageName", spec("a").image, spec("b").image)
DIFFS: dict[str, tuple[tuple[tuple[str, object, object], ...], EndpointSpec | None]] = {
    "image": ((IMAGE,), spec("a")),
    "env as an object": ((IMAGE, ("template.env", {"Z": "0"}, {})), spec("a", env={"Z": "0"})),
    "env as pairs": ((IMAGE, ("template.env", [{"key": "Z", "value": "0"}], [])), spec("a", env={"Z": "0"})),
    "disk and login": (
        (IMAGE, ("template.containerDiskInGb", 5, 20), ("template.containerRegistryAuthId", "l1", None)),
        spec("a", container_disk_gb=5, login_id="l1"),
    ),
    "pools with an exclusion": (
        (IMAGE, ("gpuIds", "AMPERE_24,AMPERE_48,-NVIDIA A40", "ADA_24"), ("gpuCount", 2, 1)),
        spec("a", pools=("AMPERE_24", "AMPERE_48"), gpu_count=2),
    ),
    "places": (
        (IMAGE, ("locations", "EU-RO-1,US-KS-2", ""), ("networkVolumeIds", ["v1"], []), ("minCudaVersion", "12.4", "")),
        spec("a", data_centers=("EU-RO-1", "US-KS-2"), volume_ids=("v1",), min_cuda="12.4"),
    ),
    "what the endpoint keeps": ((IMAGE, ("modelReferences", [], ["x"]), ("template.ports", [], [])), spec("a")),
    "a field that nobody knows": ((IMAGE, ("somethingNew", 1, 2)), None),
    "a value that can't be one": ((IMAGE, ("gpuCount", "many", 1)), None),
}


@pytest.mark.parametrize("name", DIFFS)
def test_runpods_diffs_are_undone(name: str) -> None:
    """What it was before version 2; where that can't be told, nothing is guessed."""
    changes, before = DIFFS[name]
    now = spec("b")
    rows = ran([], endpoint(now), (release(2, *changes), release(1)))
    assert [(row.version, row.kind, row.is_current) for row in rows] == [
        (2, "elsewhere", True),
        (1, "elsewhere", False),
    ]
    assert rows[1].endpoint == before
    if before is None:
        with pytest.raises(CannotChange):
            choose(rows, now, None)
    else:
        assert choose(rows, now, None).endpoint == before


def test_the_journal_goes_before_runpods_words() -> None:
    """A release that both know is one row; a good one of the journal is preferred to a newer one that nobody tested."""
    now = spec("c")
    theirs = (
        release(3, ("template.imageName", spec("b").image, now.image)),
        release(2, ("template.imageName", spec("a").image, spec("b").image)),
        release(1),
    )
    rows = ran([past(0, "a")], endpoint(now), theirs)
    assert sorted((row.version or 0, row.kind) for row in rows) == [(1, "release"), (2, "elsewhere"), (3, "elsewhere")]
    assert [row.image for row in rows if row.is_current] == [now.image]
    assert choose(rows, now, None).image == spec("a").image


def test_versions_order_what_times_in_whole_seconds_cannot() -> None:
    """RunPod cuts its times: the later of two releases within a second would seem to come before the journal's."""
    now = spec("b")
    theirs = (
        Release(2, "2026-11-21T10:00:00Z", 0, (("template.imageName", spec("a").image, now.image),)),
        Release(1, "2026-11-21T10:00:00Z", 0),
    )
    tested_at = datetime(2026, 11, 21, 10, 0, 0, 700_000, tzinfo=UTC).timestamp()
    rows = ran([replace(A, at=tested_at)], endpoint(now), theirs)
    assert [(row.version, row.kind, row.is_current) for row in rows] == [(2, "elsewhere", True), (1, "release", False)]
    assert choose(rows, now, None).image == spec("a").image


def test_without_an_endpoint_the_history_is_listed_all_the_same() -> None:
    """It may have been destroyed."""
    rows = ran([A, B], None, ())
    assert [(row.image, row.is_current) for row in rows] == [(B.endpoint.image, False), (A.endpoint.image, False)]


def test_a_time_that_can_not_be_read_sorts_last() -> None:
    """It doesn't keep the others from being listed."""
    rows: tuple[Ran, ...] = ran([A], endpoint(spec("b")), (Release(1, "yesterday", 0),))
    assert [row.kind for row in rows] == ["release", "elsewhere"]
