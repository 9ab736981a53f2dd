"""`factory status` at work: a line an endpoint for the whole account, a block for each that was named."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from factory import settings, wiring
from factory.commands.gaps import exit_by, say_gaps
from factory.commands.output import as_plain, print_json
from factory.commands.tables import new_grid, open_console
from factory.commands.targets import name_of
from factory.overseeing.status import look
from factory.overview.status import AccountStatus, EndpointStatus, FailedJob
from factory.overview.worker_states import STATES
from factory.wording import count_text, money_text, seconds_text

Look = Callable[[], AccountStatus]
LEAST_PAUSE_S = 5.0
S_PER_CALL = 1.1  # RunPod's OpenAPI shows 60 management calls a minute (read 2026-11-23): --watch stays below
STYLES = {"running": "green", "idle": "green", "initializing": "yellow", "throttled": "red", "unhealthy": "red"}
GOOD = ("serving", "asleep", "up")


def show_status(targets: tuple[str, ...], *, is_watching: bool, as_json: bool) -> None:
    """Look once, or again and again; print what is seen, and end with the first gap's exit code."""
    machine = settings.read()
    account, ledger = wiring.Account(machine), wiring.ledger(machine)
    names = [name_of(target) for target in targets]
    if is_watching:
        _watch(lambda: look(account, ledger, names), as_json=as_json, is_full=bool(names))
        return
    seen = look(account, ledger, names)
    if as_json:
        print_json(record(seen))
    else:
        open_console().print(view(seen, is_full=bool(names)))
    say_gaps(seen.gaps)
    exit_by(seen.gaps)


def record(seen: AccountStatus) -> dict[str, object]:
    """Return what `--json` prints."""
    plain = as_plain(replace(seen, gaps=()))
    assert isinstance(plain, dict)
    return plain | {"gaps": [gap.as_record() for gap in seen.gaps]}


# --- again and again -------------------------------------------------------------------------------------------------
def _watch(look_once: Look, *, as_json: bool, is_full: bool) -> None:
    """Show every look until Ctrl-C: in place on a terminal, else one after the other."""
    console = open_console()
    if as_json:
        for seen in _looks(look_once):
            click.echo(json.dumps(record(seen)))
    elif not console.is_terminal:
        for seen in _looks(look_once):
            console.print(_dated(seen, is_full=is_full))
    else:
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            for seen in _looks(look_once):
                live.update(_dated(seen, is_full=is_full), refresh=True)


def _looks(look_once: Look) -> Iterator[AccountStatus]:
    while True:
        seen = look_once()
        yield seen
        sys.stdout.flush()
        time.sleep(max(LEAST_PAUSE_S, seen.calls * S_PER_CALL))


def _dated(seen: AccountStatus, *, is_full: bool) -> RenderableType:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seen.at))
    missing = [Text(f"not shown: {gap.what}: {gap.error.what}", "yellow") for gap in seen.gaps]
    return Group(Text(at, "dim"), view(seen, is_full=is_full), *missing, Text(""))


# --- what is shown ---------------------------------------------------------------------------------------------------
def view(seen: AccountStatus, *, is_full: bool) -> RenderableType:
    """Return all that was seen, to be printed. `is_full`: a block for each endpoint."""
    parts: list[RenderableType] = [_account(seen)]
    if is_full:
        parts.extend(_block(endpoint) for endpoint in seen.endpoints)
    elif seen.endpoints:
        parts.append(_table(seen))
        parts.extend(_failure(e.name, failed) for e in seen.endpoints for failed in e.failures[:1])
    else:
        parts.append(Text("no endpoints" if not seen.gaps else "no endpoint was seen"))
    return Group(*parts)


def _account(seen: AccountStatus) -> Text:
    if seen.balance is None:
        return Text("balance unknown", "yellow")
    balance, spend = seen.balance.balance_usd, seen.balance.spend_usd_per_h
    text = Text.assemble("balance ", (money_text(balance), "bold"), f", spending {money_text(spend)} an hour")
    if spend > 0:
        text.append(f": enough for {_days(balance / spend)}", "red" if balance / spend < 48 else "")
    return text.append("; RunPod calls the account under balance", "red") if seen.balance.is_under_balance else text


def _days(hours: float) -> str:
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:,.0f} days"


def _table(seen: AccountStatus) -> RenderableType:
    grid = new_grid("left", "left", "left", "left", "right", "right", "left", "right", "right", "left")
    grid.add_row("NAME", "ID", "POOLS", "WORKERS", "QUEUE", "OLDEST", "RELEASE", "AN HOUR", "24 H", "STATE")
    for one in seen.endpoints:
        waited = seconds_text(one.oldest_wait.seconds) if one.oldest_wait else "-"
        style = "" if one.verdict.startswith(GOOD) else "yellow"
        grid.add_row(
            *(Text(one.name, "bold"), Text(one.id, "dim"), ", ".join(one.pools), _counts(one), _queue(one), waited),
            *(_release(one), _money(one.usd_per_h), _money(one.usd_24h), Text(one.verdict, style)),
        )
    return grid


def _counts(one: EndpointStatus) -> Text:
    """Return `2 running, 1 throttled of 3`."""
    numbers = {state: sum(line.count for line in one.states if line.state == state) for state in STATES}
    parts = [Text(f"{number} {state}", STYLES[state]) for state, number in numbers.items() if number]
    text = Text(", ").join(parts) if parts else Text("0")
    return text.append(f" of {one.workers_max}", "dim")


def _queue(one: EndpointStatus) -> str:
    return str(one.jobs.get("inQueue", 0)) if one.jobs else "?"


def _release(one: EndpointStatus) -> str:
    version = "-" if one.version is None else f"v{one.version}"
    if not one.worker_count or one.workers is None:
        return version
    return f"{version}, {one.on_version} of {one.worker_count}"


def _money(usd: float | None) -> str:
    return "?" if usd is None else money_text(usd)


def _block(one: EndpointStatus) -> RenderableType:
    """Return one endpoint in full."""
    rows = new_grid("left", "left")
    place = ", ".join(one.data_centers) or "any data centre"
    rows.add_row("  image", one.image)
    rows.add_row("  pools", f"{', '.join(one.pools) or 'none'} in {place}")
    rows.add_row("  workers", Text(f"{one.worker_count} now, {one.workers_min} to {one.workers_max}"))
    for line in one.states:
        rows.add_row("", Text.assemble((f"{line.count} {line.state}", STYLES[line.state]), f": {line.meaning}"))
    for worker in one.workers or ():
        up = "" if worker.uptime_s is None else f", up {seconds_text(worker.uptime_s)}"
        old = ", of an older release" if worker.is_stale else ""
        where = " in ".join(filter(None, (worker.gpu, worker.data_center)))
        rows.add_row("", Text(f"{worker.id} {worker.status.lower()}  {where}{up}{old}", "dim"))
    rows.add_row("  queue", _queue_text(one))
    rows.add_row("  release", _release_text(one))
    rows.add_row("  cost", _cost_text(one))
    for failed in one.failures:
        rows.add_row("  failed", _failed_text(failed))
    is_good = one.verdict.startswith(GOOD)
    if not is_good:
        rows.add_row("  why", f"factory diagnose {one.name}")
    style = "green" if is_good else "yellow"
    head = Text.assemble("\n", (one.name, "bold"), (f" {one.id}   ", "dim"), (one.verdict, style))
    return Group(head, rows)


def _queue_text(one: EndpointStatus) -> str:
    if not one.jobs:
        return "unknown"
    words = {"inQueue": "waiting", "inProgress": "running", "completed": "completed", "failed": "failed"}
    text = ", ".join(f"{one.jobs.get(key, 0)} {word}" for key, word in words.items())
    if one.oldest_wait:
        return f"{text}; the oldest waits for {seconds_text(one.oldest_wait.seconds)} ({one.oldest_wait.said_by})"
    return f"{text}; since when, nobody here knows" if one.jobs.get("inQueue") else text


def _release_text(one: EndpointStatus) -> str:
    since = f" since {one.released_at}" if one.released_at else ""
    version = "version unknown" if one.version is None else f"version {one.version}{since}"
    if not one.worker_count or one.workers is None:
        return version
    return f"{version}; {one.on_version} of {count_text(one.worker_count, 'worker')} on it"


def _cost_text(one: EndpointStatus) -> str:
    now = "unknown" if one.usd_per_h is None else f"{money_text(one.usd_per_h)} an hour"
    billed = "unknown" if one.usd_24h is None else money_text(one.usd_24h)
    return f"{now} now (workers that are up x their GPU's price); {billed} billed in 24 hours"


def _failure(name: str, failed: FailedJob) -> Text:
    return Text.assemble((f"{name}  ", "bold"), "last failure: ", _failed_text(failed))


def _failed_text(failed: FailedJob) -> Text:
    at = "" if failed.at is None else time.strftime(" of %m-%d %H:%M:%S", time.localtime(failed.at))
    on = f" on {failed.worker}" if failed.worker else ""
    return Text.assemble(failed.sentence, (f"   {failed.state} job {failed.id}{at}{on}", "dim"))
