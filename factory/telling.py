"""Something that takes a while, as the display knows it: told when it begins, when it ends, and that it failed.

The stages of a recipe's own road are told by `pipeline.Line.stage`, which also keeps their times and fingerprints.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from factory.records import Progress, Tell


@dataclass
class Told:
    """One such thing under way; `summary` is what is said of it when it ends, well or not."""

    tell: Tell
    summary: str = ""


@contextmanager
def stage(name: str, tell: Tell) -> Iterator[Told]:
    """Tell of a stage while the block runs."""
    under_way = Told(tell)
    tell(Progress("stage", name, "", "started"))
    try:
        yield under_way
    except BaseException:
        tell(Progress("stage", name, under_way.summary, "failed"))
        raise
    tell(Progress("stage", name, under_way.summary, "done"))
