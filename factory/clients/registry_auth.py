"""How a registry lets us in: HTTP Basic, or a short-lived token from the realm that its 401 names.

The flow is that of the distribution project (docs `spec/auth/token.md`, `spec/auth/oauth.md`): 401 with
`WWW-Authenticate: Bearer realm=…,service=…,scope=…`, GET the realm, use `token` until `expires_in` is over.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.request import parse_http_list, parse_keqv_list

import httpx

from factory.errors import RegistryDenied
from factory.references import is_loopback

Login = tuple[str, str]

TOKEN_USERNAME = "<token>"  # noqa: S105  Docker's mark of an identity token, see Credentials.login_for
CLIENT_ID = "factory"
DEFAULT_EXPIRY_S = 60  # what the specification says of a token without `expires_in`
EVERYWHERE = ""  # the name of a pass that is good for every repository
EARLY_S = 10  # renew that long before the end, so that no request is under way when it comes

# Registries whose realm is another host of the same owner. Any other foreign realm gets no credentials.
KNOWN_REALMS = {"docker.io": "auth.docker.io"}


@dataclass(frozen=True, slots=True)
class _Pass:
    """An Authorization header, and the monotonic second from which it is stale."""

    header: str
    stale_at_s: float
    is_basic: bool = False

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() < self.stale_at_s


class Notes(Protocol):
    """Where what a registry's 401 said is kept, so that the next process needs no 401: `kept.Kept`."""

    def get(self, *question: str) -> Any:
        """Return what was kept, None where there is nothing."""
        ...

    def put(self, answer: Any, *question: str) -> None:
        """Keep it."""
        ...


class RegistryAuth(httpx.Auth):
    """Answers one registry's 401s, with passes that all threads share; HTTP Basic is one for all.

    A pass is for what a repository's challenge asked (distribution, `spec/auth/scope.md`, read 2026-11-25): reading,
    pushing (which reads too), or pushing with blobs mounted from another repository, whose scope holds both.

    Credentials go to the registry itself and to a realm that belongs to it, over https (http on loopback only);
    httpx drops the header when a redirect leaves the host. `login` is asked once, when first needed. `notes` keep a
    repository's challenge, never a pass: with it a pass is got before the first request, not after its 401.
    """

    def __init__(self, registry: str, login: Callable[[], Login | None], notes: Notes | None = None) -> None:
        self._registry = registry
        self._notes = notes
        self._ask_login = login
        self._login: Login | None = None
        self._was_asked = False
        self._passes: dict[str, _Pass] = {}
        self._lock = threading.RLock()

    @property
    def who(self) -> str:
        """Describe the login for an error message, without its password."""
        if self._login is None:
            return "anonymously"
        return "with an identity token" if self._login[0] == TOKEN_USERNAME else f"as {self._login[0]}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send with the pass at hand; on 401 get a new one, once. The second 401 is the caller's to judge."""
        name = _wanted_for(request)
        foreseen = None
        if self._notes and not self._passes.keys() & {name, EVERYWHERE, f"{name} push"}:
            foreseen = yield from self._foresee(name, request.url)
        used = self._passes.get(name) or self._passes.get(EVERYWHERE) or self._passes.get(f"{name} push")
        if used and used.is_fresh:
            request.headers["Authorization"] = used.header
        response = yield request
        if response.status_code != 401 or response.request.url.host != request.url.host:
            return
        said = response.headers.get_list("www-authenticate")
        if foreseen and _wanted(said) == _wanted(foreseen):  # answered already, by the pass that was refused
            return
        with self._lock:  # the other threads wait for this one's token
            current = self._passes.get(name)
            if current is None or current is used or not current.is_fresh:
                if self._notes:
                    self._notes.put(said, "challenge", str(request.url.copy_with(path=name, query=None)))
                current = yield from self._renew(said, request.url)
                if current is None:
                    return
                self._keep(name, current)
        request.headers["Authorization"] = current.header
        yield request

    def _foresee(self, name: str, url: httpx.URL) -> Generator[httpx.Request, httpx.Response, list[str] | None]:
        """Get a pass for the challenge that an earlier process met, and return that challenge.

        None where there is none, or where it leads nowhere any more: then the registry is asked, and says more.
        """
        assert self._notes is not None
        with self._lock:
            if name in self._passes:  # another thread was faster
                return None
            said = self._notes.get("challenge", str(url.copy_with(path=name, query=None)))
            if not isinstance(said, list):
                return None
            with suppress(RegistryDenied):
                if found := (yield from self._renew(said, url)):
                    self._keep(name, found)
                    return said
            return None

    def _keep(self, name: str, found: _Pass) -> None:
        self._passes[name] = found
        if found.is_basic:
            self._passes[EVERYWHERE] = found

    def _renew(self, said: list[str], url: httpx.URL) -> Generator[httpx.Request, httpx.Response, _Pass | None]:
        """Get a pass for the challenges of a 401; None when they are such as we can't or mustn't answer."""
        challenges = dict(_parse(text) for text in said)
        login = self._get_login()
        if "bearer" in challenges:
            answer = yield self._token_request(challenges["bearer"], login)
            return self._read_token(answer)
        if "basic" in challenges and login and login[0] != TOKEN_USERNAME and _is_private(url):
            return _Pass(_basic(login), float("inf"), is_basic=True)
        return None

    def _get_login(self) -> Login | None:
        if not self._was_asked:
            self._login, self._was_asked = self._ask_login(), True
        return self._login

    def _token_request(self, challenge: dict[str, str], login: Login | None) -> httpx.Request:
        """Ask the realm: anonymously, with a password (Basic), or with an identity token (OAuth 2)."""
        try:
            realm = httpx.URL(challenge.get("realm", ""))
        except httpx.InvalidURL:
            realm = httpx.URL("")
        if realm.scheme not in ("http", "https") or not realm.host:
            raise RegistryDenied("its 401 names no usable realm", where=self._registry, fix="is this a registry?")
        asked = {key: value for key, value in challenge.items() if key in ("service", "scope")}
        # Several scopes (a mount's) are a parameter each in a query, and one text in a form (`spec/auth/token.md`).
        query = {**asked, "scope": asked["scope"].split()} if "scope" in asked else asked
        if not login:
            return httpx.Request("GET", realm.copy_merge_params(query))
        if not (_is_private(realm) and self._owns(realm.host)):
            raise RegistryDenied(
                f"it sends us to {realm.host} for a token, which is not known to belong to it; your login stays here",
                where=self._registry,
                fix="log out to ask anonymously, or use another registry",
            )
        if login[0] == TOKEN_USERNAME:
            form = {"grant_type": "refresh_token", "refresh_token": login[1], "client_id": CLIENT_ID, **asked}
            return httpx.Request("POST", realm, data=form)
        url = realm.copy_merge_params({"client_id": CLIENT_ID, **query})
        return httpx.Request("GET", url, headers={"Authorization": _basic(login)})

    def _owns(self, host: str) -> bool:
        """Is the realm's host the registry's own: the same, a parent domain of it, or known?"""
        own = httpx.URL(f"https://{self._registry}").host
        return host == own or ("." in host and own.endswith(f".{host}")) or KNOWN_REALMS.get(self._registry) == host

    def _read_token(self, answer: httpx.Response) -> _Pass:
        """Read the realm's answer. Raises RegistryDenied when it refuses the login."""
        answer.read()
        realm = answer.request.url.host
        if answer.status_code in (429, 500, 502, 503, 504):
            raise httpx.HTTPStatusError("realm", request=answer.request, response=answer)  # the caller tries again
        if answer.status_code != 200:
            raise RegistryDenied(
                f"{realm} refuses a token {self.who} (HTTP {answer.status_code})",
                where=self._registry,
                fix=f"run `docker login {self._registry}`",
            )
        try:
            body = answer.json()
            token = body.get("token") or body["access_token"]
            seconds = float(body.get("expires_in") or DEFAULT_EXPIRY_S)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise RegistryDenied(f"{realm} answers without a token", where=self._registry) from error
        return _Pass(f"Bearer {token}", time.monotonic() + max(seconds - EARLY_S, seconds / 2))


def _parse(challenge: str) -> tuple[str, dict[str, str]]:
    """Parse `Bearer realm="…",service="…"` to the scheme in lower case and its parameters."""
    scheme, _, rest = challenge.partition(" ")
    try:
        return scheme.lower(), parse_keqv_list(parse_http_list(rest))
    except ValueError:
        return scheme.lower(), {}


def _wanted_for(request: httpx.Request) -> str:
    """Name what a request needs a pass for: `/v2/user/name`, with ` push` and ` from user/other` where it writes."""
    path = request.url.path
    found = re.match(r"(/v2/.+?)/(?:manifests|blobs|tags|referrers)/", path)
    name = found[1] if found else path.rsplit("/", 2)[0]
    if request.method in ("GET", "HEAD"):
        return name
    source = request.url.params.get("from")
    return f"{name} push from {source}" if source else f"{name} push"


def _wanted(said: list[str]) -> dict[str, dict[str, str]]:
    """Return what challenges want, without the reason (`error`) that the second has and the first has not."""
    names = ("realm", "service", "scope")
    return {scheme: {name: rest.get(name, "") for name in names} for scheme, rest in map(_parse, said)}


def _basic(login: Login) -> str:
    """Return the Authorization header of HTTP Basic."""
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


def _is_private(url: httpx.URL) -> bool:
    """May a password travel there: is it TLS, or this machine?"""
    return url.scheme == "https" or is_loopback(url.host)
