"""`factory jobs`: the jobs of an endpoint, also those that RunPod has forgotten."""

from __future__ import annotations

from typing import Any

import click

from factory.commands import options

target = click.argument("target", metavar="RECIPE|ENDPOINT")
job = click.argument("job_id", metavar="JOB")


@click.group()
def jobs() -> None:
    """Submit, list, follow, cancel, retry and purge jobs; `factory run` submits one and waits.

    Jobs submitted from this machine are kept beyond RunPod's 30 minutes. One that was purged or has expired there ends
    here as CANCELLED or EXPIRED.
    """


@jobs.command()
@target
@click.option("--input", "source", type=click.File("rb"), help="JSON of the job, or of its input alone; - reads stdin.")
@click.option("--test", "test_name", help="Send this test of the recipe, by name or number (default: the first).")
@click.option("--webhook", help="URL that RunPod posts the finished job to.")
@options.as_json
def submit(target: str, **words: Any) -> None:
    """Submit a job, print its id and leave it running; as `factory run --detach`."""
    from factory.commands.running import RunWords, run_job

    run_job(target, RunWords(is_detached=True, **words))


@jobs.command(name="list")
@target
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many, newest first.")
@options.as_json
def list_(target: str, limit: int, as_json: bool) -> None:
    """List the jobs that were submitted from this machine, as RunPod has them now."""
    from factory.commands.jobs_view import list_jobs

    list_jobs(target, limit, as_json)


@jobs.command()
@target
@job
@options.as_json
def status(target: str, job_id: str, as_json: bool) -> None:
    """Say how a job is now, and print its output once it has one."""
    from factory.commands.jobs_view import show_job

    show_job(target, job_id, as_json)


@jobs.command()
@target
@job
@click.option("--timeout", "timeout_s", type=click.FloatRange(1), default=3600, show_default=True, help="Seconds.")
@options.as_json
def watch(target: str, job_id: str, timeout_s: float, as_json: bool) -> None:
    """Follow a job to its end and print its output; Ctrl-C leaves the job running."""
    from factory.commands.jobs_view import watch_job

    watch_job(target, job_id, timeout_s, as_json)


@jobs.command()
@target
@job
def cancel(target: str, job_id: str) -> None:
    """Cancel a job that waits or runs."""
    from factory.commands.jobs_view import cancel_job

    cancel_job(target, job_id)


@jobs.command()
@target
@job
def retry(target: str, job_id: str) -> None:
    """Queue a job again that failed or timed out: same id, same input."""
    from factory.commands.jobs_view import retry_job

    retry_job(target, job_id)


@jobs.command()
@target
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask.")
def purge(target: str, is_sure: bool) -> None:
    """Drop every job that waits in the endpoint's queue, whoever submitted it; running ones go on."""
    from factory.commands.jobs_view import purge_jobs

    purge_jobs(target, is_sure)
