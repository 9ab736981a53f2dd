"""Memory that runs out: what is known as such, what is said, and when the worker can't go on."""

from __future__ import annotations

import re
import sys
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worker_runtime import memory
from worker_runtime.errors import GpuFailed, OutOfMemory

GIB = 1 << 30


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class Cuda:
    """As much of torch.cuda as is asked; `free` is what the GPU has once its cache is dropped."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.dropped = 0

    def is_initialized(self) -> bool:
        """As torch's."""
        return True

    def device_count(self) -> int:
        """Two GPUs, of which one is used."""
        return 2

    def memory_reserved(self, device: int) -> int:
        """Something on the first."""
        return 1 if device == 0 else 0

    def mem_get_info(self, device: int) -> tuple[int, int]:
        """Free and total."""
        assert device == 0
        return self.free, 24 * GIB

    def empty_cache(self) -> None:
        """Count."""
        self.dropped += 1


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """A torch that the handler has imported, with 20 GiB free."""
    made = Cuda(20 * GIB)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=made))
    return made


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which "
                "3.12 GiB is free. Process 7 has 76 GiB memory in use."
            ),
            "20.00 GiB were asked for, and 3.12 GiB of 79.15 GiB were free on the GPU",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "memory ran out on the GPU"),
        (RuntimeError("CUDA error: out of memory"), "memory ran out on the GPU"),
    ],
)
def test_known_as_out_of_memory(error: BaseException, says: str) -> None:
    """torch's error, and those of the libraries below it, by name and text; the numbers are in the sentence."""
    found = memory.explain(error)
    assert isinstance(found, OutOfMemory)
    assert found.what == says


def test_the_machines_own_memory() -> None:
    """A MemoryError names what numpy asked for, and what the machine had."""
    with pytest.raises(MemoryError) as caught:
        np.zeros(1 << 60, dtype=np.uint8)
    found = memory.explain(caught.value)
    assert found is not None
    assert re.fullmatch(r"1\.00 EiB were asked for, and [\d.]+ GiB of [\d.]+ GiB were free on the machine", found.what)


def test_free_memory_is_asked_of_the_gpu(cuda: Cuda) -> None:
    """An error without numbers gets those of the GPU."""
    found = memory.explain(RuntimeError("CUDA error: out of memory"))
    assert found is not None
    assert found.what == "memory ran out, and 20.00 GiB of 24.00 GiB were free on the GPU"


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("bad"), KeyError("x")])
def test_other_errors_are_not(error: BaseException) -> None:
    """What only sounds like it isn't taken for it."""
    assert memory.explain(error) is None


def test_a_lost_gpu() -> None:
    """After an illegal access nothing in this process reaches the GPU: the worker is replaced at once."""
    error = RuntimeError("CUDA error: an illegal memory access was encountered\nmore")
    found = memory.explain(error)
    assert isinstance(found, GpuFailed)
    assert memory.MemoryWatch().recover(error, found) == "the GPU is lost"


def fail(keep: list[Any]) -> None:
    """Hold a large array in a frame, and fail."""
    large = np.zeros(10)
    keep.append(weakref.ref(large))
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")


def test_what_the_failed_job_held_is_let_go(cuda: Cuda) -> None:
    """The frames of the traceback give up their arrays before the cache is dropped."""
    keep: list[Any] = []
    with pytest.raises(OutOfMemoryError) as caught:
        fail(keep)
    memory.drop(caught.value)
    assert keep[0]() is None
    assert cuda.dropped == 1


def test_the_worker_goes_on_when_memory_comes_back(cuda: Cuda) -> None:
    """As long as the GPU has what it had before the first job, no number of such jobs replaces the worker."""
    watch = memory.MemoryWatch()
    watch.begin()
    error = OutOfMemoryError("CUDA out of memory")
    for _ in range(3):
        assert watch.recover(error, OutOfMemory("x")) == ""
    cuda.free = 12 * GIB
    assert watch.recover(error, OutOfMemory("x")) == (
        "12.00 GiB are free on the GPU, and 20.00 GiB were before the first job"
    )


def test_without_a_gpu_two_in_a_row_are_too_many() -> None:
    """Where nothing can be asked, one job may be too large; the second in a row is the worker's fault."""
    watch = memory.MemoryWatch()
    watch.begin()
    error = MemoryError()
    assert watch.recover(error, OutOfMemory("x")) == ""
    watch.ended_well()
    assert watch.recover(error, OutOfMemory("x")) == ""
    assert watch.recover(error, OutOfMemory("x")) == "2 jobs in a row ran out of memory"
