"""What endpoints still run while their template already says something newer.

GraphQL shows an endpoint's linked template, not the copy that its workers start from: after a template was saved, an
endpoint that has not been saved yet looks as if it had the change (docs.runpod.io and flash, read 2026-11-23: a
template change alone does not reach an endpoint). A run that is killed between the two would go unnoticed. So a save of
the template writes into its `readme`, a comment, what each linked endpoint runs; the save of the endpoint takes its
part out again, and whoever lists endpoints in between sees the truth. A note holds for the version of the endpoint that
it was written for: saving the endpoint brings it to the template's content and to its next version, and a run that is
killed before it takes the note out leaves one that no longer says anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NOTE = re.compile(r"\n?<!-- factory: endpoints still run (\{.*?\}) -->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Running:
    """What a worker is started from, and in a note the endpoint's `version` (None: RunPod said none)."""

    image: str
    disk_gb: int
    env: Mapping[str, str] = field(default_factory=dict)
    login_id: str | None = None
    version: int | None = field(default=None, compare=False)


def notes_in(readme: str | None) -> dict[str, Running]:
    """Return what a template's readme says of each endpoint; a note that isn't ours to read is no note."""
    found = _NOTE.search(readme or "")
    if found is None:
        return {}
    try:
        return {endpoint_id: _running(row) for endpoint_id, row in json.loads(found[1]).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def still_runs(readme: str | None, endpoint_id: str, version: int | None) -> Running | None:
    """Return what an endpoint of this version runs by its note; None when it runs what the template says."""
    noted = notes_in(readme).get(endpoint_id)
    return noted if noted is not None and noted.version == version else None


def with_notes(readme: str | None, notes: Mapping[str, Running]) -> str:
    """Return a readme that carries these notes and no others; what people wrote stays."""
    text = _NOTE.sub("", readme or "")
    if not notes:
        return text
    rows = {
        endpoint_id: {
            **{"image": note.image, "disk_gb": note.disk_gb, "env": dict(note.env), "login_id": note.login_id},
            "version": note.version,
        }
        for endpoint_id, note in notes.items()
    }
    # A comment ends at its first "-->", so none may stand within.
    return f"{text}\n<!-- factory: endpoints still run {json.dumps(rows).replace('>', chr(92) + 'u003e')} -->"


def _running(row: Mapping[str, Any]) -> Running:
    env = {str(key): str(value) for key, value in row["env"].items()}
    version = row.get("version")
    return Running(
        str(row["image"]), int(row["disk_gb"]), env, row["login_id"], None if version is None else int(version)
    )
