"""The display: plain lines off a terminal, a moving picture on one, and a way to stop."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from factory.commands.display import Display
from factory.pipeline import Stage
from factory.records import Progress


def shown(*events: tuple[Stage, Progress], is_terminal: bool = False) -> str:
    """Play events of one recipe to a display and return what it printed."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=100, highlight=False, soft_wrap=True)
    with Display(console) as display:
        for stage, progress in events:
            display.listener("wan")(stage)(progress)
    return out.getvalue()


def test_plain_lines_tell_steps_notes_and_results() -> None:
    """Off a terminal each step, warning and finished stage is one line without colour codes."""
    text = shown(
        ("build", Progress("stage", "build", "", "started")),
        ("build", Progress("step", "3", "3/9 RUN pip install torch", "started")),
        ("build", Progress("log", "3", "Collecting torch")),
        ("build", Progress("note", "base", "base not pinned")),
        ("build", Progress("stage", "build", "4.1 GB unpacked", "done")),
    )
    lines = text.splitlines()
    assert lines[0] == "· wan build     3/9 RUN pip install torch"
    assert lines[1] == "! wan build     base not pinned"
    assert lines[2].startswith("✓ wan build     4.1 GB unpacked  ")
    assert "\x1b" not in text and len(lines) == 3


def test_what_was_there_already_says_so() -> None:
    """A stage that had nothing to do says "unchanged" instead of a time."""
    text = shown(
        ("build", Progress("stage", "build", "", "started")),
        ("build", Progress("stage", "build", "4.1 GB unpacked", "cached")),
    )
    assert text == "✓ wan build     4.1 GB unpacked  unchanged\n"


def test_a_failed_stage_is_marked() -> None:
    """A stage that failed leaves a cross; the sentence comes from the command."""
    text = shown(("push", Progress("stage", "push", "", "started")), ("push", Progress("stage", "push", "", "failed")))
    assert text.startswith("✗ wan push")


def test_a_terminal_shows_bytes_of_all_layers_together() -> None:
    """On a terminal the moving line adds up the layers under way."""
    text = shown(
        ("push", Progress("stage", "push", "", "started")),
        ("push", Progress("bytes", "a", "layer", current=500_000_000, total=1_000_000_000)),
        ("push", Progress("bytes", "b", "layer", current=100_000_000, total=1_000_000_000)),
        is_terminal=True,
    )
    assert "600.0 MB of 2.0 GB" in text


def test_progress_beyond_the_total_is_not_shown_as_more() -> None:
    """Docker's progress can exceed its total (measured 2026-11-23, docker 20.10); the display caps it."""
    text = shown(
        ("push", Progress("stage", "push", "", "started")),
        ("push", Progress("bytes", "a", "layer", current=3_000_000_000, total=2_000_000_000)),
        is_terminal=True,
    )
    assert "2.0 GB of 2.0 GB" in text


def test_stop_reaches_a_stage_at_its_next_event() -> None:
    """After stop() the next event raises KeyboardInterrupt where the stage runs, so that it can undo its work."""
    display = Display(Console(file=io.StringIO()))
    tell = display.listener("wan")("build")
    tell(Progress("stage", "build", "", "started"))
    display.stop()
    with pytest.raises(KeyboardInterrupt):
        tell(Progress("log", "1", "line"))
    tell(Progress("stage", "build", "", "failed"))


def of_several(is_terminal: bool) -> str:
    """Play three recipes: one ends, one is at work, one waits for it."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=100, highlight=False, soft_wrap=True)
    with Display(console, several=["wan", "flux", "minilm"]) as display:
        for recipe in ("wan", "flux", "minilm"):
            display.listener(recipe)("render")(Progress("stage", "render", "", "started"))
            display.listener(recipe)("render")(Progress("stage", "render", recipe, "done"))
        display.wait("minilm", "flux's environment")
        display.listener("flux")("build")(Progress("stage", "build", "", "started"))
        display.listener("flux")("build")(Progress("step", "3", "3/9 RUN pip install torch", "started"))
        display.end("wan", "412.0 MB sent, 31 s")
    return out.getvalue()


def test_of_several_each_leaves_one_line_on_a_terminal() -> None:
    """Stages leave no lines there; the moving part has who is at work, who waits and for whom, and how far all is."""
    text = of_several(is_terminal=True)
    assert "✓ wan     412.0 MB sent, 31 s" in re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "✓ flux render" not in text and "3/9 RUN pip install torch" in text
    assert "1 wait for flux's environment: minilm" in text
    assert "1 of 3 done, 1 at work" in text


def test_of_several_plain_lines_have_stages_and_ends() -> None:
    """Off a terminal every stage is a line as ever, and each recipe's end another."""
    lines = of_several(is_terminal=False).splitlines()
    assert sum(" render " in line for line in lines) == 3
    assert lines[-1] == "✓ wan     412.0 MB sent, 31 s"
