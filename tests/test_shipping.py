"""Which way an image takes into its registry, and that the patch lane asks no engine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fake_doors import FakeDoors
from fake_engine import FakeEngine

from factory import recipe
from factory.attesting.keys import Keys
from factory.attesting.signing import check_signature, sign, signature_tag
from factory.errors import (
    AttestationWrong,
    EngineForbidden,
    EngineUnreachable,
    FactoryError,
    LaneUnavailable,
    RegistryRefused,
    RegistryUnreachable,
)
from factory.lanes.top import cut_context
from factory.oci import media, tars
from factory.oci.manifest import manifest
from factory.pipeline import Line, Machine
from factory.records import Context, HubTag, Layer, Progress, PushedImage
from factory.shipping import NO_ENGINE, Lane, is_answering

DOCKER_HUB_CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["PATH=/opt/venv/bin:/bin"], "WorkingDir": "/app", "Cmd": ["bash"]},
}


class Shop:
    """A recipe, doors in memory, and lines of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.doors, self.told = folder, FakeDoors(), list[Progress]()
        self.keys: Keys | None = None

    def line(self, lane: Lane = "auto", *, name: str = "demo", extra: str = "", force: bool = False) -> Line:
        """Put the recipe on the road anew."""
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"name: {name}\nimage: {{repository: acme/{name}{extra}}}\nhandler: echo\ntests: [{{input: {{a: 1}}}}]\n"
        )
        machine = Machine(home=self.folder / "home", source_revision="abc", keys=self.keys)
        return Line(recipe.load(path), self.doors, machine, lambda _: self.told.append, is_forced=force, lane=lane)

    def lay(self, environment: Context | None, *, oci: bool = False) -> bytes:
        """Put an environment of one layer into the registry, and return the layer."""
        assert environment is not None
        blob = tars.gzipped(tars.layer_tar({"opt/x": b"x" * 1000}))
        diff_id = "sha256:" + hashlib.sha256(tars.layer_tar({"opt/x": b"x" * 1000})).hexdigest()
        value = DOCKER_HUB_CONFIG | {"rootfs": {"type": "layers", "diff_ids": [diff_id]}, "history": []}
        store, where = self.doors.store, environment.repository
        config, layer = store.put(where, json.dumps(value).encode()), store.put(where, blob)
        content = manifest(
            Layer(config.digest, config.size_bytes, media.config_type(oci=oci)),
            [Layer(layer.digest, layer.size_bytes, media.layer_type("gzip", oci=oci))],
            oci=oci,
        )
        kind = media.OCI_MANIFEST if oci else media.DOCKER_MANIFEST
        store.put_manifest(where, environment.tag, kind, content)
        store.calls.clear()
        return blob

    @property
    def notes(self) -> list[str]:
        """What was said that stays on the screen."""
        return [each.text for each in self.told if each.kind == "note"]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty registry."""
    return Shop(tmp_path)


@pytest.mark.parametrize("oci", [True, False])
def test_an_environment_in_the_registry_needs_no_engine(shop: Shop, oci: bool) -> None:
    """Its layer is mounted, code and config are sent, and the tag names an image with all of it."""
    line = shop.line()
    shop.lay(line.context.environment, oci=oci)
    pushed = line.pushed
    assert not shop.doors.engine.built and not shop.doors.engine.pushed and line.is_assembled
    found = shop.doors.registry.manifest(line.context.reference)
    assert (found.digest, media.is_oci(found.media_type), len(found.layers)) == (pushed.digest, oci, 3)
    config = json.loads(shop.doors.registry.read("acme/demo", found.config.digest, 0, found.config.size_bytes))
    assert config["config"]["Cmd"] == ["python", "-u", "-m", "worker_runtime"]
    assert config["config"]["Labels"]["org.opencontainers.image.revision"] == "abc"
    assert len(config["rootfs"]["diff_ids"]) == 3
    assert [what for what, _, _ in shop.doors.store.calls if what in ("mount", "upload")] == ["mount"]
    assert "1 layer mounted" in line.stages["push"].summary


def test_the_same_context_is_the_same_digest_and_sends_nothing_twice(shop: Shop) -> None:
    """Put together again (`--force`), the image is the same, and only the manifest goes over the wire."""
    first = shop.line()
    shop.lay(first.context.environment)
    digest, sent = first.pushed.digest, first.pushed.sent_bytes
    again = shop.line(force=True).pushed
    assert again.digest == digest and again.sent_bytes < sent / 2


def test_a_registry_that_mounts_nothing_gets_a_copy(shop: Shop) -> None:
    """The layer goes across through this machine, whole and checked."""
    line = shop.line("patch")
    blob = shop.lay(line.context.environment)
    shop.doors.store.may_mount = False
    assert line.pushed.sent_bytes > len(blob)
    assert "1 layer copied" in line.stages["push"].summary


def test_what_the_registry_has_is_not_made_again(shop: Shop) -> None:
    """The same recipe again: both stages are unchanged and say where the result lies."""
    line = shop.line()
    shop.lay(line.context.environment)
    _ = line.pushed
    shop.doors.store.calls.clear()
    again = shop.line()
    assert again.pushed.digest == line.pushed.digest and again.pushed.sent_bytes == 0
    assert not shop.doors.store.calls
    assert {again.stages[name].state for name in ("build", "push")} == {"unchanged"}
    assert "the registry has" in again.stages["push"].summary


def test_the_engine_leaves_the_environment_for_the_next_time(shop: Shop) -> None:
    """Without an environment the engine makes all, then pushes the environment beside it."""
    line = shop.line()
    _ = line.pushed
    assert line.context.environment is not None
    assert shop.doors.engine.pushed == {line.context.reference, line.context.environment.reference}
    assert line.context.environment.reference.startswith("acme/factory-shared:env-")


def test_the_dockers_lane_leaves_nothing_beside(shop: Shop) -> None:
    """`--lane docker` is the reference: the image, and nothing else."""
    line = shop.line("docker")
    shop.lay(line.context.environment)
    _ = line.pushed
    assert shop.doors.engine.pushed == {line.context.reference} and not line.is_assembled


def test_the_dockers_lane_leaves_the_environment_anew_when_forced(shop: Shop) -> None:
    """It mends one that has no list of packages, as the note of the patch lane says."""
    line = shop.line("docker", force=True)
    assert line.pushed.digest and line.context.environment
    assert line.context.environment.reference in shop.doors.engine.pushed


def test_patch_without_an_environment_says_what_to_do(shop: Shop) -> None:
    """There is nothing to stand on, and no engine is asked."""
    with pytest.raises(LaneUnavailable, match="the registry has no environment") as caught:
        _ = shop.line("patch").pushed
    assert "--lane" in caught.value.fix and not shop.doors.engine.built


def test_a_registry_that_is_down_is_no_reason_to_build_for_the_patch_lane(shop: Shop) -> None:
    """The patch lane passes the failure on; the others may have an engine that reaches it."""
    shop.doors.registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        _ = shop.line("patch").pushed
    assert shop.line().pushed.repository == "acme/demo"


def test_an_image_that_needed_no_engine_is_verified_without_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was put together, and where it was found by a second run after a kill in between."""
    first = shop.line()
    shop.lay(first.context.environment)
    _ = first.pushed
    again = shop.line()
    assert again.pushed.digest == first.pushed.digest

    def fail(_: str) -> None:
        raise EngineUnreachable("nobody answers")

    size = shop.doors.registry.manifest(first.context.reference).compressed_bytes
    hub_tag = HubTag(first.pushed.digest, size, "2026-11-25T00:00:00Z", is_private=False)
    monkeypatch.setattr(shop.doors.directory, "tag", lambda _repository, _tag: hub_tag)
    monkeypatch.setattr(shop.doors.engine, "find", fail)
    for line in (first, again):
        report, _ = line.verify(line.pushed, runs=True)
        assert any(each.name == "run" and NO_ENGINE in each.detail for each in report.checks)


@pytest.mark.parametrize("fault", [EngineUnreachable, EngineForbidden])
def test_an_engine_that_does_not_answer_is_none(fault: type[FactoryError], monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of the patch lane goes on without one; any other failure of an engine travels on."""
    engine = FakeEngine()
    assert is_answering(engine)

    def fail(_: str) -> None:
        raise fault("nobody answers")

    monkeypatch.setattr(engine, "find", fail)
    assert not is_answering(engine)


def test_recipes_with_equal_packages_share_an_environment(shop: Shop) -> None:
    """Name, labels and env of a recipe are above the environment; packages are in it."""
    one, other = shop.line().context, shop.line(name="other", extra=", env: {A: b}").context
    assert one.environment and other.environment and one.digest != other.digest
    assert one.environment.digest == other.environment.digest
    packages = shop.line(name="third", extra=", pip: [numpy==2.0.0]").context.environment
    assert packages and packages.digest != one.environment.digest


@pytest.mark.parametrize(
    ("block", "is_cut"),
    [
        ("{% block worker %}{{ super() }}COPY recipe.json /app/x/\n{% endblock %}", True),
        ("{% block env %}{{ super() }}RUN true\n{% endblock %}", True),
        ("{% block apt %}{{ super() }}COPY . /opt/all/\n{% endblock %}", False),
    ],
)
def test_a_template_of_ones_own_is_cut_where_it_is_certain(shop: Shop, block: str, is_cut: bool) -> None:
    """Overridden blocks count as the rest does: a step that runs is below the top, one that copies all forbids it."""
    (shop.folder / "own.j2").write_text('{% extends "Dockerfile.j2" %}\n' + block)
    context = shop.line(extra=", template: own.j2").context
    assert (context.environment is not None, cut_context(context) is not None) == (is_cut, is_cut)


def new_keys() -> Keys:
    """Make a pair of keys for signatures."""
    private = ec.generate_private_key(ec.SECP256R1())
    return Keys(private, private.public_key())


def sign_environment(shop: Shop, keys: Keys) -> None:
    """Sign the environment that lies in the registry."""
    environment = shop.line().context.environment
    assert environment is not None
    digest = shop.doors.registry.digests[environment.reference]
    sign(PushedImage(environment.repository, environment.tag, digest), keys, shop.doors.store, shop.doors.registry)


def test_who_signs_puts_images_on_environments_of_his_own_alone(shop: Shop) -> None:
    """The patch lane refuses an unsigned one; signed, image and signature are there, and a second run changes none."""
    shop.lay(shop.line().context.environment)
    shop.keys = new_keys()
    with pytest.raises(LaneUnavailable, match="is not signed by FACTORY_SIGN_KEY"):
        _ = shop.line("patch").pushed
    sign_environment(shop, shop.keys)
    pushed = shop.line("patch").pushed
    assert check_signature(pushed, shop.keys, shop.doors.store, shop.doors.registry).verdict == "ok"
    again = shop.line()
    assert again.pushed.digest == pushed.digest and again.stages["push"].state == "unchanged"


def test_what_is_there_unsigned_is_made_again_rather_than_signed_unseen(shop: Shop) -> None:
    """Somebody may have put it there; whatever lies under the tag afterwards is what this machine made."""
    shop.lay(shop.line().context.environment)
    _ = shop.line().pushed
    shop.keys = new_keys()
    sign_environment(shop, shop.keys)
    line = shop.line()
    assert line.pushed.digest and line.is_assembled and line.stages["push"].state == "done"
    assert check_signature(line.pushed, shop.keys, shop.doors.store, shop.doors.registry).verdict == "ok"


def test_who_can_only_check_takes_no_unsigned_image_as_it_is(shop: Shop) -> None:
    """Such a release would deploy what nobody vouched for."""
    shop.lay(shop.line().context.environment)
    pushed, keys = shop.line().pushed, new_keys()
    shop.keys = Keys(None, keys.public)
    with pytest.raises(AttestationWrong, match="it has no signature"):
        _ = shop.line().pushed
    sign(pushed, keys, shop.doors.store, shop.doors.registry)
    assert shop.line().pushed.digest == pushed.digest


def test_an_image_that_could_not_be_signed_is_an_error(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked for; the class is the registry's own, and the sentence says that the image is there."""
    shop.keys = new_keys()
    shop.lay(shop.line().context.environment)
    sign_environment(shop, shop.keys)
    put = shop.doors.store.put_manifest

    def refuse(repository: str, target: str, media_type: str, content: bytes) -> str:
        if target.endswith(".sig"):
            raise RegistryRefused("it takes no such tag", where=repository)
        return put(repository, target, media_type, content)

    monkeypatch.setattr(shop.doors.store, "put_manifest", refuse)
    with pytest.raises(RegistryRefused, match="the image is pushed, but could not be signed: it takes no such tag"):
        _ = shop.line().pushed
    monkeypatch.setattr(shop.doors.store, "put_manifest", put)
    pushed = shop.line().pushed  # the same command again
    assert shop.doors.store.manifest_bytes(pushed.repository, signature_tag(pushed.digest))
