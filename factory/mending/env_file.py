"""One variable of an environment file (`.env`) gets a new value; every other byte stays as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from factory.errors import SettingsError


def with_value(content: bytes, key: str, value: str) -> bytes | None:
    """Return the file with the key's value replaced, in the quotes that it had; None when no line sets the key.

    A line may begin with `export` and end in a comment. Where several lines set the key, all of them get the value.
    """
    line = re.compile(
        rb"^(?P<head>[ \t]*(?:export[ \t]+)?" + re.escape(key.encode()) + rb"[ \t]*=[ \t]*)"
        rb"(?:(?P<quote>[\"'])[^\"'\r\n]*(?P=quote)|[^\"'#\s][^\r\n]*?|)(?P<tail>(?:[ \t]+#[^\r\n]*)?[ \t]*)(?=\r?$)",
        re.MULTILINE,
    )

    def put(found: re.Match[bytes]) -> bytes:
        quote = found["quote"] or b""
        return found["head"] + quote + value.encode() + quote + found["tail"]

    changed, count = line.subn(put, content)
    return changed if count else None


def check(path: Path, key: str) -> None:
    """Make sure, before anything is changed, that the key can be rewritten later. Raises SettingsError."""
    _changed(path, key, "")
    if not os.access(path.resolve().parent, os.W_OK):
        raise SettingsError("its folder can't be written to", where=str(path), fix="name another --env-file")


def rewrite(path: Path, key: str, value: str) -> None:
    """Replace the key's value in the file, as a whole: a kill leaves the old file or the new one.

    The file keeps its mode; where it is a link, what it leads to is replaced. Raises SettingsError.
    """
    changed, target = _changed(path, key, value), path.resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(changed)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(target.stat().st_mode & 0o7777)
        partial.replace(target)
    except OSError as error:
        raise SettingsError(
            f"can't be written ({error.strerror})", where=str(path), fix="mend that, and run it again"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _changed(path: Path, key: str, value: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"can't be read ({error.strerror})", where=str(path), fix="name another --env-file"
        ) from None
    changed = with_value(content, key, value)
    if changed is None:
        raise SettingsError(f"no line sets {key}", where=str(path), fix=f"add `{key}=`, or name another --key")
    return changed
