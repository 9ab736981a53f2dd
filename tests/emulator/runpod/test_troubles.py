"""The platform's troubles: in and out as JSON, counted down, and undone without a trace."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod_box import an_endpoint
from starlette.testclient import TestClient

from factory.emulator.runpod import troubles
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.troubles import (
    KINDS,
    Balance,
    Crash,
    DiskFull,
    LateStatus404,
    LoseJob,
    NoStock,
    NotATrouble,
    from_json,
)

ALL: list[dict[str, Any]] = [
    {"trouble": "no_stock", "where": "ADA_24"},
    {"trouble": "throttled", "endpoint": "mini*"},
    {"trouble": "pull_failure", "image": "*/org/*"},
    {"trouble": "crash", "endpoint": "*", "exit_code": 139, "after_s": 1.5, "times": 2},
    {"trouble": "slow_start", "seconds": 5, "endpoint": "*"},
    {"trouble": "disk_full", "volume": "*"},
    {"trouble": "balance", "usd": 0.0},
    {"trouble": "endpoint_gone", "endpoint": "*"},
    {"trouble": "lose_job", "endpoint": "*", "times": 1},
    {"trouble": "late_status_404", "endpoint": "*", "times": 3},
]


def test_every_kind_goes_in_and_out(client: TestClient) -> None:
    """What was posted is what is listed; nothing is left afterwards."""
    assert {one["trouble"] for one in ALL} == set(KINDS)
    assert client.post("/_emulator/troubles", json=ALL).json() == ALL
    assert client.get("/_emulator/troubles").json() == ALL
    assert client.delete("/_emulator/troubles").json() == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "a trouble is an object (found [])"),
        ({}, "`trouble` is one of no_stock, throttled,"),
        ({"trouble": "rain"}, "(found 'rain')"),
        ({"trouble": "no_stock"}, "no_stock needs `where`"),
        ({"trouble": "slow_start", "seconds": "5"}, "slow_start: seconds is a float (found '5')"),
        ({"trouble": "slow_start", "seconds": True}, "seconds is a float (found True)"),
        ({"trouble": "crash", "exit_code": 1.5}, "exit_code is a int (found 1.5)"),
        ({"trouble": "crash", "code": 1}, "crash knows no code; it takes endpoint, exit_code, after_s, times"),
        ({"trouble": "balance", "taken_usd": 1}, "balance knows no taken_usd; it takes usd"),
    ],
)
def test_what_is_no_trouble(body: Any, says: str) -> None:
    """The sentence says what would do."""
    with pytest.raises(NotATrouble) as caught:
        from_json(body)
    assert says in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_any_json_is_a_trouble_or_is_refused(body: Any) -> None:
    """Nothing else than NotATrouble comes of what people may send."""
    for sent in (body, {"trouble": "crash", "times": body}, {"trouble": body}):
        try:
            from_json(sent)
        except NotATrouble as refusal:
            assert len(str(refusal)) <= 300


def test_unknown_stock_is_refused(box: Box) -> None:
    """A pool that isn't in the catalogue can't run out."""
    with pytest.raises(NotATrouble, match="RTX_9000 is no GPU type, pool or data centre"):
        box.troubles.add(NoStock("RTX_9000"))


def stock(box: Box) -> dict[tuple[str, str], str]:
    """Return the whole stock."""
    return {(gpu.id, center): level for gpu in box.catalogue.gpus.values() for center, level in gpu.stock.items()}


@pytest.mark.parametrize("where", ["NVIDIA GeForce RTX 4090", "ADA_24", "EU-RO-1"])
def test_no_stock_empties_and_refills_the_shelves(where: str, box: Box) -> None:
    """A card, a pool or a data centre is empty in the catalogue while the trouble lasts, and exactly that."""
    before = stock(box)
    trouble = NoStock(where)
    box.troubles.add(trouble)
    changed = {place for place, level in stock(box).items() if level != before[place]}
    gpus = box.catalogue.gpus
    meant = {place for place in before if where in (*place, gpus[place[0]].pool)}
    assert changed == {place for place in meant if before[place] != "NONE"}
    assert {stock(box)[place] for place in changed} == {"NONE"}
    box.troubles.remove(trouble)
    assert stock(box) == before


def test_overlapping_shortages_end_one_by_one(box: Box) -> None:
    """What two troubles emptied is back when both are gone."""
    before = stock(box)
    pool, center = NoStock("ADA_24"), NoStock("EU-RO-1")
    box.troubles.add(pool)
    box.troubles.add(center)
    box.troubles.remove(pool)
    both = ("NVIDIA GeForce RTX 4090", "EU-RO-1")
    assert stock(box)[both] == "NONE"
    assert {stock(box)[place] for place in before if place[1] == "EU-RO-1"} == {"NONE"}
    box.troubles.remove(center)
    assert stock(box) == before


def test_the_balance_comes_back_less_what_was_spent(box: Box) -> None:
    """The account is poor while the trouble lasts; what it spends meanwhile is spent."""
    trouble = Balance(usd=0.5)
    box.troubles.add(trouble)
    assert box.world.person.balance_usd == 0.5
    box.world.charge(0.2)
    box.troubles.remove(trouble)
    assert box.world.person.balance_usd == pytest.approx(99.8)


def test_crashes_and_lost_jobs_count_down(box: Box) -> None:
    """A trouble with an end is spent on those that it means, by id or name; one without goes on."""
    mine, other = an_endpoint("mine"), an_endpoint("other")
    box.troubles.add(Crash("mine", times=2))
    box.troubles.add(LoseJob("mine"))
    assert box.troubles.next_crash(other) is None
    assert [box.troubles.next_crash(mine) is not None for _ in range(3)] == [True, True, False]
    assert not box.troubles.loses_job(other)
    assert [box.troubles.loses_job(mine) for _ in range(2)] == [True, False]
    box.troubles.add(Crash())
    assert all(box.troubles.next_crash(mine) for _ in range(9))


def test_status_calls_are_early_for_each_job(box: Box) -> None:
    """The first calls of every job are hidden, each job for itself."""
    endpoint = an_endpoint()
    box.troubles.add(LateStatus404(times=2))
    assert [box.troubles.hides_status(endpoint, job) for job in "aabab"] == [True, True, True, False, True]


def test_a_full_disk_is_meant_by_id_or_name(box: Box) -> None:
    """Volumes are named by either."""
    volume = box.world.create_volume("weights", 10, "EU-RO-1")
    assert not box.troubles.fills(volume)
    for pattern in ("weights", volume.id, "w*"):
        box.troubles.add(DiskFull(pattern))
        assert box.troubles.fills(volume)
        box.troubles.clear()


def test_both_tables_have_every_trouble() -> None:
    """The module's table names each kind with its fields, and the docs have the same rows."""
    rows = re.findall(r"^\| (\w+) \| (.+?) \| .+ \|$", troubles.__doc__ or "", re.MULTILINE)[1:]
    told = {name: set(re.findall(r"([a-z_]+)(?: \(|,|$)", re.sub(r"\([^)]*\)", "(", text))) for name, text in rows}
    assert told == {name: {f.name for f in dataclasses.fields(kind) if f.init} for name, kind in KINDS.items()}
    page = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text().splitlines()
    assert [line for line in (troubles.__doc__ or "").splitlines() if line.startswith("|") and line not in page] == []
