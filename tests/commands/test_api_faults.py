"""What goes wrong at RunPod, and what each command makes of it: the right outcome, or one clear sentence.

The tables are `READS` (plan), `PROVISIONS`, `SUBMITS` and `POLLS` (run) and `RELEASES`: what is played on which call,
the exit code, and a part of the sentence; code 0 means that the command did what it should in spite of the fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from forked_cli import Done
from release_bench import Bench, Held, Workshop, holds, wait_until, workshop

from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.launch_inline import InlineLauncher

KEY = "rpa_7Q2M0XK9V4TJ8ZP1W5NRC3HYB6DGFA4ELS1u9x"
CHANGES_EXIT = 4  # of `factory plan`: something would change
SHORT_S, LONG_S = "3", "40"
LATE_S = 2.0  # longer than the silence that SHORT_S allows


@dataclass(frozen=True)
class Row:
    """One fault and its outcome; the sentence may differ by API. `patience_s` is RUNPOD_PATIENCE_S."""

    name: str
    fault: Fault
    code: int = 0
    sentence: str | dict[str, str] = ""
    patience_s: str = LONG_S

    def said(self, api: str) -> str:
        """Return the part of the sentence by this API."""
        return self.sentence if isinstance(self.sentence, str) else self.sentence[api]


GONE = {"rest": "set RUNPOD_API=graphql", "graphql": "set RUNPOD_API=rest"}
NO_SENSE = "is no answer of RunPod's API"
FINAL = (  # what no repeat and no look makes good, whatever the call
    Row("401 that shows the key", Fault("status", status=401, body=f'{{"message": "bad {KEY}"}}'), 81, "HTTP 401"),
    Row("403 of Cloudflare", Fault("status", status=403, body="error code: 1010"), 81, "User-Agent"),
    Row("410", Fault("status", FOREVER, status=410), 84, GONE),
)
PASSING = (  # what the next try makes good, whatever the call
    Row("429 once, Retry-After", Fault("status", status=429, wait_s=1)),
    Row("429 once", Fault("status", status=429)),
)
READS = (
    *(*PASSING, *FINAL),
    Row("429 for long", Fault("status", FOREVER, status=429, wait_s=900), 83, "HTTP 429"),
    Row("429 for ever", Fault("status", FOREVER, status=429), 83, "HTTP 429", SHORT_S),
    Row("502 twice", Fault("status", 2, status=502)),
    Row("502 for ever", Fault("status", FOREVER, status=502), 83, "HTTP 502", SHORT_S),
    Row("500", Fault("status", status=500), 83, "HTTP 500"),
    Row("a cut once", Fault("cut")),
    Row("cuts for ever", Fault("cut", FOREVER), 82, "no answer from 127.0.0.1", SHORT_S),
    Row("silence once", Fault("stall", wait_s=LATE_S), patience_s=SHORT_S),
    Row("broken JSON", Fault("garbage"), 83, NO_SENSE),
    Row("a web page", Fault("html"), 83, "a web page: Welcome"),
)
CREATES = (
    *(*PASSING, *FINAL),
    Row("429 for ever", Fault("status", FOREVER, status=429), 83, "HTTP 429", SHORT_S),
    Row("500 before it took effect", Fault("status", status=500)),
    Row("500 after it took effect", Fault("status", status=500, after=True)),
    Row("502 after it took effect", Fault("status", status=502, after=True)),
    Row("a cut after it took effect", Fault("cut")),
    Row("silence after it took effect", Fault("late", wait_s=LATE_S), patience_s=SHORT_S),
    Row("broken JSON after it took effect", Fault("garbage", after=True)),
    Row("a web page after it took effect", Fault("html", after=True)),
)
IN_DOUBT = "RunPod may have queued it all the same"
SUBMITS = (
    *PASSING,
    Row("429 for ever", Fault("status", FOREVER, status=429), 90, "HTTP 429", SHORT_S),
    Row("500", Fault("status", status=500), 90, IN_DOUBT),
    Row("502 after it took effect", Fault("status", status=502, after=True), 90, IN_DOUBT),
    Row("a cut after it took effect", Fault("cut"), 90, IN_DOUBT),
    Row("silence after it took effect", Fault("late", wait_s=LATE_S), 90, IN_DOUBT, SHORT_S),
    Row("broken JSON", Fault("garbage", after=True), 90, IN_DOUBT),
    Row("a web page", Fault("html"), 90, IN_DOUBT),
    Row("401 that shows the key", Fault("status", status=401, body=f'{{"error": "bad {KEY}"}}'), 90, "HTTP 401"),
    Row("403 of Cloudflare", Fault("status", status=403, body="error code: 1010"), 90, "User-Agent"),
    Row("404", Fault("status", status=404), 95, "RunPod knows no such endpoint"),
    Row("410", Fault("status", status=410), 94, "HTTP 410"),
)
POLLS = (
    *PASSING,
    Row("500 twice", Fault("status", 2, status=500)),
    Row("500 for ever", Fault("status", FOREVER, status=500), 90, "HTTP 500"),
    Row("502 twice", Fault("status", 2, status=502)),
    Row("a cut once", Fault("cut")),
    Row("silence once", Fault("late", wait_s=LATE_S), patience_s=SHORT_S),
    Row("broken JSON twice", Fault("garbage", 2)),
    Row("broken JSON for ever", Fault("garbage", FOREVER), 90, "is no answer of RunPod's job API"),
    Row("404 once", Fault("status", status=404)),
)


@dataclass(frozen=True)
class Where:
    """A call: by method and path over REST v2 and the job API, by a word in its body over GraphQL."""

    name: str
    rest: tuple[str, str]
    graphql: str = ""

    def spoilt(self, row: Row, api: str) -> Fault:
        """Return the row's fault on this call; what ends an API for good is on every call of it."""
        if row.fault.status == 410 and self.graphql:
            return replace(row.fault, path="/v2/*" if api == "rest" else "/graphql")
        method, path, word = (
            ("POST", "/graphql", self.graphql) if api == "graphql" and self.graphql else (*self.rest, "")
        )
        return replace(row.fault, method=method, path=path, containing=word)


LIST = Where("list endpoints", ("GET", "/v2/serverless"), "query Endpoints")
VOLUME = Where("create volume", ("POST", "/v2/network-volumes"), "createNetworkVolume")
LOGIN = Where("create login", ("POST", "/v2/registries"), "saveRegistryAuth")
TEMPLATE = Where("create template", ("POST", "/v2/templates"), "saveTemplate")
ENDPOINT = Where("create endpoint", ("POST", "/v2/serverless"), "saveEndpoint")
SUBMIT, POLL = Where("run", ("POST", "/v2/*/run")), Where("status", ("GET", "/v2/*/status/*"))
DOUBTS = tuple(row for row in CREATES if row.name in ("a cut after it took effect", "broken JSON after it took effect"))
PROVISIONS = (
    *((TEMPLATE, row) for row in CREATES),
    *((where, row) for where in (VOLUME, LOGIN, ENDPOINT) for row in DOUBTS),
)
RELEASES = (
    (LIST, FINAL[2]),
    (ENDPOINT, CREATES[-3]),
    (ENDPOINT, FINAL[0]),
    *((SUBMIT, row) for row in SUBMITS if row.name in ("429 once", "500", "a cut after it took effect")),
    *((POLL, row) for row in POLLS if row.name in ("500 twice", "500 for ever", "a cut once")),
)
APIS = ("rest", "graphql")


def _rows(pairs: Any, apis: tuple[str, ...] = APIS) -> list[Any]:
    return [pytest.param(api, *pair, id=f"{api}: {pair[0].name}, {pair[1].name}") for pair in pairs for api in apis]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """One account with workers that answer at once, and one registry, for all rows."""
    with workshop(tmp_path_factory.mktemp("workshop"), launcher=InlineLauncher()) as opened:
        yield opened


@pytest.fixture
def bench(place: Workshop, tmp_path: Path) -> Iterator[Bench]:
    """A machine with the recipe, a key that nobody may see, and an empty account."""
    bench = Bench(place, tmp_path, settings={"RUNPOD_API_KEY": KEY})
    bench.write()
    yield bench
    ids = list(place.runpod.box.world.endpoints)
    place.runpod.empty()
    wait_until(lambda: not place.runpod.call(lambda box: any(map(box.fleet.workers, ids))), "the workers' end")


@pytest.fixture(scope="module")
def provisioned(place: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Held]:
    """What the account holds after a `provision` in peace, by each API."""
    known: dict[str, Held] = {}

    def find(api: str) -> Held:
        if api not in known:
            bench = Bench(place, tmp_path_factory.mktemp("peace"), api)
            assert (done := bench.run("provision", bench.write())).code == 0, done.err
            known[api] = holds(place.runpod)
            place.runpod.empty()
        return known[api]

    return find


@pytest.mark.parametrize(("api", "where", "row"), _rows((LIST, row) for row in READS))
def test_plan(bench: Bench, api: str, where: Where, row: Row) -> None:
    """A look that fails is taken again where that helps; else the sentence says what RunPod answered."""
    done = _run(bench, api, where, row, "plan", bench.folder / "demo.yaml", "--json")
    _is_told(done, row, api, ok=CHANGES_EXIT)
    assert not any(holds(bench.place.runpod).values())


@pytest.mark.parametrize(("api", "where", "row"), _rows(PROVISIONS))
def test_provision(bench: Bench, provisioned: Callable[[str], Held], api: str, where: Where, row: Row) -> None:
    """Nothing is made twice; what is half made is said, and the next run makes the rest."""
    expected = provisioned(api)
    recipe = bench.folder / "demo.yaml"
    done = _run(bench, api, where, row, "provision", recipe)
    _is_told(done, row, api)
    if row.code:
        assert len(holds(bench.place.runpod)["templates"]) == 0
        done = bench.run("provision", recipe)
        assert done.code == 0, done.err
    assert holds(bench.place.runpod) == expected


def test_a_create_that_fails_for_ever_is_given_up(bench: Bench, provisioned: Callable[[str], Held]) -> None:
    """After three creates and the looks between them, one sentence; the next run goes on."""
    expected, recipe = provisioned("rest"), bench.folder / "demo.yaml"
    row = Row("500 for ever", Fault("status", FOREVER, status=500), 83, 'template "demo": RunPod fails')
    _is_told(_run(bench, "rest", TEMPLATE, row, "provision", recipe), row, "rest")
    calls = bench.place.runpod.calls
    assert sum((call.method, call.path) == TEMPLATE.rest for call in calls) == 3
    assert (done := bench.run("provision", recipe)).code == 0, done.err
    assert holds(bench.place.runpod) == expected


@pytest.mark.parametrize("row", [row for row in READS if not row.code], ids=lambda row: row.name)
@pytest.mark.parametrize("path", ["/v2/templates/*", "/v2/serverless/*"])
def test_a_change_is_sent_again(bench: Bench, path: str, row: Row) -> None:
    """A change states whole values, so a second try does no harm: one new version, whatever became of the first."""
    assert (done := bench.run("provision", bench.folder / "demo.yaml")).code == 0, done.err
    where = Where("change", ("PATCH", path))
    done = _run(bench, "rest", where, row, "provision", bench.write(env={"GREETING": "good evening"}))
    _is_told(done, row, "rest")
    ((endpoint,), (template,)) = (holds(bench.place.runpod)[kind] for kind in ("endpoints", "templates"))
    assert template["container"] == endpoint["container"] and endpoint["version"] == 2
    assert endpoint["container"]["env"] == {"GREETING": "good evening"}


def test_rest_without_graphql_says_what_it_lacks(bench: Bench) -> None:
    """Balance and secrets are GraphQL's alone: where that is gone, no other setting helps, and none is named."""
    row = Row("410", Fault("status", FOREVER, status=410, path="/graphql"), 84, "update factory")
    bench.place.runpod.faults.append(row.fault)
    done = bench.run("plan", bench.folder / "demo.yaml")
    _is_told(done, row, "rest")
    assert "RUNPOD_API=rest" not in done.err and "GraphQL" in done.err


@pytest.mark.parametrize(
    ("api", "where", "row"), _rows([*((SUBMIT, row) for row in SUBMITS), *((POLL, row) for row in POLLS)], ("rest",))
)
def test_run(bench: Bench, api: str, where: Where, row: Row) -> None:
    """A job is queued once; one that may be queued is said to be, and following it survives what passes."""
    assert (done := bench.run("provision", bench.folder / "demo.yaml")).code == 0, done.err
    done = _run(bench, api, where, row, "run", bench.folder / "demo.yaml")
    _is_told(done, row, api)
    if not row.code:
        assert done.out.split() == ["{", '"a":', "1", "}"]
        runpod = bench.place.runpod
        assert len(runpod.call(lambda box: [job for one in box.world.endpoints for job in box.jobs.of(one)])) == 1


@pytest.mark.parametrize(("api", "where", "row"), _rows(RELEASES, ("rest",)))
def test_release(bench: Bench, provisioned: Callable[[str], Held], api: str, where: Where, row: Row) -> None:
    """A failure at any stage is one sentence, and the next run ends as one without any."""
    expected, recipe = provisioned(api), bench.folder / "demo.yaml"
    done = _run(bench, api, where, row, "release", "--no-run", recipe)
    _is_told(done, row, api)
    if row.code:
        done = bench.run("release", "--no-run", recipe)
        assert done.code == 0, done.err
    assert holds(bench.place.runpod) == expected
    done = bench.run("release", "--no-run", recipe)
    assert done.code == 0 and "answered before" in done.err, done.err


def _run(bench: Bench, api: str, where: Where, row: Row, *arguments: str | Path) -> Done:
    """Run a command with a row's fault on a call, which must have been played."""
    bench.api = api
    bench.settings["RUNPOD_PATIENCE_S"] = row.patience_s
    runpod, fault = bench.place.runpod, where.spoilt(row, api)
    runpod.calls.clear()
    runpod.faults.append(fault)
    done = bench.run(*arguments)
    runpod.faults.clear()
    assert fault.times <= 0, f"never played: {fault}"
    assert any(fnmatch(call.path, fault.path) for call in runpod.calls)
    bench.settings["RUNPOD_PATIENCE_S"] = LONG_S
    return done


def _is_told(done: Done, row: Row, api: str, *, ok: int = 0) -> None:
    """The exit code is right; an error is one sentence: where, what, what to do; the key is nowhere."""
    assert done.code == (row.code or ok), done.err
    assert KEY not in done.out + done.err and "Traceback" not in done.err
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    if not row.code:
        assert errors == []
        return
    (error,) = errors
    assert re.fullmatch(r"error: [^:;]+: .+; .+", error), error
    assert row.said(api) in error and error == done.err.rstrip().splitlines()[-1]
