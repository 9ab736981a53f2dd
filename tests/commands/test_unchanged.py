"""A release of which nothing changed: few questions, and whatever differs is noticed all the same, by both APIs."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forked_cli import Done
from registries import layer_tar, pusher
from release_bench import LOGIN, RECIPE, Bench, Held, Kept, Workshop, holds, workshop

import factory
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.launch_inline import InlineLauncher

MOST_REQUESTS = 8
APIS = ["rest", "graphql"]
STAGES = ["resolve", "check", "size", "render", "build", "push", "verify", "provision", "run"]
MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass
class Released:
    """An account with one release in it, which each test finds as it was."""

    bench: Bench
    kept: Kept
    held: Held
    home: Path
    recipe: Path

    def again(self) -> Bench:
        """Give account, journal, registry and recipe back what they held."""
        runpod = self.bench.place.runpod
        runpod.empty()
        self.kept.put_back(runpod)
        shutil.rmtree(self.bench.folder / "home")
        shutil.copytree(self.home, self.bench.folder / "home")
        self.bench.place.pushed.clear()  # a tag that a test has moved leads to its image again
        self.recipe = self.bench.write()
        runpod.calls.clear()
        return self.bench

    def release(self) -> Done:
        """Release the recipe as it is written."""
        return self.bench.run("release", "--no-run", "--json", self.recipe)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """One machine for all, with a Hub of its own."""
    folder = tmp_path_factory.mktemp("unchanged")
    hub = folder / "hub"
    shutil.copytree(Path(__file__).parent.parent / "fixtures" / "hub" / MODEL, hub / MODEL)
    with workshop(folder, launcher=InlineLauncher(), hub=hub) as opened:
        yield opened


@pytest.fixture(scope="module", params=APIS)
def first(request: pytest.FixtureRequest, place: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Released:
    """The first release, by each API."""
    place.runpod.empty()
    place.pushed.clear()  # the other API's tests may have moved the tag
    folder = tmp_path_factory.mktemp(request.param)
    bench = Bench(place, folder, request.param)
    recipe = bench.write()
    done = bench.run("release", "--no-run", recipe)
    assert done.code == 0, done.err
    shutil.copytree(folder / "home", folder / "home-kept")
    return Released(bench, Kept.of(place.runpod), holds(place.runpod), folder / "home-kept", recipe)


def states(done: Done) -> dict[str, str]:
    """Return how each stage ended."""
    assert done.code == 0, done.err
    return {stage["stage"]: stage["state"] for stage in json.loads(done.out)["stages"]}


def is_whole(bench: Bench) -> bool:
    """Was the catalogue asked for, which only a look at everything needs?"""
    paths = [call.path for call in bench.place.runpod.calls]
    return "/v2/catalog/gpus" in paths or paths.count("/graphql") > 1


@pytest.mark.parametrize("is_pinned", [False, True])
def test_an_unchanged_release_asks_little(first: Released, is_pinned: bool) -> None:
    """Right after the first release: at most eight requests in all; a model at a commit costs none."""
    bench = first.again()
    if is_pinned:
        resolved = json.loads(bench.run("resolve", first.recipe, "--json").out)
        commit = (resolved["models"] if isinstance(resolved, dict) else resolved)[0]["commit"]
        first.recipe = bench.write(model={**RECIPE["model"], "revision": commit})
        assert bench.run("release", "--no-run", first.recipe).code == 0
    bench.place.runpod.calls.clear()
    before = len(bench.place.requests())
    assert states(first.release()) == dict.fromkeys(STAGES, "unchanged")
    asked = bench.place.requests()
    assert len(asked) - before <= MOST_REQUESTS
    assert sum("/api/models" in line for line in asked) == (0 if is_pinned else 1)
    assert not is_whole(bench)


def move_tag(bench: Bench) -> None:
    """Another image gets the recipe's tag."""
    tag = next(tag for tag, digest in bench.place.pushed.items() if digest == bench.image.partition("@")[2])
    login = {"Authorization": f"Basic {base64.b64encode(':'.join(LOGIN).encode()).decode()}"}
    layer = gzip.compress(layer_tar({"another": os.urandom(8)}), mtime=0)
    moved = pusher(bench.place.registry, login).image("acme/demo", tag, layer)
    bench.place.pushed[tag] = moved.digest
    bench.image = f"{bench.place.registry}/acme/demo@{moved.digest}"


def move_branch(bench: Bench) -> None:
    """The model's branch gets another commit, with a file more; the new image is in the registry."""
    path = bench.place.hub / MODEL / ".hub.json"
    says = json.loads(path.read_text())
    says["sha"] = "ab" * 20
    says["files"] = [*says["files"], {"path": "extra.txt", "size": 5, "git_sha1": "cd" * 20}]
    path.write_text(json.dumps(says))
    bench.write()


def in_box(change: Callable[..., object]) -> Callable[[Bench], None]:
    """Change the account by hand."""

    def by_hand(bench: Bench) -> None:
        bench.place.runpod.call(lambda box: change(box.world))

    return by_hand


def set_on(kind: str, **fields: object) -> Callable[[Bench], None]:
    """Change fields of the one endpoint, template or volume; `container_…` are its container's."""

    def change(world: object) -> None:
        for thing in getattr(world, kind).values():
            for name, value in fields.items():
                owner, field = (thing.container, name[10:]) if name.startswith("container_") else (thing, name)
                setattr(owner, field, value)

    return in_box(change)


def empty_of(kind: str) -> Callable[[Bench], None]:
    """Remove the one thing of a kind, though RunPod itself may refuse that while it is used."""
    return in_box(lambda world: getattr(world, kind).clear())


DIFFERENCES = {  # what changed → which stages have something to do; none: looked at, and found right
    "the endpoint is gone": (empty_of("endpoints"), {"provision", "run"}),
    "the endpoint's workers": (set_on("endpoints", workers_max=1), {"provision"}),
    "the endpoint's pools": (set_on("endpoints", pools=["AMPERE_48"]), {"provision"}),
    "the template's variables": (set_on("templates", container_env={"GREETING": "bye"}), {"provision"}),
    "the volume is larger": (set_on("volumes", size_gb=77), set()),
    "the login is gone": (empty_of("logins"), {"provision"}),
    "the image's tag has moved": (move_tag, {"verify", "provision", "run"}),
    "the model's branch has moved": (move_branch, {"resolve", "render", "verify", "provision", "run"}),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_whatever_differs_is_noticed(first: Released, what: str) -> None:
    """Everything is looked at, what must be made is made, and the account is as the recipe wants it."""
    bench = first.again()
    change, busy = DIFFERENCES[what]
    hub_file = bench.place.hub / MODEL / ".hub.json"
    before = hub_file.read_text()
    try:
        change(bench)
        done = first.release()
        assert is_whole(bench)
        ended = states(done)
        assert {stage for stage, state in ended.items() if state == "done"} - {"run"} == busy - {"run"}
        now = holds(bench.place.runpod)
        for field in ("workers_max", "pools"):
            assert now["endpoints"][0][field] == first.held["endpoints"][0][field]
        assert now["endpoints"][0]["container"]["image"] == bench.image
        assert now["templates"][0]["container"]["env"] == {"GREETING": "hello"}
        bench.place.runpod.calls.clear()
        assert states(first.release()) == dict.fromkeys(STAGES, "unchanged")
        assert not is_whole(bench), "it is settled again"
    finally:
        hub_file.write_text(before)


def test_a_key_without_rights_is_said(first: Released) -> None:
    """The journal is no answer: whoever may not look gets the sentence, not "unchanged"."""
    bench = first.again()
    for path in ("/v2/*", "/graphql"):
        bench.place.runpod.faults.append(Fault("status", FOREVER, path, status=401, body='{"message": "no"}'))
    done = first.release()
    assert done.code == 81 and "HTTP 401" in done.err


def test_another_runtime_is_another_image(first: Released, tmp_path: Path) -> None:
    """A line more in what every image carries: its tag is not in the registry, so a build begins, without an engine."""
    bench = first.again()
    for name in ("factory", "templates", "worker_runtime"):
        source = Path(factory.__file__).parent.parent / name
        shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "worker_runtime" / "adapter.py").open("a") as file:
        file.write("# another\n")
    command = [sys.executable, "-m", "factory", "release", "--no-run", str(first.recipe)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=bench.env | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 50 <= done.returncode < 60, done.stderr
