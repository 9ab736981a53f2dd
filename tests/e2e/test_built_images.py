"""What is in a built image and what isn't: options of the machine leave no trace, and a new handler is one layer."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from hand_made import SHELL, make_context, shell_files

from factory import recipe as recipes
from factory.clients.docker_engine import DockerEngine
from factory.records import BaseImage, BuildOptions, Context, Progress
from factory.stages.build import build
from factory.stages.push import push
from factory.stages.render import render

pytestmark = pytest.mark.engine

CA_MARK = "MIIC-the-mark-of-our-authority"
PROXY = "http://ada:s3cret@127.0.0.1:9"
MOUNT = "--mount=type=bind,source=.machine,target=/run/machine . /run/machine/env &&"
# Of the mark only its head, since the command itself is in the history.
FIND_MARK = 'while read -r line; do case "$line" in MIIC-*) echo found;; esac; done < "${PIP_CERT:-/dev/null}"'


@pytest.fixture
def engine(engine_host: str) -> DockerEngine:
    """The shared engine."""
    return DockerEngine(engine_host)


@pytest.fixture
def machine() -> BuildOptions:
    """What this machine needs for a build, as `scripts/engine env` says it."""
    ca_file = os.environ.get("FACTORY_CA")
    return BuildOptions(os.environ.get("FACTORY_NETWORK"), Path(ca_file) if ca_file else None)


@pytest.fixture
def client(engine_host: str) -> Iterator[docker.APIClient]:
    """docker-py itself, for a look past our own client."""
    found = docker.APIClient(base_url=engine_host, version="auto")
    yield found
    found.close()


def whole_image(client: docker.APIClient, reference: str) -> bytes:
    """Return all that the image is: its configuration, history and unpacked layers, as `docker save` has them."""
    saved = io.BytesIO(b"".join(client.get_image(reference)))
    with tarfile.open(fileobj=saved) as tar:
        parts = [(tar.extractfile(member) or io.BytesIO()).read() for member in tar if member.isfile()]
    return b"\n".join(gzip.decompress(part) if part[:2] == b"\x1f\x8b" else part for part in parts)


def test_the_machines_options_leave_no_trace(engine: DockerEngine, client: docker.APIClient, tmp_path: Path) -> None:
    """A CA and a proxy reach the RUN step; neither is in a layer, the history or the configuration, nor in the tag."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text(f"{CA_MARK}\n")
    unique = uuid.uuid4().hex
    script = f'RUN {MOUNT} {{ {FIND_MARK}; echo "by ${{http_proxy##*@}}"; echo {unique} > /made; }}\n'
    context = make_context("test/traceless", SHELL + script, shell_files())
    told: list[Progress] = []
    options = BuildOptions("host", bundle, {"http_proxy": PROXY, "no_proxy": "127.0.0.1"})
    image = build(context, engine, options, told.append)
    try:
        assert [p.text for p in told if p.kind == "log"] == ["found", "by 127.0.0.1:9"]
        content = whole_image(client, image.reference)
        assert unique.encode() in content  # the layer of that step is what we look at
        for secret in (CA_MARK, "s3cret", "127.0.0.1:9", "ca.pem"):
            assert secret.encode() not in content, secret
        assert "s3cret" not in repr(told)
        assert build(context, engine, BuildOptions()).id == image.id, "the tag is the same without the options"
    finally:
        engine.remove(image.reference)


HANDLER = '''"""A handler of the test's own."""


class Handler:
    """Answers with a constant."""

    def __init__(self, options, models):
        self.options = options

    def load(self, model_dir):
        """Nothing to load."""

    def __call__(self, inputs):
        """Answer."""
        return {"answer": %d}
'''


def rendered(folder: Path, answer: int, base: str, repository: str) -> Context:
    """Render a recipe with a handler of its own that gives this answer."""
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER % answer)
    (folder / "mine.yaml").write_text(
        "name: mine\nimage:\n  repository: test/mine\nhandler: handler.py\ntests:\n  - input: {a: 1}\n"
    )
    return render(recipes.load(folder / "mine.yaml"), (), BaseImage(base), repository=repository)


def test_a_changed_handler_builds_and_sends_one_layer(
    engine: DockerEngine, base_image: str, registry: str, machine: BuildOptions, tmp_path: Path
) -> None:
    """One changed number in handler.py: every other step is cached, and a few kB go to the registry."""
    repository = f"{registry}/test/handler-{uuid.uuid4().hex[:8]}"
    # New numbers each time: of images that were built and removed, docker 20.10 remembers the steps and not the layers.
    answer = uuid.uuid4().int
    first = rendered(tmp_path / "one", answer, base_image, repository)
    second = rendered(tmp_path / "two", answer + 1, base_image, repository)
    assert first.tag != second.tag
    whole = push(build(first, engine, machine), engine)
    told: list[Progress] = []
    try:
        image = build(second, engine, machine, told.append)
        steps = {p.key: p for p in told if p.kind == "step"}.values()
        made = [step.text for step in steps if step.state == "done" and " FROM " not in step.text]
        assert len(made) == 1 and "handler.py" in made[0]
        changed = push(image, engine)
        assert 0 < changed.sent_bytes < 20_000
        assert changed.digest != whole.digest
        assert push(image, engine).sent_bytes == 0
        assert build(second, engine, machine).was_built is False
    finally:
        for context in (first, second):
            engine.remove(context.reference)


def test_the_engine_gets_the_labels_that_no_file_holds(engine: DockerEngine, client: docker.APIClient) -> None:
    """Labels of the context are on the image, beside those of its Dockerfile."""
    plain = make_context("test/labelled", SHELL + 'LABEL a="1"\n', shell_files())
    context = Context(
        plain.recipe, plain.repository, plain.files, plain.base, plain.digest, labels={"revision": "0123"}
    )
    image = build(context, engine, BuildOptions())
    try:
        found: dict[str, Any] = client.inspect_image(image.id)  # type: ignore[no-untyped-call]
        assert found["Config"]["Labels"] == {"a": "1", "revision": "0123"}
    finally:
        engine.remove(image.reference)
