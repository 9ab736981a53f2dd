"""Time how the weights come: the worker's own fetch against `snapshot_download`, the same bytes in turns.

`python -m benchmarks.fetch [ROUNDS] [--folder DIR]` makes 2 GiB of bytes that don't compress once, in 8 files; serves
them from this machine; and lets fresh processes fetch them into fresh folders below DIR (default: the folder for
temporary files; /dev/shm leaves the disk out). Wall time is from the process's start, imports included, to where a
handler could load; CPU time and memory are the whole process's, for ours with the fsync and the READY marker that
follow. Ours checks every sha256; `snapshot_download` checks none, `verified` is it and its own verify_repo_checksums.
Then the warm start of 1,000 ready files is timed, by itself. Exit status 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fast_hub import COMMIT, REPO, digests

ROOT = Path(__file__).parents[1]
FILES = 8
FILE_BYTES = 256 << 20
GOAL_WALL, GOAL_CPU, GOAL_RSS_MB, GOAL_WARM_MS = 3.0, 4.0, 120.0, 50.0
WARM_FILES = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """What one fetch took. `cpu_s` is user and system time of the fetching process, `rss_mib` its peak memory."""

    wall_s: float
    cpu_s: float
    rss_mib: float
    end_s: float


def make_files(folder: Path) -> None:
    """Write the files, when they aren't there."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        path = folder / f"model-{number + 1:05}-of-{FILES:05}.safetensors"
        if not path.is_file() or path.stat().st_size != FILE_BYTES:
            with path.open("wb") as stream:
                for _ in range(FILE_BYTES >> 20):
                    stream.write(os.urandom(1 << 20))
    digests(folder)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the files from a process of their own, and give its URL."""
    command = [sys.executable, "-m", "benchmarks.fast_hub", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stdin
        yield server.stdout.readline().strip()
        server.stdin.close()


def _usable() -> None:
    """Say that a handler could load now."""
    sys.stdout.write(f"usable {time.monotonic()}\n")


def fetch_ours(url: str, source: Path, target: Path) -> None:
    """Fetch as a worker does."""
    from worker_runtime.events import EventLog
    from worker_runtime.recipe import Model, WeightFile
    from worker_runtime.weights import fetch
    from worker_runtime.weights.hub import Hub
    from worker_runtime.weights.store import Store

    rows = [(name, f"sha256:{sha256}") for name, sha256 in digests(source).items()]
    files = tuple(WeightFile(path=name, size_bytes=FILE_BYTES, digest=digest) for name, digest in rows)
    model = Model(key="model", repo=REPO, commit=COMMIT, placement="volume", files=files)
    brought = fetch.bring(Store(target), "benchmark", [model], fetch.How(Hub(url, None)), EventLog(sys.stderr))
    _usable()
    brought.leave()


def fetch_theirs(url: str, _source: Path, target: Path) -> None:
    """Fetch as a handler does that has only huggingface_hub."""
    from huggingface_hub import snapshot_download

    snapshot_download(REPO, revision=COMMIT, cache_dir=target, endpoint=url)
    _usable()


def fetch_theirs_verified(url: str, _source: Path, target: Path) -> None:
    """Fetch so, and check the digests as huggingface_hub can."""
    from huggingface_hub import HfApi, snapshot_download

    snapshot_download(REPO, revision=COMMIT, cache_dir=target, endpoint=url)
    checked = HfApi(url, token=False).verify_repo_checksums(REPO, revision=COMMIT, cache_dir=target)
    if checked.checked_count != FILES or checked.mismatches:
        sys.exit("verify_repo_checksums did not check all files")
    _usable()


def warm_start(_url: str, _source: Path, target: Path) -> None:
    """Bring 1,000 files that are there, with a Hub that isn't, and print the milliseconds of a few times."""
    from worker_runtime.events import EventLog
    from worker_runtime.recipe import Model, WeightFile
    from worker_runtime.weights import fetch
    from worker_runtime.weights.hub import Hub
    from worker_runtime.weights.store import Store

    store = Store(target)
    rows = [(f"{number % 10}/{number}.bin", number) for number in range(WARM_FILES)]
    files = tuple(WeightFile(path=path, size_bytes=size, digest="sha256:" + "0" * 64) for path, size in rows)
    model = Model(key="model", repo=REPO, commit=COMMIT, placement="volume", files=files)
    for file in files:
        path = store.folder(model) / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(file.size_bytes))
    store.mark_ready(model, {file.path: file for file in files})
    for _ in range(5):
        started = time.perf_counter()
        brought = fetch.bring(store, "benchmark", [model], fetch.How(Hub("http://127.0.0.1:9", None)), EventLog())
        sys.stdout.write(f"warm {(time.perf_counter() - started) * 1000:.1f}\n")
        brought.leave()


CLIENTS: dict[str, Callable[[str, Path, Path], None]] = {
    "ours": fetch_ours,
    "snapshot_download": fetch_theirs,
    "snapshot_download, verified": fetch_theirs_verified,
}


def _child(client: str, url: str, source: Path, target: str) -> tuple[str, float, float, float]:
    """Run a client in a fresh process; return what it printed, its seconds to the end, CPU seconds and peak MiB."""
    command = [sys.executable, "-m", "benchmarks.fetch", "--as", client, url, str(source), target]
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "FACTORY_"))}
    environment = {**keep, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        started = time.monotonic()
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=complained)
        _, status, used = os.wait4(child.pid, 0)
        end_s = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        if child.returncode != 0:
            sys.exit(f"{client}: exit status {child.returncode}: {complained.read()[-2000:]}")
        text = said.read().replace("usable ", f"usable {-started} + ", 1)
        return text, end_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(client: str, url: str, source: Path, folder: Path) -> Run:
    """Run one client in a fresh process, and remove what it fetched."""
    os.sync()  # what the one before left to be written is no matter of this one
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as target:
        text, end_s, cpu_s, rss_mib = _child(client, url, source, target)
        minus_start, usable = text.removeprefix("usable ").split(" + ")
        kept = [path for path in Path(target).rglob("*") if path.is_file() and not path.is_symlink()]
        fetched = sum(path.stat().st_size for path in kept if path.stat().st_size >= FILE_BYTES)
        if fetched != FILES * FILE_BYTES:
            sys.exit(f"{client} fetched {fetched} bytes")
    return Run(float(usable) + float(minus_start), cpu_s, rss_mib, end_s)


def table(runs: Mapping[str, Sequence[Run]], warm_ms: float) -> tuple[str, bool]:
    """Return the medians as a Markdown table, and whether the goals are met."""
    medians = {
        client: Run(*(statistics.median(getattr(run, name) for run in rows) for name in Run.__slots__))
        for client, rows in runs.items()
    }
    ours, theirs = medians["ours"], medians["snapshot_download"]
    wall, cpu = theirs.wall_s / ours.wall_s, theirs.cpu_s / ours.cpu_s
    goals = [
        ("times less wall time", wall, GOAL_WALL, wall >= GOAL_WALL),
        ("times less CPU time", cpu, GOAL_CPU, cpu >= GOAL_CPU),
        ("peak RSS of ours, MiB", ours.rss_mib, GOAL_RSS_MB, ours.rss_mib <= GOAL_RSS_MB),
        (f"warm start of {WARM_FILES} files, ms", warm_ms, GOAL_WARM_MS, warm_ms <= GOAL_WARM_MS),
    ]
    lines = [
        "| 2 GiB in 8 files | wall s | CPU s | peak RSS MiB | wall s of each run |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for client, run in medians.items():
        each = " ".join(f"{one.wall_s:.1f}" for one in runs[client])
        lines.append(f"| {client} | {run.wall_s:.2f} | {run.cpu_s:.2f} | {run.rss_mib:.0f} | {each} |")
    lines += ["", f"Ours is on the disk, with its READY marker, after {ours.end_s:.2f} s.", ""]
    lines += ["| goal | found | wanted | |", "| --- | ---: | ---: | --- |"]
    lines += [
        f"| {name} | {found:.1f} | {wanted:.0f} | {'met' if ok else 'MISSED'} |" for name, found, wanted, ok in goals
    ]
    return "\n".join(lines), all(is_met for *_, is_met in goals)


def main(rounds: int, folder: Path) -> int:
    """Measure in turns, print the table, and return the exit status."""
    source = Path(tempfile.gettempdir()) / "factory-bench-fetch"
    make_files(source)
    runs: dict[str, list[Run]] = {client: [] for client in CLIENTS}
    with serving(source) as url:
        for _ in range(rounds):
            for client in CLIENTS:
                runs[client].append(measure(client, url, source, folder))
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as target:
        warm = _child("warm", "", source, target)[0]
    text, is_met = table(runs, statistics.median(float(line.split()[1]) for line in warm.splitlines()))
    sys.stdout.write(text + "\n")
    return 0 if is_met else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--as", dest="client", nargs=4, metavar=("CLIENT", "URL", "SOURCE", "TARGET"))
    given = parser.parse_args()
    if given.client:
        name, at, where, into = given.client
        (warm_start if name == "warm" else CLIENTS[name])(at, Path(where), Path(into))
        sys.exit(0)
    sys.exit(main(given.rounds, given.folder))
