"""Jobs wait and there is no worker, or every worker is `throttled`.

Cause: none of the endpoint's GPU pools has a free GPU where the endpoint may run; a network volume ties it to one data
centre (docs.runpod.io, "Worker states" and "Network volumes", read 2026-11-23). Stock changes by the hour.
Command: `factory provision RECIPE`, after more pools in `gpu` or more of `endpoint.data_centers` that have stock now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from factory.account import Stock
from factory.diagnosis import crash_mends, mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend, Severity, Sureness
from factory.provisioning.observed import STOCKS, PoolOffer
from factory.wording import count_text, money_text

RULE = "gpu_not_available"
PATIENCE_S = 60.0  # a scaler brings the first worker within seconds
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the endpoint asks for and what there is: its known pools with their best stock where it may run."""

    places: tuple[str, ...]
    stocks: dict[str, Stock]
    others: tuple[PoolOffer, ...]
    elsewhere: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Has none of the endpoint's pools a free GPU?"""
        return all(stock == "none" for stock in self.stocks.values())


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find an endpoint that should have workers, and has none that can work."""
    if not _should_have_workers(evidence):
        return
    shelf = _shelf(evidence)
    if shelf is None:
        return
    rank = _rank(evidence, shelf)
    if rank is None:
        return
    where = ", ".join(shelf.places) or "any data centre"
    stocks = ", ".join(f"{pool} {stock}" for pool, stock in shelf.stocks.items())
    workers = f"{count_text(len(evidence.workers), 'worker')}, all throttled" if evidence.workers else "no worker"
    if shelf.is_empty:
        cause = f"none of its GPU pools has stock in {where}"
    else:
        cause = f"RunPod gives it no GPU in {where} just now, though the catalogue says there are some"
    yield Finding(
        RULE,
        rank[0],
        f"{workers}; {count_text(evidence.queued, 'job')} waiting; stock in {where}: {stocks}",
        f"{cause}; {_would_start(shelf)}",
        _mend(evidence, shelf),
        rank[1],
        {
            "data_centers": list(shelf.places),
            "stock": shelf.stocks,
            "pools_with_stock": [offer.id for offer in shelf.others],
            "data_centers_with_stock": list(shelf.elsewhere),
        },
    )


def _should_have_workers(evidence: Evidence) -> bool:
    """Would RunPod start workers if it had GPUs? What else keeps it from that is for other rules."""
    endpoint, balance = evidence.endpoint, evidence.account.balance
    if endpoint is None or not evidence.samples or evidence.job_api_status not in (200, None):
        return False
    if endpoint.spec.workers_max == 0 or not endpoint.spec.pools or "workers" in evidence.gaps:
        return False
    return not (balance.is_under_balance or balance.balance_usd <= 0)


def _rank(evidence: Evidence, shelf: Shelf) -> tuple[Severity, Sureness] | None:
    """Return how bad and how sure; None for no finding. All looks must agree: workers come and go."""
    looks = [sample.workers for sample in evidence.samples]
    if any(worker.status != "THROTTLED" for workers in looks for worker in workers):
        return None
    if not evidence.queued:
        is_kept = evidence.endpoint is not None and evidence.endpoint.spec.workers_min > 0
        return ("warning", "certain") if is_kept and shelf.is_empty else None
    if shelf.is_empty:
        return "error", "certain"
    if all(looks):
        return "error", "likely"
    waits = [job.age_s for job in evidence.jobs if (job.state_now or job.state_before) == "IN_QUEUE"]
    return ("warning", "possible") if not any(looks) and max(waits, default=0.0) > PATIENCE_S else None


# --- what there is ---------------------------------------------------------------------------------------------------
def _shelf(evidence: Evidence) -> Shelf | None:
    """Return what the catalogue says; None where it knows none of the pools (unknown_pools says so)."""
    assert evidence.endpoint is not None
    spec, offers = evidence.endpoint.spec, evidence.account.pools
    own = [offers[pool] for pool in spec.pools if pool in offers]
    if not own:
        return None
    places = tuple(sorted({volume.data_center for volume in evidence.volumes})) or spec.data_centers
    enough_gb = min(offer.vram_gb for offer in own)
    others = [o for o in offers.values() if o not in own and o.vram_gb >= enough_gb and o.stock_in(places) != "none"]
    nearest = sorted(others, key=lambda o: (o.vram_gb, -STOCKS.index(o.stock_in(places)), o.usd_per_s or 0.0))
    stock = {place: level for offer in own for place, level in offer.stock.items() if level != "none"}
    elsewhere = sorted((p for p in stock if p not in places), key=lambda p: (-STOCKS.index(stock[p]), p))
    return Shelf(places, {o.id: o.stock_in(places) for o in own}, tuple(nearest), tuple(elsewhere))


def _would_start(shelf: Shelf) -> str:
    """Say which pools and data centres would start a worker now."""
    offers = [_priced(offer, shelf.places) for offer in shelf.others[:SHOWN]]
    there = f"with stock there: {', '.join(offers)}" if offers else "no other pool has stock there"
    return f"{there}; the same pools have stock in {', '.join(shelf.elsewhere[:SHOWN]) or 'no other data centre'}"


def _priced(offer: PoolOffer, places: Sequence[str]) -> str:
    price = f", {money_text(offer.usd_per_s)} a second" if offer.usd_per_s is not None else ""
    return f"{offer.id} ({offer.vram_gb} GB, {offer.stock_in(places)}{price})"


def _mend(evidence: Evidence, shelf: Shelf) -> Mend:
    """Return the recipe's own pools and places where the endpoint has others, else more of them."""
    assert evidence.endpoint is not None
    by_hand = "add GPU pools or data centres with stock to the endpoint in RunPod's console"
    if crash_mends.is_drifted(evidence) and _would_help(evidence, shelf):
        return mends.by_recipe(evidence, "provision", by_hand)
    if shelf.others:
        pools = [*evidence.endpoint.spec.pools, *(offer.id for offer in shelf.others[: SHOWN - 1])]
        edit = mends.edit(evidence, "gpu.pools", f"[{', '.join(pools)}]")
        return mends.by_recipe(evidence, "provision", by_hand, edit=edit)
    if shelf.elsewhere and not evidence.volumes:
        places = [*shelf.places, *shelf.elsewhere[:SHOWN]]
        edit = mends.edit(evidence, "endpoint.data_centers", f"[{', '.join(places)}]")
        return mends.by_recipe(evidence, "provision", by_hand, edit=edit)
    return Mend("wait: stock changes by the hour; or make a volume and endpoint in a data centre with stock")


def _would_help(evidence: Evidence, shelf: Shelf) -> bool:
    """Has the recipe a pool with stock where it wants to run?"""
    if evidence.plan is None:
        return False
    return any(line.stock not in (None, "none") for line in evidence.plan.pools if line.pool not in shelf.stocks)
