"""The retry policy as a table, the time limits, and what never leaves: the key."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from registries import free_port
from scripted_site import Asked, Step, hang_up, refuse, scripted, stall

from factory import __version__
from factory.clients.runpod.transport import ONCE, SAFE, RunPodClient, asked_wait_s

KEY = "rpa_SECRETSECRETSECRET"
OK = Step(200, {"ok": True})
CUT = Step(200, {"ok": True}, ends="cut")


@pytest.fixture
def no_waits() -> Iterator[None]:
    """Skip the waits between tries."""
    with stamina.set_testing(True, attempts=4):
        yield


READS: list[tuple[str, dict[str, Any]]] = [
    ("GET", {}), ("HEAD", {}), ("PUT", {}), ("DELETE", {}), ("POST", SAFE), ("PATCH", SAFE),
]  # fmt: skip
CREATES: list[tuple[str, dict[str, Any]]] = [("POST", {}), ("PATCH", {}), ("GET", ONCE)]

# (what comes first, is a call that reads or sets sent again?, is a create?)
POLICY = [
    (hang_up(), True, False),
    (CUT, True, False),
    (stall(), True, False),
    (refuse(429), True, True),
    (refuse(429, Retry_After="1"), True, True),
    (refuse(429, RateLimit='"minute";r=0;t=1, "hour";r=12;t=1812'), True, True),
    (refuse(429, Retry_After="400"), False, False),
    (refuse(429, RateLimit='"minute";r=3;t=1, "hour";r=0;t=1812'), False, False),
    (refuse(502), True, False),
    (refuse(503), True, False),
    (refuse(503, Retry_After="1"), True, False),
    (refuse(504), True, False),
    (refuse(500), False, False),
    (refuse(524), False, False),
    (refuse(400), False, False),
    (refuse(401), False, False),
    (refuse(404), False, False),
    (refuse(409), False, False),
    (refuse(410), False, False),
    (OK, False, False),
]


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize(("first", "is_read_again", "is_created_again"), POLICY)
def test_the_policy(first: Step, is_read_again: bool, is_created_again: bool) -> None:
    """After each thing that can come first, a call is sent again or it isn't, by what it does."""
    timeout_s = 0.5 if first.ends == "stall" else 20

    def choose(asked: Asked) -> Step:
        return first if [seen.path for seen in site.asked].count(asked.path) == 1 else OK

    with scripted(choose=choose) as site, RunPodClient(site.url, KEY, timeout_s=timeout_s) as client:
        for calls, is_again in ((READS, is_read_again), (CREATES, is_created_again)):
            for method, marks in calls:
                if method == "HEAD" and first.ends == "cut":
                    continue  # has no body to cut
                site.asked.clear()
                try:
                    status = client.http.request(method, "/x", extensions=marks).status_code
                except httpx.TransportError:
                    status = 0
                assert len(site.asked) == 1 + is_again, (method, marks)
                assert (status == 200) is (is_again or first is OK)


@pytest.mark.usefixtures("no_waits")
def test_the_last_answer_stays_when_it_does_not_pass() -> None:
    """A fault that stays is given on as it is, after the tries."""
    with scripted(refuse(503)) as site, RunPodClient(site.url, KEY) as client:
        assert client.http.get("/x").status_code == 503
    assert len(site.asked) == 4


def test_a_create_waits_for_a_server_that_starts() -> None:
    """Where no connection came about, nothing was sent: a create is tried again, too."""
    port = free_port()
    answers: list[int] = []

    def create() -> None:
        with RunPodClient(f"http://127.0.0.1:{port}", KEY) as client:
            answers.append(client.http.post("/x", json={}).status_code)

    thread = threading.Thread(target=create)
    thread.start()
    with scripted(OK, port=port) as site:
        thread.join(20)
    assert answers == [200]
    assert len(site.asked) == 1


def test_the_total_time_bounds_the_tries() -> None:
    """With the patience over, the last answer is given on, whatever the wait it asks for."""
    with scripted(refuse(502)) as site, RunPodClient(site.url, KEY, patience_s=0.5) as client:
        assert client.http.get("/x").status_code == 502
    assert len(site.asked) > 1


def test_an_answer_is_not_read_ahead_when_it_is_a_stream() -> None:
    """A call marked as a stream gets its answer as it comes; a refusal is read whole and retried."""
    with (
        stamina.set_testing(True, attempts=3),
        scripted(refuse(502), Step(200, b"data: 1\n\n", ends="cut")) as site,
        RunPodClient(site.url, KEY) as client,
        client.http.stream("GET", "/x", extensions={"factory.stream": True}) as answer,
    ):
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert len(site.asked) == 2


def test_who_we_are() -> None:
    """Every call names factory and its version, and carries the key as RunPod wants it."""
    with scripted(OK) as site, RunPodClient(site.url + "/", KEY) as client:
        client.http.get("/v2/templates")
    asked = site.asked[0]
    assert asked.path == "/v2/templates"
    assert asked.headers["user-agent"].startswith(f"factory/{__version__} (+")
    assert asked.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.usefixtures("no_waits")
def test_the_key_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a repr, nor an error, nor the most talkative log has the key."""
    caplog.set_level(logging.DEBUG)
    with scripted(hang_up()) as site, RunPodClient(site.url, KEY) as client:
        with pytest.raises(httpx.TransportError) as caught:
            client.http.get("/x")
        shown = [repr(client), repr(client.http), repr(caught.value), repr(caught.value.request), caplog.text]
    assert len(caplog.records) > 0
    assert not [text for text in shown if KEY in text]


@given(st.text(alphabet='"minutehor;=, 0123456789tr', max_size=60))
def test_any_rate_limit_header_is_read(header: str) -> None:
    """Whatever the header holds, it is a wait in seconds or none."""
    wait_s = asked_wait_s(httpx.Response(429, headers={"ratelimit": header}))
    assert wait_s is None or wait_s >= 0
