"""`factory releases` as a user types it: what ran when, by both APIs."""

from __future__ import annotations

import getpass
import json
import re
from pathlib import Path

import pytest
from mend_bench import NEXT, MendShop


@pytest.mark.parametrize("api", ["rest", "graphql"])
def test_both_releases_are_listed_newest_first(shop: MendShop, tmp_path: Path, api: str) -> None:
    """Digest, models, configuration, who and how it ended; RunPod's own releases are not listed twice."""
    bench = shop.released_twice(tmp_path, api)
    first, second = shop.images(api)
    rows = json.loads(bench.run("releases", "demo.yaml", "--json").out)
    assert [row["image"] for row in rows] == [second, first]
    assert [(row["kind"], row["outcome"], row["is_current"]) for row in rows] == [
        ("release", "good", True),
        ("release", "good", False),
    ]
    assert [row["endpoint"]["env"] for row in rows] == [NEXT["env"], {"GREETING": "hello"}]
    (commit,) = {row["models"]["sentence-transformers/all-MiniLM-L6-v2"] for row in rows}
    assert re.fullmatch(r"[0-9a-f]{40}", commit) and rows[0]["who"].startswith(getpass.getuser() + "@")
    if api == "rest":
        assert [row["version"] for row in rows] == [2, 1]
        assert "template.imageName" in rows[0]["changes"] and rows[1]["changes"] == []


def test_people_get_a_table(shop: MendShop, tmp_path: Path) -> None:
    """The one that runs has a star; the endpoint's name will do as well."""
    bench = shop.released_twice(tmp_path, "rest")
    done = bench.run("releases", "demo")
    lines = done.out.splitlines()
    assert done.code == 0 and len([line for line in lines if "good" in line]) == 2
    newest = next(line for line in lines if "good" in line)
    assert newest.startswith("*") and shop.images("rest")[1].partition("@")[2][:19] in newest
    assert "sentence-transformers/all-MiniLM-L6-v2@" in newest


def test_a_release_that_failed_is_listed_with_why(shop: MendShop, tmp_path: Path) -> None:
    """It was rolled back, and can't be named in a rollback."""
    bench = shop.released_twice(tmp_path, "rest")
    shop.workers.is_wrong = True
    recipe = bench.write(env={"GREETING": "bad"})
    assert bench.run("release", "--no-run", recipe).code == 96
    shop.workers.is_wrong = False
    rows = json.loads(bench.run("releases", "demo", "--json").out)
    (failed,) = [row for row in rows if row["outcome"] == "rolled_back"]
    assert failed["image"] == bench.image and "1: a" in failed["problems"][0]
    assert [row["image"] for row in rows if row["is_current"]] == [shop.images("rest")[1]]
    done = bench.run("rollback", recipe, "--to", failed["digest"])
    assert done.code == 87 and "failed its test jobs" in done.err
    done = bench.run("rollback", recipe)
    assert done.code == 0 and shop.endpoint.container.image == shop.images("rest")[0], done.err


def test_nothing_known_is_said(shop: MendShop, tmp_path: Path) -> None:
    """No journal and no endpoint: one line, and an empty list for machines."""
    bench = shop.released_twice(tmp_path, "rest")
    done = bench.run("releases", "other")
    assert done.code == 0 and done.out == "" and "nothing is known to have run on other" in done.err
    assert json.loads(bench.run("releases", "other", "--json").out) == []
