"""`factory guard` as a user types it: crash loops and failed pulls are stopped, the rest is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mend_bench import MendShop
from release_bench import Bench, held_call, wait_until

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.troubles import PullFailure, Throttled, Trouble

QUICK = ("--for", "60s", "--patience", "2s")
TROUBLES: dict[str, Callable[[], Trouble]] = {"pull": PullFailure, "no stock": Throttled}
SENTENCES = {
    "crash": "worker unhealthy again and again",
    "pull": "the image's pull has been pending",
}


def in_trouble(shop: MendShop, kind: str) -> None:
    """Let a job wait for workers that end at their start, can't pull their image, or find no GPU."""

    def begin(box: Box) -> None:
        if kind in TROUBLES:
            box.troubles.add(TROUBLES[kind]())
        (endpoint_id,) = box.world.endpoints
        box.jobs.submit(endpoint_id, {"input": {"a": 1}}, is_sync=False)

    shop.workers.exit_code = 1 if kind == "crash" else None
    shop.place.runpod.call(begin)


def scale(shop: MendShop) -> tuple[int, int]:
    """Return workers.min and workers.max."""
    return shop.endpoint.workers_min, shop.endpoint.workers_max


def queued(shop: MendShop) -> int:
    """Return how many jobs wait."""
    return shop.place.runpod.call(lambda box: box.jobs.queued(next(iter(box.world.endpoints))))


@pytest.mark.parametrize("api", ["rest", "graphql"])
@pytest.mark.parametrize("kind", SENTENCES)
def test_what_never_comes_up_is_stopped(shop: MendShop, tmp_path: Path, kind: str, api: str) -> None:
    """workers.max 0, the waiting job purged, a sentence with numbers, exit code 98; then a release starts it again."""
    bench = shop.released_twice(tmp_path, api)
    in_trouble(shop, kind)
    done = bench.run("guard", "demo.yaml", *QUICK, "--purge", "--json")
    assert done.code == 98 and SENTENCES[kind] in done.err and "1 waiting job purged" in done.err, done.err
    assert scale(shop) == (0, 0) and queued(shop) == 0
    details = json.loads(done.out)["error"]["details"]
    assert details["endpoint"] == shop.endpoint.id and details["lines"]
    again = bench.run("guard", "demo", *QUICK)
    assert again.code == 98 and "no worker may start" in again.err

    shop.place.runpod.call(lambda box: box.troubles.clear())
    shop.workers.exit_code = None
    done = bench.run("release", "--no-run", bench.folder / "demo.yaml")
    assert done.code == 0 and scale(shop) == (0, 3), done.err


@pytest.mark.parametrize("kind", ["well", "no stock"])
def test_the_rest_is_left_alone(shop: MendShop, tmp_path: Path, kind: str) -> None:
    """Also an endpoint that only waits for a GPU: it costs nothing."""
    bench = shop.released_twice(tmp_path, "rest")
    in_trouble(shop, kind)
    done = bench.run("guard", "demo.yaml", "--for", "4s", "--patience", "2s")
    assert done.code == 0 and done.out.startswith("well for 4"), done.err
    assert scale(shop) == (0, 3)


def test_a_release_ends_with_it(shop: MendShop, tmp_path: Path) -> None:
    """--guard watches what was released; nothing to change, nothing to see."""
    bench = shop.released_twice(tmp_path, "rest")
    done = bench.run("release", "--no-run", "demo.yaml", "--guard", "1s")
    assert done.code == 0 and done.out.strip() == shop.endpoint.id, done.err
    assert "demo guard" in done.err and "well for 1" in done.err


@pytest.mark.parametrize("words", [["--for", "soon"], ["--for", "0s"], ["--minutes", "0"], ["--patience", "-3"]])
def test_a_duration_is_seconds_minutes_or_hours(shop: MendShop, tmp_path: Path, words: list[str]) -> None:
    """Anything else is a wrong command line."""
    bench = shop.released_twice(tmp_path, "rest")
    assert bench.run("guard", "demo", *words).code == 2


@pytest.mark.parametrize(
    ("api", "rest", "graphql"),
    [
        ("rest", ("PATCH", "/v2/serverless/*"), ""),
        ("graphql", ("", ""), "saveEndpoint"),
        ("rest", ("POST", "/v2/*/purge-queue"), ""),
    ],
)
@pytest.mark.parametrize("is_after", [False, True])
def test_killed_anywhere_the_next_run_stops_it(
    shop: MendShop, tmp_path: Path, api: str, rest: tuple[str, str], graphql: str, is_after: bool
) -> None:
    """In the end no worker may start, and nothing waits."""
    bench: Bench = shop.released_twice(tmp_path, api)
    in_trouble(shop, "crash")
    command = ("guard", "demo.yaml", *QUICK, "--purge")
    shop.kill(bench, held_call(api, rest, graphql, is_after=is_after), *command)
    done = bench.run(*command)
    assert done.code == 98, done.err
    assert scale(shop) == (0, 0) and queued(shop) == 0
    endpoint_id = shop.endpoint.id
    wait_until(lambda: not shop.place.runpod.call(lambda box: box.fleet.workers(endpoint_id)), "the workers' end")
