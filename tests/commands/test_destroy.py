"""`factory destroy` as a user types it: what goes, what stays, what it no longer costs, whoever kills it on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mend_bench import MendShop
from release_bench import forbid_changes, held_call
from runpod_box import an_endpoint

ALL = ("destroy", "demo.yaml", "--yes", "--login", "--volume", "demo", "--confirm", "demo")
NOTHING: dict[str, list[object]] = {"volumes": [], "logins": [], "templates": [], "endpoints": []}


@pytest.mark.parametrize("api", ["rest", "graphql"])
def test_only_what_is_named_goes(shop: MendShop, tmp_path: Path, api: str) -> None:
    """First endpoint and template, then login and volume; each is said with its cost, and a volume that stays, too."""
    bench = shop.released_twice(tmp_path, api)
    before = shop.held
    done = bench.run("destroy", "demo.yaml", "--yes")
    assert done.code == 0, done.err
    assert shop.held == before | {"endpoints": [], "templates": []}
    assert "costs nothing while it idles" in done.err
    assert "kept: volume demo" in done.err and "$0.70 a month (--volume demo removes it too)" in done.err
    done = bench.run(*ALL, "--json")
    assert done.code == 0, done.err
    assert shop.held == NOTHING
    assert json.loads(done.out) == {
        "removed": [f"registry login factory-{shop.place.registry}", "volume demo"],
        "usd_per_month": 0.7,
    }
    forbid_changes(shop.place.runpod)
    again = bench.run(*ALL)
    assert again.code == 0 and "there was nothing" in again.err and "no volume demo" in again.err


def test_workers_that_are_always_on_stop_costing(shop: MendShop, tmp_path: Path) -> None:
    """The money is said before anything is asked; nobody there to say yes: nothing goes."""
    bench = shop.released_twice(tmp_path, "rest")
    shop.place.runpod.call(lambda box: setattr(next(iter(box.world.endpoints.values())), "workers_min", 1))
    done = bench.run("destroy", "demo.yaml")
    assert done.code == 130 and "a month (1 always on)" in done.err and "Remove all of this?" in done.err
    assert len(shop.held["endpoints"]) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--volume", "demo"], "--yes does not speak for it; add --confirm demo"),
        (["--volume", "demo", "--confirm", "dem"], "'dem' is not its name, so nothing is removed"),
    ],
)
def test_a_volume_is_confirmed_by_its_name(shop: MendShop, tmp_path: Path, words: list[str], sentence: str) -> None:
    """Without, nothing at all is removed."""
    bench = shop.released_twice(tmp_path, "rest")
    before = shop.held
    done = bench.run("destroy", "demo.yaml", "--yes", *words)
    assert done.code == 87 and sentence in done.err and shop.held == before


@pytest.mark.parametrize("what", ["--login", "--volume"])
def test_what_others_use_is_refused_before_anything_goes(shop: MendShop, tmp_path: Path, what: str) -> None:
    """Another endpoint pulls with the login, or has the volume: it is named."""
    bench = shop.released_twice(tmp_path, "rest")
    mine = shop.endpoint
    other = an_endpoint("other", volume_ids=list(mine.volume_ids), data_centers=list(mine.data_centers))
    other.container.login_id = mine.container.login_id
    shop.place.runpod.call(lambda box: box.world.create_endpoint(other))
    before = shop.held
    words = ["--volume", "demo", "--confirm", "demo"] if what == "--volume" else [what]
    done = bench.run("destroy", "demo.yaml", "--yes", *words)
    assert done.code == 87 and "other endpoints use it (other)" in done.err and shop.held == before


POINTS = [
    *(
        ("rest", ("DELETE", path), "", is_after)
        for path in ("/v2/serverless/*", "/v2/templates/*", "/v2/registries/*", "/v2/network-volumes/*")
        for is_after in (False, True)
    ),
    ("graphql", ("", ""), "saveEndpoint", True),
    *(
        ("graphql", ("", ""), word, True)
        for word in ("deleteEndpoint", "deleteTemplate", "deleteRegistryAuth", "deleteNetworkVolume")
    ),
]


@pytest.mark.parametrize(
    ("api", "rest", "graphql", "is_after"), POINTS, ids=[f"{p[0]} {p[1][1] or p[2]} {p[3]}" for p in POINTS]
)
def test_killed_anywhere_the_next_run_removes_the_rest(
    shop: MendShop, tmp_path: Path, api: str, rest: tuple[str, str], graphql: str, is_after: bool
) -> None:
    """Nothing is left, and a third run has no work."""
    bench = shop.released_twice(tmp_path, api)
    shop.kill(bench, held_call(api, rest, graphql, is_after=is_after), *ALL)
    done = bench.run(*ALL)
    assert done.code == 0, done.err
    assert shop.held == NOTHING
