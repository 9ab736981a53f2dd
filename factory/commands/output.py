"""What goes to stdout for machines, and a build context written for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

import click

from factory.errors import RenderError
from factory.records import Context, ContextFile


def as_plain(value: object) -> object:
    """Return a record as JSON values: its fields and its computed properties; never a file's bytes."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if field.name not in ("content", "source")]
        names += [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: as_plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def print_json(value: object) -> None:
    """Print one JSON document on stdout."""
    from pydantic_core import to_json  # json's own writer is ten times slower as soon as it indents

    click.echo(to_json(as_plain(value), indent=2, ensure_ascii=True, inf_nan_mode="constants").decode())


def print_context(context: Context, folder: Path | None, as_json: bool) -> None:
    """Print the Dockerfile (or the folder it was written to, or the context as JSON)."""
    if folder is not None:
        _write_all(context, folder)
    if as_json:
        print_json(context)
    elif folder is not None:
        click.echo(folder)
        click.echo(f"{len(context.files)} files, {context.reference}", err=True)
    else:
        dockerfile = next(file for file in context.files if file.path == "Dockerfile")
        click.echo((dockerfile.content or b"").decode(), nl=False)


def _write_all(context: Context, folder: Path) -> None:
    try:
        for file in context.files:
            _write(file, folder / file.path)
    except OSError as error:
        raise RenderError(
            f"can't be written ({error.strerror})", where=str(error.filename or folder), fix="choose another --out"
        ) from error


def _write(file: ContextFile, target: Path) -> None:
    """Write one file; weights are linked to, not copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if file.source is not None:
        target.symlink_to(file.source.resolve())
        return
    target.write_bytes(file.content or b"")
    target.chmod(file.mode)
