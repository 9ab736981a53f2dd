"""What a refusal of the Hub means, as one sentence and one thing to do. Pure: no client, no network.

The answers are those that huggingface_hub 2.4.0 tells apart (`X-Error-Code`, `X-Error-Message`; measured 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from factory.errors import (
    AccessDenied,
    HubFailed,
    HubRateLimited,
    HubUnreachable,
    RepoNotFound,
    ResolveError,
    RevisionNotFound,
)

INVALID_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105  (the Hub's sentence)
MAX_QUOTED = 160


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of whom. `endpoint` is a URL; it is shown without the credentials it may hold."""

    endpoint: str
    repo: str = ""
    revision: str = ""
    has_token: bool = False

    @property
    def hub(self) -> str:
        """The endpoint as it may be shown."""
        parts = urlsplit(self.endpoint)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of a refusing answer that say why. `retry_s` is when the Hub's rate limit resets, in seconds."""

    status: int
    code: str = ""
    message: str = ""
    retry_s: float | None = None


def refused(answer: Answer, asked: Asked) -> ResolveError:
    """Return the error for an answer that is no success, after the retries."""
    if answer.status == 429:
        return rate_limited(answer.retry_s, asked)
    if answer.status >= 500:
        what = f"the Hub answers {answer.status} again and again{_quoted(answer.message)}"
        return HubFailed(what, where=asked.hub, fix="try again in some minutes; see https://status.huggingface.co")
    if answer.status == 401 and answer.message == INVALID_TOKEN:
        fix = f"make a new token at {asked.hub}/settings/tokens and set HF_TOKEN (public repositories need none)"
        return AccessDenied("the Hub does not know this token", where=asked.hub, fix=fix)
    if answer.code == "GatedRepo":
        return gated(asked)
    if answer.code == "RevisionNotFound":
        return no_revision(asked, ())
    if answer.code == "RepoNotFound" or (answer.status == 401 and asked.repo):
        return no_repo(asked, ())
    if answer.code == "EntryNotFound":
        return HubFailed(f"the Hub lists a file and has no content for it{_quoted(answer.message)}", where=asked.repo)
    if answer.status in (401, 403):
        fix = "use a token that may read it (HF_TOKEN)" if asked.has_token else "set HF_TOKEN"
        what = f"the Hub forbids it ({answer.status}){_quoted(answer.message)}"
        return AccessDenied(what, where=asked.repo or asked.hub, fix=fix)
    if answer.status == 404 and not answer.code:
        return not_a_hub(asked, f"404 without the Hub's X-Error-Code{_quoted(answer.message)}")
    return HubFailed(f"the Hub answers {answer.status}{_quoted(answer.message)}", where=asked.repo or asked.hub)


def no_repo(asked: Asked, similar: Sequence[str]) -> RepoNotFound:
    """Return the error for a repository that is absent or hidden, with similar names that exist."""
    hidden = "a private one that this token can't see" if asked.has_token else "a private one"
    private = "use a token that may read it" if asked.has_token else "set HF_TOKEN if it is private"
    known = " or ".join(repr(name) for name in similar)
    fix = f"did you mean {known}? ({private})" if known else f"check the name, or {private}"
    return RepoNotFound(f"no such repository on the Hub, or {hidden}", where=asked.repo, fix=fix)


def gated(asked: Asked) -> AccessDenied:
    """Return the error for a gated repository whose files this token may not read."""
    page = f"{asked.hub}/{asked.repo}"
    if asked.has_token:
        what, fix = "the repository is gated, and this token has not been let in", f"ask for access at {page}"
    else:
        what, fix = "the repository is gated, and no token was sent", f"ask for access at {page}, then set HF_TOKEN"
    return AccessDenied(what, where=asked.repo, fix=fix)


def no_revision(asked: Asked, known: Sequence[str]) -> RevisionNotFound:
    """Return the error for a branch, tag or commit that is absent, with those that exist."""
    fix = f"use one of {', '.join(known)}, or a full commit id" if known else "use main, or a full commit id"
    what = f"the repository has no branch, tag or commit {asked.revision!r}"
    return RevisionNotFound(what, where=asked.repo, fix=fix)


def rate_limited(retry_s: float | None, asked: Asked) -> HubRateLimited:
    """Return the error for a rate limit that outlasts the patience. `retry_s`: seconds until it resets, if known."""
    until = f", and frees itself in {retry_s:.0f} s" if retry_s else ""
    wait = f"wait {retry_s:.0f} s" if retry_s else "wait some minutes"
    # 500 API calls in 5 minutes per address without a token, 1,000 with one (Hub docs, rate limits, 2026-09-20).
    fix = wait if asked.has_token else f"{wait}, or set HF_TOKEN: a token has twice the limit"
    details = {"retry_after_s": retry_s} if retry_s else {}
    return HubRateLimited(f"the Hub's rate limit is reached{until}", where=asked.hub, fix=fix, details=details)


def not_a_hub(asked: Asked, found: str) -> HubFailed:
    """Return the error for an endpoint that answers with something else than the Hub's API."""
    fix = "check HF_ENDPOINT, and whether a proxy or login page stands between"
    return HubFailed(f"what answers is not the Hub's API ({found})", where=asked.hub, fix=fix)


def not_the_file(asked: Asked, path: str) -> HubFailed:
    """Return the error for an answer of success that has another length than the file."""
    fix = "check HF_ENDPOINT, and whether a proxy or login page stands between"
    return HubFailed(f"what answers for {path} is something else than the file", where=asked.repo, fix=fix)


def unreachable(asked: Asked, reason: str) -> HubUnreachable:
    """Return the error for a connection that fails again and again."""
    fix = "check the network and the proxy, or set HF_ENDPOINT to a mirror"
    return HubUnreachable(f"no connection to the Hub ({reason})", where=asked.hub, fix=fix)


def offline(asked: Asked) -> HubUnreachable:
    """Return the error for the client's offline mode."""
    what = "HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set, so the Hub may not be asked"
    return HubUnreachable(what, where=asked.hub, fix="unset it")


def one_line(text: object) -> str:
    """Return a text of someone else, fit to be part of a sentence."""
    line = " ".join(str(text).split()).rstrip(".")
    return line if len(line) <= MAX_QUOTED else f"{line[:MAX_QUOTED]}…"


def _quoted(message: str) -> str:
    return f": {one_line(message)}" if message.strip() else ""
