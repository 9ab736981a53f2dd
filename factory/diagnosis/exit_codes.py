"""A worker's container ended with an exit code: 1, 2, 125 to 127, 137, 139, 143.

Cause: the code says what kind of end it was. 1: an error of the program's own; 2: Python was told to run what isn't
there; 125 to 127: the container could not be started; 137 (128 + SIGKILL): memory ran out, the GPU's or the machine's;
139 (128 + SIGSEGV): a crash in native code, usually on a full disk; 143 (128 + SIGTERM): it was told to end
(docs.docker.com, "Exit status", and docs.runpod.io, "Worker states", read 2026-11-23).
Command: `factory provision RECIPE` where the endpoint isn't as the recipe says; `factory rollback RECIPE` where an
earlier release answered; else more memory, or a mended handler, and `factory release RECIPE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from factory.diagnosis import crash_mends, mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend, Sureness
from factory.diagnosis.worker_ends import Ends, ends_of
from factory.wording import count_text

RULE = "exit_codes"
_GPU_MEMORY = re.compile(r"CUDA (?:error: )?out of memory|torch\.(?:cuda\.)?OutOfMemoryError|\bout_of_memory\b", re.I)
_NOT_THERE = re.compile(r"can't open file|No such file|No module named|ModuleNotFoundError|FileNotFoundError")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means; `is_telling`: it says the cause by itself."""

    cause: str
    advice: str
    is_telling: bool = True
    needs_memory: bool = False


_GPU = Meaning(
    "the GPU's memory ran out", "give the worker a GPU with more memory, or load the weights smaller", needs_memory=True
)
_MEANINGS = {
    1: Meaning(
        "the program ended by an error of its own, which the last line names", "mend what it names", is_telling=False
    ),
    2: Meaning("the handler or module that the container is told to run is not there", "mend the start command"),
    125: Meaning("the container could not be made", "see `factory logs`", is_telling=False),
    126: Meaning("the start command is in the image and can't be run, or is for another CPU", "build for linux/amd64"),
    127: Meaning("the start command is not in the image", "take the start command out, or mend it"),
    128: Meaning("the container could not be started", "mend what the last line names", is_telling=False),
    137: Meaning(
        "the kernel killed the worker (SIGKILL), which it does when the machine's memory (RAM) runs out",
        "give the worker a larger machine, or load less at once",
        needs_memory=True,
    ),
    139: Meaning(
        "native code crashed (SIGSEGV), which is usually a full or too small disk",
        "give it more disk, or mend the native package",
    ),
    143: Meaning(
        "the worker was told to end (SIGTERM) again and again: something replaces it before it is ready",
        "see the system lines of `factory logs`",
        is_telling=False,
    ),
}


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find workers that ended with a code that tells something, the most telling code of each."""
    for ends in ends_of(evidence):
        code = ends.codes[-1]
        meaning = _meaning(ends)
        if meaning is None or (code == 143 and len(ends.codes) < 2):
            continue
        if crash_mends.is_down(evidence, ends):
            yield _finding(evidence, ends, meaning, is_down=True)
        elif len(ends.codes) > 1 and code != 143:
            yield _finding(evidence, ends, meaning, is_down=False)


def _meaning(ends: Ends) -> Meaning | None:
    """Return what the last code means, in the light of what was said before it."""
    code = ends.codes[-1]
    if code in (1, 137) and any(_GPU_MEMORY.search(line) for line in ends.last_lines):
        return _GPU
    if code == 1 and any(_NOT_THERE.search(line) for line in ends.last_lines):
        return Meaning("a file or module that the handler needs is not in the image", "put it into the image")
    return _MEANINGS.get(code)


def _finding(evidence: Evidence, ends: Ends, meaning: Meaning, *, is_down: bool) -> Finding:
    times = count_text(len(ends.codes), "time")
    said = f"; last line: {ends.last_line}" if ends.last_line else ""
    sureness: Sureness = "certain" if meaning.is_telling and len(ends.codes) > 1 else "likely"
    return Finding(
        RULE,
        "error" if is_down else "warning",
        f"worker {ends.worker} ended {times}, lastly with exit code {ends.codes[-1]}{said}",
        meaning.cause if is_down else f"{meaning.cause}; it comes back, and the jobs it had are lost or tried again",
        _mend(evidence, meaning),
        sureness,
        {"worker": ends.worker, "exit_codes": list(ends.codes), "last_lines": list(ends.last_lines)},
    )


def _mend(evidence: Evidence, meaning: Meaning) -> Mend:
    return crash_mends.mend(evidence, meaning.advice, edit=_larger_pools(evidence) if meaning.needs_memory else "")


def _larger_pools(evidence: Evidence) -> str:
    """Return the edit that puts the next larger pools with stock first; "" where there is none."""
    if evidence.recipe is None or evidence.endpoint is None or not evidence.endpoint.spec.pools:
        return ""
    offers, spec = evidence.account.pools, evidence.endpoint.spec
    most_gb = max((offers[pool].vram_gb for pool in spec.pools if pool in offers), default=0)
    larger = [o for o in offers.values() if o.vram_gb > most_gb > 0 and o.stock_in(spec.data_centers) != "none"]
    nearest = sorted(larger, key=lambda offer: (offer.vram_gb, offer.usd_per_s or 0.0))[:2]
    pools = [offer.id for offer in nearest]
    return mends.edit(evidence, "gpu.pools", f"[{', '.join(pools)}]") if pools else ""
