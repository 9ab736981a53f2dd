"""`factory plan` and `factory provision` at work: recipes to plans, plans to what is printed, and to endpoints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console

from factory import recipe as recipes
from factory import settings, wiring
from factory.beside import Beside
from factory.commands.display import Display, waiting
from factory.commands.output import print_json
from factory.commands.plan_view import show
from factory.commands.saying import say
from factory.commands.snippets import Language, snippet
from factory.commands.tables import open_console
from factory.deploying import Planned, plan_all, provision_one, with_notes
from factory.errors import FactoryError, RecipeError
from factory.pipeline import Line, Stage
from factory.records import Deployment, Progress, Tell
from factory.settings import Settings

CHANGES = 4  # the exit code of `factory plan` when something would change


@dataclass
class Job:
    """One recipe on the command line: its line, its plan, or what stopped it."""

    path: Path
    line: Line | None = None
    planned: Planned | None = None
    error: FactoryError | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def blocker(self) -> FactoryError | None:
        """Return what stops this recipe."""
        return self.error or (self.planned.blocker if self.planned else None)


def plan_recipes(paths: Sequence[Path], as_json: bool) -> None:
    """Plan recipes, print what would happen, and exit with 0 (nothing), 4 (changes) or the first error's code."""
    machine = settings.read()
    jobs = _planned(paths, wiring.Account(machine), machine)
    if as_json:
        print_json([_record(job) for job in jobs])
    else:
        console = open_console()
        for job in jobs:
            if job.planned and job.planned.plan:
                show(job.planned.plan, console)
    failed = [error for job in jobs if (error := job.blocker)]
    for job in jobs:
        if job.blocker and (as_json or job.planned is None or job.planned.plan is None):
            say(job.blocker)  # what a plan shows is not said twice
    has_changes = any(job.planned and job.planned.plan and job.planned.plan.has_changes for job in jobs)
    click.get_current_context().exit(failed[0].exit_code if failed else CHANGES if has_changes else 0)


def provision_recipes(
    paths: Sequence[Path],
    *,
    is_replacing: bool,
    limit_s: float | None,
    language: Language | None,
    is_unbuilt: bool,
    as_json: bool,
) -> None:
    """Plan recipes, print the plans on stderr, and carry them out in order; nothing is made when one can't be."""
    machine = settings.read()
    account = wiring.Account(machine)
    jobs = _planned(paths, account, machine, is_unbuilt=is_unbuilt)
    talk = Console(stderr=True, highlight=False, soft_wrap=True)
    for job in jobs:
        if job.planned and job.planned.plan and not as_json:
            show(job.planned.plan, open_console(sys.stderr))
    _stop_if_any(jobs, is_replacing)
    made: list[Deployment] = []
    with Display(talk) as display:
        for job in jobs:
            assert job.line is not None and job.planned is not None, "a recipe without a plan has stopped the command"
            job.line.tell = display.listener(job.line.file.recipe.name)
            login_for = wiring.Clients(machine, job.line.file).credentials.login_for
            made.append(
                provision_one(job.planned, account.cloud, login_for, is_replacing=is_replacing, limit_s=limit_s)
            )
    _print_made(jobs, made, machine.runpod_jobs_url, language, as_json)


def _print_made(
    jobs: Sequence[Job], made: Sequence[Deployment], jobs_url: str, language: Language | None, as_json: bool
) -> None:
    if as_json:
        print_json(list(made))
        return
    for job, deployment in zip(jobs, made, strict=True):
        assert job.line is not None
        tests, endpoint_id = job.line.file.recipe.tests, deployment.endpoint_id
        test_input = tests[0].input if tests else {}
        click.echo(snippet(language, endpoint_id, test_input, jobs_url) if language else endpoint_id)


def _stop_if_any(jobs: Sequence[Job], is_replacing: bool) -> None:
    """Say every reason why nothing may be made, and exit with the first one's code."""
    failed = []
    for job in jobs:
        plan = job.planned.plan if job.planned else None
        error = plan.blocker(is_replacing=is_replacing, is_final=True) if plan else job.blocker
        if error:
            failed.append(error)
    if not failed:
        return
    for error in failed[1:]:
        say(error)
    raise failed[0]


# --- recipes to plans ------------------------------------------------------------------------------------------------
def _planned(
    paths: Sequence[Path], account: wiring.Account, machine: Settings, *, is_unbuilt: bool = False
) -> list[Job]:
    """Load and plan recipes; one that can't be read or sized doesn't keep the others from being planned."""
    shared, beside = wiring.Shared(machine), Beside()
    jobs = [_load(path, machine, shared, beside) for path in paths]
    loaded = [(job, job.line) for job in jobs if job.line is not None]
    cloud = account.cloud
    with waiting(f"looking at the account and {len(loaded)} recipe(s)"):
        found = plan_all(
            [line for _, line in loaded],
            cloud,
            lambda line: wiring.image_look(machine, line.file, shared, is_unbuilt=is_unbuilt),
        )
    for (job, _), planned in zip(loaded, found, strict=True):
        job.planned = with_notes(planned, list(dict.fromkeys(job.notes)))
    return jobs


def _load(path: Path, machine: Settings, shared: wiring.Shared, beside: Beside) -> Job:
    try:
        file = recipes.load(path)
    except RecipeError as error:
        return Job(path, error=error)
    job = Job(path)
    clients = wiring.Clients(machine, file, shared)
    job.line = Line(file, clients, wiring.machine(machine, file), _keep_notes(job.notes), beside=beside)
    return job


def _keep_notes(notes: list[str]) -> Callable[[Stage], Tell]:
    """Return listeners that keep the warnings: they are shown with the plan, where there is one."""

    def hear(progress: Progress) -> None:
        if progress.kind == "note":
            notes.append(progress.text)

    return lambda _stage: hear


def _record(job: Job) -> dict[str, object]:
    if job.planned and job.planned.plan:
        return {"file": str(job.path), **job.planned.plan.as_record()}
    error = job.blocker
    return {"file": str(job.path), "error": error.as_record() if error else None}
