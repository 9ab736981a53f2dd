"""`factory release` at work: one display for the whole road, one record per stage, and how to call what is live."""

from __future__ import annotations

from pathlib import Path

import click

from factory import recipe as recipes
from factory import settings, wiring
from factory.commands.display import Display
from factory.commands.output import print_json
from factory.errors import FactoryError
from factory.lanes.packing import Compress
from factory.pipeline import Line
from factory.releasing import Release, Released
from factory.shipping import Lane


def release_one(
    path: Path,
    *,
    runs: bool,
    is_replacing: bool,
    force: bool,
    lane: Lane = "auto",
    compress: Compress = "auto",
    must_be_locked: bool,
    network: str | None,
    ca_file: Path | None,
    guard_s: float | None,
    as_json: bool,
) -> None:
    """Release one recipe; print the endpoint's id, and on stderr how to call it."""
    machine, file = settings.read(), recipes.load(path)
    shared = wiring.Shared(machine)
    clients = wiring.Clients(machine, file, shared)
    with Display() as display:
        line = Line(
            file,
            clients,
            wiring.machine(machine, file, network=network, ca_file=ca_file),
            display.listener(file.recipe.name),
            is_forced=force,
            lane=lane,
            compress=compress,
            must_be_locked=must_be_locked,
        )
        account = wiring.Account(machine)
        release = Release(
            line,
            account,
            wiring.journal(machine, file.recipe.name),
            wiring.image_look(machine, file, shared),
            clients.credentials.login_for,
            runs=runs,
            is_replacing=is_replacing,
        )
        try:
            released = release.walk()
            if guard_s is not None:
                from factory.commands.mending import watch  # an unchanged release must not wait for its imports

                watch(account, file.recipe.name, display, guard_s)
        except FactoryError as error:
            error.details |= {"stages": line.story}
            raise
    _print(line, released, machine, as_json)


def _print(line: Line, released: Released, machine: settings.Settings, as_json: bool) -> None:
    from factory.commands.snippets import snippet

    deployment = released.deployment
    if as_json:
        print_json({"deployment": deployment, "stages": line.story, "answers": released.answers})
        return
    click.echo(deployment.endpoint_id)
    tests = line.file.recipe.tests
    click.echo("", err=True)
    click.echo(
        snippet("curl", deployment.endpoint_id, tests[0].input if tests else {}, machine.runpod_jobs_url), err=True
    )
