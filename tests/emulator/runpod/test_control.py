"""The box's own controls."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest
from runpod_box import KEY, Emulated, a_template, an_endpoint, emulated
from starlette.testclient import TestClient

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.clock import EPOCH_S, RealClock

AT = "/_emulator"


def test_state_sums_up_and_keeps_secrets(client: TestClient, box: Box) -> None:
    """What exists is listed, with jobs and workers; no password, secret or environment is."""
    box.world.create_volume("weights", 10, "EU-RO-1")
    box.world.create_login("ghcr", "user", "pass-word")
    box.world.create_secret("HF", "hf_value")
    box.world.create_template(a_template())
    draft = an_endpoint()
    draft.container.env["TOKEN"] = "tok-en"
    endpoint = box.world.create_endpoint(draft)
    client.post(f"/v2/{endpoint.id}/run", json={"input": {"prompt": 1}})
    answer = client.get(f"{AT}/state")
    state = answer.json()
    assert (state["now"], state["person"]["balance_usd"]) == (EPOCH_S, 100)
    assert [volume["name"] for volume in state["volumes"]] == ["weights"]
    assert (state["logins"][0]["name"], state["secrets"][0]["name"]) == ("ghcr", "HF")
    assert state["endpoints"][0]["jobs"]["inQueue"] == 1 and state["endpoints"][0]["workers"] == []
    assert not any(secret in answer.text for secret in ("pass-word", "hf_value", "tok-en"))


def test_faults_come_and_go(client: TestClient) -> None:
    """A fault that is posted is played and counted down; DELETE ends them all."""
    fault = {"kind": "status", "status": 500, "times": 3, "path": "/v2/templates"}
    (held,) = client.post(f"{AT}/faults", json=fault).json()
    assert held == {**held, **fault, "held": 0, "after": False}
    assert client.get("/v2/templates").status_code == 500
    assert client.get(f"{AT}/faults").json()[0]["times"] == 2
    assert client.request("DELETE", f"{AT}/faults").json() == []
    assert client.get("/v2/templates").status_code == 200


def test_control_is_out_of_reach_of_faults(client: TestClient) -> None:
    """A fault on every path spares the controls, which aren't in the log either."""
    client.post(f"{AT}/faults", json=[{"kind": "status", "times": -1}])
    assert client.get("/v2/templates").status_code == 503
    assert client.get(f"{AT}/faults").status_code == 200
    assert [call["path"] for call in client.get(f"{AT}/calls").json()] == ["/v2/templates"]
    assert client.request("DELETE", f"{AT}/calls").json() == []


def test_held_create_goes_on_when_released(served: Emulated) -> None:
    """A create that is held after its effect exists already, and its answer comes after the release."""
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        client.post(f"{AT}/faults", json={"kind": "hold", "after": True, "path": "/v2/network-volumes"})
        answers: list[httpx.Response] = []
        body = {"name": "v", "size": 10, "dataCenter": "EU-RO-1"}
        thread = threading.Thread(target=lambda: answers.append(client.post("/v2/network-volumes", json=body)))
        thread.start()
        deadline = time.monotonic() + 10
        while not client.get(f"{AT}/faults").json()[0]["held"]:
            assert time.monotonic() < deadline, "the call was never held"
        assert len(served.box.world.volumes) == 1 and not answers
        assert client.post(f"{AT}/holds/release", json={"path": "/elsewhere"}).json() == {"released": 0}
        assert client.post(f"{AT}/holds/release").json() == {"released": 1}
        thread.join(timeout=10)
        assert answers[0].status_code == 201


def test_clock_moves_and_ticks(client: TestClient, box: Box) -> None:
    """Moving the clock also lets happen what is due: a job's time to live ends."""
    endpoint = box.world.create_endpoint(an_endpoint())
    job = {"input": {"prompt": 1}, "policy": {"ttl": 10_000}}
    job_id = client.post(f"/v2/{endpoint.id}/run", json=job).json()["id"]
    assert client.get(f"/v2/{endpoint.id}/status/{job_id}").json()["status"] == "IN_QUEUE"
    assert client.post(f"{AT}/clock", json={"advance_s": 11}).json() == {"now": EPOCH_S + 11}
    assert client.get(f"/v2/{endpoint.id}/status/{job_id}").status_code == 404


def test_real_clock_can_not_be_moved() -> None:
    """409, and it says why."""
    with emulated(clock=RealClock()) as runpod:
        answer = httpx.post(f"{runpod.url}{AT}/clock", json={"advance_s": 1})
    assert (answer.status_code, answer.json()["error"]) == (409, "this box has the real clock, which can't be moved")


def test_person_and_stock_change(client: TestClient, box: Box) -> None:
    """Balance, quota and stock are set, and the rest stays."""
    person = client.post(f"{AT}/person", json={"balance_usd": 0.5}).json()
    assert (person["balance_usd"], person["worker_quota"]) == (0.5, 10)
    assert client.post(f"{AT}/person", json={"worker_quota": 3}).json()["balance_usd"] == 0.5
    assert client.get(f"{AT}/person").json()["worker_quota"] == 3
    for named in ({"pool": "ADA_24"}, {"gpu": box.catalogue.pools["ADA_24"][0].id}):
        for level in ("NONE", "LOW"):
            client.post(f"{AT}/stock", json={**named, "data_center": "EU-RO-1", "availability": level})
            assert box.catalogue.pools["ADA_24"][0].stock["EU-RO-1"] == level


def test_troubles_come_and_go(client: TestClient, box: Box) -> None:
    """A trouble takes its effect when it is posted, and DELETE takes it back."""
    client.post(f"{AT}/troubles", json={"trouble": "balance", "usd": 0})
    assert box.world.person.balance_usd == 0
    client.post(f"{AT}/troubles", json=[{"trouble": "throttled"}, {"trouble": "endpoint_gone", "endpoint": "x*"}])
    assert [t["trouble"] for t in client.get(f"{AT}/troubles").json()] == ["balance", "throttled", "endpoint_gone"]
    assert client.request("DELETE", f"{AT}/troubles").json() == []
    assert box.world.person.balance_usd == 100


BAD: list[tuple[str, Any, str]] = [
    ("faults", {"kind": "flood"}, "kind: one of status, rate_limit,"),
    ("faults", {"status": 500}, "kind: one of status"),
    ("faults", [{"kind": "status"}, {"kind": "status", "time": 2}], "time: unknown; known are kind, times,"),
    ("faults", {"kind": "status", "times": "2"}, "times: int is needed (got '2')"),
    ("faults", {"kind": "status", "times": True}, "times: int is needed (got True)"),
    ("faults", "all", "an object is needed (got str)"),
    ("holds/release", {"path": 1}, "path: str is needed"),
    ("troubles", {"trouble": "bad_weather"}, "bad_weather"),
    ("troubles", [{"trouble": "throttled"}, {"trouble": "crash", "exit": 1}], "exit"),
    ("clock", {"advance_s": "1"}, "advance_s: int or float is needed"),
    ("clock", {"advance_s": -1}, "a clock doesn't go back"),
    ("clock", {"by": 1}, "by: unknown"),
    ("person", {"balance_usd": None}, "balance_usd: int or float is needed (got None)"),
    ("stock", {"pool": "ADA_24"}, "availability, one of NONE, LOW"),
    ("stock", {"availability": "LOW"}, "gpu or pool is needed"),
    ("stock", {"pool": "ADA_1", "availability": "LOW"}, "the catalogue has no ADA_1"),
    ("stock", {"pool": "ADA_24", "data_center": "XX", "availability": "LOW"}, "the catalogue has no XX"),
]


@pytest.mark.parametrize(("path", "body", "words"), BAD)
def test_what_makes_no_sense_is_said(client: TestClient, path: str, body: Any, words: str) -> None:
    """400 with the field and what would do; nothing of a list is taken then."""
    answer = client.post(f"{AT}/{path}", json=body)
    assert answer.status_code == 400 and words in answer.json()["error"]
    assert client.get(f"{AT}/faults").json() == client.get(f"{AT}/troubles").json() == []


def test_no_json_is_said(client: TestClient) -> None:
    """A body that breaks off, an unknown path, a wrong method."""
    assert client.post(f"{AT}/faults", content=b'{"kind"').json()["error"].startswith("the body is no JSON")
    assert client.get(f"{AT}/weather").status_code == 404
    assert client.request("DELETE", f"{AT}/person").status_code == 405
