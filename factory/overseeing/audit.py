"""audit: a whole account, every list asked for at once, and each endpoint compared with its recipe.

An endpoint's queue and workers come from the job API's /health, which counts against no documented limit: whatever the
number of endpoints, an audit takes some twelve management calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from factory.account import Balance, DataCenter, Endpoint, GpuOffer, Login, Template, Volume
from factory.deploying import Planned, have_cached, plan_on
from factory.errors import FactoryError
from factory.live import AccountDoors
from factory.looking import ImageLook
from factory.overseeing.asking import Asking
from factory.overview.audit import Audit, audit
from factory.overview.holdings import Drift, Holdings
from factory.pipeline import Line
from factory.provisioning.observed import Observed
from factory.provisioning.plan import Plan
from factory.stages.provision import with_models_of

BILL_HOURS = 7 * 24
AT_ONCE = 24


class Auditor:
    """Looks at one account, once. `lines` are the recipes that its endpoints are compared with.

    What can't be had is a gap of `asking`, where a caller may add its own.
    """

    def __init__(self, doors: AccountDoors, lines: Sequence[Line], look_for: Callable[[Line], ImageLook]) -> None:
        self.asking = Asking(AT_ONCE)
        self._doors, self._lines, self._look_for = doors, lines, look_for

    def look(self) -> Audit:
        """Ask for everything, and add it up."""
        ask, cloud = self.asking.ask, self._doors.cloud
        balance = ask("the balance", cloud.balance)
        gpus = ask("the prices of GPUs", cloud.gpus)
        pods = ask("the pods", cloud.pods)
        volumes = ask("the volumes", cloud.volumes)
        templates = ask("the templates", cloud.templates)
        billed = ask("the bill of 7 days", partial(cloud.spend, BILL_HOURS))
        listed = ask("the endpoints", cloud.endpoints)
        others = self._others() if self._lines else None
        endpoints = listed.result()
        queues = {
            e.id: ask(f"the queue of {e.spec.name}", partial(self._doors.jobs.health, e.id)) for e in endpoints or ()
        }
        account = (balance.result(), gpus.result(), volumes.result(), templates.result(), endpoints)
        held = Holdings(
            balance=balance.result(),
            gpus=gpus.result(),
            pods=pods.result(),
            volumes=volumes.result(),
            templates=templates.result(),
            endpoints=endpoints,
            billed=billed.result(),
            drifts=self._drifts(others, *account) if others else {},
            health={key: found for key, future in queues.items() if (found := future.result()) is not None},
            kept_volumes={line.file.recipe.volume_name: str(line.file.path) for line in self._lines},
        )
        return audit(held, self.asking.gaps)

    def _others(self) -> _Others:
        """Begin to ask for what plans alone need."""
        ask, cloud = self.asking.ask, self._doors.cloud
        return _Others(
            ask("the data centres", cloud.data_centers),
            ask("the secrets", cloud.secrets),
            ask("the registry logins", cloud.logins),
            ask("the cached models", cloud.all_models) if have_cached(self._lines) else None,
        )

    def _drifts(
        self,
        others: _Others,
        balance: Balance | None,
        gpus: tuple[GpuOffer, ...] | None,
        volumes: tuple[Volume, ...] | None,
        templates: tuple[Template, ...] | None,
        endpoints: tuple[Endpoint, ...] | None,
    ) -> dict[str, Drift]:
        """Compare each endpoint that has a recipe with it; by the endpoint's name."""
        names = {endpoint.spec.name for endpoint in endpoints or ()}
        deployed = [line for line in self._lines if line.file.recipe.name in names]
        if not deployed:
            return {}
        centers, secrets, logins = others.data_centers.result(), others.secrets.result(), others.logins.result()
        models = others.models.result() if others.models else {}
        if balance is None or gpus is None or centers is None or secrets is None or volumes is None:
            return _unknown(deployed)
        if logins is None or templates is None or endpoints is None or models is None:
            return _unknown(deployed)
        observed = Observed(
            balance, gpus, centers, secrets, volumes, logins, templates, with_models_of(endpoints, models)
        )
        planned = plan_on(deployed, self._look_for, lambda: observed)
        return {one.line.file.recipe.name: self._drift(one) for one in planned}

    def _drift(self, planned: Planned) -> Drift:
        name, path = planned.line.file.recipe.name, str(planned.line.file.path)
        if planned.plan is None:
            error = planned.error or AssertionError("a recipe has a plan or an error")
            if isinstance(error, FactoryError):
                self.asking.add(f"how {name} differs from its recipe", error)
            return Drift(path, "unknown", str(error))
        if not planned.plan.has_changes:
            return Drift(path, "same")
        if (blocker := planned.blocker) is not None:
            return Drift(path, "blocked", blocker.what)
        return Drift(
            path, "changed", _changes(planned.plan), "provision" if planned.plan.image.is_pushed else "release"
        )


@dataclass(frozen=True, slots=True)
class _Others:
    """What is being asked for besides."""

    data_centers: Future[tuple[DataCenter, ...] | None]
    secrets: Future[tuple[str, ...] | None]
    logins: Future[tuple[Login, ...] | None]
    models: Future[Mapping[str, tuple[str, ...]] | None] | None


def _unknown(lines: Sequence[Line]) -> dict[str, Drift]:
    """Say that nobody can tell: which list is missing is a gap already."""
    why = "the account could not be read whole"
    return {line.file.recipe.name: Drift(str(line.file.path), "unknown", why) for line in lines}


def _changes(plan: Plan) -> str:
    """Return `endpoint: env, workers_max; volume: size_gb`."""
    return "; ".join(
        f"{action.resource}: {', '.join(change.field for change in action.changes) or action.kind}"
        for action in plan.actions
        if action.is_change
    )
