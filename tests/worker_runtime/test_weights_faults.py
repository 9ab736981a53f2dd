"""What goes wrong on the way to the Hub: what passes is tried again, what stays is one sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from weights_site import MB, TOTAL_BYTES, Site, site
from worker_app import SeenLog

from factory.emulator.faults import FOREVER, Fault
from worker_runtime.errors import (
    HubDenied,
    HubFailed,
    HubNotFound,
    HubUnreachable,
    StartError,
    WeightsCorrupt,
    WeightsTimeout,
)
from worker_runtime.weights import fetch, patience
from worker_runtime.weights.hub import Hub
from worker_runtime.weights.patience import Limits

TOKEN = "hf_let_in"
Bring = Callable[..., None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause shortly between attempts."""
    monkeypatch.setattr(patience, "PAUSE_S", 0.02)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A hub and a volume."""
    with site(tmp_path) as found:
        yield found


@pytest.fixture
def bring(here: Site, log: SeenLog) -> Bring:
    """Bring the model to the volume, with a token, up to the READY marker."""

    def run(**limits: Any) -> None:
        given = {"connections": 2, "range_bytes": MB, "stall_s": 5, "quiet_s": 10, "total_s": 30, **limits}
        how = fetch.How(Hub(here.url, TOKEN), limits=Limits(**given))
        fetch.bring(here.store, "test", [here.model()], how, log).leave()

    return run


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", path="*/resolve/*", status=503, times=3),
        Fault("status", path="*/resolve/*", method="HEAD", status=500, times=2),
        Fault("status", path="/_cdn/*", status=503, times=4),
        Fault("status", path="/_cdn/*", status=403, times=5),
        Fault("rate_limit", path="*/resolve/*", wait_s=0, times=3),
        Fault("rate_limit", path="/_cdn/*", wait_s=1),
        Fault("status", path="*/resolve/*", status=429, wait_s=1),
        Fault("cut", path="/_cdn/*", method="GET", after_bytes=700_000, times=6),
        Fault("cut", path="/_cdn/*", method="GET", after_bytes=0, times=3),
        Fault("cut", path="*/resolve/*config.json", method="GET", after_bytes=3),
        Fault("html", path="/_cdn/*", times=3),
        Fault("html", path="*/resolve/*config.json", method="GET"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status if fault.kind == 'status' else fault.after_bytes}-{fault.path[:6]}",
)
def test_what_passes_is_tried_again(fault: Fault, here: Site, bring: Bring) -> None:
    """One trouble after the other, and the model is there in the end, right to the last byte."""
    here.plan(fault)
    bring()
    assert fault.times == 0
    here.demand_whole(here.model())


def test_a_cut_range_goes_on_where_it_broke(here: Site, bring: Bring) -> None:
    """What came before a cut isn't fetched again, and many cuts in a row are no failure while something comes."""
    here.plan(Fault("cut", path="/_cdn/*", method="GET", after_bytes=300_000, times=40))
    bring()
    here.demand_whole(here.model())
    assert here.sent_bytes() == TOTAL_BYTES


def test_a_stalled_connection_is_left(here: Site, bring: Bring) -> None:
    """A connection without a byte for `stall_s` is given up, and the range goes on over another one."""
    here.plan(Fault("stall", path="/_cdn/*", method="GET", after_bytes=400_000, wait_s=30, times=2))
    began = time.monotonic()
    bring(stall_s=0.4)
    assert time.monotonic() - began < 25  # the stall itself lasts longer
    here.demand_whole(here.model())


def test_an_address_serves_all_ranges(here: Site, bring: Bring) -> None:
    """The Hub is asked once for a file's address, not for every range: its rate limit counts questions."""
    bring()
    asked = [call.path for call in here.calls if "/resolve/" in call.path and call.path.endswith("safetensors")]
    assert len(asked) <= 2 * 3  # the address of each file serves all its ranges
    assert here.sent_bytes() == TOTAL_BYTES


def test_a_rate_limit_is_waited_out_by_all(here: Site, bring: Bring, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 429 no connection asks anything before the time that the Hub named, and then the first one does."""
    clock: list[float] = []
    gates: list[float] = []
    real = patience.Patience._back_off

    def back_off(self: patience.Patience, again: Any, failures: int) -> None:
        real(self, again, failures)
        gates.append(self.gate_s)
        clock.append(again.wait_s)

    monkeypatch.setattr(patience.Patience, "_back_off", back_off)
    here.plan(Fault("rate_limit", path="*/resolve/*", method="GET", wait_s=1))
    began = time.monotonic()
    bring()
    assert clock == [1.0]
    assert time.monotonic() - began >= 1.0
    here.demand_whole(here.model())


def test_a_rate_limit_beyond_the_time_limit_ends_at_once(here: Site, bring: Bring) -> None:
    """Waiting an hour for a start that may take half a minute is of no use."""
    here.plan(Fault("rate_limit", path="*/resolve/*", wait_s=3600))
    with pytest.raises(HubFailed, match="the Hub answered 429"):
        bring()


def test_a_flipped_byte(here: Site, bring: Bring, log: SeenLog) -> None:
    """A file with one wrong byte is fetched again whole, and only that file."""
    here.plan(Fault("flip", path="/_cdn/*00002*", method="GET", after_bytes=77))
    bring()
    here.demand_whole(here.model())
    assert [row["path"] for row in log.events("refetch")] == ["model-00002.safetensors"]
    assert here.sent_bytes() == TOTAL_BYTES + 6 * MB


def test_a_byte_that_stays_wrong(here: Site, bring: Bring) -> None:
    """Wrong twice is an error; the file is not in the model's folder, and the next start fetches it afresh."""
    here.plan(Fault("flip", path="/_cdn/*00002*", method="GET", after_bytes=77, times=12))
    with pytest.raises(WeightsCorrupt, match=r"model-00002\.safetensors of org/m arrived twice"):
        bring()
    assert not (here.store.folder(here.model()) / "model-00002.safetensors").exists()
    bring()
    here.demand_whole(here.model())


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (Fault("status", path="/_cdn/*", status=503, times=FOREVER), HubFailed, "the Hub answered 503 for org/m@"),
        (Fault("status", path="/_cdn/*", status=403, times=FOREVER), HubFailed, "the Hub answered 403 for org/m@"),
        (Fault("html", path="/_cdn/*", times=FOREVER), HubFailed, "bytes of text/html for"),
        (Fault("cut", path="/_cdn/*", after_bytes=0, times=FOREVER), HubUnreachable, "failed"),
        (Fault("status", path="*/resolve/*", status=400, times=FOREVER), HubFailed, "the Hub answered 400 for org/m@"),
        (Fault("status", path="*/resolve/*", status=401, times=FOREVER), HubDenied, "the Hub refused org/m@"),
    ],
    ids=["503", "403", "html", "cut", "400", "401"],
)
def test_what_stays_ends_the_start(fault: Fault, error: type[StartError], says: str, here: Site, bring: Bring) -> None:
    """Without a byte for `quiet_s` the last trouble is the reason; the signature of an address is never shown."""
    here.plan(fault)
    with pytest.raises(error) as caught:
        bring(quiet_s=1)
    assert says in str(caught.value)
    assert "signature" not in str(caught.value)
    here.app.state.faults.clear()
    bring()
    here.demand_whole(here.model())


def test_too_slow_for_the_limit(here: Site, bring: Bring) -> None:
    """A transfer that goes on and on ends with the time limit, and says how far it came."""
    here.plan(Fault("cut", path="/_cdn/*", method="GET", after_bytes=1000, times=FOREVER))
    with pytest.raises(
        WeightsTimeout, match=r"did not arrive within 1 s .* last: the connection to localhost:\d+ failed"
    ):
        bring(total_s=1)


def test_a_stall_in_everything_ends_the_start(here: Site, bring: Bring) -> None:
    """A Hub that sends nothing at all, and closes nothing, doesn't hold the worker."""
    here.plan(Fault("stall", path="/_cdn/*", method="GET", after_bytes=100, wait_s=20, times=FOREVER))
    with pytest.raises(HubUnreachable):
        bring(stall_s=0.3, quiet_s=0.9)


@pytest.mark.parametrize("token", [None, "hf_other"])
def test_gated(token: str | None, tmp_path: Path, log: SeenLog) -> None:
    """Without access the start ends before a byte is written, with what to do."""
    with site(tmp_path, gated="manual", tokens=[TOKEN]) as here:
        with pytest.raises(HubDenied, match=r"org/m is gated .*HF_TOKEN"):
            fetch.bring(here.store, "test", [here.model()], fetch.How(Hub(here.url, token or "")), log)
        assert not list(here.store.models.iterdir())
        fetch.bring(here.store, "test", [here.model()], fetch.How(Hub(here.url, TOKEN)), log).leave()
        here.demand_whole(here.model())


def test_the_token_stays_at_home(here: Site, bring: Bring) -> None:
    """The Hub gets the token with every question, the CDN (another origin) never."""
    bring()
    at_home = [call for call in here.calls if "/resolve/" in call.path]
    elsewhere = [call for call in here.calls if call.path.startswith("/_cdn/")]
    assert at_home
    assert elsewhere
    assert all(call.has_token for call in at_home)
    assert not any(call.has_token for call in elsewhere)
    assert {call.host.split(":")[0] for call in elsewhere} == {"localhost"}


def test_a_file_that_the_hub_lacks(here: Site, log: SeenLog) -> None:
    """A recipe that doesn't fit the repository any more is told by the file's name."""
    block = here.block()
    block["files"].append({"path": "gone.bin", "size_bytes": 5, "digest": "sha256:" + "0" * 64})
    wanted = here.model(files=block["files"])
    with pytest.raises(HubNotFound, match=r"the Hub has no org/m@\w+ gone\.bin"):
        fetch.bring(here.store, "test", [wanted], fetch.How(Hub(here.url, None)), log)
