"""A worker that is killed at any point: its successor ends with the right bytes, and fetches nearly nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fetch_worker
import pytest
from fetch_worker import order
from weights_site import MB, TOTAL_BYTES, Site, site

CONNECTIONS, RANGE_BYTES = 2, MB
AFTER_TRANSFER = {
    "before the renames",
    "between the renames",
    "before the partial folder goes",
    "before READY",
    "after READY",
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A hub and a volume."""
    with site(tmp_path) as found:
        yield found


@pytest.mark.parametrize("point", fetch_worker.POINTS)
def test_killed_and_taken_over(point: str, here: Site) -> None:
    """After SIGKILL the successor refetches at most one range per connection (and the small files of the moment)."""
    told = order(here.volume, here.url, [here.block()])
    code, events = fetch_worker.run({**told, "die": point})
    assert code == -9, events
    before = here.sent_bytes()
    code, events = fetch_worker.run(told)
    assert code == 0, events
    here.demand_whole(here.model())
    refetched = here.sent_bytes() - TOTAL_BYTES
    small = sum(file.size_bytes for file in here.model().files if file.size_bytes < MB)
    assert 0 <= refetched <= CONNECTIONS * RANGE_BYTES + small
    if point in AFTER_TRANSFER:
        assert here.sent_bytes() == before == TOTAL_BYTES


def test_killed_again_and_again(here: Site) -> None:
    """A crash loop gets on: each start keeps what the one before won, and the disk never holds more than the model."""
    told = order(here.volume, here.url, [here.block()])
    for _ in range(4):
        code, _ = fetch_worker.run({**told, "die": "in the first ranges"})
        assert code == -9
        held = sum(path.stat().st_blocks * 512 for path in here.volume.rglob("*.safetensors"))
        assert held <= TOTAL_BYTES + MB
    code, events = fetch_worker.run(told)
    assert code == 0, events
    here.demand_whole(here.model())
    small = sum(file.size_bytes for file in here.model().files if file.size_bytes < MB)
    assert here.sent_bytes() <= TOTAL_BYTES + 4 * (CONNECTIONS * RANGE_BYTES + small)
