"""A create is never blindly repeated: when it is in doubt it is looked for, and made again only when it isn't there.

| what came of the create | then |
| --- | --- |
| an answer | that is it |
| RunPod refused, denied, or is gone | the error as it is: nothing was made |
| no connection came about, or 429 stayed | the error as it is: nothing was made |
| no answer, 5xx, or no JSON | look for it after each of `pauses_s`; found: that is it; not there: make it again |
| after a second create: "taken" | look once more; found: that is it |
| after a second create: an answer | look once more: `find` raises AmbiguousName when the first had come through late |
| it can't be looked for | CloudFailed, which says that it may be there |

RunPod has no idempotency keys (docs.runpod.io, read 2026-11-23), and names of volumes and endpoints may repeat there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from factory.clients.runpod.errors import is_certainly_undone
from factory.errors import AmbiguousName, CloudFailed, CloudRefused, CloudUnreachable, ProvisionError

T = TypeVar("T")


class HasId(Protocol):
    """What RunPod has given an id."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


H = TypeVar("H", bound=HasId)

PAUSES_S = (0.5, 1.5, 3.0)  # before each look: a create that was cut off may still be under way at RunPod
CREATES = 3


def create_once(
    send: Callable[[], T],
    find: Callable[[], T | None],
    what: str,
    *,
    pauses_s: Sequence[float] = PAUSES_S,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Make something by `send`, at most once in effect, and return it.

    `send` sends one create, without retries of its own, and raises the tree below ProvisionError. `find` looks for
    what `send` makes, by name and by all else that is known of it; it returns None when it isn't there and raises
    AmbiguousName when there are several. `what` names it in messages (`volume "factory-models"`).
    """
    for attempt in range(1, CREATES + 1):
        is_again = attempt > 1
        try:
            made = send()
        except (CloudUnreachable, CloudFailed) as doubt:
            if is_certainly_undone(doubt):
                raise
            found = _look(find, what, doubt, pauses_s, sleep)
            if found is not None:
                return found
            if attempt == CREATES:
                raise
        except CloudRefused:
            found = find() if is_again else None
            if found is None:
                raise
            return found
        else:
            return (find() or made) if is_again else made
    raise AssertionError("the last attempt returns or raises")


def _look(
    find: Callable[[], T | None],
    what: str,
    doubt: ProvisionError,
    pauses_s: Sequence[float],
    sleep: Callable[[float], None],
) -> T | None:
    """Look for what a create in doubt may have made, after each pause (at least once), until it is there."""
    for pause_s in pauses_s or (0.0,):
        sleep(pause_s)
        try:
            found = find()
        except AmbiguousName:
            raise
        except ProvisionError as error:
            raise CloudFailed(
                f"{what} may have been made: its create failed ({doubt.what}), so did the look for it ({error.what})",
                where=doubt.where,
                fix="run the same command again when RunPod answers; it looks before it makes",
                details=doubt.details,
            ) from doubt
        if found is not None:
            return found
    return None


def only(found: Iterable[H], what: str) -> H | None:
    """Return the one thing that was found; None when there is none. Raises AmbiguousName when there are several."""
    things = list(found)
    if len(things) > 1:
        ids = [thing.id for thing in things]
        raise AmbiguousName(
            f"RunPod has {len(things)} of this name ({', '.join(ids)})",
            where=what,
            fix="delete all but one at console.runpod.io, or rename them",
            details={"ids": ids},
        )
    return things[0] if things else None
