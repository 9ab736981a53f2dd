"""A release's memory: what was saved comes back, and a broken file costs time alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.account import EndpointSpec, TemplateSpec
from factory.journal import HISTORY_LENGTH, Before, Journal, Memory, Past
from factory.records import ImageSize

TEXT = st.text(max_size=20)
ENDPOINTS = st.builds(
    EndpointSpec,
    name=TEXT,
    image=TEXT,
    container_disk_gb=st.integers(1, 999),
    env=st.dictionaries(TEXT, TEXT, max_size=3),
    pools=st.lists(TEXT, max_size=3).map(tuple),
    data_centers=st.lists(TEXT, max_size=3).map(tuple),
    volume_ids=st.lists(TEXT, max_size=2).map(tuple),
    min_cuda=st.none() | TEXT,
    idle_timeout_s=st.none() | st.integers(1, 99),
)
TEMPLATES = st.builds(
    TemplateSpec, name=TEXT, image=TEXT, container_disk_gb=st.integers(1, 99), env=st.dictionaries(TEXT, TEXT)
)


@given(before=st.none() | st.builds(Before, TEXT, TEMPLATES, ENDPOINTS), verified=TEXT)
def test_what_was_saved_comes_back(
    tmp_path_factory: pytest.TempPathFactory, before: Before | None, verified: str
) -> None:
    """Every record survives the file as it was."""
    home = tmp_path_factory.mktemp("home")
    journal = Journal.read(home, "wan")
    memory = journal.memory
    memory.before, memory.verified, memory.size = before, verified, ImageSize(1, 2, is_exact=True)
    memory.fingerprints["check"] = "abc"
    journal.save()
    assert Journal.read(home, "wan") == journal


@pytest.mark.parametrize("content", ["", "{", "[]", '{"verified": 1}', '{"before": {"endpoint_id": "x"}}', "\x00"])
def test_a_broken_journal_is_an_empty_one(tmp_path: Path, content: str) -> None:
    """A file that can't be read means only that stages run again."""
    path = tmp_path / "releases" / "wan.json"
    path.parent.mkdir()
    path.write_text(content)
    assert Journal.read(tmp_path, "wan") == Journal(path, Memory())


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    """An endpoint's environment may hold what others should not see."""
    journal = Journal.read(tmp_path, "wan")
    journal.save()
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert [p.name for p in journal.path.parent.iterdir()] == ["wan.json"]


@given(st.lists(st.builds(Past, st.floats(0, 1e10), st.just("good"), TEXT, ENDPOINTS), max_size=60))
def test_the_newest_of_the_history_are_kept(tmp_path_factory: pytest.TempPathFactory, history: list[Past]) -> None:
    """Bounded, in order, and back from the file as they were."""
    home = tmp_path_factory.mktemp("home")
    journal = Journal.read(home, "wan")
    for past in history:
        journal.memory.note(past)
    journal.save()
    assert Journal.read(home, "wan").memory.history == history[-HISTORY_LENGTH:]


@given(name=st.text(min_size=1, max_size=20).filter(lambda name: name.isprintable()))
def test_any_endpoints_name_has_a_file_of_its_own(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Whatever its characters, below the one folder; a recipe's name is the file's."""
    home = tmp_path_factory.mktemp("home")
    assert Journal.read(home, name).path.parent == home / "releases"
    assert Journal.read(home, "wan-2.1_t2v").path.name == "wan-2.1_t2v.json"
