"""unknown_pools, cuda_floor, vram_too_small: what RunPod takes and never schedules, or schedules where it can't do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from evidences import IMAGE, account, evidence, log, model_state, told

from factory.diagnosis import cuda_floor, unknown_pools, vram_too_small
from factory.diagnosis.evidence import Evidence
from factory.provisioning.observed import ImageState

PROVISION = "factory provision recipes/demo.yaml"


def pools(*names: str, said: tuple[str, ...] = ("AMPERE_24",), **more: Any) -> Evidence:
    """Return the evidence of an endpoint on these pools, of a recipe that says others."""
    return evidence({"gpu": {"pools": list(said)}}, spec={"pools": names}, **more)


NAME = ("NVIDIA GeForce RTX 4090",)
UNKNOWN = [
    ("known", evidence(), []),
    ("a GPU's name, by the recipe", pools(*NAME, said=NAME), [("error", "certain", PROVISION, "gpu.pools: [ADA_24]")]),
    ("a GPU's name, by other hands", pools(*NAME), [("error", "certain", PROVISION, "")]),
    ("misspelt", pools("AMPERE_42", said=("AMPERE_42",)), [("error", "certain", PROVISION, "gpu.pools: [AMPERE_48]")]),
    (
        "nothing like any",
        pools("fast", said=("fast",)),
        [("error", "certain", PROVISION, "gpu.pools: [AMPERE_16, AMPERE_24, ADA_24]")],
    ),
    (
        "one of two",
        pools("AMPERE_24", "H100", said=("AMPERE_24", "H100")),
        [("warning", "certain", PROVISION, "gpu.pools: [AMPERE_24]")],
    ),
    ("the catalogue is empty", replace(pools(*NAME), account=account(evidence(), gpus=())), []),
    ("a CPU endpoint", evidence(spec={"pools": (), "cpus": ("cpu3c-2-4",)}), []),
    (
        "no recipe",
        pools(*NAME, recipe=None),
        [("error", "certain", "give the endpoint ADA_24 in RunPod's console", "")],
    ),
]


def cuda(floor: str | None, image: str | None = None, *, said: str | None = None, **more: Any) -> Evidence:
    """Return the evidence of an endpoint with a CUDA floor, whose image needs so much and whose recipe says so much."""
    gpu = {"pools": ["AMPERE_24"], **({"min_cuda": said} if said else {})}
    found = evidence({"gpu": gpu}, spec={"min_cuda": floor}, **more)
    return replace(found, image=ImageState(IMAGE, cuda=image))


REFUSED = {"w-1": log("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.6", source="system")}
HIGHEST = evidence().account.pools["AMPERE_24"].cuda_versions[-1]
LOWEST = evidence().account.pools["AMPERE_24"].cuda_versions[0]
CUDA = [
    ("no floor, nothing needed", cuda(None), []),
    ("as the image needs", cuda("12.6", "12.6"), []),
    (
        "above every host, by the recipe",
        cuda("19.0", said="19.0"),
        [("error", "certain", PROVISION, f'gpu.min_cuda: "{HIGHEST}"')],
    ),
    ("above every host, by other hands", cuda("19.0", "12.4"), [("error", "certain", PROVISION, "")]),
    (
        "above every host, by the image",
        cuda("19.0", "19.0"),
        [("error", "certain", "factory release recipes/demo.yaml", f'gpu.min_cuda: "{HIGHEST}"')],
    ),
    ("below the image", cuda(LOWEST, HIGHEST), [("warning", "likely", PROVISION, "")]),
    (
        "none, and the image needs more than RunPod's default",
        cuda(None, HIGHEST),
        [("warning", "likely", PROVISION, "")],
    ),
    ("none, and the default does", cuda(None, "11.8"), []),
    ("a worker was refused", cuda(None, logs=REFUSED), [("error", "certain", PROVISION, 'gpu.min_cuda: "12.6"')]),
    ("a worker was refused before the floor was set", cuda("12.6", logs=REFUSED), []),
    (
        "RunPod doesn't say its hosts' CUDA",
        replace(
            cuda("19.0"),
            account=account(evidence(), gpus=tuple(replace(g, cuda_versions=()) for g in evidence().account.gpus)),
        ),
        [],
    ),
]


def vram(weights_gb: float, *names: str) -> Evidence:
    """Return the evidence of weights on these pools, of a recipe that would have chosen a large one."""
    found = evidence({"gpu": {"pools": ["BLACKWELL_180"]}}, spec={"pools": names})
    return replace(found, models=(model_state(weights_gb),))


VRAM = [
    ("fits", vram(10, "AMPERE_24"), []),
    ("tight, which is no error", vram(19, "AMPERE_24"), []),
    ("too large", vram(60, "AMPERE_24"), [("error", "likely", PROVISION, "")]),
    ("too large for one of two", vram(40, "AMPERE_24", "AMPERE_80"), [("warning", "likely", PROVISION, "")]),
    ("a model isn't known", replace(vram(60, "AMPERE_24"), models=(model_state(60), model_state(files=None))), []),
    ("several GPUs", evidence(spec={"pools": ("AMPERE_24",), "gpu_count": 4}, models=(model_state(60),)), []),
    (
        "by the recipe",
        evidence(models=(model_state(60),)),
        [("error", "likely", PROVISION, "gpu.pools: [AMPERE_80, BLACKWELL_96, ADA_80_PRO]")],
    ),
    ("too large for any", evidence(models=(model_state(900),)), [("error", "likely", PROVISION, "gpu.offload: true")]),
    ("no recipe", evidence(models=(model_state(60),), recipe=None), []),
]
RULES = [(unknown_pools, UNKNOWN), (cuda_floor, CUDA), (vram_too_small, VRAM)]


@pytest.mark.parametrize(
    ("rule", "found", "expected"),
    [
        pytest.param(rule, *case[1:], id=f"{rule.__name__.rpartition('.')[2]}: {case[0]}")
        for rule, cases in RULES
        for case in cases
    ],
)
def test_gpus_that_are_never_there_or_never_do(
    rule: Any, found: Evidence, expected: list[tuple[str, str, str, str]]
) -> None:
    """Each rule finds its own case, edits the recipe only where the recipe says the wrong thing, and no neighbour."""
    assert told(rule.find(found)) == expected
