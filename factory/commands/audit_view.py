"""`factory audit` at work: money first, then what it goes to, then all that is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from factory import recipe as recipes
from factory import settings, wiring
from factory.beside import Beside
from factory.commands.gaps import exit_by, say_gaps
from factory.commands.output import as_plain, print_json
from factory.commands.tables import new_grid, open_console
from factory.errors import FactoryError, RecipeError
from factory.overseeing.audit import Auditor
from factory.overview.audit import Audit, AuditedEndpoint, AuditedTemplate, AuditedVolume
from factory.overview.gap import Gap
from factory.overview.proposals import Proposal, proposals
from factory.pipeline import Line
from factory.records import tell_nobody
from factory.settings import Settings
from factory.wording import money_text

FOLDER = Path("recipes")
DRIFTS = {"same": ("as its recipe", "green"), "unknown": ("not compared", "yellow"), "blocked": ("blocked", "red")}


def show_audit(paths: Sequence[Path], *, is_fixing: bool, as_json: bool) -> None:
    """Look, print what is there (and what would mend it), and end with the first gap's exit code."""
    machine = settings.read()
    shared = wiring.Shared(machine)
    lines, unread = _lines(paths, machine, shared)
    auditor = Auditor(wiring.Account(machine), lines, lambda line: wiring.image_look(machine, line.file, shared))
    seen = auditor.look()
    gaps = (*unread, *seen.gaps)
    steps = proposals(seen, machine.runpod_api_url) if is_fixing else ()
    if as_json:
        print_json(_record(replace(seen, gaps=gaps), steps if is_fixing else None))
    else:
        _show(seen, steps, open_console(), is_fixing=is_fixing)
    say_gaps(gaps)
    exit_by(gaps)


def _lines(paths: Sequence[Path], machine: Settings, shared: wiring.Shared) -> tuple[list[Line], tuple[Gap, ...]]:
    """Read the recipes that are given, else those of ./recipes; one that can't be read is a gap."""
    lines, gaps, beside = [], [], Beside()
    for path in paths or sorted(FOLDER.glob("*.yaml")):
        try:
            file = recipes.load(path)
        except RecipeError as error:
            gaps.append(Gap(f"the recipe {path}", _in_one_line(error)))
            continue
        clients = wiring.Clients(machine, file, shared)
        lines.append(Line(file, clients, wiring.machine(machine, file), lambda _: tell_nobody, beside=beside))
    return lines, tuple(gaps)


def _in_one_line(error: RecipeError) -> FactoryError:
    return RecipeError(("; ".join(error.problems),))


def _record(seen: Audit, steps: Sequence[Proposal] | None) -> dict[str, object]:
    plain = as_plain(replace(seen, gaps=()))
    assert isinstance(plain, dict)
    fixes = {} if steps is None else {"fixes": as_plain(list(steps))}
    return plain | {"gaps": [gap.as_record() for gap in seen.gaps]} | fixes


# --- what is shown ---------------------------------------------------------------------------------------------------
def _show(seen: Audit, steps: Sequence[Proposal], console: Console, *, is_fixing: bool) -> None:
    console.print(_money(seen))
    if seen.causes:
        _show_causes(seen, console)
    for rows in (_endpoints(seen.endpoints), _volumes(seen.volumes), _templates(seen.templates)):
        _show_table(list(rows), console)
    if is_fixing:
        _show_steps(steps, console)


def _money(seen: Audit) -> Text:
    if seen.balance is None:
        text = Text("balance unknown", "yellow")
    else:
        spend = seen.balance.spend_usd_per_h
        text = Text.assemble("balance ", (money_text(seen.balance.balance_usd), "bold"))
        text.append(f", spending {money_text(spend)} an hour")
        if seen.days_left is not None:
            text.append(f": {seen.days_left:,.1f} days left", "red" if seen.days_left < 2 else "")
    if seen.quota_used is not None:
        text.append(f"; worker quota {seen.quota_used} of {seen.quota if seen.quota is not None else 'unknown'} used")
    return text


def _show_causes(seen: Audit, console: Console) -> None:
    grid = new_grid("left", "left", "right", "right", "left")
    grid.add_row("WHAT COSTS", "NAME", "AN HOUR", "A MONTH", "WHY")
    for cause in seen.causes:
        style = "yellow" if cause.is_avoidable else ""
        per_h = "?" if cause.usd_per_h is None else money_text(cause.usd_per_h)
        per_month = "?" if cause.usd_per_h is None else money_text(cause.usd_per_h * 730)
        grid.add_row(Text(cause.kind, style), cause.name, per_h, per_month, Text(cause.why, style))
    console.print("", grid)


def _show_table(rows: list[tuple[str | Text, ...]], console: Console) -> None:
    """Print a table: its head, and a row for each thing there is."""
    if len(rows) > 1:
        grid = new_grid(*("left" for _ in rows[0]))
        for row in rows:
            grid.add_row(*row)
        console.print("", grid)


def _endpoints(found: Sequence[AuditedEndpoint] | None) -> Iterator[tuple[str | Text, ...]]:
    yield "ENDPOINT", "ID", "POOLS", "WORKERS", "QUEUE", "7 DAYS", "VOLUMES", "RECIPE", "IMAGE AND SETTINGS"
    for one in found or ():
        up = ", ".join(f"{number} {state}" for state, number in one.workers.items()) or "0"
        bill = "?" if one.usd_7d is None else "idle" if one.is_idle else money_text(one.usd_7d)
        yield (
            *(Text(one.name, "bold"), Text(one.id, "dim"), ", ".join(one.pools)),
            *(f"{up} ({one.workers_min} to {one.workers_max})", "?" if one.queued is None else str(one.queued), bill),
            *(", ".join(one.volumes) or "-", _drift(one), _settings(one)),
        )


def _settings(one: AuditedEndpoint) -> Text:
    """Return the image, and below it how the endpoint is set up."""
    parts = [f"disk {one.container_disk_gb} GB", f"{one.scaler} {one.scaler_value:g}"]
    parts += [] if one.idle_timeout_s is None else [f"idle {one.idle_timeout_s} s"]
    parts += [f"job {one.execution_timeout_ms / 1000:g} s" if one.execution_timeout_ms else "job without a limit"]
    parts += [", ".join(one.data_centers) or "any data centre", *(["FlashBoot"] if one.flashboot else [])]
    return Text.assemble(one.image, (f"\n{', '.join(parts)}", "dim"))


def _drift(one: AuditedEndpoint) -> Text:
    if one.drift is None:
        return Text("none", "dim")
    words, style = DRIFTS.get(one.drift.state, (one.drift.text, "yellow"))
    return Text(words, style)


def _volumes(found: Sequence[AuditedVolume] | None) -> Iterator[tuple[str | Text, ...]]:
    yield "VOLUME", "ID", "SIZE", "DATA CENTRE", "A MONTH", "USED BY"
    for one in found or ():
        users = [*one.endpoints, *(f"pod {name}" for name in one.pods)]
        nobody = f"nobody; recipe {one.recipe} means it" if one.recipe else "nobody"
        used = Text(", ".join(users)) if users else Text(nobody, "yellow") if one.is_orphan else Text("unknown")
        price = money_text(one.usd_per_month)
        yield Text(one.name, "bold"), Text(one.id, "dim"), f"{one.size_gb} GB", one.data_center, price, used


def _templates(found: Sequence[AuditedTemplate] | None) -> Iterator[tuple[str | Text, ...]]:
    yield "TEMPLATE", "ID", "USED BY"
    for one in found or ():
        if one.endpoints:
            used = Text(", ".join(one.endpoints))
        elif one.is_orphan:
            used = Text("nobody", "yellow")
        else:
            used = Text("unknown" if one.is_serverless else "a pod's template", "dim")
        yield Text(one.name, "bold"), Text(one.id, "dim"), used


def _show_steps(steps: Sequence[Proposal], console: Console) -> None:
    if not steps:
        console.print(Text("\nnothing to mend", "green"))
        return
    console.print(Text("\nWhat would mend it; none of it has been run:", "bold"))
    for step in steps:
        saves = f"   saves {money_text(step.usd_per_month)} a month" if step.usd_per_month else ""
        loses = f"   loses {step.loses}" if step.loses else ""
        console.print(Text.assemble(f"# {step.what}", (saves, "green"), (loses, "red")), soft_wrap=True)
        console.print(Text(step.command, "cyan"), soft_wrap=True)
