"""A plan as people read it: a block per recipe with each resource, GPUs, disks, costs, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from factory.account import EndpointSpec
from factory.commands.tables import new_grid
from factory.provisioning.actions import CONTAINER, SCALING, Action, FieldChange, Kind
from factory.provisioning.costs import Costs, PoolCost
from factory.provisioning.plan import Plan
from factory.records import DiskSize
from factory.wording import count_text, money_text, size_text

# symbol, words, style
KINDS: Mapping[Kind, tuple[str, str, str]] = {
    "create": ("+", "create", "green"),
    "update": ("~", "update in place", "yellow"),
    "release": ("↻", "new release, workers roll", "yellow"),
    "replace": ("!", "must be replaced", "red"),
    "impossible": ("✗", "impossible", "red"),
    "unchanged": ("=", "unchanged", "dim"),
}
STOCK_STYLES = {"none": "red", "low": "yellow", "medium": "green", "high": "green"}
WORDS = {
    "container_disk_gb": "container disk",
    "size_gb": "size",
    "data_center": "data centre",
    "data_centers": "data centres",
    "gpu_count": "GPUs a worker",
    "min_cuda": "CUDA from",
    "cpus": "CPU instances",
    "workers_min": "workers, least",
    "workers_max": "workers, most",
    "idle_timeout_s": "idle time-out",
    "scaler_value": "scaler's value",
    "execution_timeout_ms": "job time-out",
    "is_serverless": "for serverless",
    "flashboot": "FlashBoot",
    "models": "cached models",
}


def show(plan: Plan, console: Console) -> None:
    """Print one recipe's plan."""
    console.print(_title(plan))
    for action in plan.actions:
        console.print(_head(action))
        changes = new_grid("left", "left")
        for name, text in _rows(action, plan):
            changes.add_row(Text(f"      {name}", "dim"), text)
        if changes.row_count:
            console.print(changes)
    console.print()
    console.print(_facts(plan))
    for note in plan.notes:
        console.print(Text(f"  · {note}", "dim"))
    for finding in plan.findings:
        tick, style = ("✗", "red") if finding.severity == "error" else ("!", "yellow")
        fix = f"; {finding.fix}" if finding.fix else ""
        console.print(Text.assemble((f"  {tick} ", style), finding.sentence, (fix, "dim")))
    console.print()


def _title(plan: Plan) -> Text:
    kinds = [action.kind for action in plan.actions]
    counts = [
        f"{kinds.count(kind)} {words}"
        for kind, words in (
            ("create", "to create"),
            ("update", "to update"),
            ("release", "to roll"),
            ("replace", "to replace"),
            ("impossible", "impossible"),
        )
        if kind in kinds
    ]
    return Text.assemble((plan.recipe, "bold"), (f"   {', '.join(counts) or 'unchanged'}", "dim"))


def _head(action: Action) -> Text:
    symbol, words, style = KINDS[action.kind]
    known_as = f" {action.id}" if action.id and not action.id.startswith("(") else ""
    why = f"; {action.reason}" if action.reason else ""
    head = Text.assemble((f"  {symbol} ", style), f"{action.resource:9}", (f"{action.name}", "bold"))
    return head.append(known_as, "dim").append(f"   {words}", style).append(why)


# --- fields ----------------------------------------------------------------------------------------------------------
def _rows(action: Action, plan: Plan) -> Iterator[tuple[str, Text]]:
    """Yield (field, old → new); what the endpoint takes from its template is said once, there."""
    template = plan.action("template")
    above = template.changes if template and action.resource == "endpoint" else ()
    same = [change.field for change in action.changes if change in above and change.field in CONTAINER]
    if same:
        yield "as template", Text(", ".join(_word(name) for name in same))
    is_new = action.resource == "endpoint" and action.kind in ("create", "replace")
    for change in action.changes:
        if change.field in same or (is_new and change.field in SCALING):
            continue
        if change.field == "env":
            yield from _environment(change)
        else:
            yield _word(change.field), _change(change)
    if is_new and action.kind == "create":
        yield from _scaling(plan.desired.endpoint)
    if action.fix:
        yield "to do", Text(action.fix)


def _scaling(spec: EndpointSpec) -> Iterator[tuple[str, Text]]:
    """Yield how a new endpoint scales, in three lines instead of seven."""
    idle = "" if spec.idle_timeout_s is None else f", each stays {spec.idle_timeout_s} s after its last job"
    yield "workers", Text(f"{spec.workers_min} to {spec.workers_max}{idle}")
    is_delay = spec.scaler == "queue_delay"
    what = f"a job waits {spec.scaler_value:g} s" if is_delay else f"there are {spec.scaler_value:g} jobs a worker"
    yield "scaling", Text(f"one more when {what}{'; FlashBoot' if spec.flashboot else ''}")
    yield "job time-out", Text(f"{spec.execution_timeout_ms / 1000:g} s")


def _change(change: FieldChange) -> Text:
    text = Text()
    if change.old not in (None, ()):
        text.append(_value(change.field, change.old), "dim").append(" → ")
    text.append(_value(change.field, change.new))
    return text.append(f"   {change.note}", "dim") if change.note else text


def _environment(change: FieldChange) -> Iterator[tuple[str, Text]]:
    """Yield the whole environment, a variable a line: gone, new, changed, or as it was."""
    old: Mapping[str, str] = change.old if isinstance(change.old, Mapping) else {}
    new: Mapping[str, str] = change.new if isinstance(change.new, Mapping) else {}
    yield "env", Text(change.note or count_text(len(new), "variable"), "dim")
    for name in sorted({*old, *new}):
        if name not in new:
            yield "", Text(f"- {name}", "red")
        elif name not in old:
            yield "", Text(f"+ {name}={new[name]}", "green")
        elif old[name] != new[name]:
            yield "", Text(f"~ {name}={old[name]} → {new[name]}", "yellow")
        else:
            yield "", Text(f"  {name}={new[name]}", "dim")


def _word(field: str) -> str:
    return WORDS.get(field, field)


def _value(field: str, value: object) -> str:
    if value in (None, (), ""):
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    if field.endswith("_gb"):
        return f"{value} GB"
    if field == "execution_timeout_ms" and isinstance(value, int):
        return f"{value / 1000:g} s"
    return f"{value} s" if field.endswith("_s") else str(value)


# --- GPUs, disks, costs ----------------------------------------------------------------------------------------------
def _facts(plan: Plan) -> Table:
    table = new_grid("left", "left")
    places = ", ".join(plan.desired.endpoint.data_centers) or "any data centre"
    if plan.pools:
        table.add_row(Text("  GPU pools", "bold"), Text(f"in order; stock in {places}", "dim"))
        count = plan.desired.endpoint.gpu_count
        for number, line in enumerate(plan.pools, 1):
            memory = f"{count} x {line.vram_gb} GB" if count > 1 else f"{line.vram_gb} GB"
            price = "no price published" if line.usd_per_s is None else f"{money_text(line.usd_per_s)} a second"
            source = "" if line.usd_per_s is None else " (live)" if line.source == "live" else f" ({line.source})"
            stock = line.stock or "unknown"
            text = Text(f"{line.pool:14} {memory:>9}   ").append(f"{stock:8}", STOCK_STYLES.get(stock, "dim"))
            table.add_row(Text(f"    {number}", "dim"), text.append(f" {price}").append(source, "dim"))
    else:
        table.add_row(Text("  CPU", "bold"), Text(f"{', '.join(plan.desired.endpoint.cpus) or 'none'} in {places}"))
    table.add_row(Text("  Disks", "bold"), _disk("container", plan.disks.container))
    if plan.disks.volume:
        table.add_row("", _disk("volume", plan.disks.volume))
    _add_costs(table, plan.costs, plan.desired.endpoint.workers_max)
    return table


def _disk(name: str, disk: DiskSize) -> Text:
    terms = disk.rule if disk.rule_bytes >= disk.floor_bytes else disk.floor
    total = " + ".join(f"{size_text(term.size_bytes)} {term.label}" for term in terms if term.size_bytes)
    state = "" if disk.is_exact else "; estimate: the image is not pushed yet"
    how = f"given; needs {total}" if disk.is_explicit else total
    return Text(f"{name} {disk.size_gb} GB").append(f"   {how}{state}", "dim")


def _add_costs(table: Table, costs: Costs, workers_max: int) -> None:
    idle = f"{money_text(costs.idle_usd_per_month)} a month" if costs.idle_usd_per_month else "nothing"
    if costs.always_on_usd_per_month is None:
        idle += ", and workers of no published price"
    table.add_row(Text("  Costs", "bold"), Text("idle ").append(idle, "bold"))
    for line in costs.sums:
        table.add_row("", Text(f"  {line}", "dim"))
    priced = [pool for pool in costs.pools if pool.usd_per_s is not None]
    if priced:
        table.add_row("", Text("working ").append(_per_second(priced), "bold"))
        most = max(pool.usd_per_h_at_max or 0 for pool in priced)
        if workers_max:
            table.add_row("", Text(f"at most {money_text(most)} an hour with {count_text(workers_max, 'worker')}"))
    elif not costs.pools:
        table.add_row("", Text("working by RunPod's CPU price list, which its catalogue doesn't tell us", "dim"))
    disk = f"container disk {money_text(costs.disk_usd_per_month_and_worker)} a month for each worker while it exists"
    table.add_row("", Text(disk, "dim"))


def _per_second(priced: Sequence[PoolCost]) -> str:
    prices = sorted({pool.usd_per_s for pool in priced if pool.usd_per_s is not None})
    if len(prices) == 1:
        return f"{money_text(prices[0])} a second and worker"
    return f"{money_text(prices[0])} to {money_text(prices[-1])} a second and worker"
