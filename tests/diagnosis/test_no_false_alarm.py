"""Healthy endpoints, each in a way of its own: no rule says anything."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from evidences import DIGEST, IMAGE, account, evidence, log, model_state, sample

from factory.account import Balance, Login, Rollout
from factory.diagnosis.evidence import Evidence, KnownJob
from factory.diagnosis.rules import diagnose
from factory.provisioning.observed import ImageState
from factory.records import GB, ImageSize

BUSY = sample(("w-1", "RUNNING"), ("w-2", "IDLE"), queued=3)
LOGGED_IN = account(evidence(), logins=(Login("login-1", "factory-ghcr.io"),))
PRIVATE = ImageState(f"ghcr.io/acme/demo@{DIGEST}", is_public=False, size=ImageSize(2 * GB, 4 * GB, is_exact=True))
SECRET = {"HF_TOKEN": "{{ RUNPOD_SECRET_HF_TOKEN }}"}
HEALTHY = {
    "as made": evidence(),
    "scaled to zero": evidence(samples=(sample(), sample(at_s=1))),
    "busy, with a queue": evidence(samples=(BUSY, replace(BUSY, at_s=1))),
    "a first pull": evidence(
        samples=(sample(("w-1", "INITIALIZING"), queued=1),),
        logs={"w-1": log("create container", f"image pull: {IMAGE}: pending", source="system")},
    ),
    "rolled out": evidence(rollout=Rollout(3, 2, 2, is_in_progress=False)),
    "a CPU endpoint without models": evidence(
        {"gpu": None, "models": []},
        spec={"pools": (), "cpus": ("cpu3c-2-4",), "volume_ids": ()},
    ),
    "a private image with its login": replace(
        evidence(spec={"login_id": "login-1"}, image=PRIVATE), account=LOGGED_IN, image=PRIVATE
    ),
    "several pools, one CUDA floor": evidence(
        {"gpu": {"pools": ["AMPERE_24", "ADA_24"], "min_cuda": "12.4"}},
        spec={"pools": ("AMPERE_24", "ADA_24"), "min_cuda": "12.4"},
    ),
    "caches on the volume, a secret by reference": evidence(
        spec={"env": {**SECRET, "HF_HOME": "/runpod-volume/huggingface", "LOG_LEVEL": "info"}},
        account=account(evidence(), secrets=("HF_TOKEN",)),
    ),
    "weights that just fit": evidence(models=(model_state(19),)),
    "a registry that is away": replace(
        evidence(), image=ImageState(IMAGE, is_pushed=False, problem="no answer"), expected=None
    ),
    "known by its name alone": evidence(recipe=None, disks=None, models=(), expected=None),
    "nothing but the endpoint is known": Evidence(
        name="demo",
        account=account(evidence(), volumes=(), gpus=()),
        endpoint=evidence().endpoint,
        gaps={"volumes": "silence"},
    ),
    "money for a week of work": evidence(account=account(evidence(), balance=Balance(50.0, 0.25, worker_quota=5))),
    "an unknown balance": evidence(account=account(evidence(), balance=Balance(math.nan, 0.0))),
    "jobs done, and one under way": evidence(
        jobs=(KnownJob("j-2", 2.0, "IN_PROGRESS", "IN_PROGRESS"), KnownJob("j-1", 1.0, "COMPLETED", None))
    ),
    "the commit that was released": evidence(models=(model_state(released_commit="c" * 40),)),
}


@pytest.mark.parametrize("found", [pytest.param(found, id=name) for name, found in HEALTHY.items()])
def test_nothing_is_said_of_a_healthy_endpoint(found: Evidence) -> None:
    """A rule that cries wolf is worse than none."""
    assert diagnose(found) == ()
