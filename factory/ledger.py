"""The jobs that were submitted from this machine: RunPod forgets a job 30 minutes after its end, the ledger doesn't.

One SQLite file below `FACTORY_HOME`. It holds states and times, never inputs or outputs (they may be private and
large). Several `factory` processes may write at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from factory.account import FINAL_STATES, JobResult, JobState
from factory.errors import RunError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT NOT NULL, endpoint_id TEXT NOT NULL, name TEXT NOT NULL, submitted_at REAL NOT NULL,
    state TEXT NOT NULL, seen_at REAL NOT NULL, delay_ms INTEGER, execution_ms INTEGER, worker_id TEXT, error TEXT,
    PRIMARY KEY (endpoint_id, id)
) WITHOUT ROWID
"""
ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One job: `name` is its recipe's or endpoint's; times are Unix seconds; `seen_at`: when RunPod last told of it."""

    id: str
    endpoint_id: str
    name: str
    submitted_at: float
    state: JobState
    seen_at: float
    delay_ms: int | None = None
    execution_ms: int | None = None
    worker_id: str | None = None
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """May its state still change?"""
        return self.state not in FINAL_STATES


@dataclass(frozen=True, slots=True)
class Ledger:
    """The file. Every method raises RunError when it can't be read or written."""

    path: Path

    def add(self, endpoint_id: str, name: str, job: JobResult) -> None:
        """Note a job that was submitted just now."""
        now = time.time()
        row = (job.id, endpoint_id, name, now, "IN_QUEUE", now)
        with self._open() as db:
            db.execute(
                "INSERT OR IGNORE INTO jobs (id, endpoint_id, name, submitted_at, state, seen_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
        if job.is_final:
            self.update(endpoint_id, job)

    def update(self, endpoint_id: str, job: JobResult) -> None:
        """Note what RunPod says of a job now. What has ended stays as it ended; unknown jobs are left out."""
        error = job.error[:ERROR_CHARACTERS] if job.error else None
        seen = (job.state, time.time(), job.delay_ms, job.execution_ms, job.worker_id, error)
        with self._open() as db:
            db.execute(
                "UPDATE jobs SET state = ?, seen_at = ?, delay_ms = ?, execution_ms = ?, worker_id = ?, error = ? "
                "WHERE endpoint_id = ? AND id = ? AND state IN ('IN_QUEUE', 'IN_PROGRESS')",
                (*seen, endpoint_id, job.id),
            )

    def reopen(self, endpoint_id: str, job_id: str) -> None:
        """Note that a job was queued again after its end."""
        with self._open() as db:
            db.execute(
                "UPDATE jobs SET state = 'IN_QUEUE', seen_at = ?, error = NULL WHERE endpoint_id = ? AND id = ?",
                (time.time(), endpoint_id, job_id),
            )

    def entries(self, *, endpoint_id: str | None = None, limit: int = 100) -> tuple[Entry, ...]:
        """Return the newest jobs, newest first; of one endpoint when it is named."""
        with self._open() as db:
            rows = db.execute(
                "SELECT id, endpoint_id, name, submitted_at, state, seen_at, delay_ms, execution_ms, worker_id, error "
                "FROM jobs WHERE endpoint_id = coalesce(?, endpoint_id) ORDER BY submitted_at DESC, id LIMIT ?",
                (endpoint_id, limit),
            )
            return tuple(Entry(*row) for row in rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=10)
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from error
        try:
            with db:
                db.execute(_SCHEMA)
                yield db
        except sqlite3.Error as error:
            raise self._broken(error) from error
        finally:
            db.close()

    def _broken(self, error: Exception) -> RunError:
        return RunError(
            f"the ledger of jobs can't be used ({error})",
            where=str(self.path),
            fix="move the file away; a new one is begun",
        )
