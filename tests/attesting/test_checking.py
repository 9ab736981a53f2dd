"""What is attached to an image: valid, the same bytes for the same content, refused when it is of something else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from fake_hub import FakeRegistry
from fake_store import FakeStore

from factory.attesting.checking import attach, check
from factory.attesting.packages import Package, installed, store_packages, stored_packages
from factory.attesting.provenance import Making
from factory.attesting.sbom import sbom
from factory.errors import AttestationWrong
from factory.records import BaseImage, BuildOptions, Context, Layer, ModelFile, ModelFiles, PushedImage

from fake_engine import FakeEngine  # isort: skip

PACKAGES = (
    Package("deb", "bash", "5.2.15-2+b7", "", "amd64", "debian"),
    Package("pypi", "odd", "1", "a licence of our own"),
    Package("pypi", "pydantic", "2.12.0", "MIT"),
)
FILES = (
    ModelFile("model.safetensors", 12, "sha256:" + "ab" * 32),
    ModelFile("config.json", 3, "git-sha1:" + "cd" * 20),
)
MODEL = ModelFiles("org/small", "small", "main", "c" * 40, FILES, "volume", 15, licence="apache-2.0")
CONTEXT = Context("demo", "reg.io/acme/demo", (), BaseImage("python:3.11", "sha256:" + "ee" * 32), "d" * 64)
SUBJECT = Layer("sha256:" + "12" * 32, 500, "application/vnd.oci.image.manifest.v1+json")
PUSHED = PushedImage(CONTEXT.repository, CONTEXT.tag, SUBJECT.digest)
MAKING = Making("f" * 64, None, "0.1.0", "patch", "a" * 40)


@pytest.fixture
def store() -> FakeStore:
    """A registry in memory."""
    return FakeStore(FakeRegistry({}))


def test_an_sbom_is_valid_and_the_same_each_time() -> None:
    """It is CycloneDX 1.6 by its schema, has no date, and names the models' files with their digests."""
    content = sbom("demo", PACKAGES, [MODEL])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    assert content == sbom("demo", PACKAGES[::-1], [MODEL]) and b"timestamp" not in content
    parts = {part["name"]: part for part in json.loads(content)["components"]}
    assert parts["bash"]["purl"] == "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64"
    assert parts["pydantic"]["licenses"] == [{"license": {"id": "MIT"}}]
    (weights,) = [file for file in parts["org/small"]["components"] if file["name"] == "model.safetensors"]
    assert weights["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert sbom("demo", PACKAGES[:1], [MODEL]) != content


def test_what_is_attached_passes_and_is_attached_once(store: FakeStore, tmp_path: Path) -> None:
    """A second push of the same sends nothing; verify finds both."""
    attach(CONTEXT, [MODEL], PACKAGES, SUBJECT, MAKING, store, tmp_path)
    sent = store.sent_bytes
    attach(CONTEXT, [MODEL], PACKAGES, SUBJECT, MAKING, store, tmp_path)
    assert store.sent_bytes == sent
    checks = check(CONTEXT, [MODEL], PUSHED, store, store.registry)
    assert [(each.name, each.verdict) for each in checks] == [("sbom", "ok"), ("provenance", "ok")]


def test_an_image_without_any_is_a_warning(store: FakeStore) -> None:
    """Who pushed it without gets the command that attaches them."""
    checks = check(CONTEXT, [MODEL], PUSHED, store, store.registry)
    assert [each.verdict for each in checks] == ["warning", "warning"] and "--force" in checks[0].detail


@pytest.mark.parametrize(
    ("context", "model", "sentence"),
    [
        (replace(CONTEXT, recipe="other"), MODEL, "of 'demo', not of 'other'"),
        (CONTEXT, replace(MODEL, commit="e" * 40), "other models' files"),
        (CONTEXT, replace(MODEL, files=FILES[:1]), "other models' files"),
        (replace(CONTEXT, digest="0" * 64), MODEL, "another build context"),
    ],
)
def test_what_is_of_something_else_is_refused(
    store: FakeStore, tmp_path: Path, context: Context, model: ModelFiles, sentence: str
) -> None:
    """Another recipe, commit, selection or context is an error that says which."""
    attach(CONTEXT, [MODEL], PACKAGES, SUBJECT, MAKING, store, tmp_path)
    with pytest.raises(AttestationWrong, match=sentence):
        check(context, [model], PUSHED, store, store.registry)


def test_packages_come_from_the_image_and_stay_at_the_environment(store: FakeStore) -> None:
    """The engine's image says them, and the patch lane reads the same from the registry."""
    found = installed("acme/demo:1", FakeEngine(), BuildOptions())
    assert found[0] == Package("deb", "bash", "5.2", "", "amd64", "debian")
    store_packages(found, CONTEXT.repository, SUBJECT, store)
    assert stored_packages(CONTEXT.repository, SUBJECT.digest, store, store.registry) == found
    assert stored_packages(CONTEXT.repository, "sha256:" + "00" * 32, store, store.registry) is None
