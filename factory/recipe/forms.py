"""Texts that have a form: one type per form. What is said of a text that has it not stands in words.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints


def _path(part: str) -> str:
    return rf"{part}(?:/{part})*"


# One folder's name, never `.`, `..` or hidden; the Hub's own limit of 96 characters a part (huggingface_hub 2.4.0).
_FOLDER = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
# The Distribution API's grammar: a registry's host (known by a dot or port) where there is one, then lower-case parts.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:localhost|{_LABEL}(?:\.{_LABEL})+|{_LABEL}:[0-9]+)(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{1,46}[a-z0-9])$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Folder = Annotated[str, StringConstraints(pattern=rf"^{_FOLDER}$")]
Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n]*[^\r\n\s][^\r\n]*$")]
LineOrNothing = Annotated[str, StringConstraints(pattern=r"^[^\r\n]*$")]
HubRepository = Annotated[str, StringConstraints(pattern=rf"^{_FOLDER}/{_FOLDER}$")]
GitUrl = Annotated[
    str, StringConstraints(pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9_~+-][A-Za-z0-9._~+-]*)+/?$")
]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
ImageRepository = Annotated[str, StringConstraints(pattern=rf"^(?:{_HOST}/)?{_path(_PART)}$")]
ImageReference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]
PythonVersion = Annotated[str, StringConstraints(pattern=r"^3\.\d{1,2}$")]
CudaVersion = Annotated[str, StringConstraints(pattern=r"^\d{2}\.\d$")]
DebianPackage = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?$")]
