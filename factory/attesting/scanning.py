"""The leak scan of an image: every layer that isn't the base's by itself, so that a file which a later one deletes is
read too, and the config's environment, labels, command and history. Whoever holds a secret is not pushed.

The base's layers are public already, and not ours to change. Weights are proved by the Hub's digest.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from typing import IO, Any

from factory.attesting.leaks import CHUNK_BYTES, Leak, Searcher
from factory.errors import BaseMissing, LeakFound, VerifyError
from factory.layering.history import steps_of
from factory.layering.tar_reading import TAR_BUFFER_BYTES, Chunks
from factory.ports import Engine
from factory.records import Context, Image, Progress, Tell, tell_nobody

JSON_LIMIT_BYTES = 4 << 20
SHOWN_LEAKS = 5
_PACKAGES = ("*/site-packages/", "*/dist-packages/", "usr/lib/", "usr/share/")

# What is known to look like a secret, and is published by its makers for everybody (path, kind, why). Seen in 10 GB of
# Python and Debian packages, 2026-11-25; a value of the machine's own secrets is never let through.
_KNOWN = (
    *((f"{where}*test*", "a private key", "packages ship keys for their own tests") for where in _PACKAGES),
    *((f"{where}*dummyserver*", "a private key", "urllib3's test server") for where in _PACKAGES),
    *((f"{where}*examples/*", "a private key", "examples of a package") for where in _PACKAGES),
    ("*/libgnutls.*", "a private key", "GnuTLS's self-test holds keys"),
    ("etc/ssl/private/ssl-cert-snakeoil.key", "a private key", "ssl-cert makes it for this machine alone"),
    ("*/transformers/testing_utils.py", "a Hugging Face token", "of the Hub's test instance, published with it"),
    ("*/transformers/__pycache__/testing_utils.*", "a Hugging Face token", "the same, compiled"),
)


@dataclass(frozen=True)
class LeakScan:
    """Looks an image through. `home` remembers clean images; `allowed` are globs of paths (`read_allowed`)."""

    searcher: Searcher
    home: Path
    allowed: tuple[str, ...] = field(default=())

    def demand_clean_context(self, context: Context) -> None:
        """Look through what will be copied or said, before a build is paid. Raises LeakFound."""
        leaks = [
            leak
            for file in context.files
            if file.content is not None
            for leak in self.searcher.search(file.path, [file.content], "the build context")
        ]
        for name, value in context.labels.items():
            leaks += self.searcher.search_text("(image labels)", f"{name}={value}", "labels")
        self._demand_none(leaks, context.reference)

    def demand_clean_image(self, image: Image, engine: Engine, tell: Tell = tell_nobody) -> None:
        """Look through an image of the engine, unless it was found clean before. Raises LeakFound.

        An image that a remote builder has pushed by itself is in no engine: a note says that its context was all.
        """
        mark = self.home / "clean-images" / self.searcher.fingerprint / image.id.removeprefix("sha256:")
        if mark.exists():
            return
        try:
            leaks = search_saved(engine.save(image.reference), self.searcher, image.reference, tell)
        except BaseMissing:
            text = "the image is in no engine here, so only its context was searched for secrets"
            tell(Progress("note", "leak scan", text))
            return
        self._demand_none(leaks, image.reference)
        mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.touch()

    def demand_clean_parts(self, tars: Iterable[bytes], config: bytes, reference: str) -> None:
        """Look through what is put on top of an environment. Raises LeakFound."""
        leaks: list[Leak] = []
        for tar in tars:
            leaks += search_layer(io.BytesIO(tar), self.searcher, "a layer of code")
        self._demand_none([*leaks, *search_config(json.loads(config), self.searcher)], reference)

    def _demand_none(self, leaks: Iterable[Leak], reference: str) -> None:
        found = sorted(leak for leak in set(leaks) if not self._is_allowed(leak))
        if not found:
            return
        shown = "; ".join(map(str, found[:SHOWN_LEAKS]))
        rest = f", and {len(found) - SHOWN_LEAKS} more" if len(found) > SHOWN_LEAKS else ""
        raise LeakFound(
            f"nothing was pushed, since the image holds {shown}{rest}",
            where=reference,
            fix="revoke what is real and take it out of the step that brought it (deleting it later leaves it in its "
            "layer); docs/supply-chain.md says how to let a false alarm through",
            details={"leaks": [{"where": x.where, "path": x.path, "at": x.at, "kind": x.kind} for x in found]},
        )

    def _is_allowed(self, leak: Leak) -> bool:
        if leak.is_value:
            return False
        known = any(kind == leak.kind and fnmatch(leak.path, glob) for glob, kind, _ in _KNOWN)
        return known or any(fnmatch(leak.path, glob) for glob in self.allowed)


def read_allowed(recipe: Path) -> tuple[str, ...]:
    """Return the globs of `NAME.leaks-allowed` beside a recipe: `PATH  # why it is no secret`, a line each.

    Raises LeakFound for a line without a reason.
    """
    path = recipe.with_suffix(".leaks-allowed")
    if not path.is_file():
        return ()
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        glob, _, reason = (part.strip() for part in line.partition("#"))
        if glob and not reason:
            raise LeakFound("no reason given", where=f"{path}:{number}", fix="add one: `PATH  # why it is no secret`")
        found += [glob.lstrip("/")] if glob else []
    return tuple(found)


# --- what is searched ------------------------------------------------------------------------------------------------
def search_layer(stream: IO[bytes], searcher: Searcher, where: str) -> Iterator[Leak]:
    """Yield what the files of a layer's tar hold, names and links too; constant memory."""
    with tarfile.open(fileobj=stream, mode="r|*", bufsize=TAR_BUFFER_BYTES) as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
            path = member.name.removeprefix("./")
            if content := tar.extractfile(member) if member.isreg() else None:
                yield from searcher.search(path, _pieces(content), where)


def search_config(config: Mapping[str, Any], searcher: Searcher) -> Iterator[Leak]:
    """Yield what a config's environment, labels, command and history hold."""
    said = config.get("config") or {}
    texts = [("(image environment)", "environment", str(each)) for each in said.get("Env") or ()]
    texts += [("(image labels)", "labels", f"{k}={v}") for k, v in (said.get("Labels") or {}).items()]
    texts += [("(image command)", "command", str(x)) for key in ("Cmd", "Entrypoint") for x in said.get(key) or ()]
    texts += [
        ("(image history)", f"history, step {number}", f"{entry.get('created_by', '')}\n{entry.get('comment', '')}")
        for number, entry in enumerate(config.get("history") or (), 1)
    ]
    for name, where, text in texts:
        yield from searcher.search_text(name, text, where)


def search_saved(chunks: Iterable[bytes], searcher: Searcher, reference: str, tell: Tell) -> list[Leak]:
    """Return what an image of `docker save` holds, its base's layers left out; either form of the stream.

    Raises VerifyError when it is no such tar.
    """
    layers: dict[str, list[Leak]] = {}
    texts: dict[str, bytes] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=io.BufferedReader(Chunks(chunks), CHUNK_BYTES), mode="r|", bufsize=1 << 16) as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]
                if member.issym() or member.islnk():  # equal layers are saved once
                    links[member.name] = member.linkname.removeprefix("../")
                elif content := tar.extractfile(member) if member.isreg() else None:
                    _read_part(content, member, searcher, layers, texts)
                    tell(Progress("bytes", "leak scan", f"searched {member.name[:19]}", current=member.offset))
        named = json.loads(texts["manifest.json"])[0]
        config = json.loads(texts[named["Config"]])
        parts = zip(steps_of(config), named["Layers"], strict=True)
        found = [(step, layers[links.get(path, path)]) for step, path in parts]
    except (tarfile.TarError, KeyError, IndexError, ValueError) as error:
        raise VerifyError(f"the engine's image can't be read ({error!r})", where=reference) from error
    leaks = [
        Leak(step.text[:80], leak.path, leak.at, leak.kind, leak.is_value)
        for step, inside in found
        if step.kind != "base"
        for leak in inside
    ]
    return [*leaks, *search_config(config, searcher)]


def _read_part(
    content: IO[bytes],
    member: tarfile.TarInfo,
    searcher: Searcher,
    layers: dict[str, list[Leak]],
    texts: dict[str, bytes],
) -> None:
    """Keep a part of a saved image: a text that names the others, or what a layer holds."""
    head = content.read(512)
    whole = chain((head,), _pieces(content))
    if head[257:262] == b"ustar" or head[:2] == b"\x1f\x8b" or (len(head) == 512 and not head.strip(b"\0")):
        stream = io.BufferedReader(Chunks(whole), CHUNK_BYTES)
        layers[member.name] = list(search_layer(stream, searcher, member.name))
    elif member.size <= JSON_LIMIT_BYTES:
        texts[member.name] = b"".join(whole)


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(CHUNK_BYTES):
        yield piece
