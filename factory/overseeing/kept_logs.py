"""Log lines kept in a folder: one file a worker, JSON a line, each line once however often it is read.

RunPod forgets a container's lines with the container (recorded 2026), so what matters is kept while it is there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from factory.errors import SettingsError
from factory.overview.log_lines import Taken


@dataclass(slots=True)
class KeptLogs:
    """The folder. Every method raises SettingsError when it can't be read or written."""

    folder: Path
    kept: int = 0  # lines that were new
    _known: dict[str, set[str]] = field(default_factory=dict)

    def keep(self, taken: Taken) -> None:
        """Append a line to its worker's file, unless it is there."""
        path = self.path_of(taken.worker)
        try:
            known = self._known.get(taken.worker)
            if known is None:
                known = self._known[taken.worker] = _read(path)
            if (name := _name(taken.as_record())) in known:
                return
            known.add(name)
            with path.open("ab") as file:
                file.write(json.dumps(taken.as_record(), ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise SettingsError(
                f"can't be written ({error.strerror})", where=str(error.filename or path), fix="choose another --save"
            ) from error
        self.kept += 1

    def path_of(self, worker: str) -> Path:
        """Return a worker's file: an id leads nowhere else."""
        return self.folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', worker)}.jsonl"


def _read(path: Path) -> set[str]:
    """Return the lines that a file has; one that a kill cut off is closed, and counts for nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return set()
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
    known = set()
    for row in content.splitlines():
        try:
            known.add(_name(json.loads(row)))
        except (ValueError, KeyError, TypeError):
            continue
    return known


def _name(record: dict[str, object]) -> str:
    """Return what tells a line from every other of its worker: RunPod's id, else all that it says."""
    return str(record["id"] or f"{record['ts']} {record['source']} {record['line']}")
