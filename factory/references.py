"""Image references, by the grammar that Docker itself uses.

    reference = [registry[:port]/]path[:tag][@digest]

Without a registry it is Docker Hub (`docker.io`), and a Docker Hub path of one part lies below `library/`. The first
part is a registry when it holds a dot or a colon, or is `localhost` (github.com/distribution/reference, `regexp.go`
and `normalize.go`, v0.6.0). Upper case is refused everywhere but in a tag. `index.docker.io` means `docker.io`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address

from factory.errors import RenderError, SettingsError

DOCKER_HUB = "docker.io"
SHARED_NAME = "factory-shared"

_HOST_PART = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[0-9a-f:]+\])(?::[0-9]+)?")
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_PATH_LIMIT = 255  # characters of registry and path together, as Docker counts
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")  # Docker takes such a name for an image id and refuses it


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference, with Docker Hub's short forms written out. `str()` gives the familiar, short form."""

    registry: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def is_docker_hub(self) -> bool:
        """Is it on Docker Hub?"""
        return self.registry == DOCKER_HUB

    @property
    def repository(self) -> str:
        """The familiar name without tag and digest: `ubuntu`, `user/name`, `ghcr.io/user/name`."""
        full = f"{self.registry}/{self.path}"
        short = _short(self.path) if self.is_docker_hub else full
        return short if _split(short) == (self.registry, self.path) else full

    @property
    def target(self) -> str:
        """What the Distribution API calls `reference`: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """Return the same repository by digest, without a tag. Raises RenderError when it is no digest."""
        if not _DIGEST.fullmatch(digest):
            raise _invalid(digest, "a digest is sha256: and 64 hexadecimal digits")
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse(text: str) -> Reference:
    """Parse a reference. Raises RenderError (one sentence, naming the part that is wrong)."""
    if "://" in text:
        raise _invalid(text, "an image reference has no scheme", f"write {text.split('://', 1)[1] or 'user/name'}")
    rest, digest = _cut(text, "@")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise _invalid(text, "what follows '@' is no digest (sha256: and 64 hexadecimal digits)")
    name, tag = rest, None
    if ":" in rest.rsplit("/", 1)[-1]:
        name, tag = rest.rsplit(":", 1)
        if not _TAG.fullmatch(tag):
            raise _invalid(text, f"{tag!r} is no tag (letters, digits, '_', '.', '-'; at most 128 characters)")
    registry, path = _split(name)
    _check(text, registry, path)
    return Reference(registry, path, tag, digest)


def with_prefix(repository: str, prefix: str | None) -> str:
    """Return the repository below a registry prefix such as `127.0.0.1:5000`; unchanged without one.

    Docker Hub's name falls away, another registry's becomes a folder, so two recipes never meet in one place. Raises
    RenderError for a bad repository, SettingsError for a bad prefix.
    """
    reference = parse(repository)
    if not prefix:
        return repository
    inner = reference.repository if reference.is_docker_hub else reference.repository.replace(":", "-")
    try:
        outer = parse(f"{prefix.strip('/')}/{inner}")
    except RenderError as error:
        raise SettingsError(
            f"no usable registry prefix ({prefix})", where="FACTORY_REGISTRY", fix="write host:port, or unset it"
        ) from error
    return outer.repository


def shared_repository(repository: str, override: str | None = None) -> str:
    """Return where recipes of one namespace keep what they share (environments, weights): `user/factory-shared`.

    It lies beside the repository, in the same registry, so that its blobs can be mounted; `override` names another
    path below that registry's root. Raises SettingsError for one that is no path.
    """
    reference = parse(repository)
    folder = reference.path.rpartition("/")[0]
    path = override.strip("/") if override else f"{folder}/{SHARED_NAME}" if folder else SHARED_NAME
    try:
        return parse(f"{reference.registry}/{path}").repository
    except RenderError as error:
        raise SettingsError(
            f"no path of a repository ({path})", where="FACTORY_SHARED", fix="write user/name, or unset it"
        ) from error


def is_loopback(registry: str) -> bool:
    """Is this registry (`host[:port]`) on this machine? Docker talks plain HTTP to those (127.0.0.0/8, localhost)."""
    host = registry[1:].split("]", 1)[0] if registry.startswith("[") else registry.split(":", 1)[0]
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _cut(text: str, mark: str) -> tuple[str, str | None]:
    """Cut at the first mark; None when there is none."""
    head, found, tail = text.partition(mark)
    return head, tail if found else None


def _short(path: str) -> str:
    """Return a Docker Hub path as people write it: an official image without its `library/`."""
    name = path.removeprefix("library/")
    return path if "/" in name else name


def _split(name: str) -> tuple[str, str]:
    """Split a name into registry and path, with Docker Hub's short forms written out."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        registry, path = DOCKER_HUB, name
    else:
        registry, path = (DOCKER_HUB if first == "index.docker.io" else first), rest
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return registry, path


def _check(text: str, registry: str, path: str) -> None:
    """Raise RenderError when registry or path are outside the grammar."""
    bare = _short(path) if registry == DOCKER_HUB else path
    if not bare:
        raise _invalid(text, "the repository's name is missing")
    if registry != registry.lower() or path != path.lower():
        raise _invalid(text, "a repository's name is lower case", f"write {text.lower()}")
    if not _REGISTRY.fullmatch(registry) or not _is_address(registry):
        raise _invalid(text, f"{registry!r} is no registry (host or host:port)")
    if not _PATH.fullmatch(path) or _IMAGE_ID.fullmatch(bare):
        raise _invalid(text, f"{bare!r} is no repository name (a-z, 0-9, single '.', '_', '-' and '/' between them)")
    if len(f"{registry}/{path}") > _PATH_LIMIT:
        raise _invalid(text, f"the name is longer than {_PATH_LIMIT} characters")


def _is_address(registry: str) -> bool:
    """Is a name in brackets an IPv6 address? True for any other host."""
    if not registry.startswith("["):
        return True
    try:
        return bool(IPv6Address(registry[1:].split("]", 1)[0]))
    except ValueError:
        return False


def _invalid(text: str, what: str, fix: str = "") -> RenderError:
    """Build the one error of this module; the reference is its place."""
    return RenderError(f"no image reference: {what}", where=text or "(empty)", fix=fix)
