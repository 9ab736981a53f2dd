"""Where an image comes from: an in-toto statement of SLSA's provenance (slsa.dev/spec/v1.0, read 2026-11-25)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.attesting.token_shapes import RULES
from factory.records import Context, ModelFiles

PROVENANCE_TYPE = "application/vnd.in-toto+json"
_BUILD_TYPE = "https://github.com/factory/docs/supply-chain.md#build-v1"


@dataclass(frozen=True, slots=True)
class Making:
    """How an image was made: the recipe's and its lock's sha256 (hex), the builder's version, and the lane."""

    recipe_sha256: str
    lock_sha256: str | None
    version: str
    lane: str
    source_revision: str | None


def provenance(digest: str, repository: str, context: Context, models: Sequence[ModelFiles], making: Making) -> bytes:
    """Return the statement about an image by digest, as JSON; the same for the same input, so no date is in it."""
    base = context.base.digest or context.base.reference.partition("@")[2]
    materials: list[dict[str, Any]] = [{"uri": f"docker://{context.base.reference}"}]
    materials[0] |= {"digest": {"sha256": base.removeprefix("sha256:")}} if base else {}
    materials += [
        {"uri": f"https://huggingface.co/{model.repo}", "digest": {"gitCommit": model.commit}} for model in models
    ]
    if making.source_revision:
        materials.append({"uri": "git+source", "digest": {"gitCommit": making.source_revision}})
    external = {"recipe": context.recipe, "recipeSha256": making.recipe_sha256, "contextSha256": context.digest}
    external |= {"lockSha256": making.lock_sha256} if making.lock_sha256 else {}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": repository, "digest": {"sha256": digest.removeprefix("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": external,
                "internalParameters": {"lane": making.lane, "leakScanRules": RULES},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": "factory", "version": {"factory": making.version}},
                "metadata": {"invocationId": context.tag},
            },
        },
    }
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_provenance(content: bytes) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
    """Return the subject's digest, the external and the internal parameters. Raises ValueError when it is none."""
    try:
        value = json.loads(content)
        definition = value["predicate"]["buildDefinition"]
        subject = value["subject"][0]["digest"]["sha256"]
        return f"sha256:{subject}", definition["externalParameters"], definition["internalParameters"]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError("no provenance") from error
