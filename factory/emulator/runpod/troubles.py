"""The platform's troubles, first class: each is a small record in a list, JSON in and out (`POST /_emulator/troubles`).

| trouble | fields (defaults) | what happens while it is in the list |
| --- | --- | --- |
| no_stock | where | a GPU type, pool or data centre has no stock: the catalogue says NONE, new workers are THROTTLED |
| throttled | endpoint (*) | new workers of the endpoint are THROTTLED although there is stock |
| pull_failure | image (*) | workers stay INITIALIZING, their system log says `image pull: … pending` |
| crash | endpoint (*), exit_code (1), after_s (0), times (forever) | a started worker ends after `after_s` |
| slow_start | endpoint (*), seconds | a worker's container starts so much later |
| disk_full | volume (*) | a volume has no byte free (needs a volume with a file system of its own) |
| balance | usd (0) | the account's balance; what it was comes back afterwards, less what was spent |
| endpoint_gone | endpoint (*) | its job API answers 404 `{"message":"Not Found"}`; the management APIs still list it |
| lose_job | endpoint (*), times (1) | a job that a worker takes never reaches it |
| late_status_404 | endpoint (*), times (3) | the first status calls of each job are answered with 404 |

`endpoint` is an id or a name, `image` a reference, `volume` an id or a name: all are globs. HTTP faults are elsewhere
(factory/emulator/faults.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar, TypeVar

from factory.emulator.runpod.catalogue import Catalogue, Gpu
from factory.emulator.runpod.entities import Availability, Endpoint, Volume
from factory.emulator.runpod.world import World

FOREVER = -1


class NotATrouble(ValueError):
    """What was sent is no trouble; the text says why."""


@dataclass
class Trouble:
    """One trouble; `times` counts down where it has an end."""

    name: ClassVar[str] = ""


@dataclass
class NoStock(Trouble):
    """A GPU type, a pool or a data centre has no stock."""

    name = "no_stock"
    where: str


@dataclass
class Throttled(Trouble):
    """An endpoint gets no new workers."""

    name = "throttled"
    endpoint: str = "*"


@dataclass
class PullFailure(Trouble):
    """Images can't be pulled."""

    name = "pull_failure"
    image: str = "*"


@dataclass
class Crash(Trouble):
    """Started workers end with an exit code."""

    name = "crash"
    endpoint: str = "*"
    exit_code: int = 1
    after_s: float = 0.0
    times: int = FOREVER


@dataclass
class SlowStart(Trouble):
    """Containers start late."""

    name = "slow_start"
    seconds: float
    endpoint: str = "*"


@dataclass
class DiskFull(Trouble):
    """Volumes are full."""

    name = "disk_full"
    volume: str = "*"


@dataclass
class Balance(Trouble):
    """The account has so much money."""

    name = "balance"
    usd: float = 0.0
    taken_usd: float = field(default=0.0, init=False)


@dataclass
class EndpointGone(Trouble):
    """The job API knows an endpoint no more."""

    name = "endpoint_gone"
    endpoint: str = "*"


@dataclass
class LoseJob(Trouble):
    """Jobs get lost on their way to the worker."""

    name = "lose_job"
    endpoint: str = "*"
    times: int = 1


@dataclass
class LateStatus404(Trouble):
    """The first status calls of each job are answered with 404."""

    name = "late_status_404"
    endpoint: str = "*"
    times: int = 3
    seen: dict[str, int] = field(default_factory=dict, init=False, repr=False)


KINDS: dict[str, type[Trouble]] = {
    kind.name: kind
    for kind in (
        NoStock,
        Throttled,
        PullFailure,
        Crash,
        SlowStart,
        DiskFull,
        Balance,
        EndpointGone,
        LoseJob,
        LateStatus404,
    )
}
T_ = TypeVar("T_", bound=Trouble)


class Troubles:
    """The troubles of one account, oldest first. Stock and balance change at once, the others when they are met."""

    def __init__(self, world: World, catalogue: Catalogue) -> None:
        self._world = world
        self._catalogue = catalogue
        self._stock_before: dict[tuple[str, str], Availability] = {}
        self._troubles: list[Trouble] = []

    def __iter__(self) -> Iterator[Trouble]:
        return iter(self._troubles)

    def __len__(self) -> int:
        return len(self._troubles)

    # --- the list ------------------------------------------------------------------------------------------------
    def add(self, trouble: Trouble) -> None:
        """Begin a trouble. Raises NotATrouble for stock of what isn't in the catalogue."""
        if isinstance(trouble, NoStock) and not list(self._shelves(trouble)):
            raise NotATrouble(f"no_stock: {trouble.where} is no GPU type, pool or data centre with GPUs")
        self._troubles.append(trouble)
        if isinstance(trouble, Balance):
            trouble.taken_usd = self._world.person.balance_usd - trouble.usd
            self._world.set_person(balance_usd=trouble.usd)
        self._empty_shelves()

    def remove(self, trouble: Trouble) -> None:
        """End a trouble."""
        self._troubles.remove(trouble)
        if isinstance(trouble, Balance):
            self._world.set_person(balance_usd=self._world.person.balance_usd + trouble.taken_usd)
        self._empty_shelves()

    def clear(self) -> None:
        """End them all."""
        for trouble in list(self._troubles):
            self.remove(trouble)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the list as `from_json` takes its items."""
        return [
            {"trouble": one.name, **{f.name: getattr(one, f.name) for f in dataclasses.fields(one) if f.init}}
            for one in self._troubles
        ]

    # --- what the fleet asks -------------------------------------------------------------------------------------
    def throttles(self, endpoint: Endpoint) -> bool:
        """Does the endpoint get no new workers?"""
        return any(_is_of(one.endpoint, endpoint) for one in self._of(Throttled))

    def fails_pull(self, image: str) -> bool:
        """Can the image not be pulled?"""
        return any(fnmatchcase(image, one.image) for one in self._of(PullFailure))

    def next_crash(self, endpoint: Endpoint) -> Crash | None:
        """Return how a worker that starts now will end, and count it."""
        for one in self._of(Crash):
            if _is_of(one.endpoint, endpoint) and one.times:
                one.times -= one.times > 0
                return one
        return None

    def start_delay_s(self, endpoint: Endpoint) -> float:
        """Return how much later a container of the endpoint starts."""
        return sum(one.seconds for one in self._of(SlowStart) if _is_of(one.endpoint, endpoint))

    def fills(self, volume: Volume) -> bool:
        """Has the volume no byte free?"""
        return any(
            fnmatchcase(volume.id, one.volume) or fnmatchcase(volume.name, one.volume) for one in self._of(DiskFull)
        )

    # --- what the job API asks -----------------------------------------------------------------------------------
    def hides(self, endpoint: Endpoint) -> bool:
        """Does the job API know nothing of the endpoint?"""
        return any(_is_of(one.endpoint, endpoint) for one in self._of(EndpointGone))

    def loses_job(self, endpoint: Endpoint) -> bool:
        """Is the job that a worker takes now lost? Counts it."""
        for one in self._of(LoseJob):
            if _is_of(one.endpoint, endpoint) and one.times:
                one.times -= one.times > 0
                return True
        return False

    def hides_status(self, endpoint: Endpoint, job_id: str) -> bool:
        """Is this status call of a job too early to be answered? Counts it."""
        for one in self._of(LateStatus404):
            if _is_of(one.endpoint, endpoint) and one.seen.get(job_id, 0) < one.times:
                one.seen[job_id] = one.seen.get(job_id, 0) + 1
                return True
        return False

    def _of(self, kind: type[T_]) -> list[T_]:
        return [one for one in self._troubles if isinstance(one, kind)]

    # --- stock ---------------------------------------------------------------------------------------------------
    def _shelves(self, trouble: NoStock) -> Iterator[tuple[Gpu, str]]:
        for gpu in self._catalogue.gpus.values():
            for center in gpu.stock:
                if trouble.where in (gpu.id, gpu.pool, center):
                    yield gpu, center

    def _empty_shelves(self) -> None:
        """Take out of the catalogue what the troubles say, and put back what none of them says any more."""
        empty = {(gpu.id, center) for one in self._of(NoStock) for gpu, center in self._shelves(one)}
        for place in empty - self._stock_before.keys():
            self._stock_before[place] = self._catalogue.gpus[place[0]].stock[place[1]]
            self._catalogue.set_stock(*place, "NONE")
        for place in self._stock_before.keys() - empty:
            self._catalogue.set_stock(*place, self._stock_before.pop(place))


def from_json(body: Any) -> Trouble:
    """Make a trouble of `{"trouble": NAME, FIELD: VALUE, …}`. Raises NotATrouble, which says what would do."""
    if not isinstance(body, Mapping):
        raise NotATrouble(f"a trouble is an object (found {body!r})"[:200])
    values = dict(body)
    kind = KINDS.get(str(values.pop("trouble", "")))
    if kind is None:
        raise NotATrouble(f"`trouble` is one of {', '.join(KINDS)} (found {body.get('trouble')!r})"[:300])
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    if unknown := sorted(set(values) - set(fields)):
        raise NotATrouble(f"{kind.name} knows no {', '.join(map(str, unknown))}; it takes {', '.join(fields)}"[:300])
    for name, one in fields.items():
        if name not in values and one.default is dataclasses.MISSING:
            raise NotATrouble(f"{kind.name} needs `{name}`")
        if name in values and not _fits(values[name], str(one.type)):
            raise NotATrouble(f"{kind.name}: {name} is a {one.type} (found {values[name]!r})"[:300])
    return kind(**values)


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, {"str": str, "int": int, "float": (int, float)}[kind])  # type: ignore[arg-type]


def _is_of(pattern: str, endpoint: Endpoint) -> bool:
    return fnmatchcase(endpoint.id, pattern) or fnmatchcase(endpoint.name, pattern)
