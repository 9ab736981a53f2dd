"""What ran on an endpoint when, from the journal and from RunPod's own releases, and which of it to go back to. Pure.

RunPod's releases say what changed (docs.runpod.io and the OpenAPI of REST v2, read 2026-11-23): undone one by one from
what the endpoint is now, they tell what it was. A field that has no counterpart in ours ends that: older rows are
listed, and can't be put back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Any, Literal

from factory.account import Endpoint, EndpointSpec, Release
from factory.errors import AmbiguousName, CannotChange
from factory.journal import Outcome, Past

# What does not belong to a specification of ours: the endpoint keeps what it has of it.
LEFT_ALONE = frozenset({"template.dockerArgs", "template.ports", "allowedCudaVersions", "modelReferences"})
UNDO: Mapping[str, Callable[[EndpointSpec, Any], EndpointSpec]] = {
    "template.imageName": lambda spec, old: replace(spec, image=str(old)),
    "template.containerDiskInGb": lambda spec, old: replace(spec, container_disk_gb=int(old)),
    "template.env": lambda spec, old: replace(spec, env=_env(old)),
    "template.containerRegistryAuthId": lambda spec, old: replace(spec, login_id=old or None),
    "gpuIds": lambda spec, old: replace(spec, pools=tuple(p for p in _words(old) if not p.startswith("-"))),
    "gpuCount": lambda spec, old: replace(spec, gpu_count=int(old)),
    "minCudaVersion": lambda spec, old: replace(spec, min_cuda=old or None),
    "locations": lambda spec, old: replace(spec, data_centers=_words(old)),
    "networkVolumeIds": lambda spec, old: replace(spec, volume_ids=tuple(old or ())),
}


@dataclass(frozen=True, slots=True)
class Ran:
    """One release: `at` in Unix seconds, `outcome` unknown where only RunPod knows of it.

    `endpoint` is the configuration, None where it can't be told. `worker_count` is None when RunPod doesn't list it.
    """

    at: float
    kind: Literal["release", "rollback", "elsewhere"]
    outcome: Outcome | Literal["unknown"]
    endpoint: EndpointSpec | None
    endpoint_id: str
    version: int | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    who: str = ""
    problems: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    worker_count: int | None = None
    is_current: bool = False

    @property
    def image(self) -> str:
        """The image's reference; empty where it can't be told."""
        return self.endpoint.image if self.endpoint else ""

    @property
    def digest(self) -> str:
        """`sha256:…`; empty where the image is named by a tag, or unknown."""
        return self.image.partition("@")[2]


def ran(history: Sequence[Past], endpoint: Endpoint | None, releases: Sequence[Release]) -> tuple[Ran, ...]:
    """Return all that ran, newest first. `releases` are RunPod's of that endpoint, newest first."""
    theirs = _of_runpod(endpoint, releases) if endpoint else []
    rows = []
    for past in reversed(history):
        row = _of_journal(past)
        twin = next((one for one in theirs if one.endpoint_id == row.endpoint_id and _is_same(one, row)), None)
        if twin is not None:
            theirs.remove(twin)
            row = replace(row, version=twin.version, changes=twin.changes, worker_count=twin.worker_count)
        rows.append(row)
    rows = sorted([*rows, *theirs], key=cmp_to_key(_newer_first))
    here = _position(rows, endpoint.spec, ("release", "rollback", "elsewhere")) if endpoint else None
    return tuple(replace(row, is_current=number == here) for number, row in enumerate(rows))


def choose(rows: Sequence[Ran], current: EndpointSpec, to: str | None) -> Ran:
    """Return what to go back to: what `to` names, else the newest good release before the one that runs.

    Raises CannotChange and AmbiguousName.
    """
    if to is not None:
        return _named(rows, to)
    here = _position(rows, current)
    here_spec = (rows[here].endpoint if here is not None else None) or current
    before = [row for row in rows[0 if here is None else here + 1 :] if row.endpoint and row.kind != "rollback"]
    for outcome in ("good", "unknown"):
        for row in before:
            if row.outcome == outcome and row.endpoint and _plain(row.endpoint) != _plain(here_spec):
                return row
    raise CannotChange(
        "no earlier release of it is known that could be put back",
        where=f"endpoint {current.name}",
        fix="see `factory releases`; name one with --to DIGEST, or release an earlier commit of the recipe",
    )


def _named(rows: Sequence[Ran], to: str) -> Ran:
    prefix = to.lower().removeprefix("sha256:")
    found = [row for row in rows if row.image == to or (prefix and row.digest[7:].startswith(prefix))]
    where = f"--to {to}"
    images = sorted({row.image for row in found})
    if len(images) > 1:
        raise AmbiguousName(
            f"{len(images)} images begin like that ({', '.join(image.partition('@')[2][:19] for image in images)})",
            where=where,
            fix="name more of the digest",
        )
    if not found:
        known = ", ".join(dict.fromkeys(row.digest[:19] for row in rows if row.digest)) or "none"
        raise CannotChange(f"no release has that image (known are {known})", where=where, fix="see `factory releases`")
    usable = [row for row in found if row.outcome in ("good", "unknown")]
    if not usable:
        why = "; ".join(found[0].problems) or found[0].outcome
        raise CannotChange(f"that release failed its test jobs ({why})", where=where, fix="name a good one")
    return min(usable, key=lambda row: row.outcome != "good")


# --- rows ------------------------------------------------------------------------------------------------------------
def _of_journal(past: Past) -> Ran:
    return Ran(
        at=past.at,
        kind="rollback" if past.restored_at else "release",
        outcome=past.outcome,
        endpoint=past.endpoint,
        endpoint_id=past.endpoint_id,
        version=past.version,
        models=past.models,
        who=past.who,
        problems=past.problems,
    )


def _of_runpod(endpoint: Endpoint, releases: Sequence[Release]) -> list[Ran]:
    """Walk back from what the endpoint is now."""
    spec: EndpointSpec | None = endpoint.spec
    rows = []
    for release in releases:
        rows.append(
            Ran(
                at=_seconds(release.created_at),
                kind="elsewhere",
                outcome="unknown",
                endpoint=spec,
                endpoint_id=endpoint.id,
                version=release.version,
                changes=tuple(name for name, _, _ in release.changes),
                worker_count=release.worker_count,
            )
        )
        spec = _before(spec, release) if spec else None
    return rows


def _before(spec: EndpointSpec, release: Release) -> EndpointSpec | None:
    for name, old, _ in release.changes:
        if name in LEFT_ALONE:
            continue
        if name not in UNDO:
            return None
        try:
            spec = UNDO[name](spec, old)
        except (TypeError, ValueError, KeyError):
            return None
    return spec


def _env(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(key): str(text) for key, text in value.items()}
    return {str(pair["key"]): str(pair["value"]) for pair in value or ()}


def _words(value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value or ()
    return tuple(str(word).strip() for word in words if str(word).strip())


def _seconds(text: str) -> float:
    """Return Unix seconds of RunPod's time; 0 for one that can't be read, which sorts it last."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


# --- which is which --------------------------------------------------------------------------------------------------
def _rolling(spec: EndpointSpec) -> object:
    """Return what a worker is made of, but for its login, whose id may change without a change."""
    env = tuple(sorted(spec.env.items()))
    placed = (spec.pools, spec.cpus, spec.gpu_count, spec.min_cuda, spec.data_centers, spec.volume_ids)
    return spec.image, spec.container_disk_gb, env, *placed


def _plain(spec: EndpointSpec) -> object:
    return replace(spec, login_id=None)


def _is_same(one: Ran, other: Ran) -> bool:
    if one.endpoint is None or other.endpoint is None:
        return False
    return _rolling(one.endpoint) == _rolling(other.endpoint)


def _newer_first(one: Ran, other: Ran) -> int:
    """Compare two releases: by version where both have one, since RunPod tells its times in whole seconds."""
    if one.endpoint_id == other.endpoint_id and one.version and other.version and one.version != other.version:
        return other.version - one.version
    return (one.at < other.at) - (one.at > other.at)


def _position(
    rows: Sequence[Ran], current: EndpointSpec, kinds: Collection[str] = ("release", "elsewhere")
) -> int | None:
    """Return which row runs now: one that is the same, else one whose workers are (its scale may have been changed).

    What a rollback put back counts where it was first released, unless `kinds` says otherwise: the next rollback goes
    further back, not forth again.
    """
    known = [(n, row.endpoint) for n, row in enumerate(rows) if row.endpoint and row.kind in kinds]
    for key in (_plain, _rolling):
        for number, spec in known:
            if key(spec) == key(current):
                return number
    return None
