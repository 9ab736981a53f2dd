"""Bringing what has arrived to the disk, beside the transfer: a sealed file needn't be read again after a kill."""

from __future__ import annotations

import os
import queue
import threading

from worker_runtime.weights.arriving import Arriving
from worker_runtime.weights.journal import Journal


class Sealer:
    """A thread that fsyncs right files, each with a line in its journal. `add` takes no time."""

    def __init__(self) -> None:
        self._files: queue.SimpleQueue[tuple[int, Arriving, Journal] | None] = queue.SimpleQueue()
        self._failure: OSError | None = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="seal", daemon=True)
        self._thread.start()

    def add(self, arriving: Arriving, journal: Journal) -> None:
        """Seal a file whose digest is right. Raises OSError."""
        self._files.put((arriving.duplicate(), arriving, journal))

    def finish(self) -> None:
        """Wait until all is sealed. Raises the first OSError of an fsync: then the content may be lost."""
        self._files.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End, and leave what isn't sealed yet unsealed."""
        self._is_stopped = True
        self._files.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._files.get()) is not None:
            descriptor, arriving, journal = item
            try:
                if self._failure is None and not self._is_stopped:
                    os.fsync(descriptor)
                    journal.sealed(arriving.file.path, arriving.file.digest)
            except OSError as error:
                self._failure = error
            finally:
                os.close(descriptor)
