"""What `factory changed` prints: paths and reasons, or a matrix for GitHub Actions."""

from __future__ import annotations

import json

import click

from factory.changes import Changes
from factory.commands.saying import say


def print_changes(changes: Changes, as_json: bool) -> int:
    """Print what differs, and return the exit code: 0, or that of the first recipe that can't be rendered."""
    if as_json:
        click.echo(json.dumps(_matrix(changes), ensure_ascii=False))  # one line: it goes into $GITHUB_OUTPUT
    for change in changes.changed:
        if not as_json:
            click.echo(str(change.path))
        click.echo(f"{change.name}: {change.reason}", err=True)
    for gone in changes.deleted:
        click.echo(f"{gone.name}: deleted ({gone.path})", err=True)
    for failed in changes.failed:
        say(failed.error)
    return changes.failed[0].error.exit_code if changes.failed else 0


def _matrix(changes: Changes) -> dict[str, object]:
    """Return `include` as `strategy.matrix` reads it, and beside it what is no job."""
    return {
        "include": [
            {
                "recipe": str(change.path),
                "name": change.name,
                "disk_gb": change.disk_gb,
                "reason": change.reason,
                "kinds": [reason.kind for reason in change.reasons],
                "tag": change.tag,
            }
            for change in changes.changed
        ],
        "deleted": [{"recipe": str(gone.path), "name": gone.name} for gone in changes.deleted],
        "failed": [{"recipe": str(failed.path), "error": failed.error.as_record()} for failed in changes.failed],
        "since": changes.commit,
    }
