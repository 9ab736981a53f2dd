"""`kill -9` of the emulator in the middle of a load: every job whose id was given out is there afterwards."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import httpx
from emulator_process import emulator_process

HEADERS = {"Authorization": "Bearer emulator"}
ENDPOINT = {
    "name": "killed",
    "type": "QUEUE",
    "image": "org/worker:1",
    "gpu": {"pools": ["ADA_24"]},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
    "workers": {"min": 0, "max": 1},
}
ENOUGH = 200
MOST = 900


def test_no_accepted_job_is_lost(tmp_path: Path) -> None:
    """Four clients submit, and the process is killed; the next one has all, and queues again what ran."""
    options = ("--workers", "none", "--state", tmp_path / "state")
    accepted: dict[str, int] = {}
    is_enough = threading.Event()

    def submit(url: str, number: int) -> None:
        with httpx.Client(headers=HEADERS) as client:
            while len(accepted) < MOST:
                try:
                    answer = client.post(url, json={"input": {"n": number}})
                except httpx.TransportError:
                    return
                accepted[answer.json()["id"]] = number
                if len(accepted) >= ENOUGH:
                    is_enough.set()

    with emulator_process(tmp_path / "log", *options) as emulator, httpx.Client(headers=HEADERS) as client:
        endpoint = client.post(f"{emulator.url}/v2/serverless", json=ENDPOINT).json()["id"]
        url = f"{emulator.url}/v2/{endpoint}"
        clients = [threading.Thread(target=submit, args=(f"{url}/run", number)) for number in range(4)]
        for thread in clients:
            thread.start()
        taken = client.get(f"{url}/job-take/w1?gpu=none", timeout=30).json()["id"]
        assert is_enough.wait(60)
        assert emulator.end(signal.SIGKILL) == -signal.SIGKILL
        for thread in clients:
            thread.join()
    with emulator_process(tmp_path / "log", *options) as emulator, httpx.Client(headers=HEADERS) as client:
        url = f"{emulator.url}/v2/{endpoint}"
        found = {job["id"]: job for job in client.get(f"{url}/requests").json()["requests"]}
        assert found.keys() >= accepted.keys()
        assert {job["status"] for job in found.values()} == {"IN_QUEUE"}
        assert found[taken]["retries"] == 1
        # Calls that were answered by nobody may have left a job: one a client at most.
        assert len(found) - len(accepted) <= len(clients)
        batch = client.get(f"{url}/job-take-batch/w2?gpu=none&batch_size=1000", timeout=30).json()
        assert {job["id"]: job["input"]["n"] for job in batch}.items() >= accepted.items()
