"""status: endpoints as they are now, asked for in parallel and sparingly.

RunPod's OpenAPI 2.0.0 (read 2026-11-23) has a quota of 60 management calls a minute for its example, and the job API's
/health is under no limit that is documented. So an endpoint's workers are asked for only where /health counts some,
and fifty endpoints take at most 53 calls of REST v2.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from factory.account import CloudWorker, Endpoint
from factory.ledger import Entry, Ledger
from factory.live import AccountDoors
from factory.overseeing.asking import Asking
from factory.overview.prices import pools_of
from factory.overview.status import AccountStatus, Sight, status_of
from factory.stages.run import choose_endpoint

LEDGER_ROWS = 1000


def look(doors: AccountDoors, ledger: Ledger, names: Sequence[str] = ()) -> AccountStatus:
    """Look at the endpoints of these names or ids, their releases too; at all of the account without any.

    What fails is a gap; so is a name that the account hasn't (EndpointNotFound).
    """
    asking, cloud = Asking(), doors.cloud
    balance = asking.ask("the balance", cloud.balance)
    gpus = asking.ask("the prices of GPUs", cloud.gpus)
    bill = asking.ask("the bill of the last 24 hours", cloud.spend)
    listed = asking.ask("the endpoints", cloud.endpoints)
    entries = asking.here("the ledger of jobs", lambda: ledger.entries(limit=LEDGER_ROWS)) or ()
    look = _Look(asking, doors, entries, has_releases=bool(names))
    sights = [asking.start(partial(look.at, endpoint)) for endpoint in _chosen(asking, listed.result(), names)]
    seen = [future.result() for future in sights]
    pools, billed, now = pools_of(gpus.result() or ()), bill.result(), time.time()
    return AccountStatus(
        at=now,
        balance=balance.result(),
        endpoints=tuple(status_of(sight, pools, billed, now) for sight in seen),
        gaps=asking.gaps,
        calls=3 + sum(bool(sight.workers) + bool(names) for sight in seen),
    )


def _chosen(asking: Asking, endpoints: Sequence[Endpoint] | None, names: Sequence[str]) -> list[Endpoint]:
    """Return the endpoints to look at, each once; none where there is no list."""
    if endpoints is None:
        return []
    if not names:
        return sorted(endpoints, key=lambda endpoint: endpoint.spec.name)
    found = [asking.here(f"endpoint {name}", partial(choose_endpoint, name, endpoints)) for name in names]
    return list({endpoint.id: endpoint for endpoint in found if endpoint is not None}.values())


class _Look:
    """Asks all about one endpoint, in any thread."""

    def __init__(self, asking: Asking, doors: AccountDoors, entries: Sequence[Entry], *, has_releases: bool) -> None:
        self._asking, self._doors, self._entries, self._has_releases = asking, doors, entries, has_releases

    def at(self, endpoint: Endpoint) -> Sight:
        """Return what is seen of an endpoint."""
        ask, cloud, jobs = self._asking.here, self._doors.cloud, self._doors.jobs
        name, endpoint_id = endpoint.spec.name, endpoint.id
        workers: tuple[CloudWorker, ...] | None = ()
        requests = None
        health = ask(f"the queue of {name}", lambda: jobs.health(endpoint_id))
        if health is None or any(health.workers.values()):
            workers = ask(f"the workers of {name}", lambda: cloud.workers(endpoint_id))
        if health is not None and (health.jobs.get("inQueue") or health.jobs.get("failed")):
            requests = ask(f"the jobs of {name}", lambda: jobs.requests(endpoint_id))
        releases = ask(f"the releases of {name}", lambda: cloud.releases(endpoint_id)) if self._has_releases else None
        known = tuple(entry for entry in self._entries if entry.endpoint_id == endpoint_id)
        return Sight(endpoint, health, workers, requests, releases or (), known)
