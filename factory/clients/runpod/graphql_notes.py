"""What endpoints still run while their template already says something newer.

GraphQL shows an endpoint's linked template, not the copy that its workers start from: after a template was saved, an
endpoint that has not been saved yet looks as if it had the change (docs.runpod.io and flash, read 2026-11-23: a
template change alone does not reach an endpoint). A run that is killed between the two would go unnoticed. So a save of
the template writes into its `readme`, a comment, what each linked endpoint runs; the save of the endpoint takes its
part out again, and whoever lists endpoints in between sees the truth.
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
    """What a worker is started from."""

    image: str
    disk_gb: int
    env: Mapping[str, str] = field(default_factory=dict)
    login_id: str | None = None


def notes_in(readme: str | None) -> dict[str, Running]:
    """Return what a template's readme says of each endpoint; a note that isn't ours to read is no note."""
    found = _NOTE.search(readme or "")
    if found is None:
        return {}
    try:
        return {endpoint_id: _running(row) for endpoint_id, row in json.loads(found[1]).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def with_notes(readme: str | None, notes: Mapping[str, Running]) -> str:
    """Return a readme that carries these notes and no others; what people wrote stays."""
    text = _NOTE.sub("", readme or "")
    if not notes:
        return text
    rows = {
        endpoint_id: {"image": n.image, "disk_gb": n.disk_gb, "env": dict(n.env), "login_id": n.login_id}
        for endpoint_id, n in notes.items()
    }
    # A comment ends at its first "-->", so none may stand within.
    return f"{text}\n<!-- factory: endpoints still run {json.dumps(rows).replace('>', chr(92) + 'u003e')} -->"


def _running(row: Mapping[str, Any]) -> Running:
    env = {str(key): str(value) for key, value in row["env"].items()}
    return Running(str(row["image"]), int(row["disk_gb"]), env, row["login_id"])
