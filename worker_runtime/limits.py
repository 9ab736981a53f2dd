"""How long a job may take: what its own policy says, what the operator says, whichever is less."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MARGIN_S = 3.0  # to end the call and to say so before RunPod's own time-out, which says nothing


@dataclass(frozen=True, slots=True)
class JobLimit:
    """A job's time limit from `began_s` on (`time.monotonic()`). `total_s` None: there is none."""

    total_s: float | None
    source: str
    began_s: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float | None:
        """The seconds left, at least 0; None without a limit."""
        if self.total_s is None:
            return None
        return max(0.0, self.began_s + self.total_s - time.monotonic())


def limit_of(job: Mapping[str, Any], job_s: float | None) -> JobLimit:
    """Return a job's limit: of `policy.executionTimeout` (ms, less a margin) and FACTORY_JOB_S the lesser."""
    policy = job.get("policy")
    timeout_ms = policy.get("executionTimeout") if isinstance(policy, Mapping) else None
    found: list[tuple[float, str]] = []
    if isinstance(timeout_ms, int | float) and not isinstance(timeout_ms, bool) and timeout_ms > 0:
        whole_s = timeout_ms / 1000
        found.append((max(whole_s - MARGIN_S, whole_s / 2), f"policy.executionTimeout {whole_s:g} s"))
    if job_s is not None:
        found.append((job_s, f"FACTORY_JOB_S {job_s:g} s"))
    return JobLimit(*min(found)) if found else JobLimit(None, "")
