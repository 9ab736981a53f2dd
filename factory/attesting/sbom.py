"""An image's bill of materials, as CycloneDX 1.6 (cyclonedx.org/specification, read 2026-11-25).

The same components and models give the same bytes: no date, and a serial number derived from the content. Only
`components.py` needs the CycloneDX library, once for each environment: here JSON is put together.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from factory.attesting.licences import SPDX_IDS
from factory.records import ModelFile, ModelFiles

SBOM_TYPE = "application/vnd.cyclonedx+json"
Components = Sequence[dict[str, Any]]  # of CycloneDX, as `components.py` makes them
_NAMESPACE = uuid.UUID("8f1f6f0e-0b0a-5b83-9a55-2d9b0f6a6d0e")  # of our serial numbers, RFC 9562 version 5


def sbom(recipe: str, components: Components, models: Sequence[ModelFiles]) -> bytes:
    """Return the SBOM of a recipe's image, as JSON.

    The graph has the recipe alone: what the packages depend on is not known, and an empty entry would say "nothing".
    """
    parts = sorted([*components, *map(_model, models)], key=lambda part: str(part["bom-ref"]))
    root = f"recipe:{recipe}"
    value: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"bom-ref": root, "name": recipe, "type": "container"}},
        "components": parts,
        "dependencies": [{"ref": root, "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    value["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, canonical(value).decode())}"
    return canonical(value)


def canonical(value: object) -> bytes:
    """Return a value as JSON, the same bytes each time."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


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


def _model(model: ModelFiles) -> dict[str, Any]:
    address = f"https://huggingface.co/{quote(model.repo)}/tree/{model.commit}"
    part: dict[str, Any] = {
        "bom-ref": f"model:{model.key}",
        "type": "machine-learning-model",
        "name": model.repo,
        "version": model.commit,
        "purl": f"pkg:huggingface/{quote(model.repo)}@{model.commit}",  # package-url, `huggingface`: case is kept
        "externalReferences": [{"type": "distribution", "url": address}],
        "components": [_file(file, model.key) for file in sorted(model.files, key=lambda file: file.path)],
    }
    if model.licence:
        known = SPDX_IDS.get(model.licence.lower())
        part["licenses"] = [{"license": {"id": known} if known else {"name": model.licence}}]
    return part


def _file(file: ModelFile, key: str) -> dict[str, Any]:
    kind, _, value = file.digest.partition(":")  # a git-sha1 is of the blob with git's header: no hash of the file
    said = {"digest": file.digest, "size": str(file.size_bytes)}
    part: dict[str, Any] = {
        "bom-ref": f"model:{key}/{file.path}",
        "type": "file",
        "name": file.path,
        "properties": [{"name": name, "value": text} for name, text in said.items()],
    }
    return {**part, "hashes": [{"alg": "SHA-256", "content": value}]} if kind == "sha256" else part
