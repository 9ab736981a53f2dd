"""destroy: what a recipe has at RunPod goes: endpoint, template, and where asked its registry login and volume.

In that order, each looked for right before: killed anywhere, the next run removes what is left. What others use is
refused before anything is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from factory.account import Endpoint, Login, Template, Volume
from factory.errors import AmbiguousName, CannotChange
from factory.journal import Journal
from factory.ports import Cloud
from factory.provisioning.costs import Costs, costs, volume_usd_per_month
from factory.provisioning.desired import Desired, login_name
from factory.provisioning.observed import Observed
from factory.recipe.model import Recipe
from factory.records import Progress, Tell
from factory.references import with_prefix
from factory.restoring import as_template
from factory.stages.provision import observe
from factory.telling import stage
from factory.wording import money_text

T = TypeVar("T", Endpoint, Template, Volume)


@dataclass(frozen=True, slots=True)
class Doomed:
    """What would be removed, what that no longer costs, and the volumes that stay and are billed."""

    name: str
    endpoint: Endpoint | None
    template: Template | None
    login: Login | None
    volume: Volume | None
    costs: Costs | None
    kept_volumes: tuple[Volume, ...]

    @property
    def is_nothing(self) -> bool:
        """Is there nothing to remove?"""
        return not any((self.endpoint, self.template, self.login, self.volume))

    @property
    def lines(self) -> tuple[str, ...]:
        """Each thing with what stops costing how much, for people."""
        lines = []
        if self.endpoint:
            lines.append(f"endpoint {self.endpoint.spec.name} ({self.endpoint.id}): {_endpoint_cost(self)}")
        if self.template:
            lines.append(f"template {self.template.spec.name} ({self.template.id}): costs nothing")
        if self.login:
            lines.append(f"registry login {self.login.name} ({self.login.id}): costs nothing")
        if self.volume:
            cost = money_text(volume_usd_per_month(self.volume.size_gb))
            lines.append(f"volume {_volume(self.volume)} and all that lies on it: stops costing {cost} a month")
        for volume in self.kept_volumes:
            cost = money_text(volume_usd_per_month(volume.size_gb))
            lines.append(f"kept: volume {_volume(volume)}, {cost} a month (--volume {volume.name} removes it too)")
        return tuple(lines)

    @property
    def usd_per_month(self) -> float:
        """What is no longer billed a month when no job comes, as far as prices are known."""
        always_on = (self.costs.always_on_usd_per_month or 0.0) if self.costs else 0.0
        return round(always_on + (volume_usd_per_month(self.volume.size_gb) if self.volume else 0.0), 2)


def login_of(recipe: Recipe, registry_prefix: str | None) -> str:
    """Return the name of the registry login that factory makes for a recipe's image."""
    return login_name(with_prefix(recipe.image.repository, registry_prefix))


def survey(name: str, cloud: Cloud, *, login_name: str | None = None, volume_name: str | None = None) -> Doomed:
    """Look at what there is of a recipe (by its name), and refuse what others use.

    `login_name` and `volume_name` name what goes as well. Raises AmbiguousName, CannotChange, and what the port raises.
    """
    observed = observe(cloud)
    endpoint = _only("endpoint", name, [e for e in observed.endpoints if e.spec.name == name])
    others = [e for e in observed.endpoints if endpoint is None or e.id != endpoint.id]
    template = _template(name, observed, others)
    login = next((one for one in observed.logins if one.name == login_name), None) if login_name else None
    if login is not None:
        _refuse_if_used(f"registry login {login.name}", [e for e in others if e.spec.login_id == login.id])
    volume = _volume_named(volume_name, observed, others) if volume_name else None
    used = endpoint.spec.volume_ids if endpoint else ()
    kept = tuple(v for v in observed.volumes if v.id in used and (volume is None or v.id != volume.id))
    return Doomed(name, endpoint, template, login, volume, _costs(endpoint, observed), kept)


def destroy(doomed: Doomed, cloud: Cloud, journal: Journal, tell: Tell) -> tuple[str, ...]:
    """Remove what was surveyed; return what went, in order. Raises what the port raises."""
    memory = journal.memory
    memory.pending, memory.before, memory.tested, memory.rollback, memory.recreation = "", None, "", None, None
    journal.save()
    removed: list[str] = []

    def say(text: str) -> None:
        removed.append(text)
        tell(Progress("step", text, f"removing {text}", "started"))

    with stage("destroy", tell) as under_way:
        if doomed.endpoint:
            say(f"endpoint {doomed.endpoint.id}")
            cloud.delete_endpoint(doomed.endpoint)
        if doomed.template:
            say(f"template {doomed.template.spec.name}")
            cloud.delete_template(doomed.template)
        if doomed.login:
            say(f"registry login {doomed.login.name}")
            cloud.delete_login(doomed.login)
        if doomed.volume:
            say(f"volume {doomed.volume.name}")
            cloud.delete_volume(doomed.volume)
        under_way.summary = f"removed {', '.join(removed)}" if removed else "there was nothing"
    return tuple(removed)


def _template(name: str, observed: Observed, others: Sequence[Endpoint]) -> Template | None:
    """Return the recipe's template; one that another endpoint is linked to stays."""
    found = [t for t in observed.templates if t.spec.name == name and not t.is_bound]
    template = _only("template", name, found)
    return None if template and any(e.template_id == template.id for e in others) else template


def _volume_named(name: str, observed: Observed, others: Sequence[Endpoint]) -> Volume | None:
    volume = _only("volume", name, [v for v in observed.volumes if name in (v.name, v.id)])
    if volume is not None:
        _refuse_if_used(f"volume {name}", [e for e in others if volume.id in e.spec.volume_ids])
    return volume


def _refuse_if_used(what: str, users: Sequence[Endpoint]) -> None:
    if users:
        names = ", ".join(sorted(user.spec.name for user in users))
        raise CannotChange(f"other endpoints use it ({names})", where=what, fix="destroy those first, or leave it out")


def _only(kind: str, name: str, found: Sequence[T]) -> T | None:
    if len(found) > 1:
        ids = ", ".join(thing.id for thing in found)
        raise AmbiguousName(
            f"{len(found)} {kind}s have the name {name} ({ids})",
            where="RunPod account",
            fix="remove one in the console",
        )
    return found[0] if found else None


# --- what it costs ---------------------------------------------------------------------------------------------------
def _costs(endpoint: Endpoint | None, observed: Observed) -> Costs | None:
    if endpoint is None:
        return None
    return costs(Desired(None, None, as_template(endpoint.spec), endpoint.spec), 0, observed.pools)


def _endpoint_cost(doomed: Doomed) -> str:
    found = doomed.costs
    assert found is not None and doomed.endpoint is not None, "an endpoint has its costs"
    spec = doomed.endpoint.spec
    if spec.workers_min and found.always_on_usd_per_month is not None:
        idle = f"stops costing {money_text(found.always_on_usd_per_month)} a month ({spec.workers_min} always on)"
    elif spec.workers_min:
        idle = f"{spec.workers_min} always on, no price known"
    else:
        idle = "costs nothing while it idles"
    at_max = next((pool.usd_per_h_at_max for pool in found.pools if pool.usd_per_h_at_max), None)
    return f"{idle}{f', up to {money_text(at_max)} an hour at work' if at_max else ''}"


def _volume(volume: Volume) -> str:
    return f"{volume.name} ({volume.id}, {volume.size_gb} GB in {volume.data_center})"
