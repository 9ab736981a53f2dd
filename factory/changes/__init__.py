"""Which recipes would be another image than at a revision of their repository, and why."""

from __future__ import annotations

from factory.changes.comparing import Change, Changes, Deleted, Failed, compare_all

__all__ = ["Change", "Changes", "Deleted", "Failed", "compare_all"]
