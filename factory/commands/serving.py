"""`factory emulator` at work: serve until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from factory.emulator.hub import create_hub
from factory.emulator.serve import serve
from factory.errors import SettingsError


def serve_hub(folder: Path, host: str, port: int) -> None:
    """Serve the hub; print its URL on stdout once it answers, so that a script can wait for it."""
    try:
        serve(create_hub(folder), host, port, lambda url: click.echo(f"HF_ENDPOINT={url}"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"can't listen there ({reason})", where=f"{host}:{port}", fix="choose another --port"
        ) from error
