"""gpu_not_available, crash_loop, exit_codes, startup_not_finished, start_failed, not_deployed: evidence → finding."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from evidences import account, evidence, log, sample, told

from factory.account import LogLine, Release, Stock
from factory.diagnosis import (
    crash_loop,
    exit_codes,
    gpu_not_available,
    not_deployed,
    start_failed,
    startup_not_finished,
    worker_ends,
)
from factory.diagnosis.evidence import Evidence, KnownJob
from worker_runtime import errors

WATCH = "factory diagnose recipes/demo.yaml --watch 60"
PLACE = "EU-RO-1"


def log_of_ends(*codes: int, said: str = "loading") -> tuple[LogLine, ...]:
    """Return the log of a worker that said something and ended, over and over."""
    lines = []
    for number, code in enumerate(codes):
        at = f"2026-11-25T03:00:{number * 10:02}Z"
        lines += [LogLine(at, "container", said), LogLine(at, "system", f"worker exited with exit code {code}")]
    return tuple(lines)


def crashed(*codes: int, status: str = "UNHEALTHY", queued: int = 1, said: str = "loading", **more: Any) -> Evidence:
    """Return an endpoint whose only worker ended with these codes."""
    seen = sample(("w-1", status), queued=queued)
    return evidence(samples=(seen, replace(seen, at_s=1.0)), logs={"w-1": log_of_ends(*codes, said=said)}, **more)


# --- exit codes and crash loops -------------------------------------------------------
CODES = {
    1: "an error of its own",
    2: "handler or module",
    126: "can't be run",
    127: "not in the image",
    137: "memory (RAM)",
    139: "SIGSEGV",
    143: "SIGTERM",
}


@pytest.mark.parametrize(("code", "words"), CODES.items())
def test_a_code_has_its_meaning(code: int, words: str) -> None:
    """Each code of a worker that is down is an error with its own cause, and the last line is shown."""
    (finding,) = exit_codes.find(crashed(code, code))
    assert finding.severity == "error" and words in finding.cause
    assert f"exit code {code}; last line: loading" in finding.seen and "ended 2 times" in finding.seen


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (crashed(0, 0), 0),  # it was to end
        (crashed(143), 0),  # so was this one, at the scaler's word
        (crashed(137, status="IDLE", queued=0), 0),  # once, and it is back
        (crashed(137, 137, status="IDLE", queued=0), 1),  # again and again, and it is back
        (crashed(1, status="RUNNING"), 0),  # it came back and starts
        (crashed(1, 1, status="RUNNING"), 1),  # RunPod shows a crash loop as running
        (replace(crashed(1, 1), logs={"w-9": log_of_ends(1, 1)}), 0),  # a worker that is gone
        (evidence(), 0),
    ],
)
def test_only_ends_that_matter_are_told(found: Evidence, count: int) -> None:
    """Ends that were meant, or are over, are none."""
    assert len(tuple(exit_codes.find(found))) == count


def test_a_full_gpu_is_told_from_full_ram() -> None:
    """The last lines decide, and larger pools with stock are what the recipe is to say."""
    (gpu,) = exit_codes.find(crashed(1, 1, said="torch.OutOfMemoryError: CUDA out of memory"))
    (ram,) = exit_codes.find(crashed(137, 137))
    assert "GPU's memory" in gpu.cause and "RAM" in ram.cause
    for finding in (gpu, ram):
        assert finding.mend.edit.startswith("gpu.pools: [") and "AMPERE_24" not in finding.mend.edit
        assert finding.mend.command == "factory provision recipes/demo.yaml"


def test_an_earlier_good_release_comes_before_advice() -> None:
    """Another image that answered its tests can be put back; the same one can't help."""
    now = evidence().endpoint
    assert now is not None
    older = replace(now.spec, image="acme/demo@sha256:" + "c" * 64)
    (finding,) = crash_loop.find(crashed(1, 1, good=(now.spec, older)))
    assert finding.mend.command == "factory rollback recipes/demo.yaml"
    (finding,) = crash_loop.find(crashed(1, 1, good=(now.spec,)))
    assert "factory release recipes/demo.yaml" in finding.mend.command


def test_a_crash_loop_has_its_numbers() -> None:
    """How many ends in what time, what codes, how many jobs wait and for how long."""
    job = KnownJob("j-1", 0.0, "IN_QUEUE", "IN_QUEUE", age_s=90.0)
    (finding,) = crash_loop.find(crashed(1, 1, 137, jobs=(job,)))
    assert told([finding])[0][:2] == ("error", "certain")
    assert finding.seen.startswith("1 worker ended 3 times within 20 s, exit codes 1, 137; 1 job waiting")
    assert "oldest for 1 min 30 s" in finding.seen or "oldest for 90 s" in finding.seen


def flipping(*statuses: str, completed: tuple[int, ...] = (), queued: int = 2) -> Evidence:
    """Return an endpoint whose worker was seen with these states, one after the other, without a log."""
    looks = []
    for number, status in enumerate(statuses):
        look = sample(("w-1", status), queued=queued, at_s=float(number))
        assert look.health is not None
        done = {**look.health.jobs, "completed": completed[number] if completed else 0}
        looks.append(replace(look, health=replace(look.health, jobs=done)))
    return evidence(samples=tuple(looks))


@pytest.mark.parametrize(
    ("found", "is_loop"),
    [
        (flipping("RUNNING", "IDLE", "RUNNING", "IDLE"), True),
        (flipping("INITIALIZING", "RUNNING", "RUNNING"), False),  # it comes up
        (flipping("RUNNING", "IDLE", "RUNNING", completed=(0, 1, 2)), False),  # it works
        (flipping("RUNNING", "IDLE", "RUNNING", queued=0), False),  # nothing waits
        (flipping("RUNNING", "IDLE"), False),  # too little was seen
    ],
)
def test_flips_without_work_are_a_crash_loop(found: Evidence, is_loop: bool) -> None:
    """Where no log tells, the states do: back and forth while jobs wait and none completes or fails."""
    findings = tuple(crash_loop.find(found))
    assert [finding.sureness for finding in findings] == (["likely"] if is_loop else [])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("worker exited with exit code 7", 7),
        ("container exited (137)", 137),
        ("exit code: 1", 1),
        ('error starting container: exec: "/opt/start.sh": executable file not found in $PATH', 127),
        ("error starting container: permission denied", 126),
        ("error starting container: no such device", 128),
        ("create container acme/demo:1", None),
        ("no heartbeat: the worker is lost", None),
    ],
)
def test_ends_are_read_from_the_platforms_lines(line: str, code: int | None) -> None:
    """Every wording gives its code; a container that could not be started has a shell's."""
    ends = worker_ends.ends_of(evidence(logs={"w-1": log(line, source="system")}))
    assert [one.codes for one in ends] == ([(code,)] if code is not None else [])


def test_a_token_in_the_last_line_is_struck_out() -> None:
    """What a worker prints may hold a token; a finding doesn't."""
    (finding,) = exit_codes.find(crashed(1, 1, said="login with hf_abcdefghijklmnopqrstuvwxyz failed"))
    assert "hf_…" in finding.seen and "abcdefghijkl" not in str(finding)


# --- GPUs ---------------------------------------------------------------------------
def stocked(stock: Mapping[str, Mapping[str, Stock]], *workers: str, queued: int = 1, **more: Any) -> Evidence:
    """Return an endpoint on AMPERE_24 with workers of these states; `stock` is by pool and data centre, else none."""
    look = sample(*((f"w-{i}", status) for i, status in enumerate(workers)), queued=queued)
    found = evidence(samples=(look, replace(look, at_s=1.0)), **more)
    gpus = tuple(replace(gpu, stock=stock.get(gpu.pool or "", {})) for gpu in found.account.gpus)
    return replace(found, account=account(found, gpus=gpus))


def test_nothing_in_stock_says_what_would_start() -> None:
    """No worker, no stock in the volume's data centre: the pools that have some there, and where the own ones have."""
    stock: dict[str, dict[str, Stock]] = {
        "ADA_24": {PLACE: "low"},
        "ADA_48_PRO": {PLACE: "high"},
        "AMPERE_24": {"US-GA-2": "low"},
    }
    for workers in ((), ("THROTTLED",)):
        (finding,) = gpu_not_available.find(stocked(stock, *workers))
        assert told([finding]) == [
            ("error", "certain", "factory provision recipes/demo.yaml", "gpu.pools: [AMPERE_24, ADA_24, ADA_48_PRO]")
        ]
        assert f"stock in {PLACE}: AMPERE_24 none" in finding.seen
        assert "ADA_24 (24 GB, low" in finding.cause and "US-GA-2" in finding.cause


def test_without_a_volume_another_data_centre_will_do() -> None:
    """No other pool has stock here, the own one has elsewhere, and nothing ties the endpoint to this place."""
    found = stocked({"AMPERE_24": {"US-GA-2": "low"}}, "THROTTLED", spec={"volume_ids": ()})
    (finding,) = gpu_not_available.find(found)
    assert finding.mend.edit == "endpoint.data_centers: [EU-RO-1, US-GA-2]"


def test_tied_to_a_sold_out_place_there_is_no_command() -> None:
    """With a volume there, only waiting or a move helps, and a move is not for us to choose."""
    (finding,) = gpu_not_available.find(stocked({}, "THROTTLED"))
    assert finding.mend.command.startswith("wait") and not finding.mend.is_safe


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (stocked({"AMPERE_24": {PLACE: "high"}}, "THROTTLED"), ("error", "likely")),
        (stocked({"AMPERE_24": {PLACE: "high"}}), None),  # a worker will come
        (
            stocked({"AMPERE_24": {PLACE: "high"}}, jobs=(KnownJob("j", 0.0, "IN_QUEUE", "IN_QUEUE", age_s=300),)),
            ("warning", "possible"),
        ),
        (stocked({}, "IDLE"), None),
        (stocked({}, queued=0), None),  # nobody asks
        (stocked({}, queued=0, spec={"workers_min": 1}), ("warning", "certain")),
        (stocked({}, spec={"workers_max": 0}), None),  # another rule's
        (stocked({}, job_api_status=404), None),  # another rule's
        (stocked({}, spec={"pools": ("NVIDIA L4",)}), None),  # another rule's
        (stocked({}, spec={"pools": (), "cpus": ("cpu3c-2-4",)}), None),
        (stocked({}, gaps={"workers": "silence"}), None),
    ],
)
def test_how_sure_a_want_of_gpus_is(found: Evidence, expected: tuple[str, str] | None) -> None:
    """Stock that isn't there is certain; a throttled worker alone is likely; all else is for others to say."""
    assert [t[:2] for t in told(gpu_not_available.find(found))] == ([expected] if expected else [])


# --- starts -------------------------------------------------------------------------
def starting(status: str = "INITIALIZING", uptime_s: int | None = 5, queued: int = 1, **more: Any) -> Evidence:
    """Return an endpoint whose only worker starts."""
    look = sample(("w-1", status), queued=queued)
    look = replace(look, workers=tuple(replace(worker, uptime_s=uptime_s) for worker in look.workers))
    return evidence(samples=(look,), **more)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (starting(), ("note", WATCH)),
        (starting("RUNNING"), ("note", WATCH)),
        (starting(uptime_s=None), ("note", WATCH)),
        (starting(uptime_s=400), ("warning", WATCH)),
        (starting(queued=0), None),
        (starting("IDLE"), None),
        (starting(logs={"w-1": log("image pull: x: pending", source="system")}), None),  # image_pull_pending's
        (starting(logs={"w-1": log_of_ends(1)}), None),  # exit_codes'
    ],
)
def test_a_start_is_told_with_what_it_should_take(found: Evidence, expected: tuple[str, str] | None) -> None:
    """10 GB at 200 MB/s and a start: 80 s; a note before twice that, a warning after."""
    findings = tuple(startup_not_finished.find(found))
    assert [(finding.severity, finding.mend.command) for finding in findings] == ([expected] if expected else [])
    for finding in findings:
        assert finding.details["expected_s"] == 80.0 and "10.0 GB of weights" in finding.cause


def test_another_start_here_tells_better_than_bytes() -> None:
    """What a worker's own log says its phases took is what the next one should take."""
    phases = [
        f'{{"event": "phase", "phase": "{name}", "seconds": {took}}}' for name, took in (("weights", 50), ("load", 11))
    ]
    ready = log(*phases, '{"event": "phase", "phase": "ready", "seconds": 1}')
    (finding,) = startup_not_finished.find(starting(logs={"w-0": ready}))
    assert finding.details["expected_s"] == 62.0 and "another start" in finding.cause


def test_a_failed_start_says_its_own_sentence() -> None:
    """The runtime's `failed` event is the finding; one that was ready afterwards is none."""
    failed = (
        '{"event": "failed", "code": "no_gpu", "sentence": "torch sees no GPU", "fix": "set a pool", "phase": "load"}'
    )
    (finding,) = start_failed.find(evidence(logs={"w-1": log(failed)}))
    assert "no_gpu: torch sees no GPU" in finding.seen and finding.mend.command.startswith("set a pool, then")
    ready = log(failed, '{"event": "phase", "phase": "ready", "seconds": 1}')
    assert not tuple(start_failed.find(evidence(logs={"w-1": ready})))


FAILED_START = KnownJob("j-2", 200.0, "FAILED", None, "no_space: 40 GB are missing; grow the volume", age_s=20.0)
RELEASED = Release(2, datetime.fromtimestamp(150, UTC).isoformat(), 1)


@pytest.mark.parametrize(
    ("jobs", "is_found"),
    [
        ((FAILED_START,), True),
        ((replace(FAILED_START, state_before="IN_QUEUE", state_now="FAILED"),), True),
        ((FAILED_START, KnownJob("j-3", 201.0, "COMPLETED", None)), False),  # answered since
        ((replace(FAILED_START, submitted_at=100.0),), False),  # on what ran before
        ((replace(FAILED_START, age_s=7200.0),), False),
        ((replace(FAILED_START, error="input_invalid: no text; send one"),), False),
        ((replace(FAILED_START, error=None),), False),
        ((KnownJob("j-2", 200.0, "COMPLETED", None, "no_space: x"),), False),
    ],
)
def test_a_job_remembers_a_failed_start(jobs: tuple[KnownJob, ...], is_found: bool) -> None:
    """The worker that failed is replaced, and its log is gone: the newest job that ended still says why."""
    findings = tuple(start_failed.find(evidence(jobs=jobs, releases=(RELEASED,))))
    assert len(findings) == is_found
    for finding in findings:
        assert "no_space: 40 GB are missing" in finding.seen and finding.mend.command.startswith(
            "grow the volume, then"
        )


def test_the_codes_of_a_start_are_the_runtimes() -> None:
    """Every error that a start can end with is known, and no other."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.StartError)]
    assert {kind.code for kind in kinds} == start_failed.CODES


def test_a_recipe_without_endpoint() -> None:
    """It is to be released; where two have the name, or only a name was given, that is no finding of this rule."""
    found = evidence(endpoint=None)
    (finding,) = not_deployed.find(found)
    assert finding.mend.command == "factory release recipes/demo.yaml"
    assert not tuple(not_deployed.find(replace(found, gaps={"endpoint": "2 endpoints have the name"})))
    assert not tuple(not_deployed.find(replace(found, recipe=None)))
