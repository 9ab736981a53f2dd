"""`factory emulator` at work: serve until Ctrl-C."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click

from factory import settings
from factory.emulator.runpod.app import Runpod, create_runpod
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.runpod.launcher import Launcher
from factory.emulator.runpod.store import StateInUse
from factory.emulator.serve import serve
from factory.errors import EngineUnreachable, SettingsError

KEY = "emulator"
"""Any key is valid; this one says where it belongs."""


def serve_emulator(
    *,
    hub: Path | None,
    state: Path | None,
    workers: str | None,
    contexts: Path | None,
    balance_usd: float | None,
    worker_quota: int | None,
    host: str,
    port: int,
) -> None:
    """Serve the account; print what to export on stdout once it answers, so that a script can wait for it."""
    app = _account(_launcher(workers, contexts), hub, state)
    app.state.box.world.set_person(balance_usd=balance_usd, worker_quota=worker_quota)
    try:
        serve(app, host, port, lambda url: click.echo("\n".join(_exports(url, has_hub=hub is not None))))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"can't listen there ({reason})", where=f"{host}:{port}", fix="choose another --port"
        ) from error


def _exports(url: str, *, has_hub: bool) -> list[str]:
    return [
        *([f"HF_ENDPOINT={url}"] if has_hub else []),
        f"RUNPOD_API_BASE_URL={url}",
        f"RUNPOD_ENDPOINT_BASE_URL={url}/v2",
        f"RUNPOD_API_KEY={KEY}",
    ]


def _account(launcher: Launcher | None, hub: Path | None, state: Path | None) -> Runpod:
    try:
        return create_runpod(launcher=launcher, hub=hub, state=state)
    except StateInUse as error:
        raise SettingsError("another emulator uses it", where=str(state), fix="choose another --state") from error
    except (sqlite3.Error, OSError) as error:
        raise SettingsError(
            f"no folder that an emulator can keep its state in ({error})",
            where=str(state),
            fix="choose another --state",
        ) from error


def _launcher(workers: str | None, contexts: Path | None) -> Launcher | None:
    """Return who starts workers; without a choice a Docker engine where one answers, else this machine's Python."""
    if workers == "none":
        return None
    if workers == "inline":
        return InlineLauncher()
    from factory.emulator.runpod.launch_docker import DockerLauncher
    from factory.emulator.runpod.launch_process import ProcessLauncher

    if workers == "process":
        return ProcessLauncher(contexts)
    docker = DockerLauncher(settings.read().docker_host)
    problem = docker.problem()
    if not problem:
        click.echo("workers are containers", err=True)
        return docker
    if workers == "docker":
        raise EngineUnreachable(f"no Docker engine answers ({problem})", fix="start one, or use --workers process")
    click.echo(f"workers are processes of this machine: no Docker engine answers ({problem})", err=True)
    return ProcessLauncher(contexts)
