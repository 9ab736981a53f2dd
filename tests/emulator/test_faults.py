"""What the emulators can let go wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import httpx, parse_ratelimit_headers
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from factory.emulator.faults import FOREVER, Call, Fault, Faults
from factory.emulator.hub import create_hub
from factory.emulator.serve import running, serve

CONTENT = b"0123456789" * 10
FILE = "/org/name/resolve/main/config.json"


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    """A hub with one small file."""
    (tmp_path / "org/name").mkdir(parents=True)
    (tmp_path / "org/name/config.json").write_bytes(CONTENT)
    return create_hub(tmp_path)


def calls(app: Starlette) -> list[Call]:
    """Return the log."""
    log: list[Call] = app.state.calls
    return log


def test_fault_is_played_so_many_times(app: Starlette, url: str) -> None:
    """A fault with `times` 2 spoils two calls, and the third is right; the log has all three."""
    app.state.faults.append(Fault("status", times=2, wait_s=7))
    answers = [httpx.get(url + FILE) for _ in range(3)]
    assert [a.status_code for a in answers] == [503, 503, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert [c.status for c in calls(app)] == [503, 503, 200]


def test_fault_chooses_its_calls(app: Starlette, url: str) -> None:
    """Path and method narrow a fault; FOREVER never ends."""
    app.state.faults.append(Fault("status", times=FOREVER, status=500, path="/api/*", method="GET"))
    for _ in range(3):
        assert httpx.get(f"{url}/api/models/org/name").status_code == 500
    assert httpx.get(url + FILE).status_code == 200
    assert httpx.head(f"{url}/api/models/org/name").status_code == 200


def test_rate_limit_speaks_as_the_hub_does(app: Starlette, url: str) -> None:
    """The client's own parser reads the headers of a 429."""
    app.state.faults.append(Fault("rate_limit", wait_s=42))
    limit = parse_ratelimit_headers(httpx.get(url + FILE).headers)
    assert limit is not None
    assert (limit.remaining, limit.reset_in_seconds, limit.limit) == (0, 42, 500)


def test_cut_closes_the_connection_in_mid_body(app: Starlette, url: str) -> None:
    """After so many bytes the connection ends, though more were announced."""
    app.state.faults.append(Fault("cut", after_bytes=30))
    with httpx.stream("GET", url + FILE) as answer:
        assert answer.headers["content-length"] == str(len(CONTENT))
        got = bytearray()
        with pytest.raises(httpx.RemoteProtocolError):
            for chunk in answer.iter_raw():
                got += chunk
    assert bytes(got) == CONTENT[:30]


def test_flip_changes_one_byte(app: Starlette, url: str) -> None:
    """One byte is inverted, the rest and the length are right."""
    app.state.faults.append(Fault("flip", after_bytes=12))
    got = httpx.get(url + FILE).content
    assert [i for i, (a, b) in enumerate(zip(got, CONTENT, strict=True)) if a != b] == [12]


@pytest.mark.parametrize("after_bytes", [0, 50])
def test_stall_outlasts_a_time_out(app: Starlette, url: str, after_bytes: int) -> None:
    """A stall before or in the answer lets the client's time-out strike, and does not hold up the server's end."""
    app.state.faults.append(Fault("stall", wait_s=30, after_bytes=after_bytes))
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(url + FILE, timeout=0.2)


def test_stall_then_goes_on(app: Starlette, url: str) -> None:
    """After the pause the rest comes, byte for byte."""
    app.state.faults.append(Fault("stall", wait_s=0.1, after_bytes=50))
    start = time.monotonic()
    assert httpx.get(url + FILE).content == CONTENT
    assert time.monotonic() - start >= 0.1


def test_html_is_no_api(app: Starlette, url: str) -> None:
    """A captive portal's page has status 200, and no JSON."""
    app.state.faults.append(Fault("html"))
    answer = httpx.get(f"{url}/api/models/org/name")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")


def test_log_never_holds_a_token(app: Starlette, url: str) -> None:
    """The log says that a token came along, never which."""
    HfApi(url, token="hf_secret").model_info("org/name")
    assert calls(app)[0].has_token
    assert "hf_secret" not in repr(calls(app))


def test_taken_port_is_an_oserror(app: Starlette, url: str) -> None:
    """Serving on a port that something else listens on fails at once."""
    with pytest.raises(OSError, match="in use"):
        serve(app, "127.0.0.1", httpx.URL(url).port or 0)


def spoilt_world(*faults: Fault) -> tuple[ASGIApp, list[str]]:
    """Return an app that notes each body it is sent, behind faults, and the notes."""
    notes: list[str] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        notes.append((await Request(scope, receive).body()).decode())
        await JSONResponse({"id": len(notes)}, 201)(scope, receive, send)

    return Faults(note, list(faults), []), notes


@pytest.mark.parametrize("fault", [Fault("late", wait_s=30), Fault("stall", wait_s=30), Fault("hold", after=True)])
def test_time_out_may_come_after_the_effect(fault: Fault) -> None:
    """Late and held answers time out though the call did its work; a stalled call never reaches the application."""
    app, notes = spoilt_world(fault)
    with running(app) as url, pytest.raises(httpx.ReadTimeout):
        httpx.post(url, content="create", timeout=0.3)
    assert notes == ([] if fault.kind == "stall" else ["create"])


def test_late_answer_is_whole() -> None:
    """Who waits long enough gets the answer as it was."""
    app, _ = spoilt_world(Fault("late", wait_s=0.1))
    with running(app) as url:
        start = time.monotonic()
        assert httpx.post(url, content="create").json() == {"id": 1}
    assert time.monotonic() - start >= 0.1


@pytest.mark.parametrize("after", [False, True])
def test_garbage_is_no_json(after: bool) -> None:
    """Garbage comes with status 200, instead of the application's work or after it."""
    app, notes = spoilt_world(Fault("garbage", after=after))
    with running(app) as url:
        answer = httpx.post(url, content="create")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match="Unterminated"):
        answer.json()
    assert notes == (["create"] if after else [])


def test_status_may_come_after_the_effect_with_a_body_of_its_own() -> None:
    """A 500 may lie about a call that did its work, in the words of the service."""
    app, notes = spoilt_world(Fault("status", status=500, after=True, body='{"title": "Internal"}'))
    with running(app) as url:
        answer = httpx.post(url, content="create")
    assert (answer.status_code, answer.json(), notes) == (500, {"title": "Internal"}, ["create"])


@pytest.mark.parametrize("after", [False, True])
def test_held_call_goes_on_when_it_is_released(after: bool) -> None:
    """A hold keeps a call before or after its effect until somebody lets it go."""
    fault = Fault("hold", after=after)
    app, notes = spoilt_world(fault)
    with running(app) as url, ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.post, url, content="create")
        wait_until(lambda: fault.held == 1)
        assert notes == (["create"] if after else [])
        assert fault.release() == 1
        assert answer.result(timeout=10).json() == {"id": 1}
    assert (notes, fault.held, fault.release()) == (["create"], 0, 0)


def test_fault_chooses_by_the_body() -> None:
    """All of GraphQL has one path: a text in the body says which call is meant, and the others get theirs whole."""
    app, notes = spoilt_world(Fault("status", status=502, containing="saveTemplate"))
    with running(app) as url:
        sent = ["query { myself { id } }", "mutation { saveTemplate }", "mutation { saveTemplate }"]
        assert [httpx.post(url, content=body).status_code for body in sent] == [201, 502, 201]
    assert notes == [sent[0], sent[2]]


def test_key_in_the_query_is_not_logged(app: Starlette, url: str) -> None:
    """A key that comes as `?api_key=` is noted as a token, and left out of the log."""
    httpx.get(f"{url}/api/models", params={"api_key": "rpa_secret", "limit": 1})
    assert (calls(app)[0].query, calls(app)[0].has_token) == ("limit=1", True)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another thread does; AssertionError after 10 s."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
