"""An image's config, and what a Dockerfile's instructions make of it (OCI image-spec v1.1, config.md, 2026-11-25)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from factory.errors import RegistryFailed

COMMENT = "buildkit.dockerfile.v0"  # what BuildKit writes beside each step (docker 20.10.24 and 26.1.5)


class Config:
    """The config of an image that grows. Nothing has a date of its own: all is of the image below.

    Raises RegistryFailed for what is no config of an image.
    """

    def __init__(self, content: bytes, *, where: str = "") -> None:
        try:
            self._value: dict[str, Any] = json.loads(content)
            self._said: dict[str, Any] = dict(self._value.get("config") or {})
            self._diff_ids: list[str] = list(self._value["rootfs"]["diff_ids"])
            self._history: list[Any] = list(self._value.get("history") or [])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            fix = "build the environment again (`--lane docker --force`)"
            raise RegistryFailed("the config is none of an image", where=where, fix=fix) from error

    @property
    def layer_count(self) -> int:
        """How many layers it names."""
        return len(self._diff_ids)

    def add_layer(self, diff_id: str, created_by: str) -> None:
        """Put a layer on top."""
        self._diff_ids.append(diff_id)
        self._note(created_by)

    def say_env(self, pairs: Iterable[tuple[str, str]], created_by: str) -> None:
        """ENV: a variable that is there changes in its place, another is the last."""
        env: dict[str, str] = dict(str(each).partition("=")[::2] for each in self._said.get("Env") or [])
        env |= dict(pairs)
        self._said["Env"] = [f"{name}={value}" for name, value in env.items()]
        self._note(created_by, is_empty=True)

    def say_labels(self, pairs: Iterable[tuple[str, str]], created_by: str = "") -> None:
        """LABEL; without a line for the history when the engine's client would have set them."""
        labels = {**(self._said.get("Labels") or {}), **dict(pairs)}
        if labels:
            self._said["Labels"] = labels
        if created_by:
            self._note(created_by, is_empty=True)

    def say_entrypoint(self, words: Sequence[str], created_by: str, *, is_command_set: bool) -> None:
        """ENTRYPOINT: a CMD of the base image goes with it (Dockerfile reference, "ENTRYPOINT", read 2026-11-25)."""
        self._set("Entrypoint", words)
        if not is_command_set:
            self._set("Cmd", [])
        self._note(created_by, is_empty=True)

    def say_command(self, words: Sequence[str], created_by: str) -> None:
        """CMD; `ArgsEscaped` is what BuildKit sets with it (read off docker 20.10.24's images, 2026-11-25)."""
        self._set("Cmd", words)
        self._said["ArgsEscaped"] = True
        self._note(created_by, is_empty=True)

    def to_bytes(self) -> bytes:
        """Return the config as it is stored."""
        value = {
            **self._value,
            "config": self._said,
            "rootfs": {"type": "layers", "diff_ids": self._diff_ids},
            "history": self._history,
        }
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()

    def _set(self, name: str, words: Sequence[str]) -> None:
        if words:
            self._said[name] = list(words)
        else:
            self._said.pop(name, None)

    def _note(self, created_by: str, *, is_empty: bool = False) -> None:
        entry: dict[str, object] = {"created_by": created_by, "comment": COMMENT}
        if created := self._value.get("created"):
            entry["created"] = created
        self._history.append({**entry, "empty_layer": True} if is_empty else entry)
