"""Which engine to talk to: DOCKER_HOST, else a context of Docker's own store, else the default socket.

The order is the Docker CLI's: DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of the configuration, default (docker/cli
`resolveContextName`, read 2026-11-25). A context is `contexts/meta/SHA256-OF-NAME/meta.json` beside the configuration,
its TLS material `contexts/tls/SHA256-OF-NAME/docker/{ca,cert,key}.pem`. docker-py's ContextAPI reads the same, but
only from the process's own environment, and takes a store that can't be read for the default engine.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from factory.errors import SettingsError

DEFAULT_URL = "unix:///var/run/docker.sock"
DEFAULT_CONTEXT = "default"
_SCHEMES = ("unix", "tcp", "http", "https", "ssh", "npipe", "fd")


@dataclass(frozen=True, slots=True)
class Tls:
    """What a TLS connection to an engine shows and trusts; paths of PEM files. Never read here."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    is_verified: bool = True


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """An engine's URL, how to connect to it, and the context that named it (None: DOCKER_HOST or the default)."""

    url: str = DEFAULT_URL
    tls: Tls | None = None
    context: str | None = None

    def __str__(self) -> str:
        """Return the URL, and the context's name where there is one."""
        return f"{self.url} (Docker context {self.context})" if self.context else self.url

    @property
    def is_elsewhere(self) -> bool:
        """May it be another machine's? A socket of this machine's file system is taken for its own."""
        return not self.url.startswith(("unix://", "npipe://"))

    @property
    def is_chosen(self) -> bool:
        """Is it worth saying which engine that is: one of a context, or elsewhere?"""
        return self.context is not None or self.is_elsewhere


def engine_address(
    config: Path,
    *,
    host: str | None = None,
    context: str | None = None,
    is_tls_verified: bool = False,
    certificates: Path | None = None,
) -> EngineAddress:
    """Return the engine to talk to; `config` is Docker's config.json, `certificates` the folder of DOCKER_CERT_PATH.

    Raises SettingsError for a context that isn't there or can't be used, and for TLS without its files.
    """
    if host:
        return EngineAddress(_checked(host, "DOCKER_HOST"), _tls_of_host(config, is_tls_verified, certificates))
    name = context or _current(config)
    if name == DEFAULT_CONTEXT:
        return EngineAddress()
    return _load(config, name, "DOCKER_CONTEXT" if context else str(config))


def _tls_of_host(config: Path, is_verified: bool, certificates: Path | None) -> Tls | None:
    """Return what DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say; without the latter the files lie beside the config."""
    if not is_verified:
        return None
    folder = certificates or config.parent
    files = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    if missing := [file.name for file in files if not file.is_file()]:
        raise SettingsError(
            f"no {' and no '.join(missing)} for a verified TLS connection",
            where=str(folder),
            fix="set DOCKER_CERT_PATH to the folder that has them, or unset DOCKER_TLS_VERIFY",
        )
    return Tls(files[0], files[1], files[2])


def _current(config: Path) -> str:
    """Return the configuration's current context; logins have their own sentence when the file can't be read."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return DEFAULT_CONTEXT
    name = content.get("currentContext") if isinstance(content, dict) else None
    return name if isinstance(name, str) and name else DEFAULT_CONTEXT


def _load(config: Path, name: str, where: str) -> EngineAddress:
    store = config.parent / "contexts"
    folder = hashlib.sha256(name.encode()).hexdigest()
    meta = store / "meta" / folder / "meta.json"
    if not meta.is_file():
        known = sorted(contexts(config))
        near = get_close_matches(name, known, n=1)
        fix = f"did you mean {near[0]}?" if near else "see `docker context ls`, or `docker context use default`"
        raise SettingsError(f"there is no Docker context {name!r}", where=where, fix=fix)
    try:
        content: Any = json.loads(meta.read_text(encoding="utf-8"))
        endpoint: dict[str, Any] = content["Endpoints"]["docker"]
        url = _checked(str(endpoint.get("Host") or DEFAULT_URL), f"Docker context {name}")
        skips = bool(endpoint.get("SkipTLSVerify", False))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"the Docker context {name!r} can't be read ({type(error).__name__})"
        raise SettingsError(what, where=str(meta), fix=f"make it again: `docker context create {name}`") from error
    return EngineAddress(url, _tls_of_context(store / "tls" / folder / "docker", skips), name)


def _tls_of_context(folder: Path, skips: bool) -> Tls | None:
    """Return a context's TLS material, of which each file may be missing; None without any."""
    ca, certificate, key = (
        path if (path := folder / f"{kind}.pem").is_file() else None for kind in ("ca", "cert", "key")
    )
    if not (ca or certificate or key):
        return None
    return Tls(ca, certificate if key else None, key if certificate else None, not skips)


def contexts(config: Path) -> list[str]:
    """Return the names of the contexts beside a config.json; what can't be read as one is left out."""
    names = []
    for meta in (config.parent / "contexts").glob("meta/*/meta.json"):
        try:
            names.append(str(json.loads(meta.read_text(encoding="utf-8"))["Name"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return names


def _checked(url: str, where: str) -> str:
    scheme = re.match(r"(\w+)://.", url)
    if scheme and scheme[1] in _SCHEMES:
        return url
    shown = re.sub(r"//[^@/]*@", "//***@", url)
    raise SettingsError(
        f"no address of an engine ({shown})", where=where, fix="use one such as unix:///var/run/docker.sock, tcp://"
        "HOST:2376 or ssh://USER@HOST"
    )  # fmt: skip
