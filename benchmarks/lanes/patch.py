"""One line of the handler changed → a new tag in the registry: `make bench-lanes ARGS="--rounds 1 patch"`.

The image holds IMAGE_BYTES that nothing shrinks, made by a step, so that nothing is downloaded for it; its environment
is in the registry from the start. Each round changes the handler anew for each side, the sides in turns:

- cold: `factory build --push --lane docker` on a dockerd that was started for it with an empty data root, against
  `--lane patch` with an empty FACTORY_HOME and no engine in reach;
- warm: the same on the engine that made the image, against the same patch.

What was sent is read from the records, and held against the registry: the new blobs of the tag's manifest.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from private_dockerd import running_dockerd
from registries import running_registry

from benchmarks.timing import timed
from factory.clients.docker_engine import DockerEngine
from factory.clients.registry import DistributionRegistry
from factory.wording import size_text

COLD, WARM = 40.0, 1.5  # times as fast
SENT_LIMIT_BYTES = 200_000
IMAGE_BYTES = 1_000_000_000
NOWHERE = "unix:///nowhere/docker.sock"
HANDLER = """\
class Handler:
    def load(self, model_dir):
        pass

    def __call__(self, inputs):
        return inputs  # {unique}
"""


@dataclass
class Bench:
    """A recipe with its environment in a registry of its own; what both sides took, by their names."""

    home: Path
    environ: Mapping[str, str]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    sent_bytes: list[int] = field(default_factory=list)

    def prepare(self) -> None:
        """Let the engine make the image once, and leave its environment."""
        image = {"repository": "bench/patch", "steps": [f"head -c {IMAGE_BYTES} /dev/urandom > /opt/data"]}
        recipe = {"name": "patch", "image": image, "handler": "handler.py", "tests": [{"input": {"a": 1}}]}
        (self.home / "patch.yaml").write_text(json.dumps(recipe))  # JSON is YAML
        self._forget(self.build("", "auto", {}), self.environ["DOCKER_HOST"])

    def build(self, side: str, lane: str, environ: Mapping[str, str]) -> dict[str, Any]:
        """Change the handler and build: one process, timed from start to exit."""
        (self.home / "handler.py").write_text(HANDLER.format(unique=uuid.uuid4().hex))
        home = self.home / uuid.uuid4().hex
        command = [sys.executable, "-m", "factory", "build", str(self.home / "patch.yaml")]
        run = timed(
            [*command, "--push", "--json", "--lane", lane], {**self.environ, "FACTORY_HOME": str(home), **environ}
        )
        if run.code != 0:
            sys.exit(f"exit status {run.code}: {run.err[-800:]}")
        self.seconds.setdefault(side, []).append(run.wall_s)
        record: dict[str, Any] = json.loads(run.out)[0]
        return record

    def docker(self, side: str, host: str) -> None:
        """Build and push by an engine."""
        self._forget(self.build(side, "docker", {"DOCKER_HOST": host}), host)

    def patch(self, side: str) -> None:
        """Put it together with no engine in reach, and see in the registry what it can have sent."""
        record = self.build(side, "patch", {"DOCKER_HOST": NOWHERE})
        with DistributionRegistry(login_for=lambda _registry: None) as registry:
            manifest = registry.manifest(record["image"])
        if manifest.compressed_bytes < IMAGE_BYTES:
            sys.exit(f"the image is smaller than it should be: {manifest.compressed_bytes} bytes")
        self.sent_bytes.append(int(record["sent_bytes"]))

    def _forget(self, record: Mapping[str, Any], host: str) -> None:
        DockerEngine(host).remove(str(record["tag"]))


def main(rounds: int) -> int:
    """Time both pairs in turns, and print the table."""
    with tempfile.TemporaryDirectory() as folder, running_registry(Path(folder) / "registry") as registry:
        bench = Bench(Path(folder), {**os.environ, "FACTORY_REGISTRY": registry.address})
        bench.prepare()
        for number in range(rounds):
            engine = Path(folder) / f"engine-{number}"
            with running_dockerd(engine, Path(folder) / f"data-{number}") as host:
                bench.docker("cold docker", host)
            bench.patch("cold patch")
            bench.docker("warm docker", bench.environ["DOCKER_HOST"])
            bench.patch("warm patch")
    return _report(bench, rounds)


def _report(bench: Bench, rounds: int) -> int:
    """Print medians and ratios; return 1 when a goal is missed."""
    lines = [
        f"| one line of the handler, {rounds} rounds | docker s | patch s | times | goal | sent | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    sent, missed = max(bench.sent_bytes), False
    for name, goal in (("cold", COLD), ("warm", WARM)):
        docker, patch = (statistics.median(bench.seconds[f"{name} {side}"]) for side in ("docker", "patch"))
        is_met = docker / patch >= goal and sent <= SENT_LIMIT_BYTES
        missed = missed or not is_met
        lines.append(
            f"| {name} host | {docker:.2f} | {patch:.2f} | {docker / patch:.1f} | {goal:g} | {size_text(sent)} "
            f"| {'met' if is_met else 'MISSED'} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    return int(missed)
