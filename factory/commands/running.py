"""`factory run` at work: from what was typed to a job, and from its result to what is printed and saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from factory import settings, wiring
from factory.account import JobRequest, JobResult
from factory.commands.display import Display
from factory.commands.output import print_json
from factory.commands.targets import file_of
from factory.errors import JobRefused
from factory.live import Way, send
from factory.recipe import RecipeFile, Test
from factory.results import KeptFile, file_places, keep_files

DEFAULT_TIMEOUT_S = 600.0
PAYLOAD_KEYS = frozenset({"input", "webhook", "policy"})


@dataclass(frozen=True, slots=True)
class RunWords:
    """What was typed after `factory run TARGET`."""

    source: IO[bytes] | None = None
    test_name: str | None = None
    is_sync: bool = False
    is_streamed: bool = False
    is_detached: bool = False
    webhook: str | None = None
    timeout_s: float | None = None
    folder: Path | None = None
    as_json: bool = False


def run_job(target: str, words: RunWords) -> None:
    """Find the endpoint, send the job, show it, print its output."""
    way = _way(words)
    file = file_of(target)
    name = file.recipe.name if file else target
    request, timeout_s = _request(file, words)
    machine = settings.read()
    with Display() as display:
        endpoint_id, result = send(
            wiring.Account(machine),
            name,
            request,
            ledger=wiring.ledger(machine),
            way=way,
            timeout_s=timeout_s,
            tell=display.listener(name)("run"),
            on_chunk=lambda chunk: click.echo(json.dumps(chunk, ensure_ascii=False)),
        )
    output: object = result.output
    kept: tuple[KeptFile, ...] = ()
    if words.folder is not None:
        output, kept = keep_files(result.output, words.folder, wiring.download)
    _print(endpoint_id, result, output, kept, words)


def _way(words: RunWords) -> Way:
    asked: dict[Way, bool] = {"sync": words.is_sync, "stream": words.is_streamed, "detach": words.is_detached}
    ways = [way for way, is_asked in asked.items() if is_asked]
    if len(ways) > 1:
        raise click.UsageError("--sync, --stream and --detach exclude each other.")
    if words.source and words.test_name:
        raise click.UsageError("--input and --test exclude each other.")
    if words.folder and not set(ways) <= {"sync"}:
        raise click.UsageError("--out needs the whole result: leave --detach and --stream out.")
    return ways[0] if ways else "wait"


# --- the job ---------------------------------------------------------------------------------------------------------
def _request(file: RecipeFile | None, words: RunWords) -> tuple[JobRequest, float]:
    """Return the job as it was given or as the recipe's test says, and how long to wait for it."""
    if words.source is not None:
        payload = _payload(words.source)
        wait_s = words.timeout_s or DEFAULT_TIMEOUT_S
        policy = payload.get("policy") or {}
        return JobRequest(
            payload["input"],
            webhook=words.webhook or payload.get("webhook"),
            execution_timeout_s=_seconds(policy, "executionTimeout"),
            ttl_s=_seconds(policy, "ttl"),
            is_low_priority=bool(policy.get("lowPriority", False)),
        ), wait_s
    if file is None:
        raise click.UsageError("an endpoint's name says no input: give --input FILE, or the recipe.")
    test = _test(file, words.test_name)
    return JobRequest(test.input, webhook=words.webhook), words.timeout_s or float(test.timeout_s)


def _test(file: RecipeFile, name: str | None) -> Test:
    tests = file.recipe.tests
    if not tests:
        raise JobRefused("the recipe has no tests to send", where=str(file.path), fix="give --input FILE")
    named = {test.name or str(number): test for number, test in enumerate(tests, 1)}
    named |= {str(number): test for number, test in enumerate(tests, 1)}
    if name is None:
        return tests[0]
    if name not in named:
        known = ", ".join(test.name or str(number) for number, test in enumerate(tests, 1))
        raise JobRefused(f"no test {name!r} (there are {known})", where=str(file.path), fix="name one of them")
    return named[name]


def _payload(source: IO[bytes]) -> dict[str, Any]:
    """Read a job: `{"input": {…}, …}` as RunPod takes it, or its input alone."""
    where = "stdin" if source.name == "<stdin>" else str(source.name)
    try:
        value = json.loads(source.read())
    except ValueError as error:
        raise JobRefused(f"no JSON ({error})", where=where, fix='write {"input": {…}}') from error
    if not isinstance(value, dict):
        raise JobRefused(
            f"a job is an object, this is {json.dumps(value)[:60]}", where=where, fix='write {"input": {…}}'
        )
    if "input" not in value:
        return {"input": value}
    if unknown := sorted(set(value) - PAYLOAD_KEYS):
        raise JobRefused(
            f"a job has no {', '.join(unknown)} beside its input",
            where=where,
            fix=f"known are {', '.join(sorted(PAYLOAD_KEYS))}",
        )
    return value


def _seconds(policy: Mapping[str, Any], key: str) -> int | None:
    return int(policy[key]) // 1000 if policy.get(key) else None


# --- what is printed -----------------------------------------------------------------------------------------------
def _print(endpoint_id: str, result: JobResult, output: object, kept: tuple[KeptFile, ...], words: RunWords) -> None:
    if words.as_json:
        record = {"endpoint": endpoint_id, "job": result.id, "state": result.state, "worker": result.worker_id}
        times = {"delay_ms": result.delay_ms, "execution_ms": result.execution_ms}
        print_json({**record, **times, "output": output, "files": [f.path for f in kept if f.path]})
    elif words.is_detached:
        click.echo(result.id)
    elif not words.is_streamed:
        click.echo(json.dumps(output, indent=2, ensure_ascii=False))
    for file in kept:
        click.echo(f"saved {file.path}" if file.path else f"{file.place}: {file.note}", err=True)
    if words.folder is None and not words.as_json and (places := list(file_places(output))):
        click.echo(f"{len(places)} file(s) in the result: --out DIR saves them", err=True)
