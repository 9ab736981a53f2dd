"""What is installed in an image, as it says itself: Python's distributions and Debian's packages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from factory.attesting.sbom import Components, canonical
from factory.errors import BuildError, RegistryFailed
from factory.ports import Engine, ImageStore, Registry
from factory.records import BuildOptions, Layer

COMPONENTS_TYPE = "application/vnd.factory.components+json"  # of CycloneDX 1.6, ready for an SBOM

# Run by the image's own Python. dpkg's database is read as it lies there (deb822 paragraphs, dpkg 1.21, 2026-11-25).
_ASK = r"""
import importlib.metadata as m, json, re
found = []
for d in m.distributions():
    x = d.metadata
    if x and x["Name"]:
        licence = x.get("License-Expression") or x.get("License") or ""
        found.append(["pypi", x["Name"], d.version, licence if len(licence) < 100 and "\n" not in licence else "", ""])
try:
    text = open("/var/lib/dpkg/status", errors="replace").read()
except OSError:
    text = ""
for part in text.split("\n\n"):
    f = dict(re.findall(r"^(Package|Version|Architecture|Status): (.*)$", part, re.M))
    if f.get("Status", "").endswith(" installed"):
        found.append(["deb", f["Package"], f["Version"], "", f["Architecture"]])
try:
    system = dict(re.findall(r"^(ID)=\"?([\w.-]+)", open("/etc/os-release").read(), re.M)).get("ID", "debian")
except OSError:
    system = "debian"
print("\npackages:" + json.dumps([system, sorted(map(list, set(map(tuple, found))))]))
"""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package; `kind` is the purl's type, `namespace` a Debian package's distribution."""

    kind: Literal["pypi", "deb"]
    name: str
    version: str
    licence: str = ""
    architecture: str = ""
    namespace: str = ""


def installed(reference: str, engine: Engine, options: BuildOptions) -> tuple[Package, ...]:
    """Ask an image of the engine what is installed in it. Raises BuildError when it can't say."""
    code, output = engine.run_once(reference, ["python", "-c", _ASK], environment={}, options=options)
    said = next((line for line in reversed(output.splitlines()) if line.startswith("packages:")), "")
    if code != 0 or not said:
        what = f"the image does not say what is installed in it (exit status {code})"
        raise BuildError(what, where=reference, fix="has it a `python`?")
    system, rows = json.loads(said.removeprefix("packages:"))
    return tuple(
        sorted(
            Package(kind, name, version, licence, architecture, system if kind == "deb" else "")
            for kind, name, version, licence, architecture in rows
        )
    )


def store_components(components: Components, repository: str, subject: Layer, store: ImageStore) -> None:
    """Leave the list at an environment, for the lane that never sees its files."""
    store.attach(repository, subject, COMPONENTS_TYPE, canonical(list(components)), COMPONENTS_TYPE)


def stored_components(repository: str, digest: str, store: ImageStore, registry: Registry) -> Components | None:
    """Return the list that was left at an environment; None when there is none. Raises RegistryFailed for a bad one."""
    for referrer in store.referrers(repository, digest):
        if referrer.artifact_type == COMPONENTS_TYPE:
            content = registry.read(repository, referrer.blob.digest, 0, referrer.blob.size_bytes)
            try:
                return _read(content)
            except ValueError as error:
                raise RegistryFailed("the list of packages is none", where=f"{repository}@{digest}") from error
    return None


def _read(content: bytes) -> Components:
    """Read a list of components. Raises ValueError when it is none."""
    rows = json.loads(content)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "bom-ref" in row for row in rows):
        raise ValueError("no components")
    return rows
