"""`factory emulator`: the Hub on a laptop."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--hub",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of model repositories: ORG/NAME/files.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8101, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
def emulator(folder: Path, host: str, port: int) -> None:
    """Serve a Hub-compatible API over a local folder.

    huggingface_hub, factory and the workers use it through HF_ENDPOINT. Ctrl-C stops it.
    """
    from factory.commands.serving import serve_hub

    serve_hub(folder, host, port)
