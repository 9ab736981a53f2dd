"""A stage of a mend as the display knows it: told when it begins, when it ends, and that it failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from factory.records import Progress, Tell


@dataclass
class Stage:
    """One stage under way; `summary` is what is said of it when it is done."""

    tell: Tell
    summary: str = ""


@contextmanager
def stage(name: str, tell: Tell) -> Iterator[Stage]:
    """Tell of a stage while the block runs."""
    under_way = Stage(tell)
    tell(Progress("stage", name, "", "started"))
    try:
        yield under_way
    except BaseException:
        tell(Progress("stage", name, "", "failed"))
        raise
    tell(Progress("stage", name, under_way.summary, "done"))
