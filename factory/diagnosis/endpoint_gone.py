"""Every job call answers 404 `Not Found`, although RunPod's management lists the endpoint.

Cause: the job API no longer knows the endpoint, as is told of endpoints whose account ran out of money (docs.runpod.io
names no such state, read 2026-11-23: unconfirmed).
Command: `factory recreate RECIPE`; the endpoint's id and URL change.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find an endpoint that one API has and the other hasn't."""
    if evidence.endpoint is None or evidence.job_api_status != 404:
        return
    yield Finding(
        "endpoint_gone",
        "error",
        f"the job API answers 404 for {evidence.endpoint.id}, which RunPod's management lists",
        "the job API no longer knows the endpoint, as is told of accounts that ran out of money; a new one answers",
        Mend(f"factory recreate {shlex.quote(evidence.argument)}"),
        "likely",
        {"endpoint_id": evidence.endpoint.id},
    )
