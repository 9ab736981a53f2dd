"""`factory lock` and `--locked`, as a user starts them, against a package index and a Hub on the loopback interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheel_index import WheelIndex, wheel_index

from factory.locking.lock import lock_path

from .conftest import Factory

MINILM = """name: mini
model: {repo: sentence-transformers/all-MiniLM-L6-v2, include: ["*.json"], placement: volume}
image: {repository: factory/mini, pip: [tool]}
handler: echo
tests: [{input: {a: 1}}]
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[WheelIndex]:
    """An index with two versions of a tool that needs a part."""
    with wheel_index(tmp_path / "index") as index:
        index.add("tool", "1.0", "part")
        index.add("part", "1.0")
        index.add("part", "1.0", tag="cp311-cp311-win_amd64")
        yield index


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that says little of its packages."""
    path = tmp_path / "mini.yaml"
    path.write_text(MINILM)
    return path


def locked(recipe: Path) -> dict[str, list[str]]:
    """Return the lock's packages as `name==version`."""
    value = json.loads(lock_path(recipe).read_text())
    return {part: [line.split(" ")[0] for line in value[part]] for part in ("runtime", "packages")}


def test_a_lock_is_written_kept_and_upgraded(factory: Factory, index: WheelIndex, recipe: Path) -> None:
    """What is locked stays when newer versions come, until the upgrade; each change is told."""
    environment = {"PIP_INDEX_URL": index.url}
    done = factory("lock", recipe, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{lock_path(recipe)}\n"
    runtime = ["huggingface-hub==2.4.0", "pydantic==2.14.4", "runpod==1.12.0"]
    assert locked(recipe) == {"runtime": runtime, "packages": ["part==1.0", "tool==1.0"]}
    value = json.loads(lock_path(recipe).read_text())
    assert value["packages"][0].count("--hash=") == 1, "of the wheels only those for linux/amd64"
    assert len(value["models"][0]["commit"]) == 40 and "config.json" in value["models"][0]["files"]
    before = lock_path(recipe).read_bytes()
    index.add("part", "2.0")
    assert factory("lock", recipe, **environment).returncode == 0
    assert lock_path(recipe).read_bytes() == before
    done = factory("lock", recipe, "--upgrade", "--json", **environment)
    assert json.loads(done.stdout)[0]["changed"] == ["part 1.0 → 2.0"]
    assert locked(recipe)["packages"] == ["part==2.0", "tool==1.0"]


def test_builds_are_rendered_from_the_lock(factory: Factory, index: WheelIndex, recipe: Path, tmp_path: Path) -> None:
    """Base by digest, every package by its hash; `--locked` demands it, and names what the recipe has otherwise."""
    assert factory("lock", recipe, PIP_INDEX_URL=index.url).returncode == 0
    refused = factory("check", "--locked", recipe)
    assert refused.returncode == 43 and "the base is not locked" in refused.stdout + refused.stderr
    value = json.loads(lock_path(recipe).read_text())
    digest = "sha256:" + "ab" * 32
    lock_path(recipe).write_text(json.dumps({**value, "base": digest}))
    assert factory("check", "--locked", recipe).returncode == 0
    done = factory("render", recipe, "--out", tmp_path / "out", FACTORY_BASE="")
    assert done.returncode == 0, done.stderr
    assert f"FROM python:3.11-slim-bookworm@{digest}\n" in (tmp_path / "out" / "Dockerfile").read_text()
    assert "--locked recipe.lock.txt" in (tmp_path / "out" / "Dockerfile").read_text()
    required = (tmp_path / "out" / "recipe.lock.txt").read_text().splitlines()
    assert [line.split(" ")[0] for line in required] == sorted(
        line for part in locked(recipe).values() for line in part
    )
    assert all("--hash=sha256:" in line for line in required)
    recipe.write_text(MINILM.replace("[tool]", "[tool, part==1.0]"))
    done = factory("render", recipe, "--out", tmp_path / "anew")
    assert done.returncode == 0 and "image.pip: part==1.0 is not locked" in done.stderr
    assert not (tmp_path / "anew" / "recipe.lock.txt").exists()
    for command in (["check"], ["build"], ["release"]):
        done = factory(*command, "--locked", recipe, RUNPOD_API_KEY="key", RUNPOD_API_BASE_URL="http://127.0.0.1:9")
        assert done.returncode == 43, done.stderr
        assert "image.pip: part==1.0 is not locked" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("pip", "says"),
    [
        ("[tool==9]", "no package index has tool==9"),
        ("[nothing-of-this-name]", "no package index that it reached has nothing-of-this-name"),
        ("[tool, part==2]", "the packages contradict each other"),
    ],
)
def test_what_cannot_be_locked(factory: Factory, index: WheelIndex, recipe: Path, pip: str, says: str) -> None:
    """One sentence, and no lock is left behind."""
    index.add("tool", "1.0", "part<2")
    index.add("part", "2.0")
    recipe.write_text(MINILM.replace("[tool]", pip))
    done = factory("lock", recipe, PIP_INDEX_URL=index.url)
    assert done.returncode == 40 and says in done.stderr
    assert not lock_path(recipe).exists()


def test_no_password_of_an_index_is_told(factory: Factory, recipe: Path) -> None:
    """An index behind a password that isn't there is named without it."""
    done = factory("lock", recipe, PIP_INDEX_URL="http://ada:s3cret@127.0.0.1:9/simple", UV_HTTP_RETRIES="0")
    assert done.returncode == 40 and "can't be reached (http://127.0.0.1:9/simple/" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


def test_a_broken_lock_is_replaced(factory: Factory, index: WheelIndex, recipe: Path) -> None:
    """A file that is no lock stops a build with its name; `factory lock` writes it anew."""
    lock_path(recipe).write_text("<<<<<<< HEAD\n")
    done = factory("render", recipe)
    assert done.returncode == 43 and str(lock_path(recipe)) in done.stderr
    assert factory("lock", recipe, PIP_INDEX_URL=index.url).returncode == 0
    assert factory("render", recipe).returncode == 0
