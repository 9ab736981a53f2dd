"""`factory rollback` as a user types it: image and configuration come back, whoever kills it on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mend_bench import NEXT, MendShop
from release_bench import held_call

from factory.journal import Journal

APIS = ("rest", "graphql")


def runs(shop: MendShop) -> tuple[str, int, dict[str, str]]:
    """Return image, container disk and environment of the account's endpoint."""
    container = shop.endpoint.container
    return container.image, container.disk_gb, dict(container.env)


@pytest.mark.parametrize("api", APIS)
def test_the_earlier_release_comes_back_and_answers(shop: MendShop, tmp_path: Path, api: str) -> None:
    """Image, disk and environment are the first release's, template included; the test job went through it."""
    bench = shop.released_twice(tmp_path, api)
    first, second = shop.images(api)
    assert runs(shop) == (second, 90, {"GREETING": "good evening"})
    done = bench.run("rollback", "demo.yaml", "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert (record["image"], record["replaced"]) == (first, second)
    assert record["endpoint_id"] == shop.endpoint.id and [a["problems"] for a in record["answers"]] == [[]]
    assert runs(shop) == (first, 21, {"GREETING": "hello"})
    assert shop.held["templates"][0]["container"] == shop.held["endpoints"][0]["container"]
    (newest,) = Journal.read(tmp_path / "home", "demo").memory.history[-1:]
    assert (newest.endpoint.image, newest.outcome, newest.restored_at > 0) == (first, "good", True)

    again = bench.run("rollback", "demo.yaml")
    assert again.code == 87 and "no earlier release" in again.err and runs(shop)[0] == first


@pytest.mark.parametrize("api", APIS)
def test_without_a_journal_runpods_releases_tell_what_was(shop: MendShop, tmp_path: Path, api: str) -> None:
    """Another machine goes back by REST v2's release diff; GraphQL has none, and the sentence says so."""
    bench = shop.released_twice(tmp_path, api)
    first, second = shop.images(api)
    (tmp_path / "home" / "releases" / "demo.json").unlink()
    done = bench.run("rollback", "demo.yaml")
    if api == "rest":
        assert done.code == 0, done.err
        assert runs(shop) == (first, 21, {"GREETING": "hello"})
    else:
        assert done.code == 87 and "no earlier release of it is known" in done.err and runs(shop)[0] == second


def test_an_endpoint_is_rolled_back_by_its_id_too(shop: MendShop, tmp_path: Path) -> None:
    """Without a recipe there are no test jobs to ask; what the journal of its name knows comes back."""
    bench = shop.released_twice(tmp_path, "graphql")
    assert shop.images("graphql")[0] in bench.run("releases", shop.endpoint.id, "--json").out
    done = bench.run("rollback", shop.endpoint.id)
    assert done.code == 0 and "no test jobs to ask" in done.err, done.err
    assert runs(shop) == (shop.images("graphql")[0], 21, {"GREETING": "hello"})


def test_a_beginning_of_the_digest_is_enough(shop: MendShop, tmp_path: Path) -> None:
    """--to goes back and forth; the endpoint keeps its id."""
    bench = shop.released_twice(tmp_path, "rest")
    endpoint_id = shop.endpoint.id
    for image in (*shop.images("rest"), shop.images("rest")[0]):
        done = bench.run("rollback", "demo.yaml", "--to", image.partition("@")[2][: len("sha256:") + 6])
        assert done.code == 0 and done.out.strip() == endpoint_id, done.err
        assert runs(shop)[0] == image


@pytest.mark.parametrize(
    ("to", "code", "sentence"),
    [
        ("beef0000", 87, "no release has that image (known are sha256:"),
        ("sha256:", 87, "no release has that image"),
    ],
)
def test_what_names_no_release_is_one_sentence(
    shop: MendShop, tmp_path: Path, to: str, code: int, sentence: str
) -> None:
    """Nothing is changed for a digest that nobody knows."""
    bench = shop.released_twice(tmp_path, "rest")
    before = shop.held
    done = bench.run("rollback", "demo.yaml", "--to", to)
    assert done.code == code and sentence in done.err and "Traceback" not in done.err
    assert shop.held == before


def test_an_image_that_the_registry_lost_is_not_put_back(shop: MendShop, tmp_path: Path) -> None:
    """No worker could start with it: the endpoint stays as it is."""
    bench = shop.released_twice(tmp_path, "rest")
    before, path = shop.held, tmp_path / "home" / "releases" / "demo.json"
    digest = shop.images("rest")[0].partition("@")[2]
    path.write_text(path.read_text().replace(digest, "sha256:" + "0" * 64))
    done = bench.run("rollback", "demo.yaml", "--to", "0000")
    assert done.code == 71 and "no longer has that release's image" in done.err
    assert shop.held == before


def test_a_rollback_that_does_not_help_says_so(shop: MendShop, tmp_path: Path) -> None:
    """Its tests fail: exit code 75, it runs all the same, and the history has it as failed."""
    bench = shop.released_twice(tmp_path, "rest")
    shop.workers.is_wrong = True
    done = bench.run("rollback", "demo.yaml")
    assert done.code == 75 and "1 of 1 test job failed" in done.err and "runs all the same" in done.err
    assert runs(shop)[0] == shop.images("rest")[0]
    memory = Journal.read(tmp_path / "home", "demo").memory
    assert memory.history[-1].outcome == "failed" and memory.rollback is None


POINTS = [
    ("rest", ("PATCH", "/v2/templates/*"), "", False),
    ("rest", ("PATCH", "/v2/templates/*"), "", True),
    ("rest", ("PATCH", "/v2/serverless/*"), "", False),
    ("rest", ("PATCH", "/v2/serverless/*"), "", True),
    ("rest", ("GET", "/v2/serverless/*/releases"), "", False),
    ("rest", ("POST", "/v2/*/run"), "", True),
    ("rest", ("GET", "/v2/*/status/*"), "", True),
    ("graphql", ("", ""), "saveTemplate", True),
    ("graphql", ("", ""), "saveEndpoint", False),
    ("graphql", ("", ""), "saveEndpoint", True),
]


@pytest.mark.parametrize(
    ("api", "rest", "graphql", "is_after"), POINTS, ids=[f"{p[0]} {p[1][1] or p[2]} {p[3]}" for p in POINTS]
)
def test_killed_anywhere_the_next_run_goes_on(
    shop: MendShop, tmp_path: Path, api: str, rest: tuple[str, str], graphql: str, is_after: bool
) -> None:
    """The next run ends on the first release, not one further back, and the journal has no debt."""
    bench = shop.released_twice(tmp_path, api)
    first, _ = shop.images(api)
    passed = 1 if rest[1].endswith("/releases") else 0  # the first look is for the history
    shop.kill(bench, held_call(api, rest, graphql, passed=passed, is_after=is_after), "rollback", "demo.yaml")
    done = bench.run("rollback", "demo.yaml")
    assert done.code == 0, done.err
    assert runs(shop) == (first, 21, {"GREETING": "hello"})
    ((template,), (endpoint,)) = shop.held["templates"], shop.held["endpoints"]
    assert template["container"] == endpoint["container"] and not template["readme"]
    memory = Journal.read(tmp_path / "home", "demo").memory
    assert memory.rollback is None and memory.history[-1].outcome == "good"


def test_a_release_after_a_rollback_goes_forth_again(shop: MendShop, tmp_path: Path) -> None:
    """The recipe still says the second release: releasing it changes the endpoint, and asks its tests."""
    bench = shop.released_twice(tmp_path, "rest")
    assert bench.run("rollback", "demo.yaml").code == 0
    done = bench.run("release", "--no-run", bench.write(**NEXT))
    assert done.code == 0 and "1 job answered" in done.err, done.err
    assert runs(shop)[0] == shop.images("rest")[1]
    back = bench.run("rollback", "demo.yaml")
    assert back.code == 0 and runs(shop)[0] == shop.images("rest")[0], back.err
