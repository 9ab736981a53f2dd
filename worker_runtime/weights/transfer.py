"""The transfer: connections that fetch ranges, and end together: all arrived, or one reason why not.

What is tried again, for as long as the limits allow: cut and stalled connections, 5xx, 429 (after exactly the time that
it names), an expired address of the CDN (the Hub is asked for a new one), an answer that isn't the range, a file whose
digest was wrong once. What isn't: a refusal (gated, no such file), a full disk, a digest that is wrong twice.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker_runtime.errors import HubUnreachable, WeightsCorrupt, WeightsTimeout
from worker_runtime.events import EventLog
from worker_runtime.recipe import Model, WeightFile
from worker_runtime.weights.arriving import Arriving
from worker_runtime.weights.asking import Asking, TryAgain, unreachable
from worker_runtime.weights.heartbeat import now_s
from worker_runtime.weights.journal import Journal
from worker_runtime.weights.patience import Limits, Patience
from worker_runtime.weights.wire import Proxy, Wire, drain
from worker_runtime.weights.work import Part, Work

BUFFER_BYTES = 256 * 1024
"""Small enough to stay in a core's cache between socket, digest and file."""
SMALL_CONNECTIONS = 8
TICK_S = 0.25
JOIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Source:
    """A model's files on their way into one folder, with its journal."""

    model: Model
    files: Sequence[Arriving]
    journal: Journal


def ask_first(asking: Asking, proxy: Proxy, limits: Limits, wanted: Sequence[tuple[Model, WeightFile]]) -> None:
    """Ask the Hub for one file of each model: a refusal is met before anything is written. Raises StartError."""
    wire = Wire(limits.stall_s, proxy)
    patience = Patience(limits)
    try:
        for model, file in {model.key: (model, file) for model, file in wanted}.values():
            patience.insist(lambda m=model, f=file: asking.head(wire, m, f))  # type: ignore[misc]
    finally:
        wire.close()


class Transfer:
    """One transfer of some models' files. `check` raises when this worker may not write any more."""

    def __init__(
        self,
        sources: Sequence[Source],
        asking: Asking,
        proxy: Proxy,
        limits: Limits,
        check: Callable[[], None],
        on_whole: Callable[[Source, Arriving], None],
        log: EventLog,
    ) -> None:
        self._source = {file: source for source in sources for file in source.files}
        self._asking = asking
        self._proxy = proxy
        self._limits = limits
        self._check = check
        self._on_whole = on_whole
        self._log = log
        self._work = Work(self._source, limits.range_bytes)
        self._patience = Patience(limits)
        self._received: list[int] = []  # by connection, so that none waits for another
        self._whole_files = 0
        self._failure: BaseException | None = None

    @property
    def received_bytes(self) -> int:
        """Return what came over the network so far."""
        return sum(self._received)

    def run(self) -> None:
        """Fetch everything. Raises StartError, OSError, or what `check` raises; then nothing is written any more."""
        connections = self._start()
        try:
            self._watch([wire for _, wire in connections])
        finally:
            self._patience.stop()
            self._work.stop()
            for _, wire in connections:
                wire.cut()
            end_s = now_s() + JOIN_S
            for thread, _ in connections:
                thread.join(max(0.0, end_s - now_s()))  # one that hangs in the volume must not hold the report up
            if not any(thread.is_alive() for thread, _ in connections):
                for file in self._source:
                    file.close()
        if self._failure is not None:
            raise self._failure

    # --- the watching thread -------------------------------------------------------------------------------------
    def _start(self) -> list[tuple[threading.Thread, Wire]]:
        large = min(self._limits.connections, self._work.count_large() + self._work.count_small())
        small = min(SMALL_CONNECTIONS, max(0, self._work.count_small() - large))
        self._received = [0] * (large + small)
        found = []
        for number in range(large + small):
            wire = Wire(self._limits.stall_s, self._proxy)
            arguments = (number, wire, number >= large)
            found.append((threading.Thread(target=self._fetch, args=arguments, name="fetch", daemon=True), wire))
        for thread, _ in found:
            thread.start()
        return found

    def _watch(self, wires: Sequence[Wire]) -> None:
        """Wait for the end; hold the limits meanwhile."""
        began_s = moved_s = now_s()
        seen = [(0, began_s)] * len(wires)
        total = 0
        while not self._work.wait(TICK_S):
            now, moved = now_s(), self.received_bytes + sum(file.hashed_bytes for file in self._source)
            moved += self._whole_files * BUFFER_BYTES
            if moved - total >= BUFFER_BYTES or now < self._patience.gate_s:
                total, moved_s = moved, max(now, self._patience.gate_s)
            if now - moved_s > self._limits.quiet_s:
                sentence = f"next to nothing came from the Hub for {self._limits.quiet_s:g} s"
                quiet = HubUnreachable(sentence, fix="check HF_ENDPOINT and the network")
                self._fail(self._patience.last_failure or quiet)
            elif now - began_s > self._limits.total_s:
                self._fail(self._too_late())
            for number, wire in enumerate(wires):
                if self._received[number] != seen[number][0]:
                    seen[number] = (self._received[number], now)
                elif now - seen[number][1] > 2 * self._limits.stall_s:
                    wire.nudge()  # a trickle: bytes, but not one buffer full in all that time
                    seen[number] = (self._received[number], now)

    def _too_late(self) -> WeightsTimeout:
        last = self._patience.last_failure
        return WeightsTimeout(
            f"the weights did not arrive within {self._limits.total_s:g} s ({self.received_bytes / 1e9:.1f} GB came"
            f"{'; last: ' + last.what if last else ''})",
            fix="raise FACTORY_FETCH_S",
        )

    def _fail(self, failure: BaseException) -> None:
        if self._failure is None:
            self._failure = failure
        self._patience.stop()
        self._work.stop()

    # --- a fetching thread ----------------------------------------------------------------------------------------
    def _fetch(self, number: int, wire: Wire, only_small: bool) -> None:
        buffer = memoryview(bytearray(BUFFER_BYTES))
        last: Arriving | None = None
        try:
            while (part := self._work.take(last, only_small=only_small)) is not None:
                last = part.arriving
                last.open()
                self._patience.insist(
                    lambda part=part: self._receive(number, wire, part, buffer),  # type: ignore[misc]
                    lambda part=part: part.position,  # type: ignore[misc]
                )
                if self._patience.is_stopped:
                    return
                self._finish(part)
        except BaseException as error:  # the watching thread raises it
            self._fail(error)
        finally:
            wire.close()

    def _receive(self, number: int, wire: Wire, part: Part, buffer: memoryview) -> None:
        """Fetch what is left of a range into the file. Raises TryAgain; `part.position` says how far it came."""
        if part.position == part.end:
            return
        model, file = self._source[part.arriving].model, part.arriving.file
        response, url = self._asking.range(wire, model, file, part.position, part.end)
        while part.position < part.end and not self._patience.is_stopped:
            count = _read(response, wire, url, buffer[: part.end - part.position])
            self._check()
            part.arriving.write(part.position, buffer[:count])
            part.position += count
            self._received[number] += count
        if not drain(response):
            wire.drop(url)

    def _finish(self, part: Part) -> None:
        """Write a finished range down; when it was the file's last one, say whether the file is right."""
        arriving, source = part.arriving, self._source[part.arriving]
        if part.start < part.end:
            self._check()
            arriving.finish(part.start, part.end)
            source.journal.range(arriving.file.path, part.start, part.end)
        self._work.gave_back(part)
        if not arriving.catch_up():
            return
        if arriving.is_right():
            self._on_whole(source, arriving)
            arriving.close()
            self._whole_files += 1
            self._work.is_whole(arriving)
        else:
            self._fetch_again(source, arriving)

    def _fetch_again(self, source: Source, arriving: Arriving) -> None:
        self._check()
        self._log.tell("refetch", model=source.model.key, path=arriving.file.path)
        source.journal.reset(arriving.file.path)
        arriving.reset()
        if arriving.times_wrong > 1:
            raise WeightsCorrupt(
                f"{arriving.file.path} of {source.model.repo} arrived twice with another content than "
                f"{arriving.file.digest}",
                fix="check what stands between the worker and the Hub (HF_ENDPOINT, a proxy), then start again",
            )
        self._work.again(arriving)


def _read(response: http.client.HTTPResponse, wire: Wire, url: str, buffer: memoryview) -> int:
    """Fill the buffer from the body; less at its end, never nothing. Raises TryAgain."""
    try:
        count = response.readinto(buffer)
        if count == 0:
            raise http.client.IncompleteRead(b"")
    except (OSError, http.client.HTTPException) as error:
        wire.drop(url)
        raise TryAgain(unreachable(error, url, wire)) from error
    return count
