"""`factory releases`, `rollback`, `recreate`, `guard` and `destroy` at work."""

from __future__ import annotations

from pathlib import Path

import click

from factory import recipe as recipes
from factory import settings, wiring
from factory.commands.display import Display
from factory.commands.history_view import show_history
from factory.commands.output import print_json
from factory.commands.targets import file_of, name_of
from factory.errors import CannotChange
from factory.mending import destroy, guard, recreate, rollback
from factory.mending.sickness import CRASH_PATIENCE_S, PULL_PATIENCE_S
from factory.wording import money_text, seconds_text


def list_releases(target: str, as_json: bool) -> None:
    """Print what ran on an endpoint."""
    machine, name = settings.read(), name_of(target)
    rows = rollback.listed(name, wiring.Account(machine).cloud, lambda known: wiring.journal(machine, known))
    if as_json:
        print_json(rows)
    elif rows:
        show_history(rows)
    else:
        click.echo(f"nothing is known to have run on {name}", err=True)


def roll_back_one(target: str, to: str | None, as_json: bool) -> None:
    """Put an earlier release back, and print the endpoint's id."""
    machine, file = settings.read(), file_of(target)
    account = wiring.Account(machine)
    name = file.recipe.name if file else rollback.name_of(target, account.cloud)
    with Display() as display:
        done = rollback.roll_back(
            name,
            file.recipe.tests if file else (),
            account,
            wiring.registry(machine, file),
            wiring.journal(machine, name),
            to,
            display.listener(name)("run"),
        )
    if as_json:
        print_json(done)
    else:
        click.echo(done.endpoint_id)


def recreate_one(target: str, env_file: Path | None, key: str, *, is_sure: bool, as_json: bool) -> None:
    """Make an endpoint anew, once the user has said so, and print its old and new id."""
    machine, name = settings.read(), name_of(target)
    account = wiring.Account(machine)
    planned = recreate.plan(name, account.cloud, machine.home, wiring.registry(machine, file_of(target)))
    old_id, name = planned.recreation.old_id, planned.recreation.endpoint.name
    if not planned.is_under_way and not is_sure:
        question = f"Delete endpoint {name} ({old_id}) with its waiting jobs, and make it anew?"
        click.confirm(question, abort=True, err=True)
    line = recreate.EnvLine(env_file, key) if env_file else None
    with Display() as display:
        done = recreate.recreate(planned, account.cloud, display.listener(name)("run"), line)
    if done.lost:
        click.echo(f"not taken over, set it again at RunPod: {', '.join(done.lost)}", err=True)
    if as_json:
        print_json(done)
    else:
        click.echo(f"{done.old_id} {done.new_id}")


def guard_one(target: str, lasting_s: float, patience_s: float | None, *, is_purging: bool, as_json: bool) -> None:
    """Watch an endpoint, and say how it did."""
    name = name_of(target)
    with Display() as display:
        done = watch(wiring.Account(settings.read()), name, display, lasting_s, patience_s, is_purging=is_purging)
    if as_json:
        print_json(done)
    else:
        click.echo(f"well for {seconds_text(done.watched_s)}: {done.completed} completed, {done.failed} failed")


def watch(
    account: wiring.Account,
    name: str,
    display: Display,
    lasting_s: float,
    patience_s: float | None = None,
    *,
    is_purging: bool = False,
) -> guard.Guarded:
    """Guard an endpoint on a display that is open already. Raises GuardStopped."""
    words = guard.Watch(lasting_s, patience_s or CRASH_PATIENCE_S, patience_s or PULL_PATIENCE_S, is_purging)
    return guard.Guard(account, words, display.listener(name)("run")).run(name)


def destroy_one(
    path: Path, is_with_login: bool, volume: str | None, confirm: str | None, *, is_sure: bool, as_json: bool
) -> None:
    """Remove what a recipe has, once the user has seen and confirmed it."""
    machine, file = settings.read(), recipes.load(path)
    cloud = wiring.Account(machine).cloud
    login = destroy.login_of(file.recipe, machine.registry_prefix) if is_with_login else None
    doomed = destroy.survey(file.recipe.name, cloud, login_name=login, volume_name=volume)
    for text in doomed.lines:
        click.echo(text, err=True)
    if volume and doomed.volume is None:
        click.echo(f"no volume {volume}: it is gone, or was never there", err=True)
    if not doomed.is_nothing:
        _confirm(doomed, confirm, is_sure)
    with Display() as display:
        removed = destroy.destroy(
            doomed, cloud, wiring.journal(machine, file.recipe.name), display.listener(file.recipe.name)("run")
        )
    if as_json:
        print_json({"removed": removed, "usd_per_month": doomed.usd_per_month})
        return
    for what in removed:
        click.echo(what)
    if doomed.usd_per_month:
        click.echo(f"{money_text(doomed.usd_per_month)} a month less", err=True)


def _confirm(doomed: destroy.Doomed, confirm: str | None, is_sure: bool) -> None:
    """Ask; a volume is confirmed by its name. Raises CannotChange for a wrong name."""
    if doomed.volume is not None:
        if confirm is None and is_sure:
            raise CannotChange(
                "a volume holds data, and --yes does not speak for it",
                where=f"volume {doomed.volume.name}",
                fix=f"add --confirm {doomed.volume.name}",
            )
        if confirm is None:
            confirm = click.prompt("Type the volume's name to remove all that lies on it", err=True)
        if confirm != doomed.volume.name:
            raise CannotChange(
                f"{confirm!r} is not its name, so nothing is removed",
                where=f"volume {doomed.volume.name}",
                fix="name it as it is called",
            )
    if not is_sure:
        click.confirm("Remove all of this?", abort=True, err=True)
