"""A lock's text: what is written is read back, the same lock is the same bytes, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import LockDrift
from factory.locking.lock import Asked, Lock, LockedModel, lock_path, parse, read, text_of
from factory.records import LockedPackage

digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)
names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
hashes = st.lists(digests, min_size=1, max_size=3).map(tuple)
from_index = st.builds(LockedPackage, names, st.from_regex(r"[0-9]{1,2}\.[0-9]{1,3}(\+cpu)?", fullmatch=True), hashes)
from_url = st.builds(
    LockedPackage, names, st.just(""), hashes, names.map(lambda name: f"https://example.org/{name}-1-py3-none-any.whl")
)
packages = st.lists(from_index | from_url, max_size=4).map(tuple)
patterns = st.lists(st.text(max_size=8), max_size=2).map(tuple)
asked_models = st.lists(st.tuples(names, names, patterns, patterns), max_size=2).map(tuple)
texts = st.lists(st.text(max_size=20), max_size=3).map(tuple)
asked = st.builds(Asked, st.just("3.11"), names, texts, texts, asked_models)
model = st.builds(LockedModel, names, names, st.dictionaries(st.text(max_size=9), digests, max_size=3))


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    """Make a lock; it has a model for each that was asked for."""
    of = draw(asked)
    found = st.lists(model, min_size=len(of.models), max_size=len(of.models)).map(tuple)
    return Lock(of, draw(st.none() | digests), draw(packages), draw(st.none() | packages), draw(found))


@given(locks())
def test_what_is_written_is_read_back(lock: Lock) -> None:
    """A lock comes back as it was, and writing it again gives the same bytes."""
    text = text_of(lock)
    assert parse(text) == lock
    assert text_of(parse(text)) == text and text.endswith("}\n")


def test_a_diff_can_be_read() -> None:
    """Each package and each file of a model is a line of its own."""
    one, two = LockedPackage("a", "1", ("sha256:0",)), LockedPackage("b", "2", ("sha256:1", "sha256:2"))
    model = LockedModel("org/m", "c" * 40, {"z": "sha256:3", "a": "sha256:4"})
    asks = Asked("3.11", "base", ("b",), ("a",), (("org/m", "main", (), ()),))
    lock = Lock(asks, "sha256:5", (one,), (two,), (model,))
    lines = [line.strip() for line in text_of(lock).splitlines()]
    assert '"a==1 --hash=sha256:0"' in lines and '"b==2 --hash=sha256:1 --hash=sha256:2"' in lines
    assert lines.index('"a": "sha256:4",') < lines.index('"z": "sha256:3"')


def test_requirements_of_the_two_layers() -> None:
    """The runtime's layer gets its own packages, the recipe's gets all of them; both get the options of image.pip."""
    one, two = LockedPackage("b", "1", ("sha256:0",)), LockedPackage("a", "", ("sha256:1",), "https://x.org/a.whl")
    pip = ("--extra-index-url https://x.org/simple", "a @ https://x.org/a.whl")
    lock = Lock(Asked("3.11", "base", pip, ("b",), ()), None, (one,), (two,), ())
    option, first, second = f"{pip[0]}\n", "b==1 --hash=sha256:0\n", "a @ https://x.org/a.whl --hash=sha256:1\n"
    assert lock.requirements == (option + first, option + second + first)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_lock(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever the file holds, it is one sentence with its path."""
    recipe = tmp_path_factory.mktemp("lock") / "demo.yaml"
    lock_path(recipe).write_bytes(content)
    with pytest.raises(LockDrift, match="no lock file of factory's") as caught:
        read(recipe)
    assert caught.value.where == str(lock_path(recipe)) and caught.value.exit_code == 43


@pytest.mark.parametrize(
    "change",
    [
        {"factory_lock": 2},
        {"asked": {}},
        {"packages": ["six"]},
        {"packages": ["six==1"]},
        {"runtime": [7]},
        {"models": [{}]},
        {"models": 3},
        {"models": [{"repo": "a/b", "commit": "c", "files": {}}]},
    ],
)
def test_a_lock_that_is_almost_one(tmp_path: Path, change: dict[str, object]) -> None:
    """A newer format, a package without a hash, missing fields: each is refused and none is half believed."""
    whole = json.loads(text_of(Lock(Asked("3.11", "base", (), (), ()), None, (), (), ())))
    lock_path(tmp_path / "demo.yaml").write_text(json.dumps(whole | change))
    with pytest.raises(LockDrift):
        read(tmp_path / "demo.yaml")


def test_no_lock_is_none(tmp_path: Path) -> None:
    """A recipe without a lock has none; its name is the recipe's."""
    assert read(tmp_path / "demo.yaml") is None
    assert lock_path(Path("recipes/wan.yaml")) == Path("recipes/wan.lock")
