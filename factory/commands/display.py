"""One live display for every recipe under way: ticks for what is done, one moving line for what is not.

On a terminal it redraws in place; elsewhere it prints plain lines. Always on stderr: stdout carries the result. Of one
recipe every stage leaves a line; of several each recipe does, when it has ended.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from factory.records import Progress, Tell
from factory.wording import seconds_text, size_text

if TYPE_CHECKING:
    from factory.pipeline import Stage


TICKS = {"done": ("✓", "green"), "cached": ("✓", "green"), "failed": ("✗", "red")}


@dataclass(slots=True)
class Task:
    """One recipe's place on the road, as the display knows it."""

    stage: str = ""
    text: str = ""
    started: float = 0.0
    transfers: dict[str, tuple[int, int]] = field(default_factory=dict)  # key → (current, total) bytes

    def restart(self, stage: str) -> None:
        """Begin a stage."""
        self.stage, self.text, self.started, self.transfers = stage, "", time.monotonic(), {}

    @property
    def bytes_text(self) -> str:
        """What has moved of what there is to move; empty when nothing moves."""
        current, total = (
            (sum(column) for column in zip(*self.transfers.values(), strict=True)) if self.transfers else (0, 0)
        )
        return f"{size_text(min(current, total))} of {size_text(total)}" if total else ""


class Display:
    """Shows progress of recipes; `listener(recipe)(stage)` is the `Tell` of one stage.

    `several` names them all when they are more than one: each has one line while it is under way, one for those that
    wait, and `end` says how each came out. `stop()` makes every listener raise KeyboardInterrupt at its next event: so
    Ctrl-C reaches stages in threads.
    """

    def __init__(self, console: Console | None = None, several: Sequence[str] = ()) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._several = tuple(several)
        self._started = time.monotonic()
        self._ended: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._tasks: dict[str, Task] = {}
        self._lock = threading.Lock()
        self._spinner = Spinner("dots")
        self._is_stopped = False
        self._live = Live(
            console=self.console, get_renderable=self._draw, refresh_per_second=8, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def listener(self, recipe: str) -> Callable[[Stage], Tell]:
        """Return what makes the listener of each stage of one recipe."""
        return lambda stage: lambda progress: self._hear(recipe, stage, progress)

    def wait(self, recipe: str, what: str) -> None:
        """Say what a recipe waits for, until its next stage begins."""
        with self._lock:
            self._waiting[recipe] = what

    def end(self, recipe: str, text: str, *, is_failed: bool = False) -> None:
        """Say how one of several recipes came out, in a line that stays."""
        with self._lock:
            task = self._tasks.get(recipe, Task())
            self._ended.add(recipe)
            self._waiting.pop(recipe, None)
            task.stage = ""
        tick, style = TICKS["failed" if is_failed else "done"]
        if self._live.is_started:
            self._live.refresh()  # or its row would stay beside its result until the next picture
        self._say(Text.assemble((tick, style), f" {recipe:{self._name_width}}  ", text))

    def stop(self) -> None:
        """Stop every stage at its next sign of life."""
        self._is_stopped = True

    def _hear(self, recipe: str, stage: Stage, progress: Progress) -> None:
        if self._is_stopped and progress.state not in ("failed", "done"):
            raise KeyboardInterrupt
        with self._lock:
            task = self._tasks.setdefault(recipe, Task())
            match progress.kind:
                case "stage":
                    self._hear_stage(recipe, task, progress)
                case "step":
                    self._hear_step(recipe, task, progress)
                case "bytes":
                    task.transfers[progress.key] = (progress.current, progress.total or progress.current)
                case "note":
                    self._print(recipe, task.stage, "!", "yellow", progress.text)
                case "log":
                    task.text = progress.text

    def _hear_stage(self, recipe: str, task: Task, progress: Progress) -> None:
        if progress.state == "started":
            task.restart(progress.key)
            self._waiting.pop(recipe, None)
            return
        if self._several and self.console.is_terminal:
            task.text, task.transfers = "", {}  # the row stays, for the next stage; `end` takes it away
            return
        tick, style = TICKS[progress.state]
        took = "unchanged" if progress.state == "cached" else seconds_text(time.monotonic() - task.started)
        self._print(recipe, progress.key, tick, style, progress.text, took)
        task.stage = ""

    def _hear_step(self, recipe: str, task: Task, progress: Progress) -> None:
        task.text = progress.text
        if not self.console.is_terminal and progress.state == "started":
            self._print(recipe, task.stage, "·", "dim", progress.text)

    def _print(self, recipe: str, stage: str, tick: str, style: str, text: str, took: str = "") -> None:
        line = Text.assemble((tick, style), f" {recipe} ", (f"{stage:9}", "bold"), f" {text}")
        if took:
            line.append(f"  {took}", "dim")
        self._say(line)

    def _say(self, line: Text) -> None:
        """Print a line that stays, above what moves."""
        self.console.print(line)

    @property
    def _name_width(self) -> int:
        return max((len(name) for name in self._several), default=0)

    def _draw(self) -> RenderableType:
        with self._lock:
            under_way = [(recipe, task) for recipe, task in self._tasks.items() if task.stage]
            if not self._several:
                return Group(*[self._grid([each]) for each in under_way])
            at_work = [(recipe, task) for recipe, task in under_way if recipe not in self._waiting]
            return Group(self._grid(at_work), *self._rest(len(at_work)))

    def _grid(self, rows: Sequence[tuple[str, Task]]) -> Table:
        """Lay the recipes under way below each other; what doesn't fit on a line is cut off, never wrapped."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, min_width=self._name_width + 10)
        grid.add_column(
            no_wrap=True, overflow="ellipsis", max_width=max(16, self.console.width - self._name_width - 52)
        )
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, justify="right")
        for recipe, task in rows:
            took = seconds_text(time.monotonic() - task.started)
            stage = Text.assemble(f"{recipe:{self._name_width}} ", (f"{task.stage:9}", "bold"))
            grid.add_row(self._spinner, stage, Text(task.text), Text(task.bytes_text, "cyan"), Text(took, "dim"))
        return grid

    def _rest(self, at_work: int) -> list[RenderableType]:
        """Say who waits, a line for each thing waited for, and in one how far all is."""
        waits = []
        for what in dict.fromkeys(self._waiting.values()):
            names = [recipe for recipe, each in self._waiting.items() if each == what]
            text = f"  {len(names)} wait for {what}: {', '.join(names)}"
            waits.append(Text(text, "dim", no_wrap=True, overflow="ellipsis"))
        took = seconds_text(time.monotonic() - self._started)
        done = Text(f"  {len(self._ended)} of {len(self._several)} done, {at_work} at work, {took}", "dim")
        return [*waits, done]


def waiting(text: str) -> AbstractContextManager[object]:
    """Show on a terminal that something is under way, while the block runs; nothing elsewhere."""
    console = Console(stderr=True)
    return console.status(text) if console.is_terminal and sys.stdout.isatty() else nullcontext()
