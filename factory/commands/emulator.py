"""`factory emulator`: RunPod and the Hub on a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option(
    "--hub",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Serve a Hub-compatible API as well, over a folder of model repositories: ORG/NAME/files.",
)
@click.option("--state", type=_FOLDER, help="Folder that keeps the account; without it everything ends with Ctrl-C.")
@click.option(
    "--workers",
    type=click.Choice(["docker", "process", "inline", "none"]),
    help="What runs behind an endpoint's queue: containers of its image, `python -m worker_runtime`, an echo in the "
    "emulator itself, or nothing.  [default: docker where an engine answers, else process]",
)
@click.option(
    "--contexts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What process workers run: REPOSITORY/TAG/ as `factory render --out` writes it.",
)
@click.option("--balance", "balance_usd", type=float, help="The account's money in US dollars; 100 when it is new.")
@click.option("--worker-quota", type=click.IntRange(0), help="Workers of all endpoints together; 10 when it is new.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8101, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
def emulator(**options: Any) -> None:
    """Serve an emulated RunPod account: REST v2, GraphQL, the job API, real workers.

    Prints, once it is ready, what to export: RUNPOD_API_BASE_URL, RUNPOD_ENDPOINT_BASE_URL, RUNPOD_API_KEY and, with
    --hub, HF_ENDPOINT. Ctrl-C stops it and its workers.
    """
    from factory.commands.serving import serve_emulator

    serve_emulator(**options)
