"""Entities that only REST v2 knows (pods, clusters, delegations), kept by id, and in the store where there is one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from factory.emulator.runpod.pods import Cluster, Delegation, Pod
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.store import Store

R = TypeVar("R", Pod, Cluster, Delegation)


class Records(Generic[R]):
    """The records of one kind."""

    def __init__(self, store: Store | None, kind: str) -> None:
        self._store = store
        self._kind = kind
        self._held: dict[str, R] = {record.id: record for record in (store.load(kind) if store else ())}

    def values(self) -> Iterable[R]:
        """Return all of them, oldest first."""
        return list(self._held.values())

    def find(self, record_id: str) -> R:
        """Return one. Raises Refused(404)."""
        try:
            return self._held[record_id]
        except KeyError:
            raise Refused(404, f"{self._kind} not found") from None

    def keep(self, record: R) -> R:
        """Keep a record, new or changed."""
        self._held[record.id] = record
        if self._store:
            self._store.put(self._kind, record)
        return record

    def drop(self, record_id: str) -> None:
        """Forget one."""
        self._held.pop(record_id, None)
        if self._store:
            self._store.delete(self._kind, record_id)
