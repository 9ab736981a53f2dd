"""`factory changed` as a user meets it, and in a checkout of factory itself, whose template and runtime count too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = "127.0.0.1:9/base@sha256:" + "ab" * 32  # no registry is asked
RECIPE = "name: {name}\nimage: {{repository: acme/{name}}}\nhandler: echo\ntests: [{{input: {{a: 1}}}}]\n"


def git(folder: Path, *arguments: str) -> None:
    """Run git as nobody in particular."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, check=True)


def commit_all(folder: Path) -> None:
    """Commit everything there is."""
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "all")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two recipes, committed."""
    folder = tmp_path / "models"
    (folder / "recipes").mkdir(parents=True)
    for name in ("one-a", "two-b"):
        (folder / f"recipes/{name}.yaml").write_text(RECIPE.format(name=name))
    commit_all(folder)
    return folder


def changed(folder: Path, hub: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `factory changed ARGUMENTS…` in a folder, with the factory that lies there, or else the installed one."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("FACTORY_", "HF_", "GIT_"))}
    env |= {"HF_ENDPOINT": hub, "FACTORY_BASE": PINNED, "FACTORY_REGISTRY": "127.0.0.1:9"}
    command = [sys.executable, "-m", "factory", "changed", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_paths_for_xargs_and_reasons_for_people(repository: Path, hub: str) -> None:
    """stdout has just the paths, seen from where one stands; stderr has reasons and what was deleted."""
    (repository / "recipes/one-a.yaml").write_text(RECIPE.format(name="one-a") + "env: {A: b}\n")
    (repository / "recipes/two-b.yaml").unlink()
    done = changed(repository, hub, "--since", "HEAD")
    assert (done.returncode, done.stdout) == (0, "recipes/one-a.yaml\n")
    assert done.stderr.splitlines() == ["one-a: recipe (env)", "two-b: deleted (recipes/two-b.yaml)"]
    assert changed(repository / "recipes", hub, "--since", "HEAD").stdout == "one-a.yaml\n"


def test_json_is_a_matrix_on_one_line(repository: Path, hub: str) -> None:
    """`include` is what strategy.matrix takes; a recipe that can't be read is told beside it, and by the exit code."""
    (repository / "recipes/one-a.yaml").write_text(RECIPE.format(name="one-a") + "env: {A: b}\n")
    (repository / "recipes/two-b.yaml").write_text("name: [")
    done = changed(repository, hub, "--since", "HEAD", "--json")
    assert done.returncode == 10 and done.stdout.count("\n") == 1
    read = json.loads(done.stdout)
    assert read["include"][0] | {"tag": "", "disk_gb": 0} == {
        "recipe": "recipes/one-a.yaml",
        "name": "one-a",
        "disk_gb": 0,
        "reason": "recipe (env)",
        "kinds": ["recipe"],
        "tag": "",
    }
    assert [failed["recipe"] for failed in read["failed"]] == ["recipes/two-b.yaml"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--since", "nowhere"), 3, "no such revision ('nowhere')"),
        ((), 2, "say either --since REV or --all"),
        (("--since", "HEAD", "--all"), 2, "say either --since REV or --all"),
        (("--since", "HEAD", "/elsewhere.yaml"), 3, "not in a git repository"),
        (("--since", "HEAD", "recipes/none.yaml"), 0, ""),
    ],
)
def test_what_can_not_be_compared(repository: Path, hub: str, arguments: tuple[str, ...], code: int, says: str) -> None:
    """One sentence and an exit code; a path that is on neither side is no change."""
    done = changed(repository, hub, *arguments)
    assert done.returncode == code and says in done.stderr and done.stdout == ""


def test_all_names_every_recipe(repository: Path, hub: str) -> None:
    """With --all every recipe is new, whatever git says."""
    done = changed(repository, hub, "--all")
    assert done.stdout.split() == ["recipes/one-a.yaml", "recipes/two-b.yaml"]
    assert "one-a: new" in done.stderr


@pytest.fixture(scope="module")
def own_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of factory itself with one recipe, committed."""
    folder = tmp_path_factory.mktemp("own") / "checkout"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("factory", "worker_runtime", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    (folder / "recipes").mkdir()
    (folder / "recipes/one-a.yaml").write_text(RECIPE.format(name="one-a"))
    (folder / ".gitignore").write_text("__pycache__\n")
    commit_all(folder)
    return folder


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("worker_runtime/settings.py", "one-a: runtime (1 file)"),
        ("templates/Dockerfile.j2", "one-a: template (factory's own)"),
        ("factory/cli.py", ""),
        (None, ""),
    ],
)
def test_factorys_own_sources_count_where_they_are_in_the_repository(
    own_checkout: Path, hub: str, file: str | None, reason: str
) -> None:
    """A changed runtime or template changes every recipe; other code of factory, none; the other side is git's."""
    if file:
        path = own_checkout / file
        path.write_text(path.read_text() + "# another line\n")
    done = changed(own_checkout, hub, "--since", "HEAD")
    git(own_checkout, "checkout", "--quiet", ".")
    assert done.returncode == 0 and done.stderr.strip() == reason
