"""What is attached to an image: valid, the same bytes for the same content, refused when it is of something else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.spdx import fixup_id
from cyclonedx.validation.json import JsonStrictValidator
from fake_hub import FakeRegistry
from fake_store import FakeStore

from factory.attesting.checking import check, papers
from factory.attesting.components import components
from factory.attesting.licences import SPDX_IDS
from factory.attesting.packages import COMPONENTS_TYPE, Package, installed, store_components, stored_components
from factory.attesting.provenance import Making
from factory.attesting.sbom import sbom
from factory.errors import AttestationWrong, RegistryFailed
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


COMPONENTS = components(PACKAGES)


def attach(store: FakeStore) -> None:
    """Attach what belongs to the image."""
    made = papers(CONTEXT, [MODEL], COMPONENTS, SUBJECT.digest, MAKING)
    store.attach_all(CONTEXT.repository, SUBJECT, made)


@pytest.fixture
def store() -> FakeStore:
    """A registry in memory."""
    return FakeStore(FakeRegistry({}))


def test_an_sbom_is_valid_and_the_same_each_time() -> None:
    """It is CycloneDX 1.6 by its schema, has no date, and names the models' files with their digests."""
    content = sbom("demo", COMPONENTS, [MODEL])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    assert content == sbom("demo", components(PACKAGES[::-1]), [MODEL]) and b"timestamp" not in content
    parts = {part["name"]: part for part in json.loads(content)["components"]}
    assert parts["bash"]["purl"] == "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64"
    assert parts["pydantic"]["licenses"] == [{"license": {"id": "MIT"}}]
    (weights,) = [file for file in parts["org/small"]["components"] if file["name"] == "model.safetensors"]
    assert weights["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert sbom("demo", components(PACKAGES[:1]), [MODEL]) != content


def test_what_is_attached_passes_and_is_attached_once(store: FakeStore) -> None:
    """A second push of the same sends nothing; verify finds both."""
    attach(store)
    sent = store.sent_bytes
    attach(store)
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
    store: FakeStore, context: Context, model: ModelFiles, sentence: str
) -> None:
    """Another recipe, commit, selection or context is an error that says which."""
    attach(store)
    with pytest.raises(AttestationWrong, match=sentence):
        check(context, [model], PUSHED, store, store.registry)


def test_packages_come_from_the_image_and_stay_at_the_environment(store: FakeStore) -> None:
    """The engine's image says them, and the patch lane reads the same from the registry."""
    found = installed("acme/demo:1", FakeEngine(), BuildOptions())
    assert found[0] == Package("deb", "bash", "5.2", "", "amd64", "debian")
    store_components(components(found), CONTEXT.repository, SUBJECT, store)
    kept = stored_components(CONTEXT.repository, SUBJECT.digest, store, store.registry)
    assert kept is not None and sbom("demo", kept, [MODEL]) == sbom("demo", components(found), [MODEL])
    assert stored_components(CONTEXT.repository, "sha256:" + "00" * 32, store, store.registry) is None


def test_a_list_of_packages_that_is_none_is_said(store: FakeStore) -> None:
    """What somebody else left in its place is not taken into an SBOM."""
    for content in (b"no JSON", b"{}", b"[1]", b'[{"name": "x"}]'):
        subject = replace(SUBJECT, digest=f"sha256:{len(content):064}")
        store.attach(CONTEXT.repository, subject, COMPONENTS_TYPE, content, COMPONENTS_TYPE)
        with pytest.raises(RegistryFailed, match="is none"):
            stored_components(CONTEXT.repository, subject.digest, store, store.registry)


def test_packages_of_one_name_are_told_apart() -> None:
    """Debian's for two architectures have an identifier each, and the SBOM stays valid; others have a short one."""
    twins = [Package("deb", "libc6", "2.36", "", each, "debian") for each in ("amd64", "i386")]
    content = sbom("demo", components([*PACKAGES, *twins]), [])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    names = [part["bom-ref"] for part in json.loads(content)["components"]]
    assert len(set(names)) == len(names) == 5 and {"deb:bash", "pypi:odd"} <= set(names)


def test_an_sbom_is_what_the_library_reads_and_writes() -> None:
    """The JSON put together here has the components that CycloneDX's own library finds and writes."""
    value = json.loads(sbom("demo", COMPONENTS, [MODEL]))
    written = json.loads(JsonV1Dot6(Bom.from_json(value)).output_as_string())  # type: ignore[attr-defined]
    ours, theirs = ({part["bom-ref"]: part for part in each["components"]} for each in (value, written))
    assert ours == theirs and written["metadata"]["component"] == value["metadata"]["component"]


def test_licences_of_models_are_those_of_spdx() -> None:
    """Each identifier of the table is one of SPDX, another licence is told by its name."""
    assert {name: fixup_id(name) for name in SPDX_IDS} == SPDX_IDS
    other = json.loads(sbom("demo", [], [replace(MODEL, licence="gemma")]))["components"][0]
    assert other["licenses"] == [{"license": {"name": "gemma"}}]
