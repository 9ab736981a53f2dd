"""`factory lock` at work: one lock after the other, written whole or not at all, and what changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from factory import wiring
from factory.commands.lines import open_lines
from factory.commands.output import print_json
from factory.errors import LockDrift, RenderError
from factory.locking.lock import Lock, lock_path, read, text_of
from factory.locking.making import changes
from factory.pipeline import Line


@dataclass(frozen=True, slots=True)
class Written:
    """A lock that was made: where it lies, what is otherwise than before, what could not be locked."""

    path: Path
    changed: tuple[str, ...]
    notes: tuple[str, ...]


def write_locks(paths: Sequence[Path], *, is_upgrade: bool, as_json: bool) -> None:
    """Lock recipes, and print the locks' paths; the first that can't be locked ends it."""
    with open_lines(paths) as lines:
        written = [_write(line, is_upgrade=is_upgrade) for line in lines]
    if as_json:
        print_json(written)
        return
    for each in written:
        click.echo("".join(f"{each.path.name}: {change}\n" for change in each.changed), err=True, nl=False)
        click.echo(each.path)


def _write(line: Line, *, is_upgrade: bool) -> Written:
    path, before = lock_path(line.file.path), _before(line.file.path)
    made = line.make_lock(wiring.package_index(), None if is_upgrade else before)
    text = text_of(made.lock)
    try:
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            unfinished = path.with_name(f".{path.name}.part")
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(path)
    except OSError as error:
        raise RenderError(f"the lock can't be written ({error.strerror})", where=str(path), fix="mend it") from error
    return Written(path, changes(before, made.lock), made.notes)


def _before(recipe: Path) -> Lock | None:
    """Return the lock as it is; one that can't be read is as good as none."""
    try:
        return read(recipe)
    except LockDrift:
        return None
