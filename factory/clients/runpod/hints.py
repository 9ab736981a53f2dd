"""What RunPod says when it says no, and what to do about it: its known texts, matched by their stable parts.

The texts are RunPod's own, as recorded in answers of 2025 and 2026 (its docs, SDKs and issue trackers; docs/runpod.md
lists them). Their wording drifts, so each is known by a few words of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["refused", "denied", "failed"]


@dataclass(frozen=True, slots=True)
class Known:
    """One text that is known: its code for `details`, what it means for the call, and the hint.

    `kind` is `refused` when RunPod certainly did nothing, `failed` when nobody knows.
    """

    code: str
    kind: Kind
    pattern: str
    hint: str


KNOWN = (
    Known(
        "worker_quota",
        "refused",
        r"max workers across all endpoints|workers? quota",
        "lower endpoint.workers.max of this recipe or of another endpoint, or ask RunPod for a larger quota",
    ),
    Known(
        "no_balance",
        "refused",
        r"at least \$[0-9.]+ in your account balance",
        "add money at console.runpod.io (Billing), then run this again",
    ),
    Known(
        "low_balance",
        "refused",
        r"balance is too low|insufficient (?:balance|funds)",
        "add money at console.runpod.io (Billing), then run this again",
    ),
    Known(
        "pod_template",
        "refused",
        r"cannot use pod templates|not a serverless template",
        "delete that template at RunPod: a pod's can't become a serverless one, and factory makes its own anew",
    ),
    Known(
        "template_not_found",
        "refused",
        r"unable to find template|template not found",
        "run this again: RunPod may not know a template yet that was made a moment ago",
    ),
    Known(
        "masked",
        "failed",
        r"something went wrong",
        "RunPod hides the reason, often a field that it rejects: try again, then ask its support with the request id",
    ),
    Known(
        "no_instances",
        "refused",
        r"no longer any instances available|no instances currently available",
        "name more pools in gpu.pools, or other endpoint.data_centers; `factory plan` shows the stock",
    ),
    Known(
        "machine_too_small",
        "refused",
        r"does not have the resources to deploy",
        "ask for a smaller disk.container, or name more pools",
    ),
    Known(
        "cuda",
        "refused",
        r"unsatisfied condition: cuda",
        "the hosts' driver is older than the image's CUDA: raise gpu.min_cuda to what the image needs",
    ),
    Known(
        "name_taken",
        "refused",
        r"name[^.]{0,60}(?:already|must be unique|taken|in use)|already exists|duplicate name",
        "something else has this name: rename it at RunPod, or rename the recipe",
    ),
    Known(
        "image_missing",
        "refused",
        r"(?:image|manifest).{0,200}(?:not found|unknown|does not exist|could not be found|no such)",
        "push the image (`factory push`), or give RunPod a registry login that can pull it",
    ),
    Known(
        "in_use",
        "refused",
        r"in use|is used by|being used|still attached|currently referenced",
        "remove what uses it first",
    ),
    Known(
        "missing_scope",
        "denied",
        r"missing required scopes?",
        "give the key more rights at console.runpod.io (Settings, API keys), or use another",
    ),
    Known(
        "unauthorized",
        "denied",
        r"^(?:unauthori[sz]ed|not authenticated|invalid api key|forbidden|access denied)",
        "check RUNPOD_API_KEY (console.runpod.io, Settings, API keys)",
    ),
    Known(
        "unknown_field",
        "refused",
        r"additional propert|cannot query field|is not defined by type",
        "RunPod's API has changed: update factory",
    ),
    Known(
        "passing",
        "failed",
        r"try again later|internal server error|service unavailable|too many requests|temporarily unavailable",
        "try again in a moment",
    ),
)

_PATTERNS = tuple((known, re.compile(known.pattern, re.IGNORECASE)) for known in KNOWN)

BY_STATUS: dict[int, tuple[str | None, str]] = {
    401: ("unauthorized", "check RUNPOD_API_KEY (console.runpod.io, Settings, API keys)"),
    402: ("low_balance", "add money at console.runpod.io (Billing), then run this again"),
    403: ("forbidden", "give the key more rights at console.runpod.io (Settings, API keys), or use another"),
    404: ("not_found", "it may have been deleted meanwhile: run this again"),
    405: ("method_not_allowed", "check RUNPOD_API_BASE_URL: this is not the API that factory knows"),
    409: ("conflict", "something else is changing it: run this again"),
    422: ("invalid", "RunPod rejects a value: the message names it"),
    429: ("rate_limited", "wait a minute; other programs use the same key"),
    524: ("proxy_timeout", "Cloudflare gave up after about 100 s of silence; what was asked may still happen"),
}
CLOUDFLARE_1010 = (
    "cloudflare_1010",
    "Cloudflare refuses the client by its User-Agent: a proxy on the way may rewrite it",
)


def find_known(message: str) -> tuple[str, Kind, str] | None:
    """Return the code, the kind and the hint of a known text; None for any other."""
    for known, pattern in _PATTERNS:
        if pattern.search(message):
            return known.code, known.kind, _quota_hint(message) if known.code == "worker_quota" else known.hint
    return None


def _quota_hint(message: str) -> str:
    """Return the hint for the worker quota, with the numbers that RunPod names."""
    quota = re.search(r"quota(?: of)? \(?(\d+)\)?", message)
    most = re.search(r"to at most (-?\d+)", message)
    ours = f"lower endpoint.workers.max of this recipe to at most {most[1]}" if most and int(most[1]) > 0 else ""
    others = "lower workers.max of another endpoint" if not ours else "or that of another endpoint"
    of = f": all endpoints together may have {quota[1]}" if quota else ""
    return f"{', '.join(filter(None, (ours, others)))}{of}"
