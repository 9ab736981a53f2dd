"""Media in a job's input: base64, a data URL, or an http(s) URL.

A handler takes `media` in its `__init__` and calls it with text from the job's input:

    self._media.read(text, "audio")           bytes
    self._media.file(text, "image")           a path in the job's folder
    self._media.files([text, …], "image")     paths in that order, downloaded side by side

The kinds named are checked by the file's first bytes; with none, anything goes. docs/worker-io.md has the rules.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

from worker_runtime.addresses import Resolver, system_resolver
from worker_runtime.deadline import Deadline, InputStopped
from worker_runtime.errors import InputRefused, InputUnreadable
from worker_runtime.input_rules import InputRules
from worker_runtime.job_folder import JobFolder
from worker_runtime.media_gate import MediaGate
from worker_runtime.media_types import Kind

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


class _Buffer:
    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, chunk: bytes, /) -> None:
        self.content += chunk


class MediaReader:
    """Reads media inputs by the rules. `resolve` and `trust` are the system's own unless given."""

    def __init__(
        self, rules: InputRules, *, resolve: Resolver = system_resolver, trust: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules
        self._resolve = resolve
        self._trust = trust

    def read(self, media: str, *kinds: Kind) -> bytes:
        """Return the bytes behind `media`. Raises InputUnreadable and InputRefused."""
        buffer = _Buffer()
        folder = JobFolder.find()
        gate = MediaGate(buffer, kinds, self._rules, folder.count_input if folder else lambda _: 0)
        self._bring(media, gate, Deadline(self._rules.total_s))
        return bytes(buffer.content)

    def file(self, media: str, *kinds: Kind) -> Path:
        """Write what is behind `media` into the job's folder. Raises InputUnreadable and InputRefused."""
        return self.files([media], *kinds)[0]

    def files(self, media: Sequence[str], *kinds: Kind) -> list[Path]:
        """Write each into the job's folder, several at a time. The first that fails stops the others and is raised.

        They are named input-001.png and so on, with the suffix of what they are, else that of the URL. Raises
        InputUnreadable, InputRefused, and RuntimeError outside a job.
        """
        folder, deadline = JobFolder.current(), Deadline(self._rules.total_s)

        def bring(text: str) -> Path:
            try:
                return self._into(folder, text, kinds, deadline)
            except BaseException:
                deadline.stop()
                raise

        with ThreadPoolExecutor(self._rules.connections, thread_name_prefix="input") as pool:
            results = [pool.submit(bring, text) for text in media]
        failures = [failure for result in results if (failure := result.exception())]
        if failures:
            raise min(failures, key=lambda failure: isinstance(failure, InputStopped))
        return [result.result() for result in results]

    def _into(self, folder: JobFolder, media: str, kinds: Sequence[Kind], deadline: Deadline) -> Path:
        place = folder.next_input()
        with place.open("xb") as file:
            gate = MediaGate(file, kinds, self._rules, folder.count_input)
            url_path = self._bring(media, gate, deadline)
        suffix = PurePosixPath(url_path.partition("?")[0]).suffix
        if gate.type is not None:
            suffix = gate.type.suffix
        return place.rename(place.with_suffix(suffix if _SUFFIX.fullmatch(suffix) else ".bin"))

    def _bring(self, media: str, gate: MediaGate, deadline: Deadline) -> str:
        """Send what `media` stands for through the gate. Return the path of its URL, if it has one."""
        media = media.strip()
        scheme = _SCHEME.match(media)
        path = ""
        match scheme[1].lower() if scheme else None:
            case "http" | "https":
                path = self._download(media, gate, deadline)
            case "data":
                _decode_data_url(media, gate)
            case None:
                _decode(media, gate)
            case other:
                raise InputRefused(f"{other}: is not fetched", fix="send an https URL, a data URL or base64")
        gate.finish()
        return path

    def _download(self, url: str, gate: MediaGate, deadline: Deadline) -> str:
        from worker_runtime.download import download  # its HTTP library takes 0.1 s, and many a worker never needs it

        return download(
            url, gate.announce, rules=self._rules, deadline=deadline, resolve=self._resolve, trust=self._trust
        ).path_and_query


def _decode_data_url(url: str, gate: MediaGate) -> None:
    header, comma, payload = url.partition(",")
    if not comma:
        raise InputUnreadable("the data URL has no comma", fix="write data:TYPE;base64,…")
    if header.lower().rstrip().endswith(";base64"):
        return _decode(payload, gate)
    return gate.announce(None)(unquote_to_bytes(payload))


def _decode(payload: str, gate: MediaGate) -> None:
    take = gate.announce(len(payload) * 3 // 4 - 2)  # at least; what is far too large isn't decoded at all
    try:
        content = base64.b64decode("".join(payload.split()), validate=True)
    except ValueError as error:  # binascii.Error, or text that isn't ASCII
        raise InputUnreadable(f"neither a URL nor base64 ({error})", fix="send base64 or an https URL") from error
    take(content)
