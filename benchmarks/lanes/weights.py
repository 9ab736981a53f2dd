"""1 GiB of bf16 weights into an image: the weights lane beside docker build with COPY and docker push.

PYTHONPATH=tests/support python -m benchmarks.lanes.weights [ROUNDS]

Both sides in turns, each round with fresh weights from a loopback Hub, a registry of its own, the engine warm and base
and environment there. The Docker side has the weights on its disk already: its download isn't counted. Then a second
recipe with the same weights.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from registries import RunningRegistry, running_registry

from benchmarks.timing import load

SIZE_BYTES, PIECE_BYTES = 1 << 30, 1 << 24
GOAL_RATIO, GOAL_RSS_MB, GOAL_AGAIN_S = 7.0, 80, 1.0
RECIPE = """\
name: {name}
model: {{repo: org/model, placement: {placement}}}
image: {{repository: bench/{name}}}
handler: echo
tests: [{{input: {{a: 1}}, expect: {{a: 1}}}}]
"""


@dataclass
class Row:
    """What the rounds took."""

    lane_s: list[float] = field(default_factory=list)
    docker_s: list[float] = field(default_factory=list)
    again_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


def main(rounds: int) -> int:
    """Time both sides in turns, and print the table."""
    row = Row()
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "blobs").mkdir()
        with running_registry(Path(home) / "blobs") as registry:
            for number in range(rounds):
                _round(Path(home), registry, number, row)
    ratio = statistics.median(row.docker_s) / statistics.median(row.lane_s)
    lines = [
        "| 1 GiB of bf16 weights → image in the registry | median s | min s | max s | goal | |",
        "| --- | ---: | ---: | ---: | --- | --- |",
        _line("docker build with COPY, docker push", row.docker_s, "", is_met=True),
        _line("weights lane", row.lane_s, f"{GOAL_RATIO:g}x ({ratio:.1f}x)", is_met=ratio >= GOAL_RATIO),
        _line("a second recipe", row.again_s, f"{GOAL_AGAIN_S:g} s", is_met=_median(row.again_s) <= GOAL_AGAIN_S),
        _line("peak RSS of the lane, MB", row.rss_mb, f"{GOAL_RSS_MB} MB", is_met=max(row.rss_mb) <= GOAL_RSS_MB),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any("MISSED" in line for line in lines) else 0


def _median(figures: list[float]) -> float:
    return statistics.median(figures)


def _line(name: str, figures: list[float], goal: str, *, is_met: bool) -> str:
    spread = f"{_median(figures):.2f} | {min(figures):.2f} | {max(figures):.2f}"
    return f"| {name} | {spread} | {goal} | {'' if not goal else 'met' if is_met else 'MISSED'} |"


def _round(home: Path, registry: RunningRegistry, number: int, row: Row) -> None:
    """Make fresh weights, and send them both ways."""
    folder = home / f"model{number}"
    folder.mkdir()
    _write_weights(folder / "model.safetensors", number)
    with _hub(folder) as hub:
        env = {
            **os.environ,
            "FACTORY_HOME": str(home / "factory"),
            "HF_ENDPOINT": hub,
            "FACTORY_REGISTRY": registry.address,
        }
        if number == 0:  # leaves the environment in the registry
            _factory(home, "plain", "volume", env)
        seconds, rss_mb = _factory(home, f"lane{number}", "image", env)
        row.lane_s.append(seconds)
        row.rss_mb.append(rss_mb)
        row.again_s.append(_factory(home, f"again{number}", "image", env)[0])
    base = os.environ["FACTORY_BASE"]
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY model.safetensors /models/main/\n")
    tag = f"{registry.address}/bench/docker:{number}"
    started_s = time.perf_counter()
    for command in (["build", "-q", "-t", tag, str(folder)], ["push", "-q", tag]):
        subprocess.run(["docker", *command], check=True, stdout=subprocess.DEVNULL)
    row.docker_s.append(time.perf_counter() - started_s)
    subprocess.run(["docker", "rmi", "-f", tag], check=True, stdout=subprocess.DEVNULL)
    (folder / "model.safetensors").unlink()


def _factory(home: Path, name: str, placement: str, env: dict[str, str]) -> tuple[float, float]:
    """Build and push a recipe; return its seconds and its peak RSS in MB. A failure ends the benchmark."""
    recipe = home / f"{name}.yaml"
    recipe.write_text(RECIPE.format(name=name, placement=placement))
    command = [sys.executable, "-m", "factory", "build", str(recipe), "--push", "--json"]
    with tempfile.TemporaryFile("w+") as said:
        started_s = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            sys.exit(f"{name}: exit status {process.returncode}: {said.read()[-500:]}")
    return seconds, used.ru_maxrss * 1024 / 1e6


def _write_weights(path: Path, seed: int) -> None:
    """Write values as bf16 keeps them: a byte of noise, a byte of sign and exponent (packs to 78 %)."""
    header = json.dumps({"w": {"dtype": "BF16", "shape": [SIZE_BYTES // 2], "data_offsets": [0, SIZE_BYTES]}}).encode()
    import numpy as np

    some = np.random.default_rng(seed)
    with path.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for _ in range(SIZE_BYTES // PIECE_BYTES):
            values = some.standard_normal(PIECE_BYTES // 2, dtype=np.float32) * np.float32(0.02)
            out.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())


@contextmanager
def _hub(folder: Path) -> Iterator[str]:
    """Serve a folder as org/model from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fast_hub", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    missed = main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    sys.stdout.write(f"\n{load()}\n")
    sys.exit(missed)
