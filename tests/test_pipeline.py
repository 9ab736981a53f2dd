"""The road as a whole: what follows what, what is never done, and what each stage says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fake_doors import BASE, DIGEST, FakeDoors

from factory import recipe
from factory.errors import CheckError, ImageNotInRegistry, RepoNotFound, VolumeTooSmall
from factory.pipeline import Line, Machine
from factory.records import Progress


@dataclass
class Road:
    """A recipe on the road, with what it told."""

    folder: Path
    doors: FakeDoors = field(default_factory=FakeDoors)
    told: list[tuple[str, Progress]] = field(default_factory=list)
    machine: Machine = field(default_factory=lambda: Machine(home=Path("unset")))

    def line(self, extra: str = "", *, name: str = "demo", repo: str = "org/small", force: bool = False) -> Line:
        """Write a recipe and put it on the road."""
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"name: {name}\nmodel: {{repo: {repo}, placement: volume}}\nimage: {{repository: acme/{name}}}\n"
            f"handler: echo\ntests: [{{input: {{a: 1}}, expect: {{a: 1}}}}]\n{extra}"
        )
        machine = replace(self.machine, home=self.folder / "home")
        return Line(recipe.load(path), self.doors, machine, lambda stage: self.listener(stage), is_forced=force)

    def listener(self, stage: str) -> Callable[[Progress], None]:
        """Keep what a stage tells."""
        return lambda progress: self.told.append((stage, progress))

    def notes(self) -> list[str]:
        """Return the warnings told so far."""
        return [progress.text for _, progress in self.told if progress.kind == "note"]


@pytest.fixture
def road(tmp_path: Path) -> Road:
    """An empty road."""
    return Road(tmp_path)


def test_push_walks_every_stage_once_and_in_order(road: Road) -> None:
    """Asking for the pushed image walks resolve, check, size, render, build, push; each begins and ends once."""
    pushed = road.line().pushed
    ends = [stage for stage, progress in road.told if progress.kind == "stage" and progress.state == "done"]
    assert ends == ["resolve", "check", "size", "render", "build", "push"]
    assert pushed.reference.startswith("acme/demo@sha256:")
    assert road.doors.hub.asked == ["info org/small"]


def test_the_base_is_pinned_by_what_its_registry_says(road: Road) -> None:
    """The base's tag becomes tag@digest, without a warning."""
    assert road.line().context.base.pinned == f"{BASE}@{DIGEST}"
    assert not [note for note in road.notes() if "pinned" in note]


def test_without_a_registry_the_base_stays_a_tag_and_a_warning_says_so(road: Road) -> None:
    """A base that can't be pinned is no reason to stop; it's said."""
    road.doors.registry.is_down = True
    assert road.line().context.base.pinned == BASE
    assert any("not pinned" in note for note in road.notes())


def test_the_machines_stand_in_replaces_the_recipes_base(road: Road) -> None:
    """Where no base image can be had, the stand-in is built from, and the image's tag is another one."""
    own = road.line().context
    road.machine = replace(road.machine, stand_in_base="127.0.0.1:5000/stand-in/python:3.11")
    assert road.line().context.base.reference == "127.0.0.1:5000/stand-in/python:3.11"
    assert road.line().context.digest != own.digest


def test_the_machines_registry_goes_before_the_repository(road: Road) -> None:
    """FACTORY_REGISTRY sends every image there, under the recipe's own name."""
    road.machine = replace(road.machine, registry_prefix="127.0.0.1:5000")
    assert road.line().pushed.repository == "127.0.0.1:5000/acme/demo"


def test_a_failed_check_stops_before_anything_is_built(road: Road) -> None:
    """An error of check means that the engine is never asked."""
    with pytest.raises(CheckError, match="/workspace"):
        _ = road.line("env: {HF_HOME: /workspace/hf}\n").image
    assert not road.doors.engine.built
    assert ("check", "failed") in [(stage, progress.state) for stage, progress in road.told]


def test_a_size_that_cannot_work_stops_before_anything_is_built(road: Road) -> None:
    """A volume below the model's bytes is refused before a byte is built."""
    with pytest.raises(VolumeTooSmall):
        _ = road.line("disk: {volume: 20}\ngpu: HOPPER_141\n", repo="org/large").image
    assert not road.doors.engine.built


def test_a_second_build_is_up_to_date_and_force_builds_again(road: Road) -> None:
    """A tag that is there already is not built; --force builds it all the same."""
    _ = road.line().image
    again = road.line().image
    assert not again.was_built and len(road.doors.engine.built) == 1
    assert road.told[-1][1].state == "cached"
    _ = road.line(force=True).image
    assert len(road.doors.engine.built) == 2


def test_recipes_on_one_volume_are_counted_together(road: Road) -> None:
    """A named volume holds the bytes of every recipe beside this one that names it; broken files count nothing."""
    alone = road.line("volume: shared\n").plan.volume
    road.line("volume: shared\n", name="other", repo="org/large")
    road.line("volume: elsewhere\n", name="third", repo="org/large")
    (road.folder / "broken.yaml").write_text("name: [")
    together = road.line("volume: shared\n").plan.volume
    assert alone and together
    assert alone.size_gb < 60 < together.size_gb < 120


def test_a_volume_is_shared_also_with_who_never_named_it(road: Road) -> None:
    """A recipe without `volume` has one of its own name, and counts the recipe that names that one."""
    alone = road.line().plan.volume
    road.line("volume: demo\n", name="other", repo="org/large")
    together = road.line().plan.volume
    assert alone and together
    assert alone.size_gb < 60 < together.size_gb < 120


def test_weights_of_the_image_are_brought_for_the_build_alone(road: Road) -> None:
    """Placement `image` names the files in the context; their bytes come when the engine builds."""
    line = road.line()
    line.file.path.write_text(line.file.path.read_text().replace("volume", "image"))
    baked = Line(recipe.load(line.file.path), road.doors, line.machine, lambda stage: road.listener(stage))
    paths = [file.path for file in baked.context.files]
    assert "models/small/model.safetensors" in paths
    assert "download org/small" not in road.doors.hub.asked
    _ = baked.image
    assert "download org/small" in road.doors.hub.asked


def test_an_image_that_was_never_pushed_names_the_command(road: Road) -> None:
    """verify of a recipe whose tag isn't in the registry says what to run."""
    line = road.line()
    with pytest.raises(ImageNotInRegistry, match=r"no image of this recipe") as caught:
        line.find_pushed()
    assert caught.value.fix == f"run `factory build {line.file.path} --push`"


def test_an_image_that_is_there_is_found_by_its_tag(road: Road) -> None:
    """verify asks the registry for the tag that this recipe has as it is now."""
    line = road.line()
    road.doors.registry.digests[line.context.reference] = DIGEST
    assert line.find_pushed().reference == f"acme/demo@{DIGEST}"


def test_a_stage_that_fails_is_told_as_failed(road: Road) -> None:
    """The display learns of the stage that failed; the error travels on."""
    with pytest.raises(RepoNotFound):
        _ = road.line(repo="org/nothing").models
    assert road.told[-1] == ("resolve", Progress("stage", "resolve", "", "failed"))


def test_a_stage_that_gives_the_same_as_before_is_unchanged(road: Road) -> None:
    """With an earlier walk's fingerprints, equal stages say so, and the one that differs doesn't."""
    first = road.line()
    _ = first.findings, first.context
    again = road.line()
    again.known = first.fingerprints
    road.told.clear()
    _ = again.findings, again.plan, again.context
    ended = {p.key: p.state for _, p in road.told if p.kind == "stage" and p.state != "started"}
    assert ended == {"check": "cached", "resolve": "cached", "size": "done", "render": "cached"}
    other = road.line("env: {A: b}\n")
    other.known = first.fingerprints
    road.told.clear()
    _ = other.findings
    assert [p.state for _, p in road.told if p.kind == "stage" and p.key == "check"] == ["started", "done"]
