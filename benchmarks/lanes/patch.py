"""One line of the handler changed → a new tag in the registry: `make bench-lanes ARGS="--rounds 1 patch"`.

The image holds IMAGE_BYTES that nothing shrinks, made by a step, so that nothing is downloaded for it; its environment
is in the registry from the start. Each round changes the handler anew for each side, the sides in turns:

- cold: `docker build` and `docker push` on a dockerd that was started for it with an empty data root, against
  `factory build --push --lane patch` with an empty FACTORY_HOME and no engine in reach;
- warm: the same on an engine that has all steps in its cache, dependencies before code, against the same patch;
- warm, ours, once: `factory build --push --lane docker` on that engine, which does what the patch does: it searches for
  secrets, attaches SBOM and provenance, and checks the registry.

Docker's figures are the sum of its two commands (`bare_docker`). What the patch sends is read from the records, and
the image is held against the registry.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from private_dockerd import running_dockerd
from registries import running_registry

from benchmarks import bare_docker
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

        bare_docker.write_context(self.home / "patch.yaml", self.context, self.environ)
        self.docker("", self.environ["DOCKER_HOST"])  # the steps as Docker's own session knows them

    @property
    def context(self) -> Path:
        """The folder that Docker builds."""
        return self.home / "context"

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
        """Change the handler, build and push by an engine, with nothing of ours."""
        (self.context / "handler.py").write_text(HANDLER.format(unique=uuid.uuid4().hex))
        tag = f"{self.environ['FACTORY_REGISTRY']}/bench/patch:{uuid.uuid4().hex[:16]}"
        build_s, push_s = bare_docker.build_and_push(self.context, tag, {**self.environ, "DOCKER_HOST": host})
        self.seconds.setdefault(side, []).append(build_s + push_s)
        DockerEngine(host).remove(tag)

    def docker_lane(self, side: str) -> None:
        """Build and push by factory's own Docker lane."""
        self._forget(self.build(side, "docker", {}), self.environ["DOCKER_HOST"])

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
        bench.docker_lane("ours docker")
    return _report(bench, rounds)


def _report(bench: Bench, rounds: int) -> int:
    """Print medians and ratios; return 1 when a goal is missed."""
    lines = [
        f"| one line of the handler, {rounds} rounds | docker s | patch s | times | goal | sent | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    sent, missed = max(bench.sent_bytes), False
    rows = (
        ("cold host", "cold docker", "cold patch", COLD),
        ("warm host", "warm docker", "warm patch", WARM),
        ("warm host, `--lane docker`, once", "ours docker", "warm patch", 0.0),
    )
    for name, docker_side, patch_side, goal in rows:
        docker, patch = bench.seconds[docker_side], bench.seconds[patch_side]
        ratio = statistics.median(docker) / statistics.median(patch)
        is_met = ratio >= goal and sent <= SENT_LIMIT_BYTES
        missed = missed or not is_met
        lines.append(
            f"| {name} | {_spread(docker)} | {_spread(patch)} | {ratio:.1f} | {goal or ''} | {size_text(sent)} "
            f"| {('met' if is_met else 'MISSED') if goal else ''} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    return int(missed)


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
