"""Evidence by hand for tests of the diagnosis' rules: a healthy endpoint, and what a test changes of it.

evidence()                                   # healthy: no rule finds anything
evidence(spec={"env": {"A": "1"}})           # the endpoint's fields
evidence({"gpu": {"pools": ["ADA_24"]}})     # blocks of the recipe
evidence(recipe=None)                        # an endpoint that is known by its name alone
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from fake_cloud import FakeCloud

from factory.account import CloudWorker, Endpoint, EndpointSpec, Health, LogLine, Template, TemplateSpec, Volume
from factory.diagnosis.evidence import Evidence, ModelState, Sample
from factory.diagnosis.finding import Finding
from factory.provisioning import choices
from factory.provisioning.observed import ImageState, Observed
from factory.recipe.load import RecipeFile, loads
from factory.recipe.model import Recipe
from factory.records import GB, ImageSize, ModelFile, ModelFiles
from factory.stages.provision import observe
from factory.stages.size import size

DIGEST, OTHER_DIGEST = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGE = f"acme/demo@{DIGEST}"
PATH = Path("recipes/demo.yaml")
BLOCKS: Mapping[str, Any] = {
    "name": "demo",
    "models": [{"repo": "org/model", "revision": "c" * 40, "placement": "volume"}],
    "image": {"repository": "acme/demo"},
    "handler": {"name": "echo"},
    "gpu": {"pools": ["AMPERE_24"]},
}
HOLDS = Volume("vol-1", "demo", "EU-RO-1", 40)


def recipe_file(blocks: Mapping[str, Any] | None = None) -> RecipeFile:
    """Return the plain recipe with these blocks in it (None: without), as it would be read from `recipes/demo.yaml`."""
    wanted = {key: block for key, block in {**BLOCKS, **(blocks or {})}.items() if block is not None}
    return loads(yaml.safe_dump(wanted), PATH)


def model_state(weights_gb: float = 10, **changes: Any) -> ModelState:
    """Return a model of one safetensors file, readable at its commit."""
    file = ModelFile("model.safetensors", round(weights_gb * GB), "sha256:" + "1" * 64)
    files = ModelFiles("org/model", "model", "c" * 40, "c" * 40, (file,), "volume", round(weights_gb * GB))
    return replace(ModelState("org/model", "c" * 40, files), **changes)


def evidence(
    blocks: Mapping[str, Any] | None = None,
    *,
    spec: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    image: ImageState | None = None,
    **changes: Any,
) -> Evidence:
    """Return a healthy endpoint's evidence with these changes; `image` replaces what its registry says."""
    file = recipe_file(blocks)
    image = image or ImageState(IMAGE, is_public=True, size=ImageSize(2 * GB, 4 * GB, is_exact=True))
    endpoint = Endpoint(
        "ep-1",
        EndpointSpec(
            **{
                "name": "demo",
                "image": image.reference,
                "container_disk_gb": 25,
                "pools": ("AMPERE_24",),
                "data_centers": ("EU-RO-1",),
                "volume_ids": (HOLDS.id,),
                **(spec or {}),
            }
        ),
        is_queue=True,
        version=3,
        extra=extra or {},
    )
    at = endpoint.spec
    template = Template(
        "t-1", TemplateSpec("demo", at.image, at.container_disk_gb, at.env, at.login_id), is_serverless=True
    )
    observed = replace(observe(FakeCloud()), volumes=(HOLDS,), templates=(template,), endpoints=(endpoint,))
    models = (model_state(),) if file.recipe.models else ()
    idle = sample(("w-1", "IDLE"))
    found = Evidence(
        name="demo",
        account=observed,
        recipe=file,
        endpoint=endpoint,
        template=template,
        volumes=(HOLDS,) if endpoint.spec.volume_ids else (),
        samples=(idle, replace(idle, at_s=1.0)),
        job_api_status=200,
        image=image,
        expected=image,
        models=models,
        disks=size(
            choices.sizable(file.recipe, choices.catalogue(observed)),
            [state.files for state in models if state.files],
            image=image.size,
            pools=choices.sizing_table(choices.catalogue(observed)),
        )
        if _is_sizable(file.recipe)
        else None,
    )
    return replace(found, **changes)


def account(found: Evidence, **changes: Any) -> Observed:
    """Return the evidence's account with these changes."""
    return replace(found.account, **changes)


def sample(*workers: tuple[str, str], queued: int = 0, at_s: float = 0.0, **more: Any) -> Sample:
    """Return one look: (id, status) of workers, and how many jobs wait; `more` is for every worker."""
    found = tuple(
        CloudWorker(id=id_, status=status, is_stale=more.get("is_stale", False), version=more.get("version", 3))  # type: ignore[arg-type]
        for id_, status in workers
    )
    counts = {status.lower(): sum(w.status == status for w in found) for status in ("IDLE", "RUNNING", "INITIALIZING")}
    return Sample(at_s, Health({"inQueue": queued, "inProgress": 0, "completed": 0, "failed": 0}, counts), found)


def log(*lines: str, source: str = "container") -> tuple[LogLine, ...]:
    """Return lines of a worker's log, a second apart."""
    return tuple(LogLine(f"2026-11-25T03:00:{i:02}Z", source, line) for i, line in enumerate(lines))  # type: ignore[arg-type]


def _is_sizable(recipe: Recipe) -> bool:
    """Would sizing raise because a size is given? Then the gatherer has no disks, as here."""
    return recipe.disk.container == "auto" and recipe.disk.volume == "auto"


def told(findings: Iterable[Finding]) -> list[tuple[str, str, str, str]]:
    """Return what a table compares: severity, sureness, the command, and the edit before it."""
    return [(f.severity, f.sureness, f.mend.command, f.mend.edit) for f in findings]
