"""`factory logs` at work: from workers' lines to what is shown and what is kept."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from factory import settings, wiring
from factory.commands.gaps import exit_by, say_gaps
from factory.commands.tables import open_console
from factory.commands.targets import name_of
from factory.live import find
from factory.overseeing.kept_logs import KeptLogs
from factory.overseeing.logs import WorkerLines
from factory.overview.log_lines import Taken, Wanted, pattern, readable, since
from factory.wording import count_text

ALL_LINES = 5000  # as many as RunPod's `tail` may ask for
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


@dataclass(frozen=True, slots=True)
class LogWords:
    """What was typed after `factory logs TARGET`."""

    worker: str | None
    is_following: bool
    since: str | None
    source: str | None
    grep: str | None
    tail: int
    folder: Path | None
    as_json: bool


def show_logs(target: str, words: LogWords) -> None:
    """Print the lines that are there; with `--follow` each that comes, until Ctrl-C."""
    wanted = Wanted(
        since=since(words.since, datetime.now(UTC)) if words.since else None,
        source=words.source,
        pattern=pattern(words.grep) if words.grep else None,
    )
    account = wiring.Account(settings.read())
    endpoint = find(account, name_of(target))
    is_whole = bool(words.since or words.folder or words.grep)
    lines = WorkerLines(account.cloud, endpoint, words.worker, ALL_LINES if is_whole else words.tail)
    shown = _Shown(words, wanted)
    try:
        if words.is_following:
            _follow(lines, shown)
        elif found := lines.there():
            shown.take(found)
        else:
            click.echo(f"no line: {endpoint.spec.name} has no worker that said anything", err=True)
    finally:
        shown.say_kept()
    say_gaps(lines.gaps)
    exit_by(lines.gaps)


def _follow(lines: WorkerLines, shown: _Shown) -> None:
    """Print what comes, and on stderr, when it happens, what could not be read."""
    said: set[str] = set()
    is_waiting = False
    for batch in lines.coming():
        shown.take(batch)
        say_gaps([gap for gap in lines.gaps if gap.what not in said])
        said = {gap.what for gap in lines.gaps}
        if not lines.readers and not is_waiting:
            is_waiting = True
            click.echo("no worker yet: waiting for one", err=True)


class _Shown:
    """Keeps every line, and prints those that are wanted: of what was there before, the last of each worker."""

    def __init__(self, words: LogWords, wanted: Wanted) -> None:
        self._words, self._wanted = words, wanted
        self._kept = KeptLogs(words.folder) if words.folder else None
        self._console = open_console()
        self._started = datetime.now(UTC)
        self._colours: dict[str, str] = {}

    def take(self, batch: Sequence[Taken]) -> None:
        """Keep and print lines, oldest first."""
        if self._kept:
            for taken in batch:
                self._kept.keep(taken)
        wanted = [taken for taken in batch if self._wanted.has(taken)]
        for taken in wanted if self._words.since else self._last(wanted):
            self._print(taken)
        sys.stdout.flush()

    def say_kept(self) -> None:
        """Say where lines were kept."""
        if self._kept:
            click.echo(f"kept {count_text(self._kept.kept, 'new line')} in {self._kept.folder}", err=True)

    def _last(self, wanted: Sequence[Taken]) -> list[Taken]:
        """Leave out of what was there before we came all but the last lines of each worker."""
        old = Counter(taken.worker for taken in wanted if taken.moment < self._started)
        last = []
        for taken in wanted:
            if taken.moment >= self._started or old[taken.worker] <= self._words.tail:
                last.append(taken)
            else:
                old[taken.worker] -= 1
        return last

    def _print(self, taken: Taken) -> None:
        if self._words.as_json:
            click.echo(json.dumps(taken.as_record(), ensure_ascii=False))
            return
        colour = self._colours.setdefault(taken.worker, COLOURS[len(self._colours) % len(COLOURS)])
        at = taken.moment.strftime("%m-%d %H:%M:%S")
        text = Text.assemble((f"{at} ", "dim"), (taken.worker, colour), " ")
        text.append(readable(taken.line), "dim" if taken.line.source == "system" else "")
        self._console.print(text, soft_wrap=True)
