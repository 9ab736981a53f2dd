"""`factory diagnose` as a user starts it: what it prints, its exit codes, and --fix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from release_bench import Workshop
from runpod_box import KEY
from scenes import Scene, stage


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """The account, the registry and the hub of this module."""
    with stage(tmp_path_factory.mktemp("stage")) as opened:
        yield opened


@pytest.fixture(scope="module")
def sick(place: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An endpoint whose workers crash since somebody set a variable by hand."""
    scene = Scene.open(place, tmp_path_factory.mktemp("sick"))
    scene.set_env(PROGRAM="sh -c 'echo cannot start; exit 1'")
    scene.submit()
    scene.until(lambda: scene.has_ended(2), "two ends")
    return scene


def test_a_finding_shows_what_was_seen_the_cause_and_the_command(sick: Scene) -> None:
    """For people: the last line, the reason, what to type; the exit code is 100, and no key is shown."""
    done = sick.factory("diagnose", "demo.yaml", is_ok=False)
    assert done.code == 100 and "last line: cannot start" in done.out
    assert "factory provision demo.yaml   safe: --fix runs it" in done.out
    assert KEY not in done.out + done.err


def test_fix_asks_first(sick: Scene) -> None:
    """Without an answer nothing is run, and the exit code is that of the findings."""
    before = sick.endpoint.version
    done = sick.factory("diagnose", "demo.yaml", "--fix", is_ok=False)
    assert done.code in (100, 130) and sick.endpoint.version == before


def test_fix_shows_runs_and_looks_again(sick: Scene) -> None:
    """With --yes the safe mends run, and what is left is nothing: the last test on this endpoint."""
    done = sick.factory("diagnose", "demo.yaml", "--fix", "--yes", is_ok=False)
    assert "will run: factory provision demo.yaml" in done.err and "after the mends" in done.err
    sick.answered()
    assert sick.factory("diagnose", "demo.yaml").code == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nobody",), 95, "the account has no endpoint nobody"),
        (("demo.yaml", "--fix", "--json"), 2, "--json can't ask"),
        (("missing.yaml",), 10, "missing.yaml"),
    ],
)
def test_what_cannot_be_diagnosed(words: tuple[str, ...], code: int, says: str, sick: Scene) -> None:
    """One sentence and an exit code of its own."""
    done = sick.factory("diagnose", *words, is_ok=False)
    assert done.code == code and says in done.err and "Traceback" not in done.err


def test_healthy_is_one_line(place: Workshop, tmp_path: Path) -> None:
    """It says what was looked at, and exits with 0."""
    scene = Scene.open(place, tmp_path)
    scene.answered()
    done = scene.factory("diagnose", "demo.yaml")
    assert "healthy" in done.out and "rules" in done.out and "3 looks" in done.out and not done.err
    assert len(done.out.strip().splitlines()) <= 2  # it wraps in a narrow pipe
