"""The `factory` command: words in, words out. It only translates; the road is `pipeline`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from factory import __version__
from factory.commands.audit import audit
from factory.commands.build import build
from factory.commands.changed import changed
from factory.commands.check import check
from factory.commands.destroy import destroy
from factory.commands.diagnose import diagnose
from factory.commands.emulator import emulator
from factory.commands.guard import guard
from factory.commands.history import releases
from factory.commands.jobs import jobs
from factory.commands.layers import layers
from factory.commands.lock import lock
from factory.commands.logs import logs
from factory.commands.plan import plan
from factory.commands.provision import provision
from factory.commands.push import push
from factory.commands.recreate import recreate
from factory.commands.release import release
from factory.commands.render import render
from factory.commands.resolve import resolve
from factory.commands.rollback import rollback
from factory.commands.run import run
from factory.commands.saying import say
from factory.commands.schema import schema
from factory.commands.size import size
from factory.commands.status import status
from factory.commands.verify import verify
from factory.commands.volumes import volumes
from factory.errors import FactoryError, Interrupted


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="factory %(version)s")
def cli() -> None:
    """Turn one YAML recipe into a live, right-sized, verified model endpoint on RunPod Serverless.

    \b
    The road:   check → resolve → size → render → build → push → verify → provision → run
    Start with: factory size recipes/wan.yaml         what the model really needs
                factory plan recipes/minilm.yaml      what would happen, and what it costs
                factory release recipes/minilm.yaml   all of it, to an endpoint that answered
                factory run recipes/minilm.yaml       one job, its output
                factory diagnose recipes/minilm.yaml  why an endpoint doesn't answer, and what mends it
                factory emulator --help               RunPod on a laptop: no account, no network

    Results go to stdout, progress to stderr. Exit codes: a decade per stage (docs/errors.md).
    """


for command in (
    *(check, schema, resolve, size, render, lock, build, push, verify, layers, changed),
    *(plan, provision, release, run, jobs, volumes, emulator),
    *(status, audit, logs, diagnose),
    *(releases, rollback, recreate, guard, destroy),
):
    cli.add_command(command)


def main() -> None:
    """Run the command; every failure is one sentence on stderr and an exit code."""
    # httpx's own command line (with rich and pygments behind it) is half of the time that `import httpx` takes, and it
    # does without: None in sys.modules is "not installed" (Python reference, 5.3.1; httpx 0.28, 2026-11-25).
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    wants_traceback = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        sys.exit(cli.main(arguments, prog_name="factory", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as refusal:
        refusal.show()
        sys.exit(refusal.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail(Interrupted("interrupted"), arguments)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except FactoryError as error:
        if wants_traceback:
            raise
        _fail(error, arguments)
    except Exception as bug:
        if wants_traceback:
            raise
        _report(bug)


def _fail(error: FactoryError, arguments: list[str]) -> None:
    if "--json" in arguments:
        click.echo(json.dumps({"error": error.as_record()}, indent=2))
    say(error)
    sys.exit(error.exit_code)


def _report(bug: Exception) -> None:
    """Write what a maintainer needs to a file; say one line."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="factory-report-", suffix=".txt", delete=False) as report:
        report.write(f"factory {__version__}, Python {sys.version}\narguments: {sys.argv[1:]}\n\n")
        report.write("".join(traceback.format_exception(bug)))
    click.echo(f"error: this is a bug in factory ({type(bug).__name__}); the report is {Path(report.name)}", err=True)
    sys.exit(1)
