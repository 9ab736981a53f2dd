"""The dependency layer of a torch stack, and the first job from it: what uv and our byte code give, beside pip's.

Both sides start from one image (base, environment and the runtime's packages) and run one RUN step each on the same
engine, in turns: *pip* as the template had it until 2026-11-25, every package compiled; *ours* the step that render
makes today. Both take the same wheels (tests/handlers_torch/requirements.txt, fetched once by this machine's pip into
.factory/bench) from a server on the loopback interface, so neither meets the internet's speed; ours begins with an
empty cache each time, as a fresh machine would, apart from uv itself, which pip would have brought with the base.
The *first job* is a container's whole life: start, import torch, transformers and diffusers, a step of a tiny model.
Three fresh containers a round, and their median: the files are in the page cache then, as they are on a worker that
has just unpacked the image; byte code that a container writes is lost with it.
"""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import re
import statistics
import subprocess
import sys
import tarfile
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import docker

from benchmarks.bare_docker import added_files
from factory import recipe as recipes
from factory.records import BaseImage
from factory.sizing.packages import python_name
from factory.stages.render import render

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / ".factory" / "bench" / "wheels"
STACK = ROOT / "tests" / "handlers_torch" / "requirements.txt"
MB = 1_000_000
JOBS = 3

# The RUN step of templates/Dockerfile.j2 at commit b7d0244, before uv.
PIP_STEP = """RUN MACHINE touch -d '1 second ago' /dev/shm/before \\
 && export PYTHONDONTWRITEBYTECODE=1 && /opt/venv/bin/python -m pip install --no-cache-dir --no-compile \
--disable-pip-version-check --progress-bar off -r /opt/requirements/recipe.txt -c /opt/requirements/runtime.txt \\
 && find /opt/venv/lib/python*/site-packages -mindepth 1 -maxdepth 1 -newer /dev/shm/before -print \\
  | { /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -i - >/dev/null || :; } \\
 && find /opt/venv -newer /dev/shm/before -exec touch -h -d @315532800 {} + && touch -d @315532800 /opt /tmp
"""
JOB = """
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, UNet2DModel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
config = LlamaConfig(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
print(LlamaForCausalLM(config).generate(torch.tensor([[1, 2]]), max_new_tokens=2, do_sample=False).shape)
"""


class Side:
    """One way to install: its step, and what it took, round by round."""

    def __init__(self, name: str, step: str) -> None:
        self.name = name
        self.step = step
        self.run_s: list[float] = []
        self.job_s: list[float] = []
        self.image_bytes = 0


def main(rounds: int) -> int:
    """Print the table; 1 when ours isn't twice as fast with the same first job and a smaller image."""
    stack = _stack()
    _fetch(stack)
    client = docker.APIClient(base_url=os.environ["DOCKER_HOST"], version="auto", timeout=1200)
    sides = [Side("pip, all compiled", PIP_STEP), Side("ours", "")]
    with _served() as url, _start(client, [f"--index-url {url}", *stack]) as (start, ours):
        sides[1].step = ours
        for number in range(rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                _one_round(client, side, start)
    return _report(*sides)


def _stack() -> list[str]:
    """Return the handlers' requirements, without what only their tests need."""
    lines = (line.strip() for line in STACK.read_text().splitlines())
    return [line for line in lines if "==" in line and not line.startswith("#")]


def _fetch(stack: list[str]) -> None:
    """Have the wheels here, by this machine's own pip."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    runtime = ROOT / "worker_runtime" / "requirements.txt"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(WHEELS)]
    command += ["--python-version", "3.11", "--find-links", str(WHEELS), "-c", str(runtime), "-r", str(runtime), *stack]
    subprocess.run(command, check=True)


class _Index(http.server.SimpleHTTPRequestHandler):
    """A simple index (PEP 503) with the wheels' metadata beside them (PEP 658), as pypi.org and PyTorch's have it.

    A folder of links alone would make uv download each wheel twice: once to read what it needs.
    """

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        """Answer a package's page, a wheel's metadata, or a wheel."""
        path = unquote(self.path)
        if path.startswith("/simple/"):
            wheels = [
                each.name for each in WHEELS.glob("*.whl") if python_name(each.name.split("-")[0]) in path.split("/")
            ]
            self._say("".join(f'<a href="/{name}" data-core-metadata="true">{name}</a>' for name in sorted(wheels)))
        elif path.endswith(".whl.metadata"):
            with zipfile.ZipFile(WHEELS / path[1 : -len(".metadata")]) as archive:
                name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
                self._say(archive.read(name).decode())
        else:
            super().do_GET()

    def _say(self, text: str) -> None:
        self.send_response(200 if text else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(text.encode())


@contextmanager
def _served() -> Iterator[str]:
    """Serve the wheels on the loopback interface; yield the index's URL."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Index, directory=str(WHEELS)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/simple/"
    finally:
        server.shutdown()


@contextmanager
def _start(client: docker.APIClient, pip: list[str]) -> Iterator[tuple[str, str]]:
    """Build what both sides start from; yield its name and our own step."""
    path = WHEELS.parent / "dependencies.yaml"
    listed = "".join(f"\n    - {line!r}" for line in pip)
    path.write_text(
        f"name: dependencies\nimage:\n  repository: bench/dependencies\n  pip:{listed}\nhandler: echo\n"
        "tests: [{input: {a: 1}}]\n"
    )
    base = os.environ.get("FACTORY_BASE", "python:3.11-slim-bookworm")
    context = render(recipes.load(path), (), BaseImage(base), repository="bench/dependencies")
    files = {file.path: file.content or b"" for file in context.files}
    dockerfile = files.pop("Dockerfile").decode()
    files |= added_files(os.environ)
    copy = dockerfile.index("COPY requirements.txt ")
    step = re.compile(r"RUN .*\n", re.MULTILINE).search(dockerfile, copy)
    assert step is not None
    name = f"bench/start-{uuid.uuid4().hex[:8]}:1"
    _build(client, dockerfile[: step.start()], files, name)
    try:
        yield name, step[0]
    finally:
        _remove(client, name)


def _one_round(client: docker.APIClient, side: Side, start: str) -> None:
    name = f"bench/side-{uuid.uuid4().hex[:8]}:1"
    files = added_files(os.environ)
    machine = "--mount=type=bind,source=.machine,target=/run/machine . /run/machine/env &&"
    # A cache of its own for each round: empty but for uv, which the step of a line before brings.
    cache = f"id=bench-{uuid.uuid4().hex[:8]}"
    step = side.step.replace("MACHINE", machine).replace("id=factory-packages", cache)
    lines = f"FROM {start}\n"
    if cache in step:
        lines += step[: step.index("cd /opt/requirements")] + _only_uv() + "\n"
    lines += step
    try:
        side.run_s.append(_build(client, lines, files, name))
        side.image_bytes = _bytes(client, name) - _bytes(client, start)
        side.job_s.append(_first_job(client, name))
    finally:
        _remove(client, name)


def _only_uv() -> str:
    """Return the words that bring uv into the cache and nothing else."""
    code = "import sys; sys.path.insert(0, '/opt/requirements'); import install; install.find_uv(install.CACHE)"
    return f'/opt/venv/bin/python -B -c "{code}"'


def _build(client: docker.APIClient, dockerfile: str, files: Mapping[str, bytes], name: str) -> float:
    """Build by BuildKit; return the seconds of the last RUN step, by the engine's own clock."""
    from factory.clients.docker_buildkit import decode
    from factory.clients.docker_connection import Connection

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in {"Dockerfile": dockerfile.encode(), **files}.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime = len(content), 0o644, 315_532_800
            tar.addfile(info, io.BytesIO(content))
    packed.seek(0)
    connection = Connection(os.environ["DOCKER_HOST"], 1200)
    connection.is_buildkit = True
    took: dict[str, float] = {}
    last: list[Any] = []
    for message in connection.build(fileobj=packed, custom_context=True, decode=True, tag=name, network_mode="host"):
        if "error" in message:
            raise SystemExit(f"{message['error']}\n{''.join(last[-20:])}")
        if message.get("id") == "moby.buildkit.trace":
            trace = decode(message["aux"])
            last += [log.text for log in trace.logs]
            for vertex in trace.vertexes:
                if " RUN " in vertex.name and vertex.completed_s and vertex.started_s:
                    took[vertex.name] = vertex.completed_s - vertex.started_s
    connection.close()
    return list(took.values())[-1] if took else 0.0


def _first_job(client: docker.APIClient, name: str) -> float:
    """Return the seconds of a first job: the median of three fresh containers, none of which has run before."""
    return statistics.median(_one_job(client, name) for _ in range(JOBS))


def _one_job(client: docker.APIClient, name: str) -> float:
    container = client.create_container(name, ["python", "-c", JOB], entrypoint=[])["Id"]
    try:
        began_s = time.perf_counter()
        client.start(container)
        code = client.wait(container)["StatusCode"]
        took_s = time.perf_counter() - began_s
        if code:
            raise SystemExit(client.logs(container).decode())
        return took_s
    finally:
        client.remove_container(container, force=True)


def _bytes(client: docker.APIClient, name: str) -> int:
    return int(client.inspect_image(name)["Size"])  # type: ignore[no-untyped-call]


def _remove(client: docker.APIClient, name: str) -> None:
    with contextlib.suppress(docker.errors.APIError):
        client.remove_image(name, force=True)


def _report(pip: Side, ours: Side) -> int:
    rows = [
        "| dependency layer of a torch stack | RUN s | first job s | layer MB |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {side.name} | {statistics.median(side.run_s):.1f} ({min(side.run_s):.1f} to {max(side.run_s):.1f}) "
            f"| {statistics.median(side.job_s):.1f} ({min(side.job_s):.1f} to {max(side.job_s):.1f}) "
            f"| {side.image_bytes / MB:,.0f} |"
            for side in (pip, ours)
        ),
    ]
    run = statistics.median(pip.run_s) / statistics.median(ours.run_s)
    job = statistics.median(pip.job_s) / statistics.median(ours.job_s)
    size = pip.image_bytes / ours.image_bytes
    rows.append(f"| times less | {run:.2f} (goal 2) | {job:.2f} (goal: the same, 0.95) | {size:.2f} (goal: smaller) |")
    sys.stdout.write("\n".join(rows) + f"\n\n{len(ours.run_s)} rounds in turns.\n")
    return 0 if run >= 2 and job >= 0.95 and size > 1 else 1
