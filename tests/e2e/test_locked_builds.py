"""Locked builds on the real engine: every package by its hash, nothing of uv left, the same files in every build."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from wheel_index import WheelIndex, wheel_index

from factory import recipe as recipes
from factory.clients.docker_context import context_tar
from factory.clients.docker_engine import DockerEngine
from factory.clients.uv import UvIndex
from factory.errors import StepFailed
from factory.locking.lock import Lock
from factory.locking.making import make
from factory.records import BaseImage, BuildOptions, Context
from factory.stages.build import build
from factory.stages.render import render, runtime_requirements

pytestmark = pytest.mark.engine

INSTALLER = Path(__file__).parents[2] / "templates" / "install.py"
UV = re.findall(r'^UV = "(\S+) ', INSTALLER.read_text(), re.MULTILINE)[0]
TOOL = "import json\nfrom tool_part import VALUE\n"
# What an environment is: every path with its mode, time and content; byte code with the flags of its header (PEP 552).
LOOK = """
import hashlib, json, os
found, flags = {}, set()
for parent, names, files in sorted(os.walk('/opt')):
    for path in [os.path.join(parent, name) for name in sorted([*names, *files])]:
        about = os.lstat(path)
        content = b'' if os.path.isdir(path) or os.path.islink(path) else open(path, 'rb').read()
        if path.endswith('.pyc'):
            flags.add(content[4])
        if '/requirements/' not in path:
            found[path] = [oct(about.st_mode), about.st_mtime, hashlib.sha256(content).hexdigest()]
compiled = [path for path in found if path.endswith('.pyc')]
strange = [os.path.join(folder, name) for folder in ('/mnt', '/tmp') for name in os.listdir(folder)]
strange += [name for name in os.listdir('/root') if name in ('.cache', '.config', '.local')]
strange += [path for path in found if os.path.basename(path) in ('uv', 'uvx', '.lock', '.packages')]
digest = hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()
names = sorted(name for name in os.listdir('/opt/venv/lib/python3.11/site-packages') if name.endswith('.dist-info'))
print(json.dumps({'digest': digest, 'flags': sorted(flags), 'strange': strange, 'names': names, 'compiled': compiled,
                  'dated': sorted(path for path, about in found.items() if about[1] != 315532800)}))
"""


@pytest.fixture
def engine(engine_host: str) -> DockerEngine:
    """The shared engine."""
    return DockerEngine(engine_host)


@pytest.fixture
def machine() -> BuildOptions:
    """The host's network, where the index is, and the CA that this machine's own index needs."""
    ca_file = os.environ.get("FACTORY_CA")
    return BuildOptions("host", Path(ca_file) if ca_file else None)


@pytest.fixture
def client(engine_host: str) -> Iterator[docker.APIClient]:
    """docker-py itself, for the classic builder."""
    found = docker.APIClient(base_url=engine_host, version="auto")
    yield found
    found.close()


@pytest.fixture(scope="module")
def uv_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that builds bring: from the index that this machine's pip has."""
    folder = tmp_path_factory.mktemp("uv")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*command, "--platform", "manylinux_2_17_x86_64", "--only-binary", ":all:", UV], check=True)
    return next(folder.glob("uv-*.whl"))


def offer(index: WheelIndex, uv_wheel: Path) -> None:
    """Offer a tool that needs a part, and uv."""
    index.add("tool", "1.0", "tool_part", source=TOOL)
    index.add("tool_part", "1.0", source="VALUE = 1\n")
    index.add_file("uv", uv_wheel)


@pytest.fixture
def index(tmp_path: Path, uv_wheel: Path) -> Iterator[WheelIndex]:
    """An index with a tool that needs a part."""
    with wheel_index(tmp_path / "index") as index:
        offer(index, uv_wheel)
        yield index


@contextmanager
def base_with(index: WheelIndex, base_image: str, client: docker.APIClient) -> Iterator[str]:
    """Make a base image whose own pip.conf names an index."""
    name = f"test/base-{uuid.uuid4().hex[:8]}:1"
    dockerfile = f"FROM {base_image}\nRUN printf '[global]\\nindex-url = {index.url}\\n' > /etc/pip.conf\n"
    said = client.build(fileobj=io.BytesIO(dockerfile.encode()), decode=True, tag=name, rm=True)
    assert not [message for message in said if "error" in message]
    try:
        yield name
    finally:
        client.remove_image(name, force=True)


def recipe_in(folder: Path) -> recipes.RecipeFile:
    """Write a recipe that says little of its packages."""
    path = folder / "locked.yaml"
    path.write_text(
        "name: locked\nimage: {repository: test/locked, pip: [tool]}\nhandler: echo\ntests: [{input: {a: 1}}]\n"
    )
    return recipes.load(path)


def lock_from(index: WheelIndex, file: recipes.RecipeFile, monkeypatch: pytest.MonkeyPatch) -> Lock:
    """Lock the recipe by what the index has now."""
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    return make(file.recipe, runtime_requirements(), models=(), base_digest=None, index=UvIndex(), kept=None).lock


def context_of(file: recipes.RecipeFile, lock: Lock, base: str) -> Context:
    """Render a locked recipe on a base."""
    repository = f"test/locked-{uuid.uuid4().hex[:8]}"
    return render(file, (), BaseImage(base), repository=repository, locked=lock.requirements)


def look(engine: DockerEngine, reference: str) -> dict[str, Any]:
    """Return what is in the image's environment."""
    code, said = engine.run_once(reference, ["python", "-c", LOOK], environment={}, options=BuildOptions())
    assert code == 0, said
    found: dict[str, Any] = json.loads(said)
    return found


def test_locked_builds_are_the_same_file_by_file(
    engine: DockerEngine,
    client: docker.APIClient,
    base_image: str,
    machine: BuildOptions,
    index: WheelIndex,
    uv_wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is locked comes and not what is newer, from the index of the base's own pip.conf, and nothing of uv stays.

    BuildKit with its cache from one index, the classic builder without from another: the same files, modes and times.
    """
    file = recipe_in(tmp_path)
    lock = lock_from(index, file, monkeypatch)
    with base_with(index, base_image, client) as base:
        index.add("tool_part", "2.0", source="VALUE = 2\n")
        image = build(context_of(file, lock, base), engine, machine)
        try:
            first = look(engine, image.reference)
        finally:
            engine.remove(image.reference)
    assert {"tool-1.0.dist-info", "tool_part-1.0.dist-info", "runpod-1.12.0.dist-info"} <= set(first["names"])
    assert first["strange"] == [] and first["dated"] == [] and first["flags"] == [1]
    assert any("/tool/__pycache__/__init__" in path for path in first["compiled"])
    with wheel_index(tmp_path / "mirror") as mirror:
        offer(mirror, uv_wheel)
        with base_with(mirror, base_image, client) as base:
            context = context_of(file, lock, base)
            body = context_tar(context, is_classic=True)
            said = client.build(
                fileobj=body,  # type: ignore[arg-type]  # any iterator will do
                custom_context=True,
                decode=True,
                tag=context.reference,
                network_mode="host",
                rm=True,
            )
            assert not [message for message in said if "error" in message]
            try:
                assert look(engine, context.reference) == first
            finally:
                engine.remove(context.reference)


def test_another_file_than_is_locked_stops_the_build(
    engine: DockerEngine,
    client: docker.APIClient,
    base_image: str,
    machine: BuildOptions,
    index: WheelIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The index has other bytes under the same name: one sentence that names the package, and no image."""
    file = recipe_in(tmp_path)
    lock = lock_from(index, file, monkeypatch)
    index.add("tool_part", "1.0", source="VALUE = 'stolen'\n")
    with base_with(index, base_image, client) as base:
        context = context_of(file, lock, base)
        with pytest.raises(StepFailed) as caught:
            build(context, engine, machine)
    assert "tool-part==1.0 has another hash than is locked" in str(caught.value)
    assert "factory lock --upgrade" in caught.value.fix
    assert engine.find(context.reference) is None
