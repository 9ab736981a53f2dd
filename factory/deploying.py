"""Recipes to plans, and plans to live endpoints: what `factory plan` and `factory provision` do for many at once.

The account is looked at once, whatever the number of recipes; what each needs of the Hub and its registry is asked for
in threads meanwhile. Plans stand on one another: what the first makes, the second finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from factory.errors import FactoryError, Interrupted
from factory.journal import Journal
from factory.looking import ImageLook, LoginFor
from factory.pipeline import Line
from factory.ports import Cloud
from factory.provisioning import choices
from factory.provisioning.desired import wants_cached
from factory.provisioning.observed import ImageState, Observed
from factory.provisioning.plan import Plan
from factory.records import Deployment, DiskPlan
from factory.stages.plan import after, plan
from factory.stages.provision import observe, provision
from factory.stages.size import size

READERS = 8


@dataclass(frozen=True, slots=True)
class Planned:
    """One recipe's plan, or the error that kept it from having one."""

    line: Line
    plan: Plan | None = None
    error: FactoryError | None = None

    @property
    def blocker(self) -> FactoryError | None:
        """Return why nothing may be made for this recipe without further words; None when something may."""
        return self.error or (self.plan.blocker() if self.plan else None)


def plan_all(lines: Sequence[Line], cloud: Cloud, look_for: Callable[[Line], ImageLook]) -> tuple[Planned, ...]:
    """Plan every recipe on one look at the account. Raises what looking at the account raises."""
    return plan_on(lines, look_for, lambda: observe(cloud, with_models=have_cached(lines)))


def have_cached(lines: Sequence[Line]) -> bool:
    """Does RunPod bring a model of any of these recipes?"""
    return any(wants_cached(line.file.recipe) for line in lines)


def plan_on(
    lines: Sequence[Line], look_for: Callable[[Line], ImageLook], look: Callable[[], Observed]
) -> tuple[Planned, ...]:
    """Plan every recipe on what `look` sees of the account, once, in a thread of its own. Raises what `look` raises."""
    with ThreadPoolExecutor(READERS) as pool:
        looking = pool.submit(look)
        ready = [pool.submit(_prepare, line, look_for(line)) for line in lines]
        observed = looking.result()
        results = [future.result() for future in ready]
    planned = []
    for line, prepared in zip(lines, results, strict=True):
        one = _planned(line, prepared, observed)
        planned.append(one)
        if one.plan is not None:
            observed = after(one.plan, observed)
    return tuple(planned)


def _prepare(line: Line, look: ImageLook) -> ImageState | FactoryError:
    """Ask the Hub and the registry for what the plan needs."""
    try:
        _ = line.models, line.neighbours
        return look.of(line)
    except Interrupted:
        raise
    except FactoryError as error:
        return error


def _planned(line: Line, image: ImageState | FactoryError, observed: Observed) -> Planned:
    if isinstance(image, FactoryError):
        return Planned(line, error=image)
    try:
        disks = disks_for(line, image, observed)
    except FactoryError as error:
        return Planned(line, error=error)
    return Planned(line, plan(line.file.recipe, disks, image, observed, models=line.models))


def disks_for(line: Line, image: ImageState, observed: Observed) -> DiskPlan:
    """Size the disks by the live pools: exactly, once the image is in its registry, as verify proved it or it says.

    Raises the tree below SizeError.
    """
    offers = choices.catalogue(observed)
    memory = Journal.read(line.machine.home, line.file.recipe.name).memory
    is_proved = memory.size is not None and image.reference.endswith(f"@{memory.verified}")
    return size(
        choices.sizable(line.file.recipe, offers),
        line.models,
        image=memory.size if is_proved else image.size,
        neighbours=line.neighbours,
        pools=choices.sizing_table(offers),
    )


def provision_one(
    planned: Planned,
    cloud: Cloud,
    login_for: LoginFor,
    *,
    is_replacing: bool = False,
    limit_s: float | None = None,
) -> Deployment:
    """Carry out one plan, as the stage `provision` of its line. Raises what that stage raises."""
    if planned.plan is None:
        raise planned.error or AssertionError("a recipe has a plan or an error")
    with planned.line.stage("provision") as stage:
        deployment = provision(
            planned.plan, cloud, stage.tell, is_replacing=is_replacing, login_for=login_for, limit_s=limit_s
        )
        stage.is_cached = not deployment.was_changed
        stage.summary = f"endpoint {deployment.endpoint_id}"
        return deployment


def with_notes(planned: Planned, notes: Sequence[str]) -> Planned:
    """Return the same with what the stages before had to say."""
    if planned.plan is None or not notes:
        return planned
    return replace(planned, plan=replace(planned.plan, notes=(*planned.plan.notes, *notes)))
