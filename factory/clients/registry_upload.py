"""One blob on its way to a registry: its bytes as a body that can begin again, and how long we go on trying.

distribution-spec v1.1, "Pushing a blob in chunks": `POST …/blobs/uploads/` → `Location`; one streamed `PATCH`, as
Docker sends it; `PUT …?digest=`. A PATCH that was cut voids the whole upload (docker-registry 2.8.2, measured
2026-11-23), so nothing is resumed within a blob.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import httpx
import stamina

from factory.clients.retries import CONNECT_PATIENCE_S, retry_after_s
from factory.records import Progress, Tell

PIECE_BYTES = 1 << 19
ATTEMPTS = 8


@dataclass
class Upload:
    """An upload that a registry has begun, and where it goes on: each answer says it anew."""

    url: httpx.URL


class Body(httpx.SyncByteStream):
    """A blob's bytes, begun anew at each sending (a 401 or a redirect makes httpx send twice), hashed as they go.

    `on_sent` hears the bytes that a socket has taken. What `content` raises (Ctrl-C too) is kept in `broke`, and the
    body ends there in good order: the registry then says where the upload stands, which it must know to drop it.
    """

    def __init__(self, content: Callable[[], Iterator[bytes]], on_sent: Callable[[int], None]) -> None:
        self._content = content
        self._on_sent = on_sent
        self.broke: BaseException | None = None
        self.size_bytes = 0
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of what was sent last."""
        return f"sha256:{self._hash.hexdigest()}"

    def __iter__(self) -> Iterator[bytes]:
        self.size_bytes, self._hash = 0, hashlib.sha256()
        try:
            for piece in in_pieces(self._content()):
                self._hash.update(piece)
                self.size_bytes += len(piece)
                yield piece
                self._on_sent(len(piece))
        except GeneratorExit:
            raise
        except BaseException as error:  # the network's own faults don't come up here: they end the generator
            self.broke = error


def in_pieces(content: Iterable[bytes], piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield the same bytes in pieces of at least `piece_bytes`, but for the last: small ones cost a chunk each."""
    gathered = bytearray()
    for part in content:
        if not gathered and len(part) >= piece_bytes:
            yield part
            continue
        gathered += part
        if len(gathered) >= piece_bytes:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


class Patience:
    """How long one blob is tried: ATTEMPTS times, and while something moves.

    An upload that is slow but moving is no silence: `moved` begins the time anew. No connection at all is waited for
    CONNECT_PATIENCE_S when the registry has never answered: somebody waits for the sentence.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._moved_at_s = time.monotonic()
        self._has_answered = False

    def moved(self) -> None:
        """Bytes were taken, or an answer came."""
        self._moved_at_s = time.monotonic()
        self._has_answered = True

    def run(self, attempt: Callable[[], None], on_again: Callable[[str], None]) -> None:
        """Call until it succeeds. Raises the last httpx.TransportError or httpx.HTTPStatusError; others at once."""

        def is_worth_a_retry(error: Exception) -> bool | float:
            again = self._is_worth(error)
            if again is not False:
                on_again(_why(error))
            return again

        caller = stamina.RetryingCaller(attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_jitter=0.2)
        caller(is_worth_a_retry, attempt)

    def _is_worth(self, error: Exception) -> bool | float:
        silent_s = time.monotonic() - self._moved_at_s
        if isinstance(error, httpx.HTTPStatusError):
            self.moved()
            wait_s = retry_after_s(error.response)
            return True if wait_s is None else wait_s if wait_s < self._patience_s else False
        if isinstance(error, httpx.ConnectError) and not self._has_answered:
            return silent_s < min(CONNECT_PATIENCE_S, self._patience_s)
        return isinstance(error, httpx.TransportError) and silent_s < self._patience_s


def _why(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return f"{type(error).__name__}: {error}"


class Teller:
    """Tells how far one blob is; what the registry lost is told too."""

    def __init__(self, tell: Tell, key: str) -> None:
        self._tell, self._key = tell, key

    def bytes(self, current: int) -> None:
        """So many bytes are there."""
        self._tell(Progress("bytes", self._key, "sending", "running", current))

    def again(self, why: str) -> None:
        """It begins again."""
        self._tell(Progress("log", self._key, f"again from its beginning ({why})"))

    def done(self, size_bytes: int) -> None:
        """It has arrived whole."""
        self._tell(Progress("bytes", self._key, "sent", "done", size_bytes, size_bytes))
