"""A worker has no value where its environment names a RunPod secret: `401` from the Hub, or a start that fails.

Cause: `{{ RUNPOD_SECRET_NAME }}` is filled in from the account's secrets when a worker starts, and one of that name
isn't there (docs.runpod.io, read 2026-11-23).
Command: none; make the secret in RunPod's console, its value is nobody else's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend

RULE = "secret_missing"
_REFERENCE = re.compile(r"RUNPOD_SECRET_(\w+)")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find references to secrets that the account doesn't have."""
    if evidence.endpoint is None or "secrets" in evidence.gaps:
        return
    for variable, value in sorted(evidence.endpoint.spec.env.items()):
        for name in sorted(set(_REFERENCE.findall(value)) - set(evidence.account.secrets)):
            yield Finding(
                RULE,
                "error",
                f"env.{variable} names the secret {name}, which the account doesn't have",
                "workers start without its value",
                Mend(f"make the secret {name} in RunPod's console (Secrets), then start the workers anew"),
                "certain",
                {"secret": name},
            )
