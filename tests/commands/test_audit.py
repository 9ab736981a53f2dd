"""`factory audit` as a user types it: what costs, what is left over, what drifts, and the commands that mend it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from release_bench import PLACE, Bench, Workshop, forbid_changes, workshop
from runpod_box import KEY, a_template, an_endpoint

from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.entities import Container, Person
from factory.emulator.runpod.launch_inline import InlineLauncher


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A registry and an account with inline workers."""
    with workshop(tmp_path_factory.mktemp("workshop"), launcher=InlineLauncher()) as made:
        yield made


@pytest.fixture(params=["rest", "graphql"])
def bench(place: Workshop, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """A machine at an empty account."""
    place.runpod.empty()
    place.runpod.call(lambda box: box.world.set_person(balance_usd=100.0, worker_quota=10))
    for pod_id in place.runpod.call(lambda box: [pod.id for pod in box.world.pods.values()]):
        place.runpod.call(lambda box, pod_id=pod_id: box.world.pods.drop(pod_id))  # type: ignore[misc]
    return Bench(place, tmp_path, request.param)


def rent(bench: Bench, name: str = "forgotten") -> str:
    """Rent a pod as a person does, and return its id."""
    body = {"name": name, "image": "org/dev:1", "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1}}
    at = f"{bench.place.runpod.url}/v2/pods"
    answer = httpx.post(at, json=body, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    return str(answer.raise_for_status().json()["id"])


def audited(bench: Bench, *arguments: str) -> dict[str, Any]:
    """What `factory audit … --json` prints."""
    done = bench.run("audit", *arguments, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def leaky(bench: Bench) -> dict[str, str]:
    """Give the account one of each leak, and return their ids."""
    pod_id = rent(bench)

    def make(box: Any) -> dict[str, str]:
        world = box.world
        volume = world.create_volume("left-over", 100, PLACE)
        template = world.create_template(a_template("nobody-uses-me", container=Container("org/old:1")))
        always = world.create_endpoint(an_endpoint("always-on", workers_min=1, workers_max=3))
        idle = world.create_endpoint(an_endpoint("idle", workers_max=6))
        return {"volume": volume.id, "template": template.id, "always": always.id, "idle": idle.id}

    return {"pod": pod_id, **bench.place.runpod.call(make)}


def test_what_costs_is_named(bench: Bench) -> None:
    """A volume without an endpoint, a running pod, workers that never stop; dearest first, each with its price."""
    ids = leaky(bench)
    seen = audited(bench)
    causes = {cause["kind"]: cause for cause in seen["causes"] if cause["is_avoidable"]}
    assert {kind: cause["id"] for kind, cause in causes.items()} == {
        "volume": ids["volume"],
        "pod": ids["pod"],
        "always on": ids["always"],
    }
    assert causes["volume"]["usd_per_h"] == pytest.approx(7.0 / 730, rel=0.01)
    assert [c["usd_per_h"] for c in seen["causes"]] == sorted((c["usd_per_h"] for c in seen["causes"]), reverse=True)
    assert (seen["quota_used"], seen["quota"]) == (9, 10)
    assert [(t["name"], t["is_orphan"]) for t in seen["templates"]] == [("nobody-uses-me", True)]
    assert [(v["name"], v["is_orphan"], v["usd_per_month"]) for v in seen["volumes"]] == [("left-over", True, 7.0)]
    idle = {e["name"]: e["is_idle"] for e in seen["endpoints"]}
    assert idle["idle"] is True
    text = bench.run("audit").out
    assert "no endpoint and no pod mounts it" in text and "worker quota 9 of 10 used" in text and "nobody" in text
    assert "disk 10 GB, queue_delay 4, idle 10 s, job without a limit, any data centre" in " ".join(text.split())


def test_the_commands_that_are_printed_work(bench: Bench) -> None:
    """--fix changes nothing itself; typed into a shell, its commands leave an account with nothing to mend."""
    leaky(bench)
    forbid_changes(bench.place.runpod)
    fixes = audited(bench, "--fix")["fixes"]
    bench.place.runpod.faults.clear()
    assert len(fixes) == 5 and fixes[0]["usd_per_month"] > fixes[-1]["usd_per_month"]
    text = bench.run("audit", "--fix").out
    for fix in fixes:
        assert fix["command"] in text
        done = subprocess.run(fix["command"], shell=True, env=bench.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (fix, done.stderr)
    again = audited(bench, "--fix")
    assert again["fixes"] == [] and not [cause for cause in again["causes"] if cause["is_avoidable"]]
    assert [endpoint["name"] for endpoint in again["endpoints"]] == ["always-on"]
    assert "nothing to mend" in bench.run("audit", "--fix").out


def test_an_endpoint_is_compared_with_its_recipe(bench: Bench) -> None:
    """As its recipe, then changed by hand, then brought back by the command that is printed."""
    recipe = bench.write()
    assert bench.run("provision", recipe).code == 0
    (bench.folder / "recipes").mkdir()
    recipe = recipe.rename(bench.folder / "recipes" / "demo.yaml")
    assert audited(bench)["endpoints"][0]["drift"]["state"] == "same"

    def change(box: Any) -> None:
        (held,) = box.world.endpoints.values()
        box.world.update_endpoint(held.id, replace(held, workers_max=1, idle_timeout_s=77))

    bench.place.runpod.call(change)
    seen = audited(bench, "--fix")
    drift = seen["endpoints"][0]["drift"]
    assert drift["state"] == "changed" and drift["text"] == "endpoint: workers_max, idle_timeout_s"
    (fix,) = seen["fixes"]
    assert fix["command"] == "factory provision recipes/demo.yaml"
    assert bench.run(*fix["command"].split()[1:]).code == 0
    assert audited(bench)["endpoints"][0]["drift"]["state"] == "same"


def test_a_volume_that_a_recipe_means_is_kept(bench: Bench) -> None:
    """A volume that waits for its recipe's endpoint costs, which is said; its removal is not proposed."""
    recipe = bench.write()
    bench.place.runpod.call(lambda box: box.world.create_volume("demo", 20, PLACE))
    seen = audited(bench, str(recipe), "--fix")
    assert seen["fixes"] == [] and seen["volumes"][0]["recipe"] == str(recipe)
    assert f"nobody; recipe {recipe} means it" in bench.run("audit", str(recipe)).out


@pytest.mark.parametrize(
    ("path", "query", "missing", "shown"),
    [
        ("/v2/network-volumes", "query Volumes", "the volumes", "always-on"),
        ("/v2/pods", "query Pods", "the pods", "always-on"),
        ("/v2/serverless", "query Endpoints", "the endpoints", "left-over"),
        ("/v2/billing/serverless", "", "the bill of 7 days", "left-over"),
    ],
)
def test_a_list_that_fails_does_not_hide_the_others(
    bench: Bench, path: str, query: str, missing: str, shown: str
) -> None:
    """What is missing is named, its exit code is the command's, and nothing is called left over on half a look."""
    leaky(bench)
    is_rest = bench.api == "rest" or not query
    fault = Fault("status", FOREVER, path if is_rest else "/graphql", status=500, containing="" if is_rest else query)
    bench.place.runpod.faults.append(fault)
    done = bench.run("audit", "--json", "--fix")
    assert done.code == 83 and f"not shown: {missing}: " in done.err
    assert shown in bench.run("audit").out
    record = json.loads(done.out)
    assert [gap["what"] for gap in record["gaps"]] == [missing]
    if missing in ("the pods", "the endpoints"):
        assert record["volumes"][0]["is_orphan"] is None
        assert not [fix for fix in record["fixes"] if "network-volumes" in fix["command"]]


def test_a_recipe_that_cannot_be_read_or_compared_is_a_gap(bench: Bench) -> None:
    """The account is shown all the same."""
    recipe = bench.write()
    assert bench.run("provision", recipe).code == 0
    broken = bench.folder / "broken.yaml"
    broken.write_text("name: [")
    done = bench.run("audit", recipe, broken)
    assert done.code == 10 and "not shown: the recipe" in done.err and "as its recipe" in done.out
    bench.settings["HF_ENDPOINT"] = "http://127.0.0.1:9"
    bench.settings["FACTORY_HOME"] = str(bench.folder / "elsewhere")
    done = bench.run("audit", recipe)
    assert done.code == 24 and "how demo differs from its recipe" in done.err and "not compared" in done.out


def test_money_without_an_end(bench: Bench) -> None:
    """An account that holds nothing spends nothing: no days to count, nothing to mend."""
    seen = audited(bench)
    assert seen["days_left"] is None and seen["causes"] == [] and seen["endpoints"] == []
    assert seen["balance"]["balance_usd"] == pytest.approx(Person().balance_usd)
