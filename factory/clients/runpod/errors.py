"""Every answer of RunPod that is no success, as one exception of `factory/errors.py`.

RunPod answers errors in six shapes: problem+json (REST v2), `{"error": …}` (REST v1's wrapper, job API), GraphQL's
`{"errors": [{"message"}]}` with HTTP 200 or 400, `{"message": …}` (gateway), a web page or plain text (Cloudflare), and
JSON that breaks off. `read_complaint` reads them all; `cloud_error` and `job_error` make of it what the caller raises.

What a management error says of the call itself: CloudRefused, CloudDenied and CloudGone mean that nothing was done,
CloudFailed and CloudUnreachable that nobody knows, unless `is_certainly_undone` (`create_once.py` builds on that).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from factory.clients.retries import NEVER_SENT
from factory.clients.runpod.hints import BY_STATUS, CLOUDFLARE_1010, Kind, find_known
from factory.errors import (
    CloudDenied,
    CloudFailed,
    CloudGone,
    CloudRefused,
    CloudUnreachable,
    EndpointNotFound,
    JobRefused,
    ProvisionError,
    RunError,
)

Api = Literal["rest", "graphql"]

MESSAGE_LENGTH = 400
SHOWN_LENGTH = 80
_NAMES: dict[Api, str] = {"rest": "REST v2", "graphql": "GraphQL"}
_OTHER: dict[Api, Api] = {"rest": "graphql", "graphql": "rest"}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an answer says is wrong. `code` is ours for a known text, else RunPod's own (GraphQL) or None."""

    status: int
    message: str
    code: str | None
    kind: Kind
    hint: str
    request_id: str | None

    def details(self) -> dict[str, object]:
        """Return what `--json` shows of it."""
        fields = {"status": self.status, "code": self.code, "message": self.message}
        return {**fields, "request_id": self.request_id, "hint": self.hint}


def read_complaint(answer: httpx.Response) -> Complaint:
    """Read an answer that is no success, of any of RunPod's APIs; the key and what is marked secret are cut out."""
    message, own_code = _message(answer)
    message = _without_secrets(_one_line(message), answer)
    kind, code, hint = _judge(answer.status_code, message)
    return Complaint(
        status=answer.status_code,
        message=message,
        code=code or own_code,
        kind=kind,
        hint=hint,
        request_id=answer.headers.get("x-request-id") or answer.headers.get("cf-ray"),
    )


def cloud_error(answer: httpx.Response, where: str, api: Api) -> ProvisionError:
    """Return what an answer of a management API means; `where` names what was asked (`endpoint "factory-wan"`)."""
    found = read_complaint(answer)
    if found.status == 410:
        other = _OTHER[api]
        found_hint = f"set RUNPOD_API={other}"
        details = {**found.details(), "hint": found_hint}
        what = f"RunPod has retired {_NAMES[api]} (HTTP 410)"
        return CloudGone(what, where=where, fix=f"{found_hint}, and update factory", details=details)
    verb = {"refused": "RunPod refuses", "denied": "RunPod denies access", "failed": "RunPod fails"}[found.kind]
    return {"refused": CloudRefused, "denied": CloudDenied, "failed": CloudFailed}[found.kind](
        f"{verb}: {_sentence(found)}", where=where, fix=found.hint, details=found.details()
    )


def job_error(answer: httpx.Response, where: str) -> RunError:
    """Return what an answer of the job API means; `where` names the job or endpoint."""
    found = read_complaint(answer)
    if found.status == 404:
        return EndpointNotFound(f"RunPod knows no such endpoint: {_sentence(found)}", where=where, fix=MISSING_ENDPOINT)
    if found.kind == "denied":
        return RunError(
            f"RunPod denies access: {_sentence(found)}", where=where, fix=found.hint, details=found.details()
        )
    if found.kind == "refused":
        return JobRefused(f"RunPod refuses: {_sentence(found)}", where=where, fix=found.hint, details=found.details())
    return RunError(f"RunPod fails: {_sentence(found)}", where=where, fix=found.hint, details=found.details())


# A job call to the management's host is answered 404 {"message":"Not Found"} (recorded, 2026); so may one be whose
# endpoint went with a negative balance (not confirmed).
MISSING_ENDPOINT = (
    "check the id with `factory plan`, the balance at console.runpod.io, and that RUNPOD_ENDPOINT_BASE_URL is "
    "https://api.runpod.ai/v2 (.ai, not .io)"
)


def unreachable(error: httpx.TransportError, where: str, host: str) -> CloudUnreachable:
    """Return what a lost or absent connection means for a management call."""
    return CloudUnreachable(
        f"no answer from {host} ({lost(error)})",
        where=where,
        fix="check the network, and RUNPOD_API_BASE_URL",
        details={"status": None, "code": type(error).__name__, "message": str(error), "hint": None},
    )


def is_certainly_undone(error: ProvisionError) -> bool:
    """Did a call that ended so certainly change nothing: no connection came about, or a rate limit turned it away?"""
    return error.details.get("code") in UNSENT or error.details.get("status") == 429


UNSENT = frozenset(kind.__name__ for kind in NEVER_SENT)


def lost(error: httpx.TransportError) -> str:
    """Say in a few words how a connection ended."""
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, httpx.TimeoutException):
        return "silence"
    return "the connection broke"


def no_sense(answer: httpx.Response, where: str) -> CloudFailed:
    """Return the error for a success whose body isn't what RunPod's API sends."""
    return CloudFailed(
        f"HTTP {answer.status_code} is no answer of RunPod's API (found {shown(answer)})",
        where=where,
        fix="check RUNPOD_API_BASE_URL, and whether a proxy answers in RunPod's place",
        details={"status": answer.status_code, "code": "no_sense", "message": shown(answer), "hint": None},
    )


def read_object(answer: httpx.Response) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None when its body is anything else."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def shown(answer: httpx.Response) -> str:
    """Say what kind of body an answer has, with its first words."""
    if not answer.content:
        return "nothing"
    is_page = answer.text.lstrip().startswith("<")
    start = _without_secrets(_one_line(_page_title(answer.text) if is_page else answer.text), answer)[:SHOWN_LENGTH]
    return f"a web page: {start}" if is_page else start


def _judge(status: int, message: str) -> tuple[Kind, str | None, str]:
    """Return what an answer says of the call, our code for it, and the hint."""
    if status == 403 and re.search(r"\b1010\b", message):
        return "denied", *CLOUDFLARE_1010
    known = None if status == 429 else find_known(message)
    code, kind, hint = known or (None, _kind(status), "")
    by_status = BY_STATUS.get(status) or (_FAILED if kind == "failed" else _REFUSED)
    if code is None or (code == "passing" and status in BY_STATUS):
        code, hint = by_status
    return "denied" if status in (401, 403) else kind, code, hint


_FAILED = ("failed", "try again in a moment; status.runpod.io says what is down")
_REFUSED = (None, "the message says what RunPod rejects")


def _kind(status: int) -> Kind:
    if status in (401, 403):
        return "denied"
    # 200 is how GraphQL refuses. 408 comes from a proxy that heard nothing; 429 does pass, so it is no final refusal.
    return "refused" if status == 200 or (400 <= status < 500 and status not in (408, 429)) else "failed"


def _message(answer: httpx.Response) -> tuple[str, str | None]:
    """Return RunPod's own words, and its own code where it sends one."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return shown(answer), None
    if isinstance(body, list):  # REST v1 sent a list of problems; GraphQL's errors are one, too
        return _joined(body), None
    if not isinstance(body, Mapping):
        return str(body), None
    if isinstance(body.get("errors"), list) and not body.get("detail"):
        first = body["errors"][0] if body["errors"] else {}
        extensions = first.get("extensions") if isinstance(first, Mapping) else None
        own = extensions.get("code") if isinstance(extensions, Mapping) else None
        return _joined(body["errors"]), str(own) if own else None
    text = next((body[k] for k in ("detail", "error", "message", "title") if body.get(k)), None)
    parts = body.get("errors") if isinstance(body.get("errors"), list) else None
    said = _text(text) if text is not None else shown(answer)
    return (f"{said.rstrip('.')}: {_joined(parts)}" if parts else said), None


def _joined(parts: list[Any]) -> str:
    """Return several problems as one text."""
    return "; ".join(_text(part) for part in parts) or "no reason given"


def _text(part: object) -> str:
    """Return the words of one problem, whatever shape it has."""
    if isinstance(part, Mapping):
        said = next((part[k] for k in ("message", "error", "detail") if part.get(k)), None)
        return json.dumps(part, default=str) if said is None else _text(said)
    return part if isinstance(part, str) else json.dumps(part, default=str)


def _sentence(found: Complaint) -> str:
    request = f", request {found.request_id}" if found.request_id else ""
    return f"{found.message} (HTTP {found.status}{request})"


def _page_title(page: str) -> str:
    title = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    return title[1] if title else page


def _one_line(text: str) -> str:
    # REST v1 wrapped GraphQL's message into its own steps: "create endpoint: create endpoint: graphql: …".
    line = re.sub(r"^(?:[a-z ]{3,40}: )*graphql: ", "", " ".join(text.split()))
    return line if len(line) <= MESSAGE_LENGTH else f"{line[:MESSAGE_LENGTH]}…"


def _without_secrets(text: str, answer: httpx.Response) -> str:
    """Return the text without the key of the call, and without what the caller marked (`factory.secrets`)."""
    try:
        request = answer.request
    except RuntimeError:  # an answer that no request led to (a test's)
        return text
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    for secret in (key, *request.extensions.get("factory.secrets", ())):
        if secret:
            text = text.replace(secret, "***")
    return text
