"""SIGKILL at every call of `factory provision` that changes the account: the next run ends as one that nobody killed.

The table is `POINTS`: each call over REST v2 and over GraphQL, and what became of it when its sender died. The kills of
`factory release` are in test_release_kills.py, those of build and push in tests/e2e/test_kills.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from release_bench import RECIPE, Bench, Held, Kept, Workshop, forbid_changes, held_call, holds, wait_until, workshop

from factory.emulator.faults import Fault
from factory.emulator.runpod.entities import Container, Cpu, Endpoint

Moment = Literal["lost", "late", "after"]

FIRST: dict[str, Any] = {}
NEXT: dict[str, Any] = {"disk": {"volume": 30, "container": 90}, "env": {"GREETING": "good evening"}}
CACHED: dict[str, Any] = {"model": {**RECIPE["model"], "placement": "cached"}}


@dataclass(frozen=True)
class Call:
    """A call that changes something. `begins` is what the account holds before the command: see `_begin`.

    Over REST v2 it is known by method and path, over GraphQL by a word in its body; there, `passed` such calls come
    first.
    """

    name: str
    begins: Literal["nothing", "made", "foreign", "cached"]
    rest: tuple[str, str] | None
    graphql: str
    passed: int = 0

    def moments(self, api: str) -> tuple[Moment, ...]:
        """Return what may become of the call: one whose body was read first, or that has none, isn't lost.

        A `lost` one comes late when its body was on its way already as the caller died.
        """
        is_lost = api == "rest" and self.rest and self.rest[0] != "DELETE" and self.rest[1] != "/graphql"
        return ("lost", "after") if is_lost else ("late", "after")

    def held(self, api: str, moment: Moment) -> list[Fault]:
        """Return the faults that hold this call."""
        passed = self.passed if api == "graphql" else 0
        return held_call(api, self.rest or ("", ""), self.graphql, passed=passed, is_after=moment == "after")


@dataclass(frozen=True)
class Undisturbed:
    """The account before a command and after it."""

    before: Kept
    after: Held


CALLS = (
    Call("create volume", "nothing", ("POST", "/v2/network-volumes"), "createNetworkVolume"),
    Call("create login", "nothing", ("POST", "/v2/registries"), "saveRegistryAuth"),
    Call("create template", "nothing", ("POST", "/v2/templates"), "saveTemplate"),
    Call("create endpoint", "nothing", ("POST", "/v2/serverless"), "saveEndpoint"),
    Call("grow volume", "made", ("PATCH", "/v2/network-volumes/*"), "updateNetworkVolume"),
    Call("update template", "made", ("PATCH", "/v2/templates/*"), "saveTemplate"),
    Call("update endpoint", "made", ("PATCH", "/v2/serverless/*"), "saveEndpoint"),
    Call("clear the template's note", "made", None, "saveTemplate", passed=1),
    Call("remove what can't be changed", "foreign", ("DELETE", "/v2/serverless/*"), "deleteEndpoint"),
    Call("make it anew", "foreign", ("POST", "/v2/serverless"), "saveEndpoint", passed=1),
    Call("give it its cached models", "cached", ("POST", "/graphql"), "saveEndpoint", passed=1),
)
POINTS = [
    (call, api, moment)
    for api in ("rest", "graphql")
    for call in CALLS
    if call.rest or api == "graphql"
    for moment in call.moments(api)
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """One account and one registry for all points."""
    with workshop(tmp_path_factory.mktemp("workshop")) as opened:
        yield opened


@pytest.fixture(scope="module")
def undisturbed(place: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Call, str], Undisturbed]:
    """The account before a call's command, and after a run of it that nobody killed; each found once."""
    known: dict[tuple[str, str], Undisturbed] = {}

    def find(call: Call, api: str) -> Undisturbed:
        if (call.begins, api) not in known:
            place.runpod.empty()
            bench = Bench(place, tmp_path_factory.mktemp("undisturbed"), api)
            _begin(bench, call)
            before = Kept.of(place.runpod)
            assert (done := bench.run(*_command(bench, call))).code == 0, done.err
            known[call.begins, api] = Undisturbed(before, holds(place.runpod))
        return known[call.begins, api]

    return find


def test_there_are_enough_points() -> None:
    """At least 20, and each call that changes the account is among them, over both APIs."""
    assert len(POINTS) >= 40
    assert {call.name for call, api, _ in POINTS if api == "graphql"} == {call.name for call in CALLS}


@pytest.mark.parametrize("api", ["rest", "graphql"])
def test_a_run_that_nobody_kills_makes_one_of_each(
    place: Workshop, undisturbed: Callable[[Call, str], Undisturbed], api: str
) -> None:
    """What the points below are held against is what the recipe says."""
    made, changed = undisturbed(CALLS[0], api).after, undisturbed(CALLS[4], api).after
    for held, size_gb, disk_gb, greeting, version in ((made, 10, 21, "hello", 1), (changed, 30, 90, "good evening", 2)):
        ((volume,), (login,), (template,), (endpoint,)) = held.values()
        assert (volume["name"], volume["data_center"], volume["size_gb"]) == ("demo", "EU-RO-1", size_gb)
        assert (login["username"], login["password"]) == ("ada", "secret")
        assert template["container"] == endpoint["container"] and not template["readme"]
        container = endpoint["container"]
        assert (container["disk_gb"], container["env"]) == (disk_gb, {"GREETING": greeting})
        assert container["image"].startswith(f"{place.registry}/acme/demo@sha256:")
        assert container["login_id"] == login["name"]
        assert (endpoint["pools"], endpoint["volume_ids"]) == (["ADA_24", "AMPERE_24"], ["demo"])
        assert endpoint["version"] == version


@pytest.mark.parametrize(
    ("call", "api", "moment"), [pytest.param(*p, id=f"{p[1]}: {p[0].name}, {p[2]}") for p in POINTS]
)
def test_the_next_run_takes_it_to_its_end(
    place: Workshop,
    undisturbed: Callable[[Call, str], Undisturbed],
    tmp_path: Path,
    call: Call,
    api: str,
    moment: Moment,
) -> None:
    """Killed while RunPod has the call, it goes on from there; nothing is there twice, and a third run has no work."""
    expected = undisturbed(call, api)
    runpod = place.runpod
    runpod.empty()
    expected.before.put_back(runpod)
    bench = Bench(place, tmp_path, api)
    arguments = _command(bench, call)
    runpod.faults.extend(call.held(api, moment))
    hold = runpod.faults[-1]
    process = bench.start(*arguments)
    process.until(lambda: hold.held, "the call")
    before = Kept.of(runpod)
    assert process.kill().code == -9
    assert hold.release() == 1
    wait_until(lambda: not hold.held, "the call's end")
    if moment == "late":
        wait_until(lambda: Kept.of(runpod) != before, "its effect")
    elif moment == "after":
        assert Kept.of(runpod) == before, "what had happened changes nothing any more"
    runpod.faults.clear()

    done = bench.run(*arguments)
    assert done.code == 0, done.err
    assert holds(runpod) == expected.after

    forbid_changes(runpod)
    again = bench.run(*arguments)
    assert again.code == 0 and again.out == done.out, again.err
    assert again.err.count("unchanged") > sum(map(len, expected.after.values())) and "making" not in again.err


def _begin(bench: Bench, call: Call) -> None:
    """Bring an empty account to where the call's command begins."""
    if call.begins == "made":
        assert (done := bench.run("provision", bench.write(**FIRST))).code == 0, done.err
    elif call.begins == "foreign":
        draft = Endpoint("", "demo", "QUEUE", Container("acme/other:1"), cpus=[Cpu("cpu3c", 2)])
        bench.place.runpod.call(lambda box: box.world.create_endpoint(draft))


def _command(bench: Bench, call: Call) -> tuple[str | Path, ...]:
    """Write the recipe that the call's command is for, and return the command."""
    recipe = bench.write(**{"made": NEXT, "cached": CACHED}.get(call.begins, FIRST))
    return ("provision", recipe, "--replace") if call.begins == "foreign" else ("provision", recipe)
