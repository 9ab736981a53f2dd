"""A machine with a recipe whose image is in a private registry, an emulated account, and `factory` as processes.

with workshop(tmp_path_factory.mktemp("workshop"), launcher=InlineLauncher()) as place:
    bench = Bench(place, tmp_path, api="graphql")
    recipe = bench.write(disk={"container": 90})      # the image of this recipe is pushed, if it wasn't
    done = bench.run("provision", recipe)
    assert holds(place.runpod) == …                   # what the account has, by names instead of ids
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from forked_cli import Done, ForkedCli, Process, forked_cli
from registries import RunningRegistry, layer_tar, pusher, running_registry
from runpod_box import KEY, Emulated, emulated

from factory import recipe, settings, wiring
from factory.clients.runpod.graphql_notes import still_runs, with_notes
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.launcher import Launcher
from factory.pipeline import Line

HUB = Path(__file__).parent.parent / "fixtures" / "hub"
LOGIN = ("ada", "secret")
PLACE = "EU-RO-1"
RECIPE: dict[str, Any] = {
    "name": "demo",
    "model": {"repo": "sentence-transformers/all-MiniLM-L6-v2", "placement": "volume"},
    "image": {"repository": "acme/demo"},
    "gpu": ["ADA_24", "AMPERE_24"],
    "handler": "echo",
    "endpoint": {"data_centers": [PLACE], "scaler": {"type": "queue_delay", "value": 1}},
    "env": {"GREETING": "hello"},
    "tests": [{"input": {"a": 1}, "expect": {"a": 1}, "timeout_s": 30}],
}


Held = dict[str, list[dict[str, Any]]]


@dataclass
class Workshop:
    """What many tests share: an account, a registry that asks for a login, and what processes are forked from."""

    runpod: Emulated
    registry: str
    cli: ForkedCli
    hub: Path
    pushed: dict[str, str] = field(default_factory=dict)  # tag → digest
    site: RunningRegistry | None = None  # the registry's process

    def requests(self) -> list[str]:
        """Return every request so far, to the account, the Hub and the registry, as `GET /v2/serverless 200`."""
        assert self.site is not None, "a workshop has a registry"
        return [f"{call.method} {call.path} {call.status}" for call in self.runpod.calls] + self.site.requests()


@contextmanager
def workshop(folder: Path, *, launcher: Launcher | None = None, hub: Path = HUB) -> Iterator[Workshop]:
    """Open one while the block runs; `hub` is a folder of model repositories."""
    (folder / "registry").mkdir()
    with (
        running_registry(folder / "registry", login=True, has_access_log=True) as registry,
        emulated(clock=RealClock(), hub=hub, launcher=launcher) as runpod,
        forked_cli() as cli,
    ):
        yield Workshop(runpod, registry.address, cli, hub, site=registry)


@dataclass
class Bench:
    """One test's machine: its folder, its journal, and by which API it talks to RunPod."""

    place: Workshop
    folder: Path
    api: str = "rest"
    settings: dict[str, str] = field(default_factory=dict)
    image: str = ""  # of the recipe as it was last written, by digest

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process; `settings` win."""
        runpod = self.place.runpod
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        env |= {"RUNPOD_API": self.api, "RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": runpod.url}
        env |= {"RUNPOD_ENDPOINT_BASE_URL": runpod.jobs_url, "HF_ENDPOINT": runpod.url, "HF_HUB_DISABLE_TELEMETRY": "1"}
        env |= {"FACTORY_HOME": str(self.folder / "home"), "FACTORY_REGISTRY": self.place.registry}
        env |= {"FACTORY_REGISTRY_USERNAME": LOGIN[0], "FACTORY_REGISTRY_PASSWORD": LOGIN[1]}
        env |= {
            "FACTORY_BASE": f"{self.place.registry}/base@sha256:{'ab' * 32}",
            "DOCKER_HOST": f"unix://{self.folder}/no",
        }
        return env | self.settings

    def write(self, **changes: object) -> Path:
        """Write the recipe with these blocks in place of its own (None: without), its image in the registry."""
        path = self.folder / "demo.yaml"
        blocks = {key: block for key, block in (RECIPE | changes).items() if block is not None}
        path.write_text(json.dumps(blocks))  # JSON is YAML
        machine, file = settings.read(self.env), recipe.load(path)
        context = Line(
            file, wiring.Clients(machine, file), wiring.machine(machine, file), lambda _: lambda _: None
        ).context
        if context.tag not in self.place.pushed:
            login = base64.b64encode(":".join(LOGIN).encode()).decode()
            layer = gzip.compress(layer_tar({"tag": context.tag.encode()}), mtime=0)
            made = pusher(self.place.registry, {"Authorization": f"Basic {login}"}).image(
                "acme/demo", context.tag, layer
            )
            self.place.pushed[context.tag] = made.digest
        self.image = f"{self.place.registry}/acme/demo@{self.place.pushed[context.tag]}"
        return path

    def start(self, *arguments: str | Path) -> Process:
        """Start `factory ARGUMENTS…`."""
        return self.place.cli.start(*arguments, env=self.env, folder=self.folder)

    def run(self, *arguments: str | Path) -> Done:
        """Run `factory ARGUMENTS…` to its end."""
        return self.start(*arguments).wait()


@dataclass(frozen=True)
class Kept:
    """All that an account held at one moment, ids included."""

    held: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, runpod: Emulated) -> Kept:
        """Keep a copy of what the account holds now."""
        return cls(runpod.call(lambda box: deepcopy(tuple(_dicts(box)))))

    def put_back(self, runpod: Emulated) -> None:
        """Give the account, which must be empty, what it held then."""

        def fill(box: Box) -> None:
            for held, kept in zip(_dicts(box), deepcopy(self.held), strict=True):
                held.update(kept)

        runpod.call(fill)


def _dicts(box: Box) -> tuple[dict[str, Any], ...]:
    world = box.world
    return world.volumes, world.logins, world.templates, world.endpoints


def holds(runpod: Emulated) -> Held:
    """Return all that factory may make in the account, each thing with its fields, names in place of ids."""
    return runpod.call(_holds)


def _holds(box: Box) -> Held:
    world = box.world
    names = {one.id: one.name for held in (world.volumes, world.logins) for one in held.values()}
    names |= {t.id: "(bound)" if t.bound_endpoint_id else t.name for t in world.templates.values()}
    own = [deepcopy(template) for template in world.templates.values() if template.bound_endpoint_id is None]
    for template in own:  # of the notes in a readme (graphql_notes.py) only those count that hold
        live = [one.name for one in world.endpoints.values() if still_runs(template.readme, one.id, one.version)]
        template.readme = with_notes(template.readme, {}) + ", ".join(live)
    return {
        "volumes": [_plain(volume, names) for volume in world.volumes.values()],
        "logins": [_plain(login, names) for login in world.logins.values()],
        "templates": [_plain(template, names) for template in own],
        "endpoints": [_plain(endpoint, names) for endpoint in world.endpoints.values()],
    }


def _plain(entity: Any, names: Mapping[str, str]) -> dict[str, Any]:
    fields = asdict(entity)
    for name in ("id", "created_at"):
        fields.pop(name, None)
    if "volume_ids" in fields:
        fields["volume_ids"] = [names[volume_id] for volume_id in fields["volume_ids"]]
        fields["template_id"] = names.get(fields["template_id"])
        fields["releases"] = len(fields["releases"])
    if login_id := fields.get("container", {}).get("login_id"):
        fields["container"]["login_id"] = names[login_id]
    return fields


def held_call(
    api: str,
    rest: tuple[str, str],
    graphql: str,
    *,
    passed: int = 0,
    is_after: bool = False,
) -> list[Fault]:
    """Return the faults that hold a call, the hold last; `passed` such calls go through before it.

    REST v2 knows a call by method and path, GraphQL by a word in its body. Held before its effect, a call whose sender
    dies is lost over REST v2, as its body was not read; over GraphQL, and without a body, it takes effect all the same.
    """
    is_graphql = api == "graphql" or rest[1] == "/graphql"
    method, path, word = ("POST", "/graphql", graphql) if is_graphql else (*rest, "")
    passing = Fault("late", times=passed, path=path, method=method, containing=word, wait_s=0)
    return [passing, Fault("hold", path=path, method=method, containing=word, after=is_after)]


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = 30) -> None:
    """Return as soon as a condition holds."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"too late for {what}"
        time.sleep(0.005)


def forbid_changes(runpod: Emulated) -> None:
    """From now on RunPod fails at every call that would change the account, by whichever API."""
    methods = ("POST", "PATCH", "PUT", "DELETE")
    runpod.faults.extend(Fault("status", FOREVER, "/v2/*", method, status=500) for method in methods)
    runpod.faults.append(Fault("status", FOREVER, "/graphql", status=500, containing="mutation"))
