"""The environment of a worker: RunPod's addresses and names, the endpoint's own, secrets resolved."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod_box import an_endpoint

from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.entities import Container, Cpu, Endpoint, Secret, Worker
from factory.emulator.runpod.worker_env import init_timeout_s, resolved, worker_environment

WORKER = Worker("w1", "ep1", 3, "i", gpu_type="NVIDIA RTX A5000", gpu_count=2, data_center="EU-RO-1")


def environment(worker: Worker = WORKER, endpoint: Endpoint | None = None, **changes: Any) -> dict[str, str]:
    """Return a worker's environment."""
    known: dict[str, Any] = {
        "url": "http://127.0.0.1:8101",
        "key": "k",
        "secrets": [Secret("1", "HF", "hf_x")],
        "catalogue": Catalogue.snapshot(),
        "volume_id": None,
        "extra": {},
    }
    return worker_environment(worker, endpoint or an_endpoint(id="ep1"), **(known | changes))


def test_what_runpod_sets() -> None:
    """All that the SDK reads, with a `?` in each address, and where the worker is."""
    assert environment(volume_id="vol1") == {
        "RUNPOD_WEBHOOK_GET_JOB": "http://127.0.0.1:8101/v2/ep1/job-take/$ID?gpu=NVIDIA+RTX+A5000",
        "RUNPOD_WEBHOOK_POST_OUTPUT": "http://127.0.0.1:8101/v2/ep1/job-done/$RUNPOD_POD_ID/$ID?gpu=NVIDIA+RTX+A5000",
        "RUNPOD_WEBHOOK_POST_STREAM": "http://127.0.0.1:8101/v2/ep1/job-stream/$RUNPOD_POD_ID/$ID?gpu=NVIDIA+RTX+A5000",
        "RUNPOD_WEBHOOK_PING": "http://127.0.0.1:8101/v2/ep1/ping/$RUNPOD_POD_ID?gpu=NVIDIA+RTX+A5000",
        "RUNPOD_PING_INTERVAL": "10000",
        "RUNPOD_AI_API_KEY": "k",
        "RUNPOD_POD_ID": "w1",
        "RUNPOD_POD_HOSTNAME": "w1-ep1",
        "RUNPOD_ENDPOINT_ID": "ep1",
        "RUNPOD_GPU_COUNT": "2",
        "RUNPOD_DC_ID": "EU-RO-1",
        "RUNPOD_VOLUME_ID": "vol1",
        "RUNPOD_GPU_TYPE_ID": "NVIDIA RTX A5000",
    }


def test_a_cpu_worker_knows_its_size() -> None:
    """vCPUs and memory of its flavour."""
    endpoint = an_endpoint(id="ep1", pools=[], cpus=[Cpu("cpu3c", 4)])
    found = environment(Worker("w1", "ep1", 1, "i"), endpoint)
    assert found["RUNPOD_CPU_COUNT"] == "4" and found["RUNPOD_GPU_COUNT"] == "0"
    assert float(found["RUNPOD_MEM_GB"]) == 4 * Catalogue.snapshot().cpus["cpu3c"].ram_gb_per_vcpu
    assert found["RUNPOD_WEBHOOK_PING"].endswith("?gpu=CPU")
    assert "RUNPOD_GPU_TYPE_ID" not in found and "RUNPOD_DC_ID" not in found


def test_who_wins() -> None:
    """RunPod's own before the endpoint's, the endpoint's before the emulator's."""
    endpoint = an_endpoint(container=Container("i", env={"HF_ENDPOINT": "mine", "RUNPOD_POD_ID": "mine", "A": "1"}))
    found = environment(endpoint=endpoint, extra={"HF_ENDPOINT": "http://hub", "B": "2"})
    assert (found["HF_ENDPOINT"], found["RUNPOD_POD_ID"], found["A"], found["B"]) == ("mine", "w1", "1", "2")


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("{{ RUNPOD_SECRET_HF }}", "hf_x"),
        ("{{RUNPOD_SECRET_HF}}", "hf_x"),
        ("Bearer {{ RUNPOD_SECRET_HF }}!", "Bearer hf_x!"),
        ("{{ RUNPOD_SECRET_HF }}{{ RUNPOD_SECRET_two-2 }}", "hf_x{{ RUNPOD_SECRET_HF }}"),  # what is put in is not read
        ("{{ RUNPOD_SECRET_OTHER }}", "{{ RUNPOD_SECRET_OTHER }}"),
        ("RUNPOD_SECRET_HF", "RUNPOD_SECRET_HF"),
        ("{ RUNPOD_SECRET_HF }", "{ RUNPOD_SECRET_HF }"),
    ],
)
def test_secrets(value: str, becomes: str) -> None:
    """References become values; unknown ones stay."""
    assert resolved(value, {"HF": "hf_x", "two-2": "{{ RUNPOD_SECRET_HF }}"}) == becomes


@given(st.text())
def test_text_without_references_stays(text: str) -> None:
    """Nothing else is touched."""
    if "RUNPOD_SECRET_" not in text:
        assert resolved(text, {"HF": "hf_x"}) == text


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, 420), ("800", 800), ("", 420), ("soon", 420), ("0", 420), ("-5", 420), ("1.5", 420)]
)
def test_the_start_limit(value: str | None, seconds: float) -> None:
    """RUNPOD_INIT_TIMEOUT in whole seconds, else 7 minutes."""
    env = {} if value is None else {"RUNPOD_INIT_TIMEOUT": value}
    assert init_timeout_s(an_endpoint(container=Container("i", env=env))) == seconds
