"""`factory jobs` at work."""

from __future__ import annotations

import json
import time

import click
from rich.text import Text

from factory import settings, wiring
from factory.account import Endpoint, JobResult
from factory.commands.display import Display
from factory.commands.output import print_json
from factory.commands.tables import new_grid, open_console
from factory.commands.targets import name_of
from factory.errors import JobCancelled
from factory.ledger import Ledger
from factory.live import again, empty, find, follow, look, reconcile
from factory.wording import count_text, seconds_text

STYLES = {"COMPLETED": "green", "FAILED": "red", "TIMED_OUT": "red", "CANCELLED": "dim", "EXPIRED": "dim"}


def _open(target: str) -> tuple[wiring.Account, Ledger, Endpoint]:
    """Find what was named: an endpoint by its recipe, name or id."""
    name, machine = name_of(target), settings.read()
    account = wiring.Account(machine)
    return account, wiring.ledger(machine), find(account, name)


def list_jobs(target: str, limit: int, as_json: bool) -> None:
    """Print the ledger's jobs of one endpoint, after RunPod was asked about the open ones."""
    account, ledger, endpoint = _open(target)
    entries = reconcile(account, ledger, endpoint.id, limit=limit)
    if as_json:
        print_json(entries)
        return
    if not entries:
        click.echo(f"no job was submitted to {endpoint.spec.name} from this machine", err=True)
        return
    grid = new_grid("left", "left", "right", "right", "right", "left")
    grid.add_row("JOB", "STATE", "AGE", "WAITED", "RAN", "ERROR")
    for entry in entries:
        state = Text(entry.state, STYLES.get(entry.state, ""))
        age = seconds_text(max(0.0, time.time() - entry.submitted_at))
        grid.add_row(entry.id, state, age, _ms(entry.delay_ms), _ms(entry.execution_ms), (entry.error or "")[:80])
    open_console().print(grid)


def show_job(target: str, job_id: str, as_json: bool) -> None:
    """Print one job as RunPod has it; the ledger learns of it."""
    account, ledger, endpoint = _open(target)
    _print(look(account, ledger, endpoint.id, job_id), as_json)


def watch_job(target: str, job_id: str, timeout_s: float, as_json: bool) -> None:
    """Follow one job to its end."""
    account, ledger, endpoint = _open(target)
    with Display() as display:
        tell = display.listener(endpoint.spec.name)("run")
        result = follow(account, ledger, endpoint, job_id, timeout_s=timeout_s, tell=tell)
    _print(result, as_json)


def cancel_job(target: str, job_id: str) -> None:
    """Cancel one job."""
    account, ledger, endpoint = _open(target)
    job = account.jobs.cancel(endpoint.id, job_id)
    ledger.update(endpoint.id, job)
    click.echo(job.state)


def retry_job(target: str, job_id: str) -> None:
    """Queue one job again."""
    account, ledger, endpoint = _open(target)
    click.echo(again(account, ledger, endpoint.id, job_id).state)


def purge_jobs(target: str, is_sure: bool) -> None:
    """Empty the queue, once the user has said so."""
    account, ledger, endpoint = _open(target)
    waiting = account.jobs.health(endpoint.id).jobs.get("inQueue", 0)
    if waiting and not is_sure:
        click.confirm(f"Drop {count_text(waiting, 'job')} that wait at {endpoint.spec.name}?", abort=True, err=True)
    click.echo(empty(account, ledger, endpoint.id) if waiting else 0)


def _print(job: JobResult, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    if job.state == "EXPIRED":
        what = "RunPod does not know it: it expired, or was purged"
        raise JobCancelled(what, where=f"job {job.id}", fix="see `factory jobs list`")
    click.echo(f"{job.state.lower().replace('_', ' ')} {job.worker_id or ''}".strip(), err=True)
    if job.error:
        click.echo(job.error, err=True)
    if job.output is not None:
        click.echo(json.dumps(job.output, indent=2, ensure_ascii=False))


def _ms(milliseconds: int | None) -> str:
    return "" if milliseconds is None else seconds_text(milliseconds / 1000)
