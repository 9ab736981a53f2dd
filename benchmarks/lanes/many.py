"""Many recipes at once beside one after the other: `make bench-lanes ARGS="--rounds 1 many"`.

Eight recipes that share two environments, four each. An environment is a step that writes ENVIRONMENT_BYTES which
nothing shrinks, with some work for the processor. One side is `factory build *.yaml --push --jobs 4`, the other eight
commands `factory build X.yaml --push` in a row, which find the environments of those before them just the same; once,
for the record, the eight go by the engine alone (`--lane docker`). The sides take turns; each round and side has
environments of its own, so that the engine and the registry have met neither; base and worker's packages are there for
both. The registry is one of the benchmark's own, on loopback.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from registries import running_registry

from benchmarks.timing import timed
from factory.wording import size_text

FASTER = 1.6  # times, on two cores
RECIPES, ENVIRONMENTS, JOBS = 8, 2, 4
ENVIRONMENT_BYTES = 250_000_000
STEP = (
    "head -c {size} /dev/urandom > /opt/data && sha256sum /opt/data && gzip -1 -c /opt/data | sha256sum && : {unique}"
)


@dataclass(frozen=True)
class Run:
    """What one side took: seconds of wall clock, what was sent, and what the images hold one by one."""

    seconds: float
    sent_bytes: int
    whole_bytes: int


def main(rounds: int) -> int:
    """Time both sides in turns, and print the table."""
    with tempfile.TemporaryDirectory() as home, running_registry(Path(home) / "registry") as registry:
        environ = {**os.environ, "FACTORY_REGISTRY": registry.address, "FACTORY_HOME": f"{home}/home"}
        _build(_write(Path(home) / "warm", 0, count=1), environ, [])  # base and worker's packages
        together: list[Run] = []
        apart: list[Run] = []
        for number in range(rounds):
            for is_together in (True, False) if number % 2 == 0 else (False, True):
                runs, side = (together, _together) if is_together else (apart, _apart)
                runs.append(side(Path(home), environ))
        engine = [_apart(Path(home), environ, "--lane", "docker")]
    return _report(together, apart, engine)


def _together(home: Path, environ: Mapping[str, str]) -> Run:
    """One command for all."""
    paths = _write(home / uuid.uuid4().hex, ENVIRONMENT_BYTES)
    started_s = time.perf_counter()
    records = _build(paths, environ, ["--jobs", str(JOBS)])
    seconds = time.perf_counter() - started_s
    _forget(environ)
    return Run(seconds, _sum(records, "sent_bytes"), _sum(records, "whole_bytes"))


def _apart(home: Path, environ: Mapping[str, str], *words: str) -> Run:
    """A command for each."""
    paths = _write(home / uuid.uuid4().hex, ENVIRONMENT_BYTES)
    started_s = time.perf_counter()
    records = [record for path in paths for record in _build([path], environ, words)]
    seconds = time.perf_counter() - started_s
    _forget(environ)
    return Run(seconds, _sum(records, "sent_bytes"), 0)


def _write(folder: Path, size_bytes: int, count: int = RECIPES) -> list[Path]:
    """Write recipes with environments that nobody has met."""
    folder.mkdir()
    unique, paths = uuid.uuid4().hex, []
    for number in range(count):
        path = folder / f"many-{number}.yaml"
        step = STEP.format(size=size_bytes, unique=f"{unique}-{number % ENVIRONMENTS}")
        image = {"repository": f"{folder.name[:8]}/many-{number}", "steps": [step] if size_bytes else []}
        recipe = {"name": path.stem, "image": image, "handler": "echo", "tests": [{"input": {"a": 1}}]}
        path.write_text(json.dumps(recipe))  # JSON is YAML
        paths.append(path)
    return paths


def _build(paths: Sequence[Path], environ: Mapping[str, str], words: Sequence[str]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "factory", "build", *map(str, paths), "--push", "--json", *words]
    run = timed(command, environ)
    if run.code != 0:
        sys.exit(f"exit status {run.code}: {run.err[-800:]}")
    records: list[dict[str, Any]] = json.loads(run.out)
    return records


def _forget(environ: Mapping[str, str]) -> None:
    """Remove what went to our registry from the engine; its cache of steps stays, and is of no use to anybody else."""
    client = docker.APIClient(base_url=environ["DOCKER_HOST"], version="auto")
    try:
        names = [name for image in client.images() for name in image["RepoTags"] or ()]
        for name in names:
            if name.startswith(f"{environ['FACTORY_REGISTRY']}/"):
                client.remove_image(name)
    finally:
        client.close()


def _sum(records: Sequence[Mapping[str, Any]], key: str) -> int:
    return sum(int(record[key]) for record in records)


def _report(together: Sequence[Run], apart: Sequence[Run], engine: Sequence[Run]) -> int:
    """Print medians, the ratio and the bytes; return 1 when a goal is missed."""
    fast, slow = (statistics.median(run.seconds for run in runs) for runs in (together, apart))
    ratio = slow / fast
    sent, whole = (statistics.median(getattr(run, key) for run in together) for key in ("sent_bytes", "whole_bytes"))
    is_met = ratio >= FASTER and sent < whole
    rows = [
        f"| {RECIPES} recipes, {ENVIRONMENTS} environments, {len(together)} rounds | median s | min s | max s | sent |",
        "| --- | ---: | ---: | ---: | ---: |",
        _row("one after the other by the engine alone (`--lane docker`), once", engine),
        _row("one after the other", apart),
        _row(f"one command, `--jobs {JOBS}`", together),
        "",
        f"{ratio:.1f} times faster (goal {FASTER}); {size_text(sent)} sent, all images hold {size_text(whole)}; "
        f"{'met' if is_met else 'MISSED'}",
    ]
    sys.stdout.write("\n".join(rows) + "\n")
    return 0 if is_met else 1


def _row(name: str, runs: Sequence[Run]) -> str:
    seconds = [run.seconds for run in runs]
    sent = size_text(statistics.median(run.sent_bytes for run in runs))
    return f"| {name} | {statistics.median(seconds):.1f} | {min(seconds):.1f} | {max(seconds):.1f} | {sent} |"
