"""What an image carries in vain: each kind with its bytes, its layer, and the line that mends it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layered import FIRST, PIP, SITE, MadeImage, MemoryRegistry

from factory.layering.diet import Finding, findings
from factory.layering.reading import read_pushed
from factory.recipe.model import Recipe
from factory.records import tell_nobody

MB = 1_000_000
STEP = "RUN /bin/sh -ec . /run/machine/env; "
Files = Mapping[str, bytes]


def recipe(*steps: str, base: str | None = None) -> Recipe:
    """Make a recipe with these steps."""
    image = {"repository": "a/b", "steps": steps, "base": base}
    return Recipe.model_validate({"name": "demo", "image": image, "handler": {"name": "echo"}})


def found(*layers: tuple[str, Files], of: Recipe | None = None) -> tuple[Finding, ...]:
    """Read an image of these layers, on a small base, and return what could go."""
    image = MadeImage([("ADD debian", {"bin/sh": b"s"}), (FIRST, {}), *layers])
    registry = MemoryRegistry({"127.0.0.1:1/a/b:1": image}, is_plain=True)
    return findings(read_pushed(registry, "127.0.0.1:1/a/b:1", tell_nobody), of or recipe())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"{SITE}/numpy/_core/tests/test_umath.py", "tests"),
        (f"{SITE}/pip/_vendor/certifi/cacert.pem", "package tools"),
        (f"{SITE}/torch/lib/libtorch.a", "static libraries"),
        (f"{SITE}/torch/include/ATen/ATen.h", "headers"),
        ("root/.cache/pip/http/ab/cd", "package cache"),
        ("root/.cache/uv/archive-v0/x", "package cache"),
        ("root/.cache/huggingface/hub/models--a/blobs/x", "model cache"),
        ("var/lib/apt/lists/deb.debian.org_dists_x", "apt cache"),
        ("var/cache/apt/archives/x.deb", "apt cache"),
        ("opt/src/wan/.git/objects/pack/x.pack", "git"),
        ("usr/share/doc/git/x.html", "documentation"),
        ("tmp/build/x.o", "left in /tmp"),
        (f"{SITE}/x/__pycache__/gone.cpython-311.pyc", "unused byte code"),
        (f"{SITE}/x/__pycache__/a.cpython-39.pyc", "unused byte code"),
    ],
)
def test_what_nobody_needs_is_found(path: str, kind: str) -> None:
    """Each kind of junk is one finding of its bytes in its layer."""
    [only] = found((PIP, {path: bytes(2 * MB), f"{SITE}/x/a.py": b"a"}))
    assert (only.kind, only.layer, only.size_bytes, only.paths) == (kind, "pip", 2 * MB, (path,))
    assert only.change.startswith("image.template, block pip, in its RUN: && ")
    assert only.is_certain is (kind not in ("headers", "package tools"))


@pytest.mark.parametrize(
    "path",
    [
        f"{SITE}/numpy/testing/overrides.py",
        f"{SITE}/torch/lib/libtorch_cpu.so",
        f"{SITE}/x/__pycache__/a.cpython-311.pyc",
        f"{SITE}/x/__pycache__/a.cpython-311.opt-1.pyc",
        f"{SITE}/pipeline/core.py",
        "opt/src/wan/contest/x.py",
        "usr/share/zoneinfo/Europe/Berlin",
    ],
)
def test_what_is_needed_is_no_finding(path: str) -> None:
    """Names that only look like junk."""
    assert found((PIP, {path: bytes(2 * MB), f"{SITE}/x/a.py": b"a"})) == ()


def test_few_bytes_are_no_finding() -> None:
    """Below a megabyte nobody should change a line."""
    assert found((PIP, {"tmp/x": bytes(MB // 2)})) == ()


@pytest.mark.parametrize(
    ("upper", "kind"),
    [
        ({"opt/data": b"2" * 3 * MB}, "replaced later"),
        ({"opt/data": b"1" * 3 * MB}, "rewritten later"),
        ({"opt/.wh.data": b""}, "removed later"),
        ({".wh.opt": b""}, "removed later"),
        ({"opt/.wh..wh..opq": b"", "opt/other": b"o"}, "removed later"),
    ],
    ids=["replaced", "chmod", "removed", "folder removed", "folder emptied"],
)
def test_bytes_under_a_later_layer_are_waste(upper: Files, kind: str) -> None:
    """A file that a later step replaces, touches or removes is sent all the same: make both one line."""
    steps = ("make /opt/data", "change /opt/data")
    lower = {"opt/data": b"1" * 3 * MB}
    [only] = found((f"{STEP}{steps[0]}", lower), (f"{STEP}{steps[1]}", upper), of=recipe(*steps))
    assert (only.kind, only.layer, only.size_bytes) == (kind, "step 1", 3 * MB)
    assert only.change == "image.steps: make step 1 and step 2 one line: make /opt/data && change /opt/data"


def test_what_a_step_leaves_is_removed_in_that_step() -> None:
    """The proposed line is the recipe's own, with what removes it."""
    [only] = found((f"{STEP}pip download x", {"root/.cache/pip/x": bytes(2 * MB)}), of=recipe("pip download x"))
    assert only.change == "image.steps[0]: pip download x && rm -rf /root/.cache /root/.npm"


def test_the_same_content_twice() -> None:
    """Of three copies two could go; a proposed link names both paths."""
    content = b"x" * 2 * MB
    [only] = found((PIP, {"opt/a.bin": content, "opt/b.bin": content, "opt/c.bin": content}))
    assert (only.kind, only.size_bytes) == ("twice", 4 * MB)
    assert "ln -f /opt/a.bin /opt/" in only.change


def test_junk_under_a_later_layer_counts_once() -> None:
    """Tests that a later step removes are waste of one kind, not of two."""
    tests = {f"{SITE}/numpy/tests/t.py": bytes(2 * MB)}
    [only] = found((PIP, tests), (f"{STEP}rm", {f"{SITE}/numpy/.wh.tests": b""}), of=recipe("rm"))
    assert (only.kind, only.layer) == ("removed later", "pip")


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ("nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04", "image.base: nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04"),
        ("python:3.11", "image.base: leave it out, or python:3.11-slim-bookworm"),
        ("acme/base:1", "image.base: a slimmer one"),
    ],
)
def test_only_another_base_mends_the_base(base: str, change: str) -> None:
    """Junk of the base is one finding, told when it is much, with a base that leaves it out where we know one."""
    image = MadeImage([("ADD x", {"usr/share/doc/x": bytes(60 * MB)}), (FIRST, {})])
    read = read_pushed(MemoryRegistry({"127.0.0.1:1/a/b:1": image}, is_plain=True), "127.0.0.1:1/a/b:1", tell_nobody)
    [only] = findings(read, recipe(base=base))
    assert (only.kind, only.layer, only.size_bytes) == ("base", "base", 60 * MB)
    assert only.change.startswith(change)


SEEN = ["tmp/a", "opt/a", "opt/b", "opt/c/a", "usr/lib/x.a", f"{SITE}/x/tests/t.py"]
STALE = [f"{SITE}/x/tests/__pycache__/t.cpython-39.pyc", f"{SITE}/x/__pycache__/a.cpython-39.pyc"]
PATHS = st.sampled_from([*SEEN, *STALE, "opt/.wh.a", ".wh.opt", "opt/.wh..wh..opq"])
CONTENTS = st.sampled_from([b"1" * 2 * MB, b"2" * 2 * MB, b"3" * 3 * MB])


@given(layers=st.lists(st.dictionaries(PATHS, CONTENTS, max_size=5), min_size=1, max_size=4))
@settings(max_examples=20)
def test_no_byte_is_told_twice(layers: list[dict[str, bytes]]) -> None:
    """Whatever layers do to each other, the findings together are no more than what the layers hold."""
    files = [{path: b"" if ".wh." in path else content for path, content in layer.items()} for layer in layers]
    told = found(*((PIP, layer) for layer in files))
    assert sum(finding.size_bytes for finding in told) <= sum(len(c) for layer in files for c in layer.values())
    assert all(finding.change and finding.paths for finding in told)
