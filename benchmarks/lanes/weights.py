"""1 GiB of bf16 weights → an image in the registry: `make bench-lanes ARGS="--rounds 1 weights"`.

Every figure is of whole processes, from their start to their exit:

- docker: `docker build` and `docker push` (`bare_docker`) on a dockerd that was started for this row, of a folder that
  has the weights already: the build, whose COPY takes them to the engine, and the push, which packs them. Base and
  environment are in the engine's cache and in the registry.
- `--lane docker`, once: the same by factory, with all that the lane does too: the weights from the Hub (loopback,
  benchmarks/fast_hub.py) to the disk, checked, and a search of the image for secrets.
- weights lane: `factory build --push --lane patch`, no engine in reach. Counted: the Hub's listing, the weights from
  the Hub to the registry, checked and hashed, the image put together on the environment there.
- a second recipe with the same weights, by the lane, on the machine of the first (its FACTORY_HOME).

Each round has weights that nobody has seen; what it left in engine and registry is removed after it. Peak RSS is what
the kernel says of the process (wait4), started by one that is small itself: a child's peak begins at its parent's size.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from private_dockerd import running_dockerd
from registries import RunningRegistry, running_registry

from benchmarks import bare_docker

SIZE_BYTES, PIECE_BYTES = 1 << 30, 1 << 24
LARGE_BYTES = 1 << 28  # what is so big in engine or registry is a round's weights
GOAL_RATIO, GOAL_RSS_MB, GOAL_AGAIN_S = 7.0, 80, 1.0
NOWHERE = "unix:///nowhere/docker.sock"
RECIPE = """\
name: {name}
model: {{repo: org/model, placement: image}}
image: {{repository: bench/{name}}}
handler: echo
tests: [{{input: {{a: 1}}, expect: {{a: 1}}}}]
"""
STARTER = """\
import json, os, sys, time
started_s = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
seconds = time.perf_counter() - started_s
sys.stderr.write("\\n" + json.dumps([os.waitstatus_to_exitcode(status), seconds, used.ru_maxrss * 1024 / 1e6]))
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one command took, and what it printed."""

    seconds: float
    rss_mb: float
    record: Mapping[str, Any]


@dataclass
class Bench:
    """A registry and an engine of the row's own, and what the rounds took."""

    home: Path
    registry: RunningRegistry
    engine: str
    taken: dict[str, list[Taken]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Let the engine make the environment and leave it in the registry, below weights of next to nothing."""
        with _weights(self.home / "small", PIECE_BYTES) as hub:
            self._run("environment", "auto", hub, self.engine)
            self._run("whole", "docker", hub, self.engine)  # the steps of the whole Dockerfile are in its cache too
            self._bare("bare", hub)

    def round(self, number: int) -> None:
        """Make fresh weights and send them both ways, then a second recipe's."""
        with _weights(self.home / f"model{number}", SIZE_BYTES) as hub:
            sides = {"bare": self._bare(f"bare{number}", hub)}
            self.forget(str(sides["bare"].record["tag"]))
            if number == 0:
                sides["docker"] = self._run("docker", "docker", hub, self.engine)
                self.forget(str(sides["docker"].record["tag"]))
            machine = f"machine{number}"  # the second recipe is built on the machine of the first
            sides["lane"] = self._run(f"lane{number}", "patch", hub, NOWHERE, machine)
            sides["again"] = self._run(f"again{number}", "patch", hub, NOWHERE, machine)
        for side, taken in sides.items():
            self.taken.setdefault(side, []).append(taken)
        if not self.forget(""):
            sys.exit("the lane has not left the weights in the registry")

    def _bare(self, name: str, hub: str) -> Taken:
        """Build and push by Docker's command alone, the weights being on the disk."""
        recipe, folder = self.home / f"{name}.yaml", self.home / f"context-{name}"
        recipe.write_text(RECIPE.format(name=name))
        environ = {**os.environ, "FACTORY_HOME": str(self.home / f"home-{name}"), "HF_ENDPOINT": hub}
        environ |= {"FACTORY_REGISTRY": self.registry.address, "DOCKER_HOST": self.engine}
        bare_docker.write_context(recipe, folder, environ)
        tag = f"{self.registry.address}/bench/{name}:1"
        build_s, push_s = bare_docker.build_and_push(folder, tag, environ)
        sys.stderr.write(f"{name}: docker build {build_s:.2f} s, docker push {push_s:.2f} s\n")
        shutil.rmtree(folder)
        shutil.rmtree(self.home / f"home-{name}")
        return Taken(build_s + push_s, 0, {"tag": tag, "sent_bytes": 0})

    def _run(self, name: str, lane: str, hub: str, engine: str, machine: str = "") -> Taken:
        """Build and push a recipe; `machine` names a FACTORY_HOME. A failure ends the benchmark."""
        recipe, home = self.home / f"{name}.yaml", self.home / f"home-{machine or name}"
        recipe.write_text(RECIPE.format(name=name))
        own = {"FACTORY_HOME": str(home), "HF_ENDPOINT": hub, "FACTORY_REGISTRY": self.registry.address}
        command = [sys.executable, "-ISc", STARTER, sys.executable, "-m", "factory", "build", str(recipe)]
        command += ["--push", "--json", "--lane", lane]
        env = {**os.environ, **own, "DOCKER_HOST": engine}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        code, seconds, rss_mb = json.loads(done.stderr.rpartition("\n")[2])
        if code:
            sys.exit(f"{name}: exit status {code}: {done.stderr[-800:]}")
        sys.stderr.write(done.stderr)  # the stages and their seconds
        if not machine:
            shutil.rmtree(home)  # it holds weights
        return Taken(seconds, rss_mb, json.loads(done.stdout)[0])

    def forget(self, tag: str) -> list[Path]:
        """Remove the weights from engine and registry; return the blobs that were there."""
        if tag:
            self._docker("rmi", "-f", tag)
        kept = json.loads(self._docker("system", "df", "-v", "--format", "{{json .BuildCache}}"))
        for entry in kept:
            if "GB" in str(entry["Size"]):
                self._docker("builder", "prune", "-af", "--filter", f"id={entry['ID']}")
        blobs = (self.registry.folder / "docker/registry/v2/blobs").rglob("data")
        large = [path for path in blobs if path.stat().st_size > LARGE_BYTES]
        for path in large:
            path.unlink()
        return large

    def _docker(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker", *arguments], env={**os.environ, "DOCKER_HOST": self.engine}, capture_output=True, check=True
        )
        return done.stdout.decode()


def main(rounds: int) -> int:
    """Time both sides in turns, and print the table."""
    with tempfile.TemporaryDirectory() as folder, running_registry(Path(folder) / "registry") as registry:
        home = Path(folder)
        with running_dockerd(home / "engine", home / "data") as engine:
            bench = Bench(home, registry, engine)
            bench.prepare()
            for number in range(rounds):
                bench.round(number)
    return _report(bench.taken)


def _report(taken: Mapping[str, list[Taken]]) -> int:
    """Print what was taken; return 1 when a goal is missed."""
    seconds = {side: [each.seconds for each in rounds] for side, rounds in taken.items()}
    medians = {side: statistics.median(each) for side, each in seconds.items()}
    ratio, whole = medians["bare"] / medians["lane"], medians["docker"] / medians["lane"]
    again_s, rss_mb = medians["again"], max(each.rss_mb for each in taken["lane"])
    goal = f"{GOAL_RATIO:g}x ({ratio:.1f}x)"
    lines = [
        f"| 1 GiB of bf16 weights, {len(seconds['lane'])} rounds | median s | min s | max s | goal | |",
        "| --- | ---: | ---: | ---: | --- | --- |",
        _line("`docker build` and `docker push`, weights on the disk", seconds["bare"], "", is_met=True),
        _line("`--lane docker`, once: Hub, disk, engine, registry", seconds["docker"], "", is_met=True),
        _line("weights lane: Hub, registry", seconds["lane"], goal, is_met=ratio >= GOAL_RATIO),
        _line("a second recipe", seconds["again"], f"{GOAL_AGAIN_S:g} s", is_met=again_s <= GOAL_AGAIN_S),
        "",
        f"Peak RSS of the lane's process: {rss_mb:.0f} MB, goal {GOAL_RSS_MB} MB "
        f"({'met' if rss_mb <= GOAL_RSS_MB else 'MISSED'}); of `--lane docker`: "
        f"{max(each.rss_mb for each in taken['docker']):.0f} MB. Against `--lane docker` it is {whole:.1f} times as "
        f"fast. Sent by the lane: {int(taken['lane'][0].record['sent_bytes']) / 1e6:,.1f} MB, for the second recipe "
        f"{int(taken['again'][0].record['sent_bytes']) / 1e6:,.1f} MB.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(any("MISSED" in line for line in lines))


def _line(name: str, figures: list[float], goal: str, *, is_met: bool) -> str:
    spread = f"{statistics.median(figures):.2f} | {min(figures):.2f} | {max(figures):.2f}"
    return f"| {name} | {spread} | {goal} | {'' if not goal else 'met' if is_met else 'MISSED'} |"


@contextmanager
def _weights(folder: Path, size_bytes: int) -> Iterator[str]:
    """Make weights, and serve them as org/model from a process of its own; both are gone afterwards."""
    folder.mkdir()
    _write(folder / "model.safetensors", size_bytes)
    command = [sys.executable, "-m", "benchmarks.fast_hub", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            shutil.rmtree(folder)
            folder.with_suffix(".digests").unlink(missing_ok=True)


def _write(path: Path, size_bytes: int) -> None:
    """Write values as bf16 keeps them: a byte of noise, a byte of sign and exponent (packs to 78 %)."""
    import numpy as np

    header = json.dumps({"w": {"dtype": "BF16", "shape": [size_bytes // 2], "data_offsets": [0, size_bytes]}}).encode()
    some = np.random.default_rng()
    with path.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for _ in range(size_bytes // PIECE_BYTES):
            values = some.standard_normal(PIECE_BYTES // 2, dtype=np.float32) * np.float32(0.02)
            out.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
