"""All that can be known is gathered once over HTTP; what can't be had is a gap with its reason, never an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from release_bench import Workshop
from scenes import Scene, stage

from factory import gathering, recipe, settings, wiring
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.rules import diagnose
from factory.emulator.faults import FOREVER, Fault
from factory.emulator.runpod.troubles import EndpointGone
from factory.errors import CloudDenied
from factory.pipeline import Line
from factory.records import tell_nobody


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """The account, the registry and the hub of this module."""
    with stage(tmp_path_factory.mktemp("stage")) as opened:
        yield opened


@pytest.fixture(scope="module")
def released(place: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An endpoint that was released, has a worker that stays idle and one job in the ledger."""
    stays = {"data_centers": ["EU-RO-1"], "idle_timeout_s": 600}
    made = Scene.open(place, tmp_path_factory.mktemp("scene"), verb="release --no-run", endpoint=stays)
    made.answered()
    return made


@pytest.fixture
def scene(released: Scene) -> Iterator[Scene]:
    """The same, with nothing in anybody's way."""
    yield released
    released.bench.place.runpod.faults.clear()
    released.call(lambda box: box.troubles.clear())


def gathered(scene: Scene, name: str = "demo.yaml", **words: Any) -> Evidence:
    """Gather in this process, as the command does."""
    machine = settings.read(scene.bench.env)
    shared = wiring.Shared(machine)
    line = None
    if name.endswith(".yaml"):
        file = recipe.load(scene.bench.folder / name)
        line = Line(file, wiring.Clients(machine, file, shared), wiring.machine(machine, file), lambda _: tell_nobody)
    asked = wiring.target(machine, line.file.recipe.name if line else name, line, shared)
    return gathering.gather(asked, **{"window_s": 0.2, **words})


def test_everything_is_there(scene: Scene) -> None:
    """Of a healthy endpoint all is known, from the account to the commit that was released."""
    found = gathered(scene)
    assert set(found.gaps) <= {gathering.ON_THE_VOLUME}
    assert found.endpoint and found.endpoint.id == scene.endpoint.id and found.template and found.volumes
    assert len(found.samples) == gathering.SAMPLES and [w.status for w in found.workers] == ["IDLE"]
    assert [line.source for line in found.logs[found.workers[0].id]]
    assert found.job_api_status == 200 and found.rollout and found.image and found.image.is_pushed
    assert found.expected and found.expected.reference == found.image.reference and found.image.size
    assert found.plan and not found.plan.has_changes and found.disks
    (model,) = found.models
    assert model.files and model.released_commit == model.files.commit
    assert {job.state_before for job in found.jobs} == {"COMPLETED"} and found.good


def test_an_endpoint_by_id_needs_no_recipe(scene: Scene) -> None:
    """Without a recipe there is no plan, and no gap for it."""
    found = gathered(scene, scene.endpoint.id)
    assert found.endpoint and found.recipe is None and found.plan is None and found.argument == scene.endpoint.id
    assert set(found.gaps) <= {gathering.ON_THE_VOLUME}


@pytest.mark.parametrize(
    ("path", "gaps"),
    [
        ("/v2/serverless/*/releases", {"releases", "rollout"}),
        ("/v2/serverless/*/workers", {"workers"}),
        ("/v2/network-volumes*", {"volumes", "plan"}),
        ("/v2/registries*", {"registry logins", "plan"}),
        ("/v2/catalog/gpus*", {"GPU types", "plan"}),
        ("/graphql", {"balance", "secrets", "plan"}),
        ("/v2/*/health", {"health"}),
        ("/api/models/*", {"the recipe's image", "plan"}),
    ],
)
def test_what_cannot_be_had_is_a_gap(path: str, gaps: set[str], scene: Scene) -> None:
    """Each service that refuses leaves its gaps, all else is there, and no rule takes a gap for a fault."""
    scene.bench.place.runpod.faults.append(Fault("status", FOREVER, path, status=403))
    found = gathered(scene)
    assert gaps <= set(found.gaps) and all(found.gaps.values())
    assert found.endpoint and found.image
    wrong = [f for f in diagnose(found) if f.rule not in ("model_denied",)]
    assert wrong == [] or path == "/api/models/*", wrong


def test_a_log_that_cannot_be_read_is_a_gap(scene: Scene) -> None:
    """The worker is known, its log is not."""
    scene.bench.place.runpod.faults.append(Fault("status", FOREVER, "*/logs", status=403))
    found = gathered(scene)
    assert found.logs == {found.workers[0].id: ()} and f"log of worker {found.workers[0].id}" in found.gaps


def test_silence_keeps_nobody_waiting(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that hangs is a gap once the time is over; the rest was there meanwhile."""
    monkeypatch.setattr(gathering, "LIMIT_S", 1.0)
    scene.bench.place.runpod.faults.append(Fault("stall", FOREVER, "/v2/catalog/gpus*", wait_s=30))
    found = gathered(scene, scene.endpoint.id)
    assert "no answer" in found.gaps["GPU types"] and found.rollout


def test_without_the_endpoints_there_is_nothing_to_diagnose(scene: Scene) -> None:
    """A key that may not list endpoints is an error of its own."""
    scene.bench.place.runpod.faults.append(Fault("status", FOREVER, "/v2/serverless", status=403))
    with pytest.raises(CloudDenied):
        gathered(scene)


def test_a_job_api_that_forgot_the_endpoint_is_known_by_its_404(scene: Scene) -> None:
    """Not a gap alone: the status is evidence."""
    scene.trouble(EndpointGone())
    found = gathered(scene)
    assert found.job_api_status == 404 and "health" in found.gaps


def test_two_endpoints_of_one_name_are_none(scene: Scene) -> None:
    """Which is meant can't be known; the gap names both."""
    twin = replace(scene.endpoint, id="", template_id=None)
    other = scene.call(lambda box: box.world.create_endpoint(twin))
    found = gathered(scene)
    assert found.endpoint is None and other.id in found.gaps["endpoint"]
