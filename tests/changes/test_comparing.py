"""`changes`: a real git repository, of which one thing after another is changed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_doors import FakeDoors
from fake_hub import FakeHub

from factory.changes import Changes, compare_all
from factory.clients.git import GitCheckout, find_checkout
from factory.errors import RecipeError, SettingsError
from factory.pipeline import Line, Machine
from factory.recipe.load import RecipeFile, load
from factory.records import tell_nobody

HANDLER = """class Handler:
    def load(self, model_dir): ...
    def __call__(self, inputs): return inputs
"""
RECIPE = """name: {name}
image:
  repository: acme/{name}
  base: python:3.11-slim-bookworm
  pip: [numpy==2.2.0]
model: org/small
handler: {{file: {name}.py}}
tests: [{{input: {{a: 1}}, expect: {{a: 1}}}}]
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git as nobody in particular, and return what it says."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two recipes and their handlers, all committed."""
    folder = tmp_path / "repository"
    (folder / "recipes").mkdir(parents=True)
    for name in ("one-a", "two-b"):
        (folder / f"recipes/{name}.yaml").write_text(RECIPE.format(name=name))
        (folder / f"recipes/{name}.py").write_text(HANDLER)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def compared(repository: Path, tmp_path: Path, doors: FakeDoors | None = None, *named: str) -> Changes:
    """Compare the working tree with the last commit."""
    checkout = find_checkout(repository / "recipes")
    used = doors or FakeDoors()

    def line_for(file: RecipeFile, sources: Path | None) -> Line:
        return Line(file, used, Machine(tmp_path / "home", sources=sources), lambda _stage: tell_nobody)

    whole = None if named else repository / "recipes"
    paths = [repository / name for name in named] or sorted((repository / "recipes").glob("*.yaml"))
    workspace = tmp_path / "then"
    workspace.mkdir()
    return compare_all(paths, checkout, checkout.commit("HEAD"), workspace, line_for, whole=whole)


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Return a change of one text in a file of the recipes."""

    def change(repository: Path) -> None:
        path = repository / "recipes" / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def add_template(repository: Path) -> None:
    """Give the recipe a template that extends ours."""
    (repository / "recipes/own.j2").write_text('{% extends "Dockerfile.j2" %}\n# nothing else\n')
    replace("one-a.yaml", "  pip:", "  template: own.j2\n  pip:")(repository)


def rename_file(repository: Path) -> None:
    """Give the recipe's file another name, and keep the recipe's."""
    (repository / "recipes/one-a.yaml").rename(repository / "recipes/other.yaml")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (replace("one-a.py", "return inputs", "return {**inputs}"), "handler (one-a.py)"),
        (replace("one-a.yaml", "numpy==2.2.0", "numpy==2.2.1"), "packages (numpy==2.2.1, numpy==2.2.0)"),
        (replace("one-a.yaml", "python:3.11-slim-bookworm", "debian:12-slim"), "base (debian:12-slim)"),
        (replace("one-a.yaml", "  pip:", "  apt: [git]\n  pip:"), "packages (git)"),
        (replace("one-a.yaml", "  pip:", "  steps: [echo 1]\n  pip:"), "packages (steps)"),
        (replace("one-a.yaml", "  pip:", "  env: {TOKENISERS: '1'}\n  pip:"), "env (TOKENISERS)"),
        (replace("one-a.yaml", "org/small", "org/large"), "model (small, large)"),
        (replace("one-a.yaml", "tests:", "disk: {scratch_gb: 7}\ntests:"), "recipe (disk)"),
        (replace("one-a.yaml", "name: one-a", "name: one-c"), "recipe (name)"),
        (add_template, "template (own.j2)"),
        (replace("one-a.yaml", "name:", "# a comment\nname:"), None),
        (replace("one-a.py", "\n", "\r\n"), None),
        (rename_file, None),
        (lambda _: None, None),
    ],
)
def test_reasons(repository: Path, tmp_path: Path, change: Callable[[Path], None], expected: str | None) -> None:
    """Each change names its kind and what it touched, of that recipe alone; what is no change says nothing."""
    change(repository)
    found = compared(repository, tmp_path)
    words = [part.reason.replace("model (large, small)", "model (small, large)") for part in found.changed]
    assert words == ([expected] if expected else [])
    assert not found.deleted and not found.failed
    assert git(repository, "stash", "list") == ""


def test_new_and_deleted(repository: Path, tmp_path: Path) -> None:
    """A new recipe is changed; one whose file went is listed apart."""
    (repository / "recipes/new-c.yaml").write_text(RECIPE.format(name="new-c").replace("new-c.py", "one-a.py"))
    (repository / "recipes/two-b.yaml").unlink()
    found = compared(repository, tmp_path)
    assert [(change.name, change.reason) for change in found.changed] == [("new-c", "new")]
    assert [(gone.path.as_posix(), gone.name) for gone in found.deleted] == [("recipes/two-b.yaml", "two-b")]


def test_named_recipes_alone_are_compared(repository: Path, tmp_path: Path) -> None:
    """Named ones are looked at, the others are not; a named one whose file went is deleted."""
    replace("one-a.py", "return inputs", "return 1")(repository)
    (repository / "recipes/two-b.yaml").unlink()
    found = compared(repository, tmp_path, None, "recipes/two-b.yaml")
    assert not found.changed
    assert [gone.name for gone in found.deleted] == ["two-b"]


def test_unchanged_recipes_ask_nobody(repository: Path, tmp_path: Path) -> None:
    """A recipe of which no source differs is not even resolved."""
    replace("one-a.py", "return inputs", "return 1")(repository)
    hub = FakeHub()
    found = compared(repository, tmp_path, FakeDoors(hub=hub))
    assert [change.name for change in found.changed] == ["one-a"]
    assert [path.name for path in found.unchanged] == ["two-b.yaml"]
    assert len(hub.asked) == 2  # both sides of one recipe: HubOnce makes it one


def test_one_that_fails_does_not_hide_the_others(repository: Path, tmp_path: Path) -> None:
    """A recipe that can't be read now is told apart, with its error."""
    replace("one-a.py", "return inputs", "return 1")(repository)
    (repository / "recipes/two-b.yaml").write_text("name: [")
    found = compared(repository, tmp_path)
    assert [change.name for change in found.changed] == ["one-a"]
    assert [(failed.path.name, type(failed.error)) for failed in found.failed] == [("two-b.yaml", RecipeError)]


def test_a_recipe_that_could_not_be_read_then_is_changed(repository: Path, tmp_path: Path) -> None:
    """What that revision could not build, it would not have built the same."""
    good = (repository / "recipes/one-a.yaml").read_text()
    (repository / "recipes/one-a.yaml").write_text("name: [")
    git(repository, "commit", "--quiet", "-am", "broken")
    (repository / "recipes/one-a.yaml").write_text(good)
    found = compared(repository, tmp_path)
    assert [change.reasons[0].kind for change in found.changed] == ["unreadable"]


def test_attributes_of_git_change_nothing(repository: Path, tmp_path: Path) -> None:
    """A file that `git archive` would leave out or rewrite is read as it is stored."""
    (repository / ".gitattributes").write_text("*.py export-ignore export-subst\n")
    (repository / "recipes/one-a.py").write_text(HANDLER + "# $Format:%H$\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "attributes")
    (repository / "recipes/one-a.yaml").write_text(
        (repository / "recipes/one-a.yaml").read_text().replace("small", "large")
    )
    found = compared(repository, tmp_path)
    assert [[reason.kind for reason in change.reasons] for change in found.changed] == [["model"]]


def test_disk_of_a_build(repository: Path, tmp_path: Path) -> None:
    """The disk grows with what the packages weigh: torch needs ten times what numpy does."""
    replace("one-a.yaml", "numpy==2.2.0", "torch==2.6.0")(repository)
    replace("two-b.yaml", "numpy==2.2.0", "numpy==2.2.1")(repository)
    large, small = compared(repository, tmp_path).changed
    assert small.disk_gb <= 3 < 10 <= large.disk_gb


@pytest.mark.parametrize("revision", ["nowhere", "", "--all", "0" * 40, "HEAD~99"])
def test_an_unknown_revision_is_one_sentence(repository: Path, revision: str) -> None:
    """A revision that isn't there is said with its name, and never taken for an option."""
    with pytest.raises(SettingsError, match="no such revision"):
        GitCheckout(repository).commit(revision)


def test_a_shallow_clone_says_how_to_deepen_it(repository: Path, tmp_path: Path) -> None:
    """In a clone of depth 1 the commit before is not there, and the fix names both ways to get it."""
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "shallow")
    with pytest.raises(SettingsError, match="shallow") as failed:
        find_checkout(tmp_path / "shallow").commit("HEAD~1")
    assert "fetch-depth: 0" in failed.value.fix and "--unshallow" in failed.value.fix


def test_outside_a_repository(tmp_path: Path) -> None:
    """A folder without git is said to be one."""
    with pytest.raises(SettingsError, match="not in a git repository"):
        find_checkout(tmp_path)


def test_names_that_need_quoting(repository: Path, tmp_path: Path) -> None:
    """Spaces, umlauts and symbolic links come out of git as they went in."""
    odd = repository / "recipes" / "häßlich und lang.txt"
    odd.write_text("x")
    (repository / "recipes/link.txt").symlink_to(odd.name)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "odd")
    checkout = find_checkout(repository)
    checkout.lay(checkout.commit("HEAD"), [Path("recipes")], tmp_path / "laid")
    assert (tmp_path / "laid/recipes" / odd.name).read_text() == "x"
    assert (tmp_path / "laid/recipes/link.txt").read_text() == "x"


def test_the_reason_holds_no_value(repository: Path, tmp_path: Path) -> None:
    """Of a variable only the name is said."""
    replace("one-a.yaml", "  pip:", "  env: {KEY: 's3cr3t-value'}\n  pip:")(repository)
    found = compared(repository, tmp_path)
    assert "s3cr3t" not in json.dumps([change.reason for change in found.changed])


def test_what_the_registry_has_needs_no_room(repository: Path, tmp_path: Path) -> None:
    """Where the registry has the environment no engine will build, so 1 GB is enough."""
    replace("one-a.yaml", "numpy==2.2.0", "torch==2.6.0")(repository)
    git(repository, "commit", "--quiet", "-am", "torch")
    replace("one-a.py", "return inputs", "return 1")(repository)
    doors = FakeDoors()
    line = Line(load(repository / "recipes/one-a.yaml"), doors, Machine(tmp_path), lambda _stage: tell_nobody)
    assert line.context.environment is not None
    before = compared(repository, tmp_path, doors).changed
    doors.registry.digests[line.context.environment.reference] = "sha256:" + "cd" * 32
    shutil.rmtree(tmp_path / "then")
    after = compared(repository, tmp_path, doors).changed
    assert [change.disk_gb for change in after] == [1] and before[0].disk_gb > 10
