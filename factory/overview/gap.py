"""What could not be had, and why: the rest is shown all the same."""

from __future__ import annotations

from dataclasses import dataclass

from factory.errors import FactoryError


@dataclass(frozen=True, slots=True)
class Gap:
    """One question without an answer. `what` names what is missing, `error` says why."""

    what: str
    error: FactoryError

    def as_record(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return {"what": self.what, "error": self.error.as_record()}
