"""Reads what the engine says while it builds, from either builder, and tells it on: steps, lines, bytes.

BuildKit's messages are traces (docker_buildkit.py); the classic builder prints "Step 2/7 : RUN …", " ---> Using cache",
" ---> 4090d7800ef5", and between them what the step prints. Both end in `error`, or in the image's id.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from factory.clients.docker_buildkit import Status, Trace, Vertex, decode
from factory.clients.docker_causes import NO_SPACE, find_cause
from factory.clients.docker_context import without_machine
from factory.clients.docker_faults import clean, daemon_error, disk_full
from factory.errors import BuildError, StepFailed
from factory.records import BuildOptions, Progress, Tell
from factory.wording import seconds_text

SHOWN_LINES = 15
KEPT_LINES = 400  # pip names a cause long before its last line

_BUILDKIT_STEP = re.compile(r"\[(?:\S+ +)?(\d+/\d+)\] (.*)", re.DOTALL)  # from ten steps on they are aligned
_CLASSIC_STEP = re.compile(r"Step (\d+/\d+) : (.*)", re.DOTALL)
_CLASSIC_LAYER = re.compile(r" ---> ([0-9a-f]{12,64})\s*")
_CLASSIC_CONTAINER = re.compile(r" ---> Running in ([0-9a-f]{12,64})\s*")
_CLASSIC_TALK = (" ---> ", "Removing intermediate container ", "Successfully built ", "Successfully tagged ")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SPEAKING = re.compile(r"\s*(?:e|error|fatal|\w+error): ", re.IGNORECASE)
_EXIT_CODE = re.compile(r"(?:exit code|non-zero code): (\d+)")


@dataclass
class Step:
    """One step of the Dockerfile: `number` is `2/7`, empty for the builder's own doings."""

    key: str
    number: str
    command: str
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    partial: str = ""
    state: Literal["started", "done", "cached", "failed", ""] = ""

    @property
    def text(self) -> str:
        """What people see: `2/7 RUN pip install six`."""
        return f"{self.number} {self.command}".strip()


class BuildLog:
    """One build's messages, read in order: what it tells goes to `tell`, what it needs later stays in fields.

    `image_id` and `error` are the two ends; `layers` and `containers` are what the classic builder made on its way.
    """

    def __init__(self, where: str, options: BuildOptions, tell: Tell) -> None:
        self.where = where
        self.options = options
        self.tell = tell
        self.image_id: str | None = None
        self.error: str | None = None
        self.layers: list[str] = []
        self.containers: list[str] = []
        self._steps: dict[str, Step] = {}
        self._current: Step | None = None  # the classic builder's

    def read(self, message: Mapping[str, object]) -> None:
        """Take one message of the engine."""
        aux = message.get("aux")
        if message.get("id") == "moby.buildkit.trace":
            self.read_trace(decode(aux))
        elif isinstance(aux, Mapping) and "ID" in aux:
            self.image_id = str(aux["ID"])
        elif "error" in message:
            self._fail(str(message["error"]))
        elif isinstance(stream := message.get("stream"), str):
            self._read_classic(stream)
        elif "status" in message:
            self.tell(pull_progress(message))

    def failure(self) -> BuildError:
        """Say why the build failed; call it when `error` is set, or when the stream ended without an image."""
        error = clean(self.error or "the engine ended the build without a word")
        failed = next((step for step in self._steps.values() if step.state == "failed" and step.number), None)
        if failed is None:
            return daemon_error(error, self.where)
        lines = [clean(line) for line in failed.lines]
        if NO_SPACE.search(error) or any(NO_SPACE.search(line) for line in lines):
            return disk_full(f"{self.where}, step {failed.number}", "no space left on device")
        exit_code = int(found[1]) if (found := _EXIT_CODE.search(error)) else None
        cause = find_cause(lines, exit_code, self.options)
        command = clean(failed.command)
        ending = f"with exit code {exit_code}" if exit_code is not None else f"({error})"
        why = cause.what if cause else _last_words(lines)
        return StepFailed(
            f"`{_short(command)}` failed {ending}: {_short(why, 300)}",
            where=f"{self.where}, step {failed.number}",
            fix=cause.fix if cause else "",
            details={"step": failed.number, "command": command, "lines": lines[-SHOWN_LINES:]},
        )

    @property
    def has_steps(self) -> bool:
        """Has the builder begun to work?"""
        return bool(self._steps)

    def read_trace(self, trace: Trace) -> None:
        """Take one trace of BuildKit, however it came here."""
        for vertex in trace.vertexes:
            self._read_vertex(vertex)
        for log in trace.logs:
            if step := self._steps.get(log.vertex):
                self._print(step, log.text)
        for status in trace.statuses:
            self._read_status(status)

    def _read_vertex(self, vertex: Vertex) -> None:
        step = self._steps.get(vertex.digest)
        if step is None:
            named = _BUILDKIT_STEP.match(vertex.name)
            number, command = (named[1], named[2]) if named else ("", vertex.name)
            step = self._steps[vertex.digest] = Step(vertex.digest, number, without_machine(command))
        if vertex.error and "context canceled" not in vertex.error:  # a step beside it failed
            self._finish(step, "failed", vertex)
        elif vertex.is_cached:
            self._finish(step, "cached", vertex)
        elif vertex.completed_s is not None:
            self._finish(step, "done", vertex)
        elif vertex.started_s is not None and not step.state:
            self._start(step)

    def _read_status(self, status: Status) -> None:
        if status.current or status.total:
            self.tell(Progress("bytes", status.id, status.id, current=status.current, total=status.total or None))

    def _read_classic(self, text: str) -> None:
        if named := _CLASSIC_STEP.match(text):
            self._end_classic("done")
            self._current = Step(named[1], named[1], without_machine(named[2].strip()))
            self._steps[named[1]] = self._current
            self._start(self._current)
        elif text.strip() == "---> Using cache":
            self._end_classic("cached")
        elif layer := _CLASSIC_LAYER.fullmatch(text):
            self.layers.append(layer[1])
        elif container := _CLASSIC_CONTAINER.fullmatch(text):
            self.containers.append(container[1])
        elif self._current and not text.startswith(_CLASSIC_TALK):
            self._print(self._current, text)

    def _end_classic(self, state: Literal["done", "cached"]) -> None:
        if self._current and self._current.state == "started":
            self._finish(self._current, state)

    def _start(self, step: Step) -> None:
        step.state = "started"
        if step.number:
            self.tell(Progress("step", step.key, clean(step.text), "started"))

    def _finish(self, step: Step, state: Literal["done", "cached", "failed"], vertex: Vertex | None = None) -> None:
        if step.state == state or not step.number:
            return
        if step.partial:
            self._print(step, "\n")
        step.state = state
        text = step.text
        if state == "done" and vertex and vertex.started_s is not None and vertex.completed_s is not None:
            text += f" ({seconds_text(vertex.completed_s - vertex.started_s)})"
        self.tell(Progress("step", step.key, clean(text), state))

    def _print(self, step: Step, text: str) -> None:
        """Cut what a step prints into lines: the engine cuts it anywhere, and a bar repaints its line by \\r."""
        *lines, step.partial = (step.partial + text).split("\n")
        for line in lines:
            shown = _COLOUR.sub("", line).rstrip("\r").rsplit("\r", 1)[-1].rstrip()
            if shown:
                step.lines.append(shown)
                self.tell(Progress("log", step.key, clean(shown)))

    def _fail(self, error: str) -> None:
        self.error = error
        if self._current and self._current.state == "started":
            self._finish(self._current, "failed")


def pull_progress(message: Mapping[str, object]) -> Progress:
    """Return the progress in one message of a pull or push; `key` is the layer's short id, empty for the whole."""
    detail = message.get("progressDetail")
    numbers = detail if isinstance(detail, Mapping) else {}
    current, total = (int(numbers.get(name) or 0) for name in ("current", "total"))
    key, status = str(message.get("id", "")), clean(str(message["status"]))
    is_there = status in ("Already exists", "Layer already exists") or status.startswith("Mounted from ")
    is_over = is_there or status in ("Pull complete", "Pushed")
    if not (current or total or is_over):
        return Progress("log", key, status)
    state: Literal["cached", "done", "running"] = "cached" if is_there else "done" if is_over else "running"
    # `current` is of the tar with its padding, so it can pass `total` (measured 2026-11-24, docker 20.10.24).
    return Progress("bytes", key, status, state, min(current, total) if total else current, total or None)


def _last_words(lines: list[str]) -> str:
    """Return the last line that calls itself an error, else the last line."""
    if not lines:
        return "it printed nothing"
    return next((line for line in reversed(lines) if _SPEAKING.match(line)), lines[-1]).strip()


def _short(text: str, limit: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
