"""An image's bill of materials, as CycloneDX 1.6 (cyclonedx.org/specification, read 2026-11-25).

The same packages and models give the same bytes: no date, and a serial number derived from the content.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.attesting.packages import Package
from factory.records import ModelFile, ModelFiles

SBOM_TYPE = "application/vnd.cyclonedx+json"
FORMAT = "1"  # raised with every change of what is written here
_NAMESPACE = uuid.UUID("8f1f6f0e-0b0a-5b83-9a55-2d9b0f6a6d0e")  # of our serial numbers, RFC 9562 version 5


def sbom(recipe: str, packages: Sequence[Package], models: Sequence[ModelFiles]) -> bytes:
    """Return the SBOM of a recipe's image, as JSON."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    parts = [_package(each) for each in packages] + [_model(each) for each in models]
    root = Component(name=recipe, type=ComponentType.CONTAINER, bom_ref=f"recipe:{recipe}")
    bom = Bom(components=parts)
    bom.metadata.component = root
    bom.register_dependency(root, parts)
    value: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    value["metadata"].pop("timestamp", None)
    value.pop("serialNumber", None)
    content = json.dumps(value, sort_keys=True, separators=(",", ":"))
    value["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}"
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def kept_sbom(folder: Path, recipe: str, packages: Sequence[Package], models: Sequence[ModelFiles]) -> bytes:
    """Return the same SBOM, made once per content on this machine: making it takes half a second (2026-11-25)."""
    key = hashlib.sha256(repr((FORMAT, recipe, tuple(packages), tuple(models))).encode()).hexdigest()
    path = folder / f"{key}.json"
    if path.is_file():
        return path.read_bytes()
    content = sbom(recipe, packages, models)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}")
    unfinished.write_bytes(content)
    unfinished.replace(path)
    return content


def models_in(content: bytes) -> dict[str, dict[str, str]]:
    """Return the models of an SBOM: `repo@commit` → path → digest. Raises ValueError when it is none."""
    value = json.loads(content)
    if not isinstance(value, dict) or value.get("bomFormat") != "CycloneDX":
        raise ValueError("no CycloneDX")
    found = {}
    for part in value.get("components", ()):
        if part.get("type") == "machine-learning-model":
            files = {
                file["name"]: next((p["value"] for p in file.get("properties", ()) if p["name"] == "digest"), "")
                for file in part.get("components", ())
            }
            found[f"{part['name']}@{part['version']}"] = files
    return found


def recipe_in(content: bytes) -> str:
    """Return the name of the recipe that an SBOM is of."""
    return str(json.loads(content).get("metadata", {}).get("component", {}).get("name", ""))


def _package(package: Package) -> Any:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    qualifiers = {"arch": package.architecture} if package.architecture else None
    purl = PackageURL(package.kind, package.namespace or None, package.name, package.version, qualifiers)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        licenses=_licences(package.licence),
    )


def _model(model: ModelFiles) -> Any:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    owner, _, name = model.repo.rpartition("/")
    address = XsUri(f"https://huggingface.co/{model.repo}/tree/{model.commit}")
    return Component(
        name=model.repo,
        version=model.commit,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        purl=PackageURL("huggingface", owner or None, name, model.commit),
        bom_ref=f"model:{model.key}",
        licenses=_licences(model.licence or ""),
        external_references=[ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=address)],
        components=[_file(file, model.key) for file in model.files],
    )


def _file(file: ModelFile, key: str) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    kind, _, value = file.digest.partition(":")  # a git-sha1 is of the blob with git's header: no hash of the file
    return Component(
        name=file.path,
        type=ComponentType.FILE,
        bom_ref=f"model:{key}/{file.path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=value)] if kind == "sha256" else [],
        properties=[Property(name="digest", value=file.digest), Property(name="size", value=str(file.size_bytes))],
    )


def _licences(text: str) -> list[Any]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(text)] if text else []
