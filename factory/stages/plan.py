"""plan: what would happen to a recipe's volume, login, template and endpoint. Pure: it asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from factory.account import Login, Volume
from factory.provisioning import actions, choices
from factory.provisioning.actions import Action
from factory.provisioning.costs import costs
from factory.provisioning.desired import Desired, desire
from factory.provisioning.observed import NEW, ImageState, Observed
from factory.provisioning.plan import Existing, Plan, PoolLine
from factory.provisioning.preflight import Sight, preflight
from factory.recipe.model import Recipe
from factory.records import DiskPlan, ModelFiles


def plan(
    recipe: Recipe, disks: DiskPlan, image: ImageState, observed: Observed, *, models: Sequence[ModelFiles] = ()
) -> Plan:
    """Say what would happen, field by field, what it costs and what is in its way.

    `observed` may be one look at the account for any number of recipes; see `after`. Nothing is raised: what can't be
    done is in the plan, and `Plan.blocker` says so.
    """
    desired = desire(recipe, disks, models, image, observed)
    found, existing = _compare(recipe, desired, observed)
    offers = choices.catalogue(observed)
    volume_gb = 0
    if desired.volume:
        volume_gb = max(desired.volume.size_gb, existing.volume.size_gb if existing.volume else 0)
    money = costs(desired, volume_gb, offers)
    findings = preflight(Sight(recipe, desired, found, image, observed, offers, money))
    pools = []
    for pool in desired.endpoint.pools:
        offer = offers.get(pool)
        price = next(cost for cost in money.pools if cost.pool == pool)
        stock = offer.stock_in(desired.endpoint.data_centers) if offer and observed.pools else None
        pools.append(PoolLine(pool, offer.vram_gb if offer else None, stock, price.usd_per_s, price.source))
    return Plan(
        recipe=recipe.name,
        image=image,
        actions=found,
        pools=tuple(pools),
        costs=money,
        findings=findings,
        disks=disks,
        notes=(*desired.notes, *disks.warnings),
        desired=desired,
        existing=existing,
        data_centers=recipe.endpoint.data_centers,
    )


def _compare(recipe: Recipe, desired: Desired, observed: Observed) -> tuple[tuple[Action, ...], Existing]:
    found: list[Action] = []
    existing = Existing()
    if desired.volume:
        action, volume = actions.for_volume(desired.volume, recipe.endpoint.data_centers, observed.volumes)
        found.append(action)
        existing = replace(existing, volume=volume)
    if desired.login:
        action, login = actions.for_login(desired.login, observed.logins)
        found.append(action)
        existing = replace(existing, login=login)
    action, template = actions.for_template(desired.template, desired.login, observed.templates)
    found.append(action)
    name = desired.volume.name if desired.volume else None
    action, endpoint = actions.for_endpoint(desired.endpoint, desired.login, name, observed.endpoints, desired.models)
    found.append(action)
    return tuple(found), replace(existing, template=template, endpoint=endpoint)


def after(planned: Plan, observed: Observed) -> Observed:
    """Return the account as it will be once the plan is carried out: what the next recipe's plan is made on.

    So recipes that share a volume make it once, and the worker quota counts all of them.
    """
    if planned.blocker() is not None:
        return observed
    desired, existing = planned.desired, planned.existing
    volume = login = None
    if desired.volume and desired.volume.data_center:
        old = existing.volume
        size_gb = max(desired.volume.size_gb, old.size_gb if old else 0)
        volume = Volume(old.id if old else NEW, desired.volume.name, desired.volume.data_center, size_gb)
    if desired.login:
        login = existing.login or Login(NEW, desired.login)
    return observed.with_planned(volume, login, desired.template, desired.endpoint)
