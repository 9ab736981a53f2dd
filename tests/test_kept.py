"""Kept answers: asked for once, safe under damage and two processes, never what depends on rights."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fake_hub import COMMIT, FakeHub

from factory import kept
from factory.kept import HubKept, Kept
from factory.ports import ModelHub
from factory.records import GB, ModelFile, RepoInfo


@dataclass
class CountingHub(FakeHub):
    """Counts every question; `changes` go into what it says of a repository."""

    changes: dict[str, object] = field(default_factory=dict)

    def info(self, repo: str, revision: str) -> RepoInfo:
        """Say what is known."""
        return replace(super().info(repo, revision), **self.changes)  # type: ignore[arg-type]

    def files(self, repo: str, commit: str):  # type: ignore[no-untyped-def]
        """List its file."""
        self.asked.append(f"files {repo}")
        return super().files(repo, commit)

    def probe(self, repo: str, commit: str, path: str):  # type: ignore[no-untyped-def]
        """Read a head."""
        self.asked.append(f"head {repo}")
        return super().probe(repo, commit, path)


def opened(hub: ModelHub) -> Callable[[], ModelHub]:
    """Return what opens this hub."""
    return lambda: hub


def ask(hub: ModelHub, revision: str) -> tuple[RepoInfo, tuple[ModelFile, ...], dict[str, int]]:
    """Ask all that `resolve` may ask."""
    info = hub.info("org/small", revision)
    files = tuple(hub.files("org/small", info.commit))
    return info, files, dict(hub.probe("org/small", info.commit, files[0].path))


def _never() -> ModelHub:
    raise AssertionError("nobody should open the Hub")


OPEN: dict[str, object] = {"licence": "mit"}


@pytest.mark.parametrize(
    ("says", "revision", "asked"),
    [
        (OPEN, "main", ["info org/small"]),
        (OPEN, COMMIT, []),
        ({"gated": "auto"}, "main", ["info org/small", "head org/small"]),
        ({"gated": "manual"}, COMMIT, ["info org/small", "head org/small"]),
        ({"is_private": True}, COMMIT, ["info org/small", "head org/small"]),
    ],
)
def test_a_second_process_asks_what_may_have_changed_alone(
    tmp_path: Path, says: dict[str, object], revision: str, asked: list[str]
) -> None:
    """A branch's commit, and what rights decide; all else comes from the disk, and is the same."""
    first = CountingHub(changes=says)
    answers = ask(HubKept(opened(first), Kept(tmp_path), "http://hub"), "main")
    second = CountingHub(changes=says)
    assert ask(HubKept(opened(second), Kept(tmp_path), "http://hub"), revision) == answers
    assert second.asked == asked
    if not asked:  # nor is the Hub's client imported
        assert ask(HubKept(_never, Kept(tmp_path), "http://hub"), revision) == answers
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_hub_or_commit_is_another_question(tmp_path: Path) -> None:
    """A mirror may hold something else, and so does the next commit."""
    ask(HubKept(CountingHub, Kept(tmp_path), "http://hub"), "main")
    others: tuple[tuple[dict[str, object], str], ...] = (
        (OPEN, "http://mirror"),
        ({"commit": "d" * 40}, "http://hub"),
    )
    for says, endpoint in others:
        hub = CountingHub(changes=says)
        ask(HubKept(opened(hub), Kept(tmp_path), endpoint), "main")
        assert hub.asked == ["info org/small", "files org/small", "head org/small"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"100000000", b"999999999")),
        lambda path: path.write_bytes(b"\x00" * 9000),
        lambda path: path.unlink(),
    ],
)
def test_a_damaged_answer_is_asked_for_again_and_mended(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """Empty, cut, a changed figure, zeros, gone: never believed, and right the next time."""
    whole = ask(HubKept(CountingHub, Kept(tmp_path), "http://hub"), "main")
    for path in list(tmp_path.iterdir()):
        damage(path)
    hub = CountingHub()
    assert ask(HubKept(opened(hub), Kept(tmp_path), "http://hub"), "main") == whole
    assert "files org/small" in hub.asked
    last = CountingHub()
    assert ask(HubKept(opened(last), Kept(tmp_path), "http://hub"), COMMIT) == whole and last.asked == []


def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    """The answers are those of the Hub, every time."""
    (tmp_path / "answers").write_text("a file where the folder should be")
    for _ in range(2):
        hub = CountingHub()
        info, files, _ = ask(HubKept(opened(hub), Kept(tmp_path / "answers"), "http://hub"), "main")
        assert (info.commit, files[0].size_bytes) == (COMMIT, GB // 10)
        assert len(hub.asked) == 3


def test_what_was_used_least_recently_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is bounded by count and by bytes; what a killed process left goes as well."""
    monkeypatch.setattr(kept, "MOST", 3)
    answers = Kept(tmp_path)
    (tmp_path / "x.77-1.partial").write_text("half")
    for number, name in enumerate(("left", "a", "b", "c")):
        path = tmp_path / "x.77-1.partial" if name == "left" else None
        if path is None:
            answers.put(name, name)
            path = max(tmp_path.iterdir(), key=lambda p: p.stat().st_mtime)
        os.utime(path, (number, number))
    assert answers.get("a") == "a"  # used just now
    answers.put("d", "d")
    assert [answers.get(name) for name in "abcd"] == ["a", None, "c", "d"]
    assert not list(tmp_path.glob("*.partial"))
    monkeypatch.setattr(kept, "MOST_BYTES", 200)
    answers.put("e" * 200, "e")
    assert list(tmp_path.iterdir()) == []


def test_many_writers_leave_a_whole_answer(tmp_path: Path) -> None:
    """Whoever reads meanwhile gets one of the answers, or none yet."""
    answers, stop = Kept(tmp_path), threading.Event()
    seen: set[str | None] = set()

    def write(text: str) -> None:
        for _ in range(40):
            answers.put(text, "question")

    def read() -> None:
        while not stop.is_set():
            seen.add(answers.get("question"))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(letter * 5000,)) for letter in "ab"]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    whole = {"a" * 5000, "b" * 5000}
    assert seen <= whole | {None} and answers.get("question") in whole
