"""Jobs, against the emulator with workers, and against scripted answers where time or shape is the point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import stamina
from registries import free_port
from runpod_box import KEY, Emulated, an_endpoint, emulated
from scripted_site import Asked, Step, scripted

from factory.account import JobRequest, JobResult
from factory.clients.runpod.job_patience import Patience
from factory.clients.runpod.jobs import JobClient
from factory.clients.runpod.transport import RunPodClient
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.runpod.troubles import EndpointGone, LateStatus404
from factory.errors import EndpointNotFound, JobCancelled, JobRefused, JobTimedOut, RunError

EP = "ep1"
JOB = JobRequest({"text": "héllo"})
SOON = Patience(first_s=0.02, longest_s=0.05, unknown_s=0.4, starting_s=0.8, seen_s=0.3)


def client(url: str, patience: Patience = SOON, timeout_s: float = 20.0) -> JobClient:
    """A client with short patience."""
    return JobClient(RunPodClient(url, KEY, timeout_s=timeout_s, patience_s=10.0), patience=patience)


def answer(job_input: dict[str, Any]) -> dict[str, Any]:
    """What the workers of this file do: give the input back, or fail."""
    if job_input.get("fail"):
        raise ValueError("the prompt is too long")
    return job_input


@pytest.fixture(scope="module")
def served() -> Iterator[Emulated]:
    """RunPod with workers that answer at once."""
    with emulated(clock=RealClock(), launcher=InlineLauncher(answer)) as box:
        yield box


@pytest.fixture
def runpod(served: Emulated) -> Emulated:
    """The same, without faults, troubles and calls so far."""
    served.faults.clear()
    served.call(lambda box: box.troubles.clear())
    served.calls.clear()
    return served


@pytest.fixture(scope="module")
def endpoint(served: Emulated) -> str:
    """An endpoint with a worker."""
    return served.call(lambda box: box.world.create_endpoint(an_endpoint(workers_min=1))).id


@pytest.fixture(scope="module")
def asleep(served: Emulated) -> str:
    """An endpoint that has no worker, so that its jobs wait."""
    return served.call(lambda box: box.world.create_endpoint(an_endpoint("asleep", workers_max=0))).id


@pytest.fixture
def jobs(runpod: Emulated) -> JobClient:
    """A client of it."""
    return client(runpod.jobs_url)


# --- through a worker ----------------------------------------------------------------------------------------------
def test_a_job_is_queued_and_followed_to_its_end(jobs: JobClient, endpoint: str) -> None:
    """The result is what the worker gave back; whoever watches sees the end."""
    seen: list[JobResult] = []
    job = jobs.submit(endpoint, JOB)
    assert job.state == "IN_QUEUE"
    done = jobs.wait(endpoint, job.id, 20, seen.append)
    assert (done.state, done.output, done.error) == ("COMPLETED", {"text": "héllo"}, None)
    assert done.worker_id and done.execution_ms is not None and done.delay_ms is not None
    assert seen[-1] == done == jobs.status(endpoint, job.id)


def test_a_job_is_run_in_one_call(jobs: JobClient, endpoint: str) -> None:
    """`runsync` gives the result itself."""
    done = jobs.run_sync(endpoint, JOB, 20)
    assert (done.state, done.output) == ("COMPLETED", {"text": "héllo"})


def test_a_sync_call_may_end_before_its_job(jobs: JobClient, asleep: str) -> None:
    """When the wait is over, the job's id comes, and it can be followed."""
    job = jobs.run_sync(asleep, JOB, 0.1)
    assert job.state == "IN_QUEUE"
    assert jobs.cancel(asleep, job.id).state == "CANCELLED"


def test_a_failed_job_has_its_error_as_text(jobs: JobClient, endpoint: str) -> None:
    """The handler's sentence comes through."""
    job = jobs.submit(endpoint, JobRequest({"fail": True}))
    done = jobs.wait(endpoint, job.id, 20, lambda _: None)
    assert done.state == "FAILED"
    assert "the prompt is too long" in (done.error or "")


def test_a_failed_job_is_retried(jobs: JobClient, endpoint: str) -> None:
    """The same job is queued again, under its id; one that RunPod doesn't know can't be."""
    job = jobs.submit(endpoint, JobRequest({"fail": True}))
    jobs.wait(endpoint, job.id, 20, lambda _: None)
    assert jobs.retry(endpoint, job.id).id == job.id
    with pytest.raises(JobCancelled, match="RunPod no longer knows the job"):
        jobs.retry(endpoint, "nosuchjob")


def test_jobs_are_cancelled_purged_and_listed(jobs: JobClient, asleep: str) -> None:
    """A job that waits can be cancelled, all can be dropped, and what is there is counted."""
    first, second = jobs.submit(asleep, JOB), jobs.submit(asleep, JOB)
    assert jobs.health(asleep).jobs["inQueue"] == 2
    assert {first.id, second.id} <= {job.id for job in jobs.requests(asleep)}
    assert jobs.cancel(asleep, first.id).state == "CANCELLED"
    assert jobs.purge(asleep) == 1
    assert jobs.status(asleep, first.id).state == "CANCELLED"
    assert jobs.status(asleep, second.id).is_final
    assert jobs.cancel(asleep, "nosuchjob").state == "EXPIRED"


def test_a_job_says_its_wishes(runpod: Emulated, jobs: JobClient, asleep: str) -> None:
    """Time limits go out in milliseconds, the webhook at the top; what isn't set isn't sent."""
    wish = JobRequest({"a": 1}, "http://127.0.0.1:9/x", execution_timeout_s=5, ttl_s=10, is_low_priority=True)
    wished, plain = jobs.submit(asleep, wish), jobs.submit(asleep, JOB)
    payloads = runpod.call(lambda box: [_payload(box.jobs.get(asleep, job.id)) for job in (wished, plain)])
    assert payloads[0]["policy"] == {"executionTimeout": 5000, "ttl": 10000, "lowPriority": True}
    assert payloads[0]["webhook"] == "http://127.0.0.1:9/x"
    assert payloads[1] == {"input": {"text": "héllo"}}
    jobs.purge(asleep)


def _payload(job: Any) -> dict[str, Any]:
    return dict(job.payload)


# --- refused before it is sent -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("job", "words"),
    [
        (JobRequest({}), "the input is empty: RunPod drops an empty `input`"),
        (JobRequest({"x": float("nan")}), "the input is no JSON"),
        (JobRequest({"x": object()}), "the input is no JSON"),
        (JobRequest({"x": "é" * 5_000_000}), "the job has 10,000,018 bytes; RunPod takes at most 10,000,000"),
        (JobRequest({"x": 1}, execution_timeout_s=4), "execution timeout is 4 s; RunPod takes 5 to 604,800 s"),
        (JobRequest({"x": 1}, ttl_s=604_801), "time to live is 604801 s"),
    ],
)
def test_a_job_that_would_be_lost_is_not_sent(job: JobRequest, words: str) -> None:
    """What RunPod would drop or refuse is one sentence, and no call."""
    with scripted(Step()) as site, pytest.raises(JobRefused) as caught:
        client(site.url).submit(EP, job)
    assert words in str(caught.value)
    assert not site.asked


def test_a_sync_job_may_be_twice_as_large() -> None:
    """`runsync` takes 20 MB."""
    large = JobRequest({"x": "y" * 15_000_000})
    with scripted(Step(200, {"id": "j", "status": "COMPLETED"})) as site:
        assert client(site.url).run_sync(EP, large, 5).id == "j"
        with pytest.raises(JobRefused, match="at most 20,000,000"):
            client(site.url).run_sync(EP, JobRequest({"x": "y" * 20_000_000}), 5)
    assert [asked.path for asked in site.asked] == ["/ep1/runsync?wait=5000"]


# --- a submit that goes wrong --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fault",
    [
        Fault("late", wait_s=1.5),
        Fault("cut"),
        Fault("garbage", after=True),
        Fault("html", after=True),
        Fault("status", status=500, after=True),
        Fault("status", status=502, after=True),
        Fault("status", status=503, after=True),
        Fault("status", status=524, after=True),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_a_job_in_doubt_is_not_sent_again(runpod: Emulated, asleep: str, fault: Fault) -> None:
    """A job has no name to look for: the sentence says that it may be queued, and it was sent once."""
    runpod.faults.append(replace(fault, path="/v2/*/run"))
    jobs = client(runpod.jobs_url, timeout_s=0.5 if fault.kind == "late" else 20)
    with pytest.raises(RunError, match="RunPod may have queued it all the same") as caught:
        jobs.submit(asleep, JOB)
    assert caught.value.details["code"] == "in_doubt"
    assert [call.path.rsplit("/", 1)[1] for call in runpod.calls] == ["run"]


def test_a_sync_job_in_doubt_is_not_sent_again(runpod: Emulated, jobs: JobClient, asleep: str) -> None:
    """Cloudflare's 524 during `runsync` says nothing of the job."""
    runpod.faults.append(Fault("status", status=524, path="/v2/*/runsync"))
    with pytest.raises(RunError, match=r"no job's id came back \(HTTP 524"):
        jobs.run_sync(asleep, JOB, 1)
    assert len(runpod.calls) == 1


def test_a_job_that_was_turned_away_is_sent_again(runpod: Emulated, jobs: JobClient, asleep: str) -> None:
    """A 429 comes before anything is queued."""
    runpod.faults.append(Fault("rate_limit", wait_s=1, path="/v2/*/run"))
    runpod.faults.append(Fault("status", status=429, path="/v2/*/run"))
    with stamina.set_testing(True, attempts=4):
        assert jobs.submit(asleep, JOB).state == "IN_QUEUE"
    assert len(runpod.calls) == 3


def test_nobody_there() -> None:
    """Without a connection the job certainly was not sent."""
    with stamina.set_testing(True, attempts=2), pytest.raises(RunError) as caught:
        client(f"http://127.0.0.1:{free_port()}").submit(EP, JOB)
    assert "endpoint ep1: no answer from 127.0.0.1 (no connection); check the network" in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault("status", status=400), JobRefused, "RunPod refuses: played fault (HTTP 400)"),
        (Fault("status", status=401), RunError, "RUNPOD_API_KEY"),
        (Fault("status", status=410), JobRefused, "HTTP 410"),
        (Fault("rate_limit", wait_s=900), RunError, "wait a minute"),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
def test_a_refusal_is_one_sentence(
    runpod: Emulated, jobs: JobClient, asleep: str, fault: Fault, error: type[RunError], words: str
) -> None:
    """Each refusal is one sentence of the right class."""
    runpod.faults.append(replace(fault, path="/v2/*/run"))
    with pytest.raises(error) as caught:
        jobs.submit(asleep, JOB)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert type(caught.value) is error


def test_no_such_endpoint(jobs: JobClient) -> None:
    """Every call about an endpoint that isn't there says so."""
    for call in (
        lambda: jobs.submit("nosuch", JOB),
        lambda: jobs.status("nosuch", "j"),
        lambda: jobs.cancel("nosuch", "j"),
        lambda: jobs.retry("nosuch", "j"),
        lambda: jobs.purge("nosuch"),
        lambda: jobs.health("nosuch"),
        lambda: jobs.requests("nosuch"),
    ):
        with pytest.raises(EndpointNotFound, match="endpoint nosuch: RunPod knows no such endpoint"):
            call()


def test_an_endpoint_whose_job_api_is_gone(runpod: Emulated, jobs: JobClient, asleep: str) -> None:
    """`{"message": "Not Found"}` gets the hint at the balance and the host."""
    job = jobs.submit(asleep, JOB)
    runpod.call(lambda box: box.troubles.add(EndpointGone()))
    with pytest.raises(EndpointNotFound, match=r"balance.*RUNPOD_ENDPOINT_BASE_URL"):
        jobs.submit(asleep, JOB)
    with pytest.raises(EndpointNotFound):
        jobs.wait(asleep, job.id, 20, lambda _: None)


# --- 404 -----------------------------------------------------------------------------------------------------------
def test_a_job_that_is_not_known_yet(runpod: Emulated, jobs: JobClient, endpoint: str) -> None:
    """A 404 right after `run` is no end."""
    runpod.call(lambda box: box.troubles.add(LateStatus404(times=3)))
    job = jobs.submit(endpoint, JOB)
    assert jobs.wait(endpoint, job.id, 20, lambda _: None).state == "COMPLETED"


def test_a_job_that_is_not_known(jobs: JobClient, asleep: str) -> None:
    """Asked once, an unknown job is EXPIRED at once; waited for, after the patience."""
    assert jobs.status(asleep, "nosuchjob") == JobResult("nosuchjob", "EXPIRED")
    seen: list[JobResult] = []
    assert jobs.wait(asleep, "nosuchjob", 20, seen.append).state == "EXPIRED"
    assert [job.state for job in seen] == ["EXPIRED"]


@dataclass
class FakeTime:
    """Time that passes when somebody sleeps."""

    now_s: float = 0.0

    def now(self) -> float:
        """The time, in seconds."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


@dataclass
class Scene:
    """RunPod's answers at a time: the job's status and the endpoint's health, each a Step by the second it begins."""

    clock: FakeTime
    status: dict[float, Step]
    health: dict[float, Step]

    def __call__(self, asked: Asked) -> Step:
        """Return the answer that holds now."""
        times = self.health if asked.path.endswith("/health") else self.status
        return times[max(second for second in times if second <= self.clock.now_s)]


UNKNOWN = Step(404, {"status": 404, "title": "Not Found"})
NUMERIC = Step(200, {"status": 404, "title": "Not Found", "detail": "request does not exist"})
GONE = Step(404, {"message": "Not Found"})
RUNS = Step(200, {"id": "j", "status": "IN_PROGRESS"})
DONE = Step(200, {"id": "j", "status": "COMPLETED", "output": 1})
BROKEN = Step(200, b'{"id": "j", "stat')
DOWN = Step(500, {"error": "oops"})


def workers(**counts: int) -> Step:
    """A health answer."""
    return Step(200, {"jobs": {"inQueue": 1}, "workers": counts})


IDLE, STARTING = workers(idle=1, initializing=1), workers(initializing=1, throttled=2, idle=0)


@pytest.mark.parametrize(
    ("status", "health", "end", "between_s"),
    [
        ({0: UNKNOWN, 140: DONE}, {0: IDLE}, "COMPLETED", (140, 146)),
        ({0: UNKNOWN}, {0: IDLE}, "EXPIRED", (150, 156)),
        ({0: NUMERIC}, {0: IDLE}, "EXPIRED", (150, 156)),
        ({0: UNKNOWN}, {0: workers()}, "EXPIRED", (150, 156)),
        ({0: UNKNOWN}, {0: DOWN}, "EXPIRED", (150, 156)),
        ({0: UNKNOWN, 800: DONE}, {0: STARTING}, "COMPLETED", (800, 806)),
        ({0: UNKNOWN}, {0: STARTING}, "EXPIRED", (900, 906)),
        ({0: UNKNOWN}, {0: STARTING, 200: IDLE}, "EXPIRED", (200, 206)),
        ({0: RUNS, 50: UNKNOWN, 55: DONE}, {0: IDLE}, "COMPLETED", (55, 61)),
        ({0: RUNS, 50: UNKNOWN}, {0: IDLE}, "EXPIRED", (60, 71)),
        ({0: UNKNOWN, 5: DONE}, {0: GONE, 5: IDLE}, "COMPLETED", (5, 11)),
        ({0: UNKNOWN}, {0: GONE}, EndpointNotFound, (10, 16)),
        ({0: RUNS, 50: GONE}, {0: GONE}, EndpointNotFound, (60, 71)),
        ({0: BROKEN, 0.5: DONE}, {0: IDLE}, "COMPLETED", (0.5, 2)),
        ({0: BROKEN}, {0: IDLE}, RunError, (0.5, 2)),
        ({0: DOWN}, {0: IDLE}, RunError, (0.5, 2)),
        ({0: RUNS}, {0: IDLE}, JobTimedOut, (2000, 2000)),
        ({0: Step(200, {"id": "j", "status": "RUNNING"})}, {0: IDLE}, JobTimedOut, (2000, 2000)),
    ],
)
def test_waiting(
    status: dict[float, Step], health: dict[float, Step], end: str | type[RunError], between_s: tuple[float, float]
) -> None:
    """What a wait ends with, and when, for each course of answers."""
    clock = FakeTime()
    with scripted(choose=Scene(clock, status, health)) as site:
        jobs = JobClient(RunPodClient(site.url, KEY), now=clock.now, sleep=clock.sleep)
        if isinstance(end, str):
            assert jobs.wait(EP, "j", 2000, lambda _: None).state == end
        else:
            with pytest.raises(end) as caught:
                jobs.wait(EP, "j", 2000, lambda _: None)
            assert "\n" not in str(caught.value)
    assert between_s[0] <= clock.now_s <= between_s[1]


def test_a_wait_outlives_what_passes(runpod: Emulated, jobs: JobClient, endpoint: str) -> None:
    """Lost connections, 502 to 504 and 429 during a wait are not seen."""
    job = jobs.submit(endpoint, JOB)
    for fault in (Fault("cut"), Fault("status", status=502), Fault("status", status=429), Fault("cut", after_bytes=4)):
        runpod.faults.append(replace(fault, path="/v2/*/status/*"))
    with stamina.set_testing(True, attempts=5):
        assert jobs.wait(endpoint, job.id, 20, lambda _: None).state == "COMPLETED"


# --- shapes --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"id": "x", "status": "FAILED", "error": "job timed out after 1 retries", "retries": 1,
             "delayTime": 101050, "executionTime": 42078, "workerId": "z3jr9rv2k3tt2y"},
            JobResult("x", "FAILED", None, "job timed out after 1 retries", 101050, 42078, "z3jr9rv2k3tt2y", 1),
        ),
        ({"status": "FAILED", "error": {"type": "OOM"}}, JobResult("j", "FAILED", error='{"type": "OOM"}')),
        (
            {"status": "FAILED", "output": {"error": ["a", 1]}},
            JobResult("j", "FAILED", {"error": ["a", 1]}, '["a", 1]'),
        ),
        ({"status": "COMPLETED", "output": {"error": "x"}}, JobResult("j", "COMPLETED", {"error": "x"})),
        ({"status": "RUNNING", "output": {"pct": 10}}, JobResult("j", "IN_PROGRESS", {"pct": 10})),
        ({"status": "DREAMING", "new": True}, JobResult("j", "IN_PROGRESS")),
        ({"status": "TIMED_OUT", "delayTime": None, "retries": "2"}, JobResult("j", "TIMED_OUT")),
    ],
)  # fmt: skip
def test_the_shapes_of_a_status(body: dict[str, Any], expected: JobResult) -> None:
    """Errors of any shape become text, words that we don't know a job under way."""
    with scripted(Step(200, body)) as site:
        assert client(site.url).status(EP, "j") == expected


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({"requests": [{"id": "a", "status": "IN_QUEUE"}]}, ["a"]),
        ({"data": [{"id": "a"}, {"nothing": 1}, 7]}, ["a"]),
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
        ({"count": 0}, []),
        ([], []),
    ],
)
def test_the_shapes_of_the_requests(body: object, ids: list[str]) -> None:
    """The list of jobs is found whatever it lies in."""
    with scripted(Step(200, body)) as site:
        assert [job.id for job in client(site.url).requests(EP)] == ids


def test_an_old_health() -> None:
    """Health without some of its counts is read as far as it goes."""
    with scripted(Step(200, {"jobs": {"inQueue": 2, "odd": "x"}, "workers": None})) as site:
        health = client(site.url).health(EP)
    assert (health.jobs, health.workers) == ({"inQueue": 2}, {})


# --- chunks --------------------------------------------------------------------------------------------------------
def chunks(*outputs: object, status: str = "IN_PROGRESS") -> Step:
    """A stream answer as RunPod's SDK reads it."""
    return Step(200, {"status": status, "stream": [{"output": output} for output in outputs]})


def bare(*outputs: object) -> Step:
    """A stream answer as RunPod's documentation prints it."""
    return Step(200, [{"metrics": {}, "output": output} for output in outputs])


def test_chunks_come_from_a_worker(runpod: Emulated, jobs: JobClient, asleep: str) -> None:
    """Every chunk comes once, in order, and the stream ends with the job."""
    job = jobs.submit(asleep, JOB)
    stream = jobs.stream(asleep, job.id, 20)
    runpod.call(lambda box: _add_chunks(box, asleep, job.id, "a", "b"))
    assert next(stream) == "a"
    runpod.call(lambda box: _add_chunks(box, asleep, job.id, "c"))
    assert [next(stream), next(stream)] == ["b", "c"]
    jobs.cancel(asleep, job.id)
    assert list(stream) == []


def _add_chunks(box: Any, endpoint_id: str, job_id: str, *chunks: str) -> None:
    box.jobs.get(endpoint_id, job_id).stream.extend(chunks)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (
            [chunks(), chunks(1, {"a": 2}), chunks(), chunks(3, status="COMPLETED"), chunks(status="COMPLETED")],
            [1, {"a": 2}, 3],
        ),
        ([UNKNOWN, chunks("x"), chunks(status="FAILED")], ["x"]),
        ([Step(200, {"status": "COMPLETED", "stream": None})], []),
        ([Step(200, {"status": "IN_PROGRESS", "stream": ["raw", None]}), chunks(status="CANCELLED")], ["raw", None]),
    ],
)  # fmt: skip
def test_a_stream_with_states(answers: list[Step], expected: list[object]) -> None:
    """Chunks are yielded as they come until the job has ended and nothing is left."""
    with scripted(choose=_Streamed(answers, RUNS)) as site:
        assert list(client(site.url).stream(EP, "j", 20)) == expected


def test_a_stream_without_states() -> None:
    """A bare list says nothing of the job: its status is asked, and the last chunks are fetched after its end."""
    with scripted(choose=_Streamed([bare(1), bare(), bare(2), bare()], DONE)) as site:
        assert list(client(site.url).stream(EP, "j", 20)) == [1, 2]
    assert [asked.path.split("/")[2] for asked in site.asked] == ["stream", "stream", "status", "stream", "stream"]


@dataclass
class _Streamed:
    """Stream answers in their order; the job's status at any time."""

    answers: list[Step]
    status: Step

    def __call__(self, asked: Asked) -> Step:
        if "/stream/" in asked.path:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return IDLE if asked.path.endswith("/health") else self.status


@pytest.mark.parametrize(
    "lost", [Step(ends="hang_up"), Step(200, [1, 2, 3], ends="cut"), BROKEN, Step(502), Step(503), Step(504)]
)
def test_lost_chunks_are_said(lost: Step) -> None:
    """RunPod forgets what it hands out: a lost answer isn't asked for again as if nothing had been in it."""
    with scripted(choose=_Streamed([chunks(1), lost, chunks(2)], RUNS)) as site:
        stream = client(site.url).stream(EP, "j", 20)
        assert next(stream) == 1
        with pytest.raises(RunError, match="job j: chunks may be lost: "):
            next(stream)
    assert len(site.asked) == 2


def test_a_stream_has_a_time_limit() -> None:
    """A job that doesn't end is left, and the sentence says that it goes on."""
    clock = FakeTime()
    with scripted(chunks()) as site, pytest.raises(JobTimedOut, match="it goes on at RunPod"):
        list(JobClient(RunPodClient(site.url, KEY), now=clock.now, sleep=clock.sleep).stream(EP, "j", 60))
    assert clock.now_s == 60


def test_faults_stay_where_they_were_put(runpod: Emulated, jobs: JobClient, asleep: str) -> None:
    """An endpoint's health outlives what passes, and says in a sentence what stays."""
    runpod.faults.append(Fault("status", status=503, times=FOREVER, path="/v2/*/health"))
    with stamina.set_testing(True, attempts=3), pytest.raises(RunError, match=r"RunPod fails: .*\(HTTP 503\)"):
        jobs.health(asleep)
    assert len(runpod.calls) == 3
