"""What a registry's refusal of something sent to it means, as one of our errors.

| answer | error |
| --- | --- |
| 401, 403 | PushDenied |
| 507; 5xx or 403 that speaks of space or a quota | RegistryFull |
| 413; any other 4xx: a media type, a digest that differs, no such repository | RegistryRefused |
| 408, 429, 5xx | worth another try, then RegistryFailed |
| 404, 416 within an upload | the upload is void: again from its beginning, then RegistryFailed |

docker-registry 2.8.2 says of a full disk `500` with `"Err":28` in `detail` (measured 2026-11-24).
"""

from __future__ import annotations

import json
import re

import httpx

from factory.clients.retries import retry_after_s
from factory.errors import PushDenied, PushError, RegistryFailed, RegistryFull, RegistryRefused, RegistryUnreachable
from factory.references import Reference

FULL = re.compile(r'"Err":28\b|no space left|quota|insufficient storage|exceed the configured upper limit', re.I)
PASSING = (408, 429, 500, 502, 503, 504)  # worth another try
VOID = (404, 416)  # the upload is gone, or elsewhere than we think

_SAID_LIMIT = 200


def refusal(answer: httpx.Response, where: Reference, who: str, what: str) -> PushError | None:
    """Return the error for an answer that no repetition mends; None for every other. `what` is what was sent."""
    status = answer.status_code
    if answer.is_success or status in PASSING + VOID:
        is_full = status >= 500 and FULL.search(answer.text)
        return _full(where, f"HTTP {status}: no space left") if is_full else None
    if status == 507 or (status in (403, 412) and FULL.search(answer.text)):
        return _full(where, f"HTTP {status}: {said(answer)}")
    if status in (401, 403):
        return PushDenied(
            f"it does not let us write {who} (HTTP {status})",
            where=where.repository,
            fix=f"run `docker login {where.registry}`, or set FACTORY_REGISTRY_USERNAME and FACTORY_REGISTRY_PASSWORD",
        )
    if status == 413:
        return RegistryRefused(
            f"{what} is too large for it (HTTP 413)",
            where=where.repository,
            fix="raise the limit of the registry or of the proxy before it, or use another registry",
        )
    if status >= 500:
        return RegistryFailed(f"it failed (HTTP {status}: {said(answer)})", where=where.repository)
    return RegistryRefused(
        f"it refuses {what} (HTTP {status}: {said(answer)})",
        where=where.repository,
        fix="look at the registry's log, or use another registry",
    )


def lasting(answer: httpx.Response, where: Reference, what: str) -> PushError:
    """Return the error for a fault that stayed although we tried again."""
    status = answer.status_code
    if status == 429:
        wait_s = retry_after_s(answer)
        return RegistryFailed(
            f"too many requests (HTTP 429{f', free again in {wait_s:.0f} s' if wait_s else ''})",
            where=where.registry,
            fix="wait, then run the same command again: what has arrived is kept",
        )
    if status == 404 and "NAME_UNKNOWN" in answer.text:
        return RegistryRefused(
            "it has no such repository, and makes none by itself (HTTP 404)",
            where=where.repository,
            fix="make the repository in the registry first",
        )
    if status in VOID:
        return RegistryFailed(
            f"it lost the upload of {what} each time (HTTP {status})",
            where=where.repository,
            fix="look at the registry's log; behind several registries, all need the same `http.secret`",
        )
    return RegistryFailed(
        f"it still fails to take {what} (HTTP {status}: {said(answer)})",
        where=where.repository,
        fix="try again later: what has arrived is kept",
    )


def unreachable(error: httpx.TransportError, where: Reference) -> RegistryUnreachable:
    """Return the error for a registry that doesn't answer, or no longer."""
    return RegistryUnreachable(
        f"no answer ({type(error).__name__}: {error})",
        where=where.registry,
        fix="check its address and the network, then run the same command again: what has arrived is kept",
    )


def said(answer: httpx.Response) -> str:
    """Return a registry's own words, `CODE: message` (distribution-spec v1.1, "Error Codes"), on one short line."""
    try:
        first = json.loads(answer.content)["errors"][0]
        text = ": ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (ValueError, LookupError, TypeError, AttributeError):
        text = answer.text
    line = " ".join(text.split())
    return (line if len(line) <= _SAID_LIMIT else line[: _SAID_LIMIT - 1] + "…") or "nothing said"


def _full(where: Reference, found: str) -> RegistryFull:
    return RegistryFull(
        f"the storage of {where.registry} is full ({found})",
        where=where.repository,
        fix="delete images there, or give it more space",
    )
