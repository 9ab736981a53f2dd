"""What outlives the emulator: one SQLite file in the `--state` folder.

Every `put` is its own transaction in a write-ahead log: it is with the kernel when `put` returns, so `kill -9` of the
emulator loses nothing that was answered. A power cut may lose the last moments (synchronous=NORMAL): nobody's real
money hangs on it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import sqlite3
import typing
from pathlib import Path
from typing import Any, Protocol

from factory.emulator.runpod import entities, pods

CLASSES: dict[str, type[Any]] = {
    "person": entities.Person,
    "volume": entities.Volume,
    "template": entities.Template,
    "endpoint": entities.Endpoint,
    "login": entities.Login,
    "secret": entities.Secret,
    "job": entities.Job,
    "charge": entities.Charge,
    "pod": pods.Pod,
    "cluster": pods.Cluster,
    "delegation": pods.Delegation,
}
_PUT = "INSERT INTO entity VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET json = excluded.json"


class StateInUse(Exception):
    """Another emulator works on this folder."""


class Stored(Protocol):
    """What can be kept: a dataclass of entities.py."""

    @property
    def id(self) -> str:
        """Its key."""
        ...


class Store:
    """The entities of one account, by kind and id."""

    def __init__(self, folder: Path) -> None:
        """Open or make the folder's state. Raises StateInUse, OSError, sqlite3.DatabaseError (not our file)."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = (folder / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise StateInUse(f"{folder}: another emulator is using it") from None
        (folder / "state.sqlite").touch(mode=0o600)  # it holds passwords of registry logins
        # Autocommit; the server's thread need not be the one that opened the file.
        self._db = sqlite3.connect(folder / "state.sqlite", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS entity (kind TEXT, id TEXT, json TEXT, PRIMARY KEY (kind, id))")

    def put(self, kind: str, entity: Stored) -> None:
        """Write an entity, new or changed; on disk (as far as a kill goes) on return."""
        self._db.execute(_PUT, (kind, entity.id, json.dumps(entity, default=_fields)))

    def delete(self, kind: str, entity_id: str) -> None:
        """Forget an entity, if it is there."""
        self._db.execute("DELETE FROM entity WHERE kind = ? AND id = ?", (kind, entity_id))

    def load(self, kind: str) -> list[Any]:
        """Return all entities of a kind, oldest first, by their own class."""
        rows = self._db.execute("SELECT json FROM entity WHERE kind = ? ORDER BY rowid", (kind,))
        return [_made(CLASSES[kind], json.loads(text)) for (text,) in rows]

    def close(self) -> None:
        """Close the file and let others at the folder."""
        self._db.close()
        self._lock.close()


def _fields(entity: Any) -> dict[str, Any]:
    """Return a dataclass as a dictionary, one level: the encoder asks again for what is below."""
    return {name: getattr(entity, name) for name in _NAMES[type(entity)]}


def _made(cls: type[Any], values: dict[str, Any]) -> Any:
    """Make an entity of what was stored; unknown fields are dropped, new ones have their default."""
    known = {name: values[name] for name in _NAMES[cls] if name in values}
    for name, (inner, is_list) in _PARTS[cls].items():
        if name in known:
            known[name] = [_made(inner, v) for v in known[name]] if is_list else _made(inner, known[name])
    return cls(**known)


def _parts(cls: type[Any]) -> dict[str, tuple[type[Any], bool]]:
    """Return the fields of a dataclass that hold dataclasses: name → (class, is it a list of them)."""
    found = {}
    for name, hint in typing.get_type_hints(cls).items():
        inner = next(iter(typing.get_args(hint)), None) if typing.get_origin(hint) is list else hint
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            found[name] = (inner, inner is not hint)
    return found


_ALL: list[type[Any]] = [
    found
    for module in (entities, pods)
    for found in vars(module).values()
    if isinstance(found, type) and dataclasses.is_dataclass(found)
]
_NAMES = {cls: tuple(field.name for field in dataclasses.fields(cls)) for cls in _ALL}
_PARTS = {cls: _parts(cls) for cls in _ALL}
