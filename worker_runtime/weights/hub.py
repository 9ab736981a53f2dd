"""The Hub's addresses, its login and its refusals. The only place of the runtime that imports huggingface_hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import unquote

from worker_runtime.errors import HubDenied, HubFailed, HubNotFound, StartError
from worker_runtime.recipe import Model, WeightFile

_TRANSIENT = frozenset((408, 409, 425, 429))


@dataclass(frozen=True, slots=True)
class Hub:
    """A Hub, and who asks it. `endpoint` and `token` None: as huggingface_hub finds them."""

    endpoint: str | None
    token: str | None

    def url(self, model: Model, path: str) -> str:
        """Return the address of a file at the model's commit."""
        from huggingface_hub import hf_hub_url

        url: str = hf_hub_url(model.repo, path, revision=model.commit, endpoint=self.endpoint)
        return url

    def headers(self) -> dict[str, str]:
        """Return the headers for the Hub itself, with the token when there is one."""
        from huggingface_hub.utils import build_hf_headers

        found: dict[str, str] = build_hf_headers(token=self.token, library_name="worker_runtime")
        return found


def refusal(status: int, headers: Message, model: Model, file: WeightFile) -> StartError | None:
    """Return the error of an answer that asking again won't change, None when it may.

    `X-Error-Code` is what the Hub's own client goes by (huggingface_hub 2.4, measured 2026-11-23).
    """
    code = headers.get("X-Error-Code", "")
    what = f"{model.repo}@{model.commit[:12]} {file.path}"
    fix = f"ask for access on the model's page and give a token as the secret HF_TOKEN (repository {model.repo})"
    if code == "GatedRepo":
        return HubDenied(f"{model.repo} is gated and this token has no access to it ({status})", fix=fix)
    if code == "RepoNotFound":
        return HubNotFound(f"the Hub has no repository {model.repo}, or it is private ({status})", fix=fix)
    if code in ("RevisionNotFound", "EntryNotFound") or status == HTTPStatus.NOT_FOUND:
        return HubNotFound(f"the Hub has no {what} ({status})", fix="resolve the recipe again, and build")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        said = unquote(headers.get("X-Error-Message", ""))[:200]
        return HubDenied(f"the Hub refused {what} ({status}{': ' + said if said else ''})", fix=fix)
    return None if is_transient(status) else failed(status, what)


def is_transient(status: int) -> bool:
    """Whether an answer may be another one later."""
    return status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def failed(status: int, what: str) -> HubFailed:
    """Return the error for a status that stayed."""
    return HubFailed(f"the Hub answered {status} for {what}", fix="try again later")


def wait_s(headers: Message, now_epoch_s: float) -> float | None:
    """Return how long an answer asks one to wait, in seconds: the Hub's `RateLimit`, else `Retry-After`; else None.

    `RateLimit: "resolvers";r=0;t=55` means none left, and the window ends in 55 s (the Hub's documentation of its rate
    limits, 2026-09-20).
    """
    limit = re.search(r";\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    if limit:
        return float(limit[1])
    after = headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    try:
        return max(0.0, parsedate_to_datetime(after).timestamp() - now_epoch_s) if after else None
    except ValueError:
        return None
