"""The weights, as loaded, don't fit the memory of the endpoint's GPUs: `CUDA out of memory` while loading.

Cause: a pool's smallest card holds less than the weights take at their load dtype (0.92 of the nominal memory is
usable, as vLLM's and accelerate's planners count it, read 2026-11-23).
Command: an edit of `gpu.pools` to pools that hold them, then `factory provision RECIPE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from factory.diagnosis import fitting, mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding
from factory.recipe.model import Gpu
from factory.records import PoolFit

RULE = "vram_too_small"


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find pools of the endpoint that can't hold the weights; models that aren't all known say nothing."""
    models = [state.files for state in evidence.models if state.files]
    gpu = evidence.recipe.recipe.gpu if evidence.recipe else None
    if evidence.endpoint is None or gpu is None or not models or len(models) < len(evidence.models):
        return
    spec = evidence.endpoint.spec
    fits = fitting.fits(evidence, gpu.model_copy(update={"count": spec.gpu_count}))
    own = [fits[pool] for pool in spec.pools if pool in fits]
    small = [fit for fit in own if fit.verdict == "error"]
    if not small:
        return
    is_all = len(small) == len(own)
    better = fitting.best(evidence, fits)
    is_guess = all(model.parameters_source == "file sizes" for model in models)
    yield Finding(
        RULE,
        "error" if is_all else "warning",
        "; ".join(fit.sentence for fit in small),
        "loading the weights runs out of GPU memory" + ("" if is_all else " on a worker that gets such a card"),
        mends.by_recipe(
            evidence,
            "provision",
            "",
            edit=_edit(evidence, gpu, better, fits),
        ),
        "likely" if is_guess or not is_all else "certain",
        {"pools": [fit.pool for fit in small], "better": better},
    )


def _edit(evidence: Evidence, gpu: Gpu, better: list[str], fits: Mapping[str, PoolFit]) -> str:
    """A recipe with pools of its own must say others; one that says memory gets them from `factory provision`."""
    if not better:
        return mends.edit(evidence, "gpu.offload", "true")
    if not gpu.pools or all(fits[pool].verdict != "error" for pool in gpu.pools if pool in fits):
        return ""
    return mends.edit(evidence, "gpu.pools", f"[{', '.join(better)}]")
