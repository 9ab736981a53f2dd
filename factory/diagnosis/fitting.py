"""Which pools of the catalogue hold a recipe's weights, and which of them to ask for."""

from __future__ import annotations

from collections.abc import Mapping

from factory.diagnosis.evidence import Evidence
from factory.provisioning import choices
from factory.recipe.model import Gpu
from factory.records import PoolFit
from factory.sizing import vram


def fits(evidence: Evidence, gpu: Gpu) -> Mapping[str, PoolFit]:
    """Judge every pool of the catalogue, not only the recipe's; models that are not known weigh nothing."""
    assert evidence.recipe is not None, "without a recipe nothing is known of its models"
    loaded = vram.resident([state.files for state in evidence.models if state.files])
    table = choices.sizing_table(choices.catalogue(evidence.account))
    return {pool.id: vram.fit(pool, evidence.recipe.recipe, gpu, loaded) for pool in table.values()}


def best(evidence: Evidence, found: Mapping[str, PoolFit]) -> list[str]:
    """Return up to three pools that hold the weights: with room for the work, then with stock, then by price."""
    offers = choices.catalogue(evidence.account)
    places = evidence.endpoint.spec.data_centers if evidence.endpoint else ()

    def order(fit: PoolFit) -> tuple[bool, bool, float]:
        has_no_stock = bool(evidence.account.pools) and offers[fit.pool].stock_in(places) == "none"
        price = offers[fit.pool].usd_per_s
        return fit.verdict != "fine", has_no_stock, float("inf") if price is None else price

    holding = sorted((fit for fit in found.values() if fit.verdict != "error"), key=order)
    return [fit.pool for fit in holding[: choices.MOST_POOLS]]
