"""A job's states, by the clock: every way from one to the next, and that none is lost and none ends twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from factory.emulator.runpod import job_rules as rules
from factory.emulator.runpod.catalogue import Catalogue
from factory.emulator.runpod.clock import StepClock
from factory.emulator.runpod.entities import Container, Endpoint, Job, Worker
from factory.emulator.runpod.jobs import Jobs
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.store import Store
from factory.emulator.runpod.world import World

DAY_S = 86_400.0
CATALOGUE = Catalogue.snapshot()


class Bench:
    """One endpoint, its jobs, and workers made by name; the clock is moved by hand, and each move ticks."""

    def __init__(self, folder: Path | None = None, **settings: Any) -> None:
        self.clock = StepClock()
        self.world = World(self.clock, CATALOGUE, Store(folder) if folder else None)
        self.jobs = Jobs(self.world)
        draft = Endpoint("", "bench", "QUEUE", Container("image"), pools=["AMPERE_16"], **settings)
        if not self.world.endpoints:
            self.world.create_endpoint(draft)
        self.endpoint = next(iter(self.world.endpoints))

    def submit(self, payload: Any = None, *, is_sync: bool = False) -> Job:
        """Submit a job, a plain one by default."""
        return self.jobs.submit(self.endpoint, payload or {"input": {"n": 1}}, is_sync=is_sync)

    def worker(self, name: str = "w1") -> Worker:
        """Make a worker."""
        return Worker(name, self.endpoint, 1, "image")

    def take(self, name: str = "w1", count: int = 1) -> list[Job]:
        """Let a worker take what is there."""
        return self.jobs.close(self.jobs.ask(self.worker(name), count))

    def finish(self, job: Job, result: Any = None, **more: Any) -> Job:
        """Let the job's worker answer."""
        return self.jobs.finish(
            self.endpoint, job.worker_id or "?", job.id, {"output": 1} if result is None else result, **more
        )

    def later(self, seconds: float) -> None:
        """Move the clock, and tick."""
        self.clock.advance(seconds)
        self.jobs.tick()

    def is_known(self, job: Job) -> bool:
        """Is the job not forgotten?"""
        return self.jobs.get(self.endpoint, job.id) is job


def lose(bench: Bench, job: Job) -> None:
    """The job's worker is gone."""
    bench.jobs.worker_lost(job.worker_id or "?")


def cancel(bench: Bench, job: Job) -> None:
    """The client cancels."""
    bench.jobs.cancel(bench.endpoint, job.id)


def retry(bench: Bench, job: Job) -> None:
    """The client retries."""
    bench.jobs.retry(bench.endpoint, job.id)


def take(bench: Bench, job: Job) -> None:
    """A worker takes the job."""
    assert bench.take() == [job]


STEPS: dict[str, Callable[[Bench, Job], Any]] = {
    "take": take,
    "finish": lambda bench, job: bench.finish(job),
    "finish with error": lambda bench, job: bench.finish(job, {"error": "bad", "output": {"part": 1}}),
    "lose": lose,
    "cancel": cancel,
    "retry": retry,
    "purge": lambda bench, job: bench.jobs.purge(bench.endpoint),
    "600 s": lambda bench, job: bench.later(600),
    "30 min": lambda bench, job: bench.later(1800),
    "a day": lambda bench, job: bench.later(DAY_S),
}
GONE = "gone"


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([], "IN_QUEUE"),
        (["take"], "IN_PROGRESS"),
        (["take", "finish"], "COMPLETED"),
        (["take", "finish with error"], "FAILED"),
        (["take", "lose"], "IN_QUEUE"),
        (["take", "lose", "take", "finish"], "COMPLETED"),
        (["take", "lose", "take", "lose"], "FAILED"),
        (["take", "lose", "take", "lose", "retry", "take", "lose"], "IN_QUEUE"),
        (["take", "600 s"], "TIMED_OUT"),
        (["take", "600 s", "retry"], "IN_QUEUE"),
        (["take", "600 s", "retry", "take", "finish"], "COMPLETED"),
        (["take", "finish with error", "retry", "take", "finish"], "COMPLETED"),
        (["cancel"], "CANCELLED"),
        (["take", "cancel"], "CANCELLED"),
        (["take", "finish", "cancel"], "COMPLETED"),
        (["take", "lose", "cancel"], "CANCELLED"),
        (["purge"], GONE),
        (["take", "purge"], "IN_PROGRESS"),
        (["take", "finish", "purge"], "COMPLETED"),
        (["take", "finish", "30 min"], GONE),
        (["take", "600 s", "600 s"], "TIMED_OUT"),
        (["take", "600 s", "30 min"], GONE),
        (["600 s"], "IN_QUEUE"),
        (["a day"], GONE),
    ],
    ids=lambda value: value if isinstance(value, str) else " > ".join(value) or "nothing",
)
def test_states(steps: list[str], status: str) -> None:
    """Each series of events leads to the state that RunPod documents."""
    bench = Bench()
    job = bench.submit()
    for step in steps:
        STEPS[step](bench, job)
    assert (job.status if bench.is_known(job) else GONE) == status


@pytest.mark.parametrize("steps", [[], ["take"], ["take", "finish"], ["cancel"]])
def test_only_failed_jobs_are_retried(steps: list[str]) -> None:
    """Retry refuses a job that neither FAILED nor TIMED_OUT."""
    bench = Bench()
    job = bench.submit()
    for step in steps:
        STEPS[step](bench, job)
    with pytest.raises(Refused) as refused:
        retry(bench, job)
    assert refused.value.status == 400


def test_delay_and_execution_are_of_the_latest_attempt() -> None:
    """Times are ms; after a lost worker the delay counts from the return to the queue."""
    bench = Bench()
    job = bench.submit()
    bench.later(5)
    bench.take()
    bench.later(3)
    lose(bench, job)
    assert rules.status_of(job) == {"id": job.id, "status": "IN_QUEUE", "retries": 1}
    bench.later(2)
    bench.take("w2")
    assert rules.status_of(job) == {
        "id": job.id,
        "status": "IN_PROGRESS",
        "delayTime": 2000,
        "workerId": "w2",
        "retries": 1,
    }
    bench.later(1.5)
    lose(bench, job)
    assert rules.status_of(job) == {
        "id": job.id,
        "status": "FAILED",
        "delayTime": 2000,
        "executionTime": 1500,
        "error": "job timed out after 1 retries",
        "workerId": "w2",
        "retries": 1,
    }


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ({"output": {"a": 1}}, {"status": "COMPLETED", "output": {"a": 1}}),
        ({"output": None}, {"status": "COMPLETED", "output": None}),
        ({"output": []}, {"status": "COMPLETED", "output": []}),
        ({}, {"status": "COMPLETED"}),
        ({"error": ""}, {"status": "COMPLETED"}),
        ({"error": "bad"}, {"status": "FAILED", "error": "bad"}),
        ({"error": {"a": 1}}, {"status": "FAILED", "error": {"a": 1}}),
        ({"error": "bad", "output": {"d": 1}}, {"status": "FAILED", "error": "bad", "output": {"d": 1}}),
    ],
)
def test_results(result: Any, shown: dict[str, Any]) -> None:
    """What a worker may answer, and what becomes of it."""
    bench = Bench()
    job = bench.submit()
    bench.take()
    bench.finish(job, result)
    status = rules.status_of(job)
    assert {key: status[key] for key in ("status", "output", "error") if key in status} == shown


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ([], "object"),
        ({}, "input"),
        ({"prompt": "x"}, "input"),
        ({"input": None}, "input"),
        ({"input": {"a": 1}, "webhook": 1}, "webhook"),
        ({"input": {"a": 1}, "policy": []}, "policy"),
        ({"input": {"a": 1}, "policy": {"executionTimeout": 4999}}, "executionTimeout"),
        ({"input": {"a": 1}, "policy": {"executionTimeout": 604_800_001}}, "executionTimeout"),
        ({"input": {"a": 1}, "policy": {"executionTimeout": "9000"}}, "executionTimeout"),
        ({"input": {"a": 1}, "policy": {"executionTimeout": True}}, "executionTimeout"),
        ({"input": {"a": 1}, "policy": {"ttl": 9999}}, "ttl"),
        ({"input": {"a": 1}, "policy": {"ttl": None}}, "ttl"),
        ({"input": {"a": 1}, "policy": {"lowPriority": 1}}, "lowPriority"),
    ],
)
def test_what_is_no_job(payload: Any, problem: str) -> None:
    """A body that can't be a job is refused with 400, and nothing is queued."""
    bench = Bench()
    with pytest.raises(Refused, match=problem) as refused:
        bench.jobs.submit(bench.endpoint, payload, is_sync=False)
    assert refused.value.status == 400
    assert bench.jobs.queued(bench.endpoint) == 0


@pytest.mark.parametrize("empty", [{}, [], "", 0, False])
def test_an_empty_input_is_a_trap(empty: Any) -> None:
    """The key is dropped, no worker can use the job, and it fails after two attempts that nobody names."""
    bench = Bench()
    job = bench.submit({"input": empty, "extra": 1})
    (taken,) = bench.take()
    assert rules.for_worker(taken) == {"id": job.id, "extra": 1}
    bench.later(19)
    assert job.status == "IN_PROGRESS"
    bench.later(1)
    assert (job.status, job.retries) == ("IN_QUEUE", 1)
    bench.take()
    bench.later(20)
    assert (job.status, job.error) == ("FAILED", "job timed out after 1 retries")


def test_a_worker_that_names_even_such_a_job_keeps_it() -> None:
    """A batch-taking worker runs a job without input; while its pings name it, it isn't lost."""
    bench = Bench()
    job = bench.submit({"input": {}})
    bench.take()
    for _ in range(5):
        bench.later(10)
        bench.jobs.heard(bench.endpoint, "w1", [job.id])
    assert job.status == "IN_PROGRESS"
    assert bench.finish(job).status == "COMPLETED"


@pytest.mark.parametrize(
    ("policy", "timeout_ms", "lasts_s"),
    [
        ({}, 0, 600),
        ({}, 30_000, 30),
        ({"executionTimeout": 5_000}, 30_000, 5),
        ({"executionTimeout": 60_000}, 30_000, 60),
    ],
)
def test_execution_timeout(policy: dict[str, Any], timeout_ms: int, lasts_s: float) -> None:
    """The job's own limit goes before the endpoint's, that before RunPod's 600 s; the worker is told to stop."""
    bench = Bench(execution_timeout_ms=timeout_ms)
    job = bench.submit({"input": {"a": 1}, "policy": policy})
    bench.take()
    bench.jobs.progress(bench.endpoint, "w1", job.id, "half")
    bench.later(lasts_s - 0.5)
    assert (job.status, job.output) == ("IN_PROGRESS", "half")
    bench.later(0.5)
    assert rules.status_of(job) == {
        "id": job.id,
        "status": "TIMED_OUT",
        "delayTime": 0,
        "executionTime": lasts_s * 1000,
        "workerId": "w1",
    }
    assert bench.jobs.stops.read(bench.endpoint, "w1") == [job.id]


@pytest.mark.parametrize("is_taken", [False, True])
def test_ttl(is_taken: bool) -> None:
    """A job is gone when its time to live is over, in the queue or at work; its late result finds nothing."""
    bench = Bench()
    job = bench.submit({"input": {"a": 1}, "policy": {"ttl": 10_000}})
    if is_taken:
        bench.take()
    bench.later(9.9)
    assert bench.is_known(job)
    bench.later(0.1)
    assert not bench.is_known(job)
    assert bench.jobs.counts(bench.endpoint)["inProgress"] == 0
    with pytest.raises(Refused) as refused:
        bench.jobs.finish(bench.endpoint, "w1", job.id, {"output": 1})
    assert refused.value.status == 404
    assert bench.jobs.stops.read(bench.endpoint, "w1") == [job.id] * is_taken


@pytest.mark.parametrize(("is_sync", "kept_s"), [(False, 1800), (True, 60)])
def test_retention(is_sync: bool, kept_s: float) -> None:
    """A result stays 30 minutes, that of /runsync one."""
    bench = Bench()
    job = bench.submit(is_sync=is_sync)
    bench.take()
    bench.later(30)
    bench.finish(job)
    bench.later(kept_s - 1)
    assert bench.is_known(job)
    bench.later(1)
    assert not bench.is_known(job)


@pytest.mark.parametrize(("is_sync", "most"), [(False, 10_000_000), (True, 20_000_000)])
def test_a_result_that_is_too_long(is_sync: bool, most: int) -> None:
    """It is refused, and the job stays at work until its time is over."""
    bench = Bench()
    job = bench.submit(is_sync=is_sync)
    bench.take()
    with pytest.raises(Refused) as refused:
        bench.finish(job, size_bytes=most + 1)
    assert (refused.value.status, job.status) == (400, "IN_PROGRESS")
    bench.later(600)
    assert job.status == "TIMED_OUT"
    other = bench.submit(is_sync=is_sync)
    bench.take()
    assert bench.finish(other, size_bytes=most).status == "COMPLETED"


def test_a_chunk_that_is_too_long() -> None:
    """It is refused; the stream goes on."""
    bench = Bench()
    job = bench.submit()
    bench.take()
    bench.jobs.add_chunk(bench.endpoint, "w1", job.id, "a", size_bytes=1_000_000)
    with pytest.raises(Refused):
        bench.jobs.add_chunk(bench.endpoint, "w1", job.id, "b", size_bytes=1_000_001)
    bench.jobs.add_chunk(bench.endpoint, "w1", job.id, "c", size_bytes=1)
    assert bench.jobs.take_chunks(job) == ["a", "c"]
    assert bench.jobs.take_chunks(job) == []


def test_order() -> None:
    """First in, first out; low priority when nothing else waits; a job that is queued again goes last."""
    bench = Bench()
    low = bench.submit({"input": {"a": 1}, "policy": {"lowPriority": True}})
    first, second = bench.submit(), bench.submit()
    assert bench.take() == [first]
    lose(bench, first)
    assert bench.take("w2", 9) == [second, first, low]


def test_a_batch_takes_no_more_than_asked() -> None:
    """`count` is the most."""
    bench = Bench()
    jobs = [bench.submit() for _ in range(5)]
    assert bench.take("w1", 3) == jobs[:3]
    assert bench.jobs.in_progress("w1") == [job.id for job in jobs[:3]]
    assert bench.jobs.queued(bench.endpoint) == 2


def test_what_the_scaler_asks() -> None:
    """How many wait, and how long the first has, over both priorities."""
    bench = Bench()
    assert bench.jobs.oldest_wait_s(bench.endpoint) is None
    bench.submit({"input": {"a": 1}, "policy": {"lowPriority": True}})
    bench.later(4)
    bench.submit()
    bench.later(1)
    assert (bench.jobs.queued(bench.endpoint), bench.jobs.oldest_wait_s(bench.endpoint)) == (2, 5)
    bench.take("w1", 2)
    assert bench.jobs.oldest_wait_s(bench.endpoint) is None


def test_counts() -> None:
    """/health counts what was, and what is."""
    bench = Bench()
    done, failed, lost, _, _ = (bench.submit() for _ in range(5))
    bench.take("w1", 2)
    bench.finish(done)
    bench.finish(failed, {"error": "bad"})
    bench.take("w2")
    lose(bench, lost)
    bench.take("w3")
    assert bench.jobs.counts(bench.endpoint) == {
        "completed": 1,
        "failed": 1,
        "inProgress": 1,
        "inQueue": 2,
        "retried": 1,
    }


def test_only_its_worker_can_end_a_job_and_only_once() -> None:
    """The worker that lost it, another, and a second answer are refused; the result stays the first."""
    bench = Bench()
    job = bench.submit()
    bench.take("w1")
    lose(bench, job)
    bench.take("w2")
    for name in ("w1", "w3"):
        with pytest.raises(Refused) as refused:
            bench.jobs.finish(bench.endpoint, name, job.id, {"output": name})
        assert refused.value.status == 400
    bench.finish(job, {"output": "right"})
    with pytest.raises(Refused):
        bench.finish(job, {"output": "again"})
    assert job.output == "right"


def test_late_progress_is_ignored() -> None:
    """Progress is the latest output while the job runs; after its result it changes nothing."""
    bench = Bench()
    job = bench.submit()
    bench.take()
    bench.jobs.progress(bench.endpoint, "w1", job.id, {"pct": 10})
    bench.jobs.progress(bench.endpoint, "w2", job.id, {"pct": 99})
    assert job.output == {"pct": 10}
    bench.finish(job, {})
    bench.jobs.progress(bench.endpoint, "w1", job.id, {"pct": 20})
    bench.jobs.progress(bench.endpoint, "w1", "unknown", {"pct": 20})
    assert not rules.status_of(job).keys() & {"output"}


def test_a_worker_without_its_job_has_lost_it() -> None:
    """A worker whose pings don't name the job for 20 s has lost it; one that says nothing at all keeps it."""
    bench = Bench()
    job, quiet = bench.submit(), bench.submit()
    bench.take("w1")
    bench.take("w2")
    bench.later(19)
    bench.jobs.heard(bench.endpoint, "w1", ())
    assert job.worker_id == "w1"
    bench.later(1)
    bench.jobs.heard(bench.endpoint, "w1", ())
    assert (job.status, quiet.status) == ("IN_QUEUE", "IN_PROGRESS")


def test_a_job_that_gets_lost_on_the_way() -> None:
    """The worker waits on, the job is queued again after 20 s, and then arrives."""
    bench = Bench()
    lost = iter([True, False])
    bench.jobs.loses = lambda job: next(lost)
    taker = bench.jobs.ask(bench.worker())
    job = bench.submit()
    assert (taker.jobs, job.status) == ([], "IN_PROGRESS")
    bench.later(20)
    assert bench.jobs.close(taker) == [job]
    assert job.retries == 1


def test_a_worker_that_leaves_gets_none() -> None:
    """A job goes by a waiting worker that is to leave, to the next."""
    bench = Bench()
    leaving, staying = bench.worker("w1"), bench.worker("w2")
    first, second = bench.jobs.ask(leaving), bench.jobs.ask(staying)
    leaving.is_leaving = True
    job = bench.submit()
    assert (bench.jobs.close(first), bench.jobs.close(second)) == ([], [job])


def test_a_job_for_a_worker_that_hung_up_is_put_back_first() -> None:
    """Nothing is counted as a retry, and its place in the line is kept."""
    bench = Bench()
    taker = bench.jobs.ask(bench.worker())
    job, other = bench.submit(), bench.submit()
    assert taker.jobs == [job]
    assert bench.jobs.close(taker, is_gone=True) == []
    assert (job.status, job.retries) == ("IN_QUEUE", 0)
    assert bench.take("w2", 2) == [job, other]


def test_a_job_that_is_cancelled_before_it_is_fetched_is_not_delivered() -> None:
    """Between the wake of a worker and its answer the job may end."""
    bench = Bench()
    taker = bench.jobs.ask(bench.worker())
    job = bench.submit()
    cancel(bench, job)
    assert bench.jobs.close(taker) == []


def test_an_endpoint_takes_its_jobs_along() -> None:
    """When the endpoint is deleted they are gone, and who works on one is told."""
    bench = Bench()
    job, queued = bench.submit(), bench.submit()
    bench.take()
    bench.world.delete_endpoint(bench.endpoint)
    assert not bench.is_known(job)
    assert not bench.is_known(queued)
    assert bench.jobs.stops.read(bench.endpoint, "w1") == [job.id]


def test_waiting_for_a_job_and_for_its_end() -> None:
    """A worker's wait and a client's both end with the event, or by the clock."""

    async def play() -> None:
        bench = Bench()
        taking = asyncio.create_task(bench.jobs.take(bench.worker(), 1, 20))
        await asyncio.sleep(0)
        bench.clock.advance(20)
        assert await taking == []
        taking = asyncio.create_task(bench.jobs.take(bench.worker(), 1, 20))
        await asyncio.sleep(0)
        job = bench.submit(is_sync=True)
        assert await taking == [job]
        ending = asyncio.create_task(bench.jobs.wait_end(job, 90))
        await asyncio.sleep(0)
        bench.finish(job)
        assert await ending
        other = bench.submit()
        ending = asyncio.create_task(bench.jobs.wait_end(other, 90))
        await asyncio.sleep(0)
        bench.jobs.purge(bench.endpoint)
        assert not await ending
        taking = asyncio.create_task(bench.jobs.take(bench.worker(), 1, 20))
        await asyncio.sleep(0)
        last = bench.submit()
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        assert last.status == "IN_QUEUE"

    asyncio.run(asyncio.wait_for(play(), 10))


def test_a_restart(tmp_path: Path) -> None:
    """What was queued is queued, what ran is queued again with a retry, results stay; the clock's time is kept."""
    bench = Bench(tmp_path)
    done, running, gone, queued = (bench.submit({"input": {"text": "é\ud800"}}) for _ in range(4))
    bench.take("w1", 3)
    bench.finish(done, {"output": {"answer": 42}})
    bench.finish(gone)
    bench.jobs.cancel(bench.endpoint, gone.id)
    assert bench.world.store is not None
    bench.world.store.close()

    again = Bench(tmp_path)
    found = {job.id: job for job in again.jobs.of(again.endpoint)}
    assert set(found) == {done.id, running.id, gone.id, queued.id}
    assert (found[done.id].status, found[done.id].output) == ("COMPLETED", {"answer": 42})
    assert (found[running.id].status, found[running.id].retries) == ("IN_QUEUE", 1)
    assert [job.id for job in again.take("w2", 9)] == [queued.id, running.id]
    assert found[queued.id].payload == {"input": {"text": "é\ud800"}}
    again.later(1800)
    assert again.jobs.get(again.endpoint, done.id) is None


class Life(RuleBasedStateMachine):
    """Clients, workers and the clock do what they like."""

    @initialize()
    def begin(self) -> None:
        """An endpoint, and nothing else."""
        self.bench = Bench()
        self.all: dict[str, Job] = {}
        self.ended: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.held: dict[str, list[Job]] = {"w1": [], "w2": [], "w3": []}
        self.takers: list[Any] = []
        self.purged: set[str] = set()
        self.bench.jobs.on_end.append(self.note_end)

    def note_end(self, job: Job) -> None:
        """Count the ends."""
        self.ended[job.id] = self.ended.get(job.id, 0) + 1

    @rule(is_low=st.booleans(), is_sync=st.booleans())
    def submit(self, is_low: bool, is_sync: bool) -> None:
        """A client submits."""
        policy = {"lowPriority": is_low, "executionTimeout": 60_000, "ttl": 600_000}
        job = self.bench.submit({"input": {"a": 1}, "policy": policy}, is_sync=is_sync)
        self.all[job.id] = job
        self.attempts[job.id] = 1

    @rule(name=st.sampled_from(["w1", "w2", "w3"]), count=st.integers(1, 3))
    def ask(self, name: str, count: int) -> None:
        """A worker begins to wait."""
        self.takers.append(self.bench.jobs.ask(self.bench.worker(name), count))

    @rule(which=st.integers(0, 5), is_gone=st.booleans())
    def close(self, which: int, is_gone: bool) -> None:
        """A worker's wait ends."""
        if which < len(self.takers):
            taker = self.takers.pop(which)
            self.held[taker.worker.id] += self.bench.jobs.close(taker, is_gone=is_gone)

    @rule(name=st.sampled_from(["w1", "w2", "w3"]), is_error=st.booleans())
    def finish(self, name: str, is_error: bool) -> None:
        """A worker answers for the oldest of its jobs, whatever became of that meanwhile."""
        if not self.held[name]:
            return
        job = self.held[name].pop(0)
        may = self.bench.is_known(job) and job.status == "IN_PROGRESS" and job.worker_id == name
        before = self.ended.get(job.id, 0)
        try:
            self.bench.jobs.finish(self.bench.endpoint, name, job.id, {"error": "x"} if is_error else {"output": 1})
        except Refused:
            assert not may
        else:
            assert may
            assert self.ended[job.id] == before + 1

    @rule(name=st.sampled_from(["w1", "w2", "w3"]))
    def die(self, name: str) -> None:
        """A worker is gone."""
        self.bench.jobs.worker_lost(name)
        self.held[name] = []
        self.takers = [taker for taker in self.takers if taker.worker.id != name]
        assert self.bench.jobs.in_progress(name) == []

    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        """A client cancels any job."""
        if which < len(self.all):
            job = list(self.all.values())[which]
            if self.bench.is_known(job):
                cancel(self.bench, job)

    @rule(which=st.integers(0, 9))
    def retry(self, which: int) -> None:
        """A client retries any failed job."""
        if which < len(self.all):
            job = list(self.all.values())[which]
            if self.bench.is_known(job) and job.status in ("FAILED", "TIMED_OUT"):
                retry(self.bench, job)
                self.attempts[job.id] += 1

    @rule()
    def purge(self) -> None:
        """A client empties the queue."""
        queued = {id_ for id_, job in self.all.items() if self.bench.is_known(job) and job.status == "IN_QUEUE"}
        assert self.bench.jobs.purge(self.bench.endpoint) == len(queued)
        self.purged |= queued

    @rule(seconds=st.sampled_from([0.5, 21.0, 61.0, 601.0]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.bench.later(seconds)

    @invariant()
    def no_job_is_lost(self) -> None:
        """A job is known until it was purged or its time was over, and is where its state says."""
        if not hasattr(self, "bench"):
            return
        now, jobs = self.bench.clock.now(), self.bench.jobs
        known = [job for job in self.all.values() if self.bench.is_known(job)]
        for job in self.all.values():
            is_over = now >= job.created_at + 600 or (
                job.finished_at is not None and now >= job.finished_at + rules.retention_s(job)
            )
            assert self.bench.is_known(job) != (job.id in self.purged or is_over)
        counts = jobs.counts(self.bench.endpoint)
        assert counts["inQueue"] == sum(job.status == "IN_QUEUE" for job in known)
        running = {job.id for job in known if job.status == "IN_PROGRESS"}
        assert {id_ for name in self.held for id_ in jobs.in_progress(name)} == running
        assert all(job.worker_id for job in known if job.status == "IN_PROGRESS")
        assert (counts["inQueue"] == 0) or not any(taker.jobs == [] for taker in self.takers)

    @invariant()
    def none_ends_twice(self) -> None:
        """An attempt that a client asked for ends at most once."""
        if hasattr(self, "bench"):
            assert all(count <= self.attempts[id_] for id_, count in self.ended.items())


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
