"""plan, provision and volumes as a user meets them: over the emulator, with an image in a real registry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from forked_cli import Done, ForkedCli, forked_cli
from registries import pusher, running_registry
from runpod_box import KEY, Emulated, emulated


@dataclass
class Desk:
    """A user's place: a folder of recipes, an emulated account, a registry with a base image."""

    folder: Path
    box: Emulated
    registry: str
    cli: ForkedCli
    environ: dict[str, str]

    def run(self, *words: str | Path, **environ: str) -> Done:
        """Run `factory …` on this account."""
        return self.cli.run(*words, env=self.environ | environ, folder=self.folder)

    def recipe(self, name: str = "demo", extra: str = "") -> Path:
        """Write a recipe that keeps something on a volume and needs no model."""
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"name: {name}\nimage: {{repository: acme/{name}}}\nhandler: echo\ngpu: AMPERE_24\n"
            f"disk: {{volume: 20}}\ntests: [{{input: {{word: hello}}}}]\n{extra}"
        )
        return path

    def push(self, recipe: Path) -> str:
        """Push an image under the recipe's tag; return its reference by digest."""
        tag = json.loads(self.run("render", recipe, "--json").out)["digest"][:16]
        name = f"acme/{recipe.stem}"
        return f"{self.registry}/{name}@{pusher(self.registry).image(name, tag).digest}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry that holds a base image."""
    with running_registry(tmp_path_factory.mktemp("registry") / "data") as running:
        pusher(running).image("base", "1")
        yield running.address


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    """The command, started from one that has been imported."""
    with forked_cli() as forked:
        yield forked


@pytest.fixture
def desk(cli: ForkedCli, registry: str, hub: str, tmp_path: Path) -> Iterator[Desk]:
    """A desk with an empty account."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    with emulated() as box:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_ENDPOINT": hub,
            "FACTORY_HOME": str(tmp_path / "home"),
            "FACTORY_REGISTRY": registry,
            "FACTORY_BASE": f"{registry}/base:1",
            "RUNPOD_API_KEY": KEY,
            "RUNPOD_API_BASE_URL": box.url,
            "RUNPOD_ENDPOINT_BASE_URL": box.jobs_url,
        }
        yield Desk(folder, box, registry, cli, environ)


def test_plan_provision_and_plan_again(desk: Desk) -> None:
    """4 and a plan; an endpoint's id; 0 and "unchanged"; the account holds one of each."""
    recipe = desk.recipe()
    before = desk.run("plan", recipe)
    assert before.code == 4, before.err
    assert "+ volume   demo" in before.out and "is not in its registry yet" in before.out
    assert "$1.40 a month" in before.out and "AMPERE_24" in before.out and "\x1b" not in before.out
    image = desk.push(recipe)
    made = desk.run("provision", recipe)
    assert made.code == 0, made.err
    world = desk.box.box.world
    assert made.out.split() == list(world.endpoints)
    assert [e.container.image for e in world.endpoints.values()] == [image]
    assert [(v.name, v.size_gb) for v in world.volumes.values()] == [("demo", 20)]
    after = desk.run("plan", recipe)
    assert (after.code, after.out.splitlines()[0]) == (0, "demo   unchanged")
    again = desk.run("provision", recipe, RUNPOD_API="graphql")
    assert again.out == made.out and "unchanged" in again.err


def test_a_change_is_shown_field_by_field(desk: Desk) -> None:
    """Old and new value; what rolls the workers is told apart from what doesn't."""
    recipe = desk.recipe(extra="env: {LEVEL: '1', OLD: x}\n")
    desk.push(recipe)
    assert desk.run("provision", recipe).code == 0
    desk.recipe(extra="env: {LEVEL: '2'}\nendpoint: {workers: {max: 5}}\n")
    shown = desk.run("plan", recipe).out
    for line in ("↻ endpoint", "- OLD", "~ LEVEL=1 → 2", "workers, most", "3 → 5"):
        assert line in shown


def test_json_has_what_the_text_has(desk: Desk) -> None:
    """One list, one record a recipe: actions, pools, costs, findings, disks with their arithmetic."""
    (record,) = json.loads(desk.run("plan", desk.recipe("fresh"), "--json").out)
    assert {action["resource"]: action["kind"] for action in record["actions"]} == {
        "volume": "create",
        "template": "create",
        "endpoint": "create",
    }
    assert record["costs"]["idle_usd_per_month"] == 1.4
    assert record["pools"][0]["pool"] == "AMPERE_24" and record["pools"][0]["stock"] == "high"
    assert record["disks"]["volume"]["size_gb"] == 20
    assert [finding["code"] for finding in record["findings"]] == ["not_pushed"]


@pytest.mark.parametrize(
    ("extra", "code", "word"),
    [("secrets: [HF_TOKEN]\n", 86, "HF_TOKEN"), ("endpoint: {data_centers: [US-TX-3]}\n", 87, "US-TX-3")],
)
def test_what_is_in_the_way_has_a_code_and_nothing_is_made(desk: Desk, extra: str, code: int, word: str) -> None:
    """plan and provision end with the same code; provision makes nothing, not even of the other recipe."""
    bad, good = desk.recipe("bad", extra), desk.recipe("good")
    desk.push(bad), desk.push(good)
    planned = desk.run("plan", bad, good)
    assert planned.code == code and word in planned.out
    stopped = desk.run("provision", good, bad)
    assert (stopped.code, stopped.out) == (code, "")
    assert word in stopped.err.splitlines()[-1]
    assert not desk.box.box.world.volumes


def test_an_image_that_is_not_pushed_stops_provision(desk: Desk) -> None:
    """Code 86, and what to do."""
    done = desk.run("provision", desk.recipe("unpushed"))
    assert done.code == 86
    assert "factory build RECIPE --push" in done.err.splitlines()[-1]


def test_a_recipe_that_can_not_be_read_does_not_hide_the_others(desk: Desk) -> None:
    """Its problems on stderr, the other's plan on stdout."""
    bad = desk.folder / "bad.yaml"
    bad.write_text("name: bad\n")
    done = desk.run("plan", bad, desk.recipe())
    assert done.code == 10
    assert "+ volume   demo" in done.out and str(bad) in done.err


def test_without_a_key_it_says_where_to_get_one(desk: Desk) -> None:
    """Code 81."""
    done = desk.run("plan", desk.recipe(), RUNPOD_API_KEY="")
    assert done.code == 81 and "RUNPOD_API_KEY" in done.err


def test_many_recipes_are_one_look_at_the_account(desk: Desk) -> None:
    """Each list is fetched once, whatever the number of recipes."""
    desk.box.call(lambda box: box.world.set_person(worker_quota=100))
    paths = [desk.recipe(f"demo-{number}") for number in range(12)]
    done = desk.run("plan", *paths, "--json")
    assert done.code == 4, done.err
    assert len(json.loads(done.out)) == 12
    assert len(desk.box.calls) <= 9


def test_the_python_snippet_calls_the_endpoint(desk: Desk) -> None:
    """It submits the recipe's first test, waits, and prints the output; the key is not in it."""
    recipe = desk.recipe()
    desk.push(recipe)
    text = desk.run("provision", recipe, "--snippet", "python").out
    assert KEY not in text
    (endpoint_id,) = desk.box.box.world.endpoints
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env={"RUNPOD_API_KEY": KEY}
    ) as client:
        headers = {"Authorization": KEY}
        with httpx.Client(base_url=f"{desk.box.jobs_url}/{endpoint_id}", headers=headers, timeout=60) as worker:
            job = worker.get("/job-take/w1?gpu=x&job_in_progress=0").raise_for_status().json()
            assert job["input"] == {"word": "hello"}
            answer = json.dumps({"output": {"word": "back"}})
            worker.post(f"/job-done/w1/{job['id']}?gpu=x&isStream=false", content=answer).raise_for_status()
        assert client.communicate(timeout=60)[0].strip() == "COMPLETED {'word': 'back'}"


def test_print_curl_and_js_name_the_endpoint_and_the_test(desk: Desk) -> None:
    """Both hold the URL, the first test's input, and the key's variable instead of the key."""
    recipe = desk.recipe()
    desk.push(recipe)
    for words in (("--print-curl",), ("--snippet", "js")):
        text = desk.run("provision", recipe, *words).out
        (endpoint_id,) = desk.box.box.world.endpoints
        assert f"{desk.box.jobs_url}/{endpoint_id}" in text and '"word": "hello"' in text
        assert "RUNPOD_API_KEY" in text and KEY not in text


def test_volumes_are_listed_with_their_users_and_grown(desk: Desk) -> None:
    """Name, size, price, recipes of the folder, endpoints; growing prints the new price, shrinking is refused."""
    recipe = desk.recipe()
    desk.push(recipe)
    desk.run("provision", recipe)
    shown = desk.run("volumes", "--recipes", desk.folder).out.splitlines()[1].split()
    assert shown[0] == "demo" and shown[2:4] == ["20", "GB"] and shown[5:] == ["$1.40", "demo", "demo"]
    (row,) = json.loads(desk.run("volumes", "list", "--recipes", desk.folder, "--json").out)
    assert (row["recipes"], row["endpoints"], row["usd_per_month"]) == (["demo"], ["demo"], 1.4)
    assert desk.run("volumes", "grow", "demo", "40").out == "demo 40 GB $2.80 a month\n"
    assert desk.run("volumes", "grow", "demo", "30").code == 87
    assert desk.run("volumes", "grow", "nothing", "30").code == 87
