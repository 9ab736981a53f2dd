"""When memory runs out: what was asked, what was free, and whether the worker can go on.

Known by name and text, so that nothing here imports torch: only what the handler has imported is asked.
"""

from __future__ import annotations

import gc
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from worker_runtime.errors import GpuFailed, HandlerFailed, JobError, OutOfMemory

GIB = 1 << 30
ENOUGH = 0.8  # of what was free before the first job: less after all caches are dropped is a leak
# A context that has one of these is lost: each later call fails with the same error (CUDA runtime API, error handling).
_LOST = re.compile(
    r"CUDA error: (?:an illegal|device-side assert|unspecified launch|misaligned|uncorrectable|the launch timed out)"
    r"|CUDA error: (?:hardware stack|invalid program counter|unknown error)",
    re.IGNORECASE,
)
_NO_MEMORY = re.compile(r"out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED", re.IGNORECASE)
_ASKED = re.compile(r"(?:Tried to allocate|Unable to allocate) ([\d.]+ ?[KMGTPE]?i?B)", re.IGNORECASE)
_FREE = re.compile(r"total capacity of ([\d.]+ [KMGTPE]?i?B) of which ([\d.]+ [KMGTPE]?i?B) is free")


def explain(error: BaseException) -> JobError | None:
    """Return the error that the job ends with when memory ran out or the GPU is lost; None when it is another one."""
    text = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _out_of_memory(error, text)
    if isinstance(error, RuntimeError) and _NO_MEMORY.search(text):
        return _out_of_memory(error, text)
    if isinstance(error, RuntimeError) and _LOST.search(text):
        return GpuFailed(
            f"{type(error).__name__}: {text.splitlines()[0]}", fix="send the job again: another worker takes it"
        )
    return None


def _out_of_memory(error: BaseException, text: str) -> OutOfMemory:
    asked = _ASKED.search(text)
    what = f"{asked[1]} were asked for" if asked else "memory ran out"
    where, free, total = "the machine", *_host_memory()
    if not isinstance(error, MemoryError):
        said, devices = _FREE.search(text), gpu_memory()
        where = "the GPU"
        if said:
            total, free = said[1], said[2]
        elif devices:
            least = min(devices)
            free, total = _gib(least[0]), _gib(least[1])
        else:
            free = total = ""
    room = f", and {free} of {total} were free on {where}" if free and total else f" on {where}"
    return OutOfMemory(
        what + room, fix="ask for less (smaller, shorter, fewer at once), or choose a GPU with more memory"
    )


def gpu_memory() -> list[tuple[int, int]]:
    """Return (free, total) bytes of each GPU that this process uses through torch."""
    torch: Any = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_initialized():
            return []
        used = [i for i in range(torch.cuda.device_count()) if torch.cuda.memory_reserved(i)]
        return [torch.cuda.mem_get_info(i) for i in used]
    except Exception:  # a lost GPU, or another library of that name
        return []


def drop(error: BaseException) -> None:
    """Let go of what a failed job holds: the frames of its traceback, cycles, and torch's cache of GPU memory."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and seen not in chain:
        chain.append(seen)
        trace = seen.__traceback__
        # The outermost frame is that of whoever caught the error and still runs; to clear it would end it.
        traceback.clear_frames(trace.tb_next if trace else None)
        seen = seen.__cause__ or seen.__context__
    gc.collect()
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        cuda.empty_cache()


class MemoryWatch:
    """Decides whether a worker can go on after its memory ran out."""

    def __init__(self) -> None:
        self._free_before: list[int] | None = None
        self._in_a_row = 0

    def begin(self) -> None:
        """Before each job; the first time it notes what is free."""
        if self._free_before is None:
            self._free_before = [free for free, _ in gpu_memory()]

    def ended_well(self) -> None:
        """After a job that had enough memory."""
        self._in_a_row = 0

    def recover(self, error: BaseException, known: JobError) -> str:
        """Drop all that can be dropped; return why the worker must be replaced, or "" when it goes on.

        Where the GPU can be asked, it must have what it had before the first job. Where nothing can be asked, the
        second such job in a row is the last.
        """
        if isinstance(known, GpuFailed):
            return "the GPU is lost"
        self._in_a_row += 1
        try:
            drop(error)
        except Exception as failure:
            return f"the memory can't be given back ({type(failure).__name__})"
        free = [free for free, _ in gpu_memory()]
        if free and self._free_before and len(free) == len(self._free_before):
            for now, before in zip(free, self._free_before, strict=True):
                if now < before * ENOUGH:
                    return f"{_gib(now)} are free on the GPU, and {_gib(before)} were before the first job"
            return ""
        return f"{self._in_a_row} jobs in a row ran out of memory" if self._in_a_row > 1 else ""


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.2f} GiB"


def host_memory_bytes() -> tuple[int, int] | None:
    """Return (available, total) bytes of the machine's memory; None where the kernel doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return found["MemAvailable"], found["MemTotal"]
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _host_memory() -> tuple[str, str]:
    found = host_memory_bytes()
    return (_gib(found[0]), _gib(found[1])) if found else ("", "")


def as_job_error(error: BaseException) -> JobError:
    """Return the error of a job that ended in any exception."""
    return explain(error) or HandlerFailed(f"{type(error).__name__}: {error}")
