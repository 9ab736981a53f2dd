"""A row of the case table: what is in the account, what the recipe says, what the plan must be. Data only.

The rows are in plan_cases_own.py and plan_cases_foreign.py. tests/provisioning/test_cases.py plans them and carries
them out over the fake, over REST v2 and over GraphQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from factory.account import Endpoint, EndpointSpec, Login, Template, TemplateSpec, Volume

Blocks = Mapping[str, Any]
Level = Literal["NONE", "LOW", "MEDIUM", "HIGH"]

IMAGE = "acme/demo@sha256:" + "a" * 64
NEXT_IMAGE = "acme/demo@sha256:" + "b" * 64
MODEL = [{"repo": "org/model", "placement": "volume"}]
CACHED = [{"repo": "org/model", "placement": "cached"}]
OTHER_MODEL = "https://huggingface.co/org/other:" + "f" * 40


@dataclass(frozen=True)
class Exists:
    """What is there before. `made` recipes were provisioned by factory; the rest was made by other hands."""

    made: tuple[Blocks, ...] = ()
    volumes: tuple[Volume, ...] = ()
    logins: tuple[Login, ...] = ()
    templates: tuple[Template, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    secrets: tuple[str, ...] = ()
    balance_usd: float = 100.0
    worker_quota: int = 10
    stock: tuple[tuple[str, str, Level], ...] = ()  # pool, data centre or *, level


@dataclass(frozen=True)
class Case:
    """One row. `fields` are those that change in each resource; `findings` are codes, errors with a `!`."""

    name: str
    recipe: Blocks = field(default_factory=dict)
    exists: Exists = field(default_factory=Exists)
    actions: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    weights_gb: float = 20
    disk_gb: int = 0  # of the unpacked image: 0 is 4 GB
    image: str = IMAGE
    is_public: bool | None = True
    cuda: str | None = None
    error: str = ""  # code of the error that carrying it out raises
    is_replacing: bool = False
    clouds: tuple[str, ...] = ("fake", "rest", "graphql")


NOTHING = {"volume": "unchanged", "template": "unchanged", "endpoint": "unchanged"}
ALL = {"volume": "create", "template": "create", "endpoint": "create"}
ROLL = {"volume": "unchanged", "template": "update", "endpoint": "release"}
PLACE = {"volume": "unchanged", "template": "unchanged", "endpoint": "release"}
IN_PLACE = {"volume": "unchanged", "template": "unchanged", "endpoint": "update"}
DEMO = Exists(made=({},))


def volume(name: str = "demo", data_center: str = "EU-RO-1", size_gb: int = 25, volume_id: str = "v1") -> Volume:
    """A volume made by hand."""
    return Volume(volume_id, name, data_center, size_gb)


def template(name: str = "demo", **more: Any) -> Template:
    """A template made by hand."""
    spec = TemplateSpec(name, more.pop("image", "acme/old:1"), 10, more.pop("env", {}))
    return Template("t-" + name, spec, is_serverless=more.pop("is_serverless", True), **more)


def endpoint(name: str = "demo", **more: Any) -> Endpoint:
    """An endpoint made by hand, on a template of the same name that needn't be ours."""
    extra, is_queue = more.pop("extra", {}), more.pop("is_queue", True)
    if "cpus" not in more:
        more.setdefault("pools", ("AMPERE_24",))
    spec = EndpointSpec(name, more.pop("image", "acme/old:1"), 10, **more)
    return Endpoint("e-" + name, spec, is_queue, extra=extra)
