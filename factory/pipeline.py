"""The road: which stage follows which. Read this first.

    check → resolve → size → render → build → push → verify

`Line` walks it for one recipe, as far as it is asked. Each stage's result is made once, when something first needs it.
Stages know only ports; the doors to the outside come from `wiring`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from factory.beside import Beside
from factory.checks import check, findings_from_fits
from factory.checks.finding import Finding
from factory.errors import CheckError, FactoryError, ImageNotInRegistry
from factory.lazy import lazy
from factory.locking.drift import as_asked, at_commits, at_kept_commits, belonging, demand_digests
from factory.locking.lock import Asked, Lock
from factory.locking.making import Made, make
from factory.ports import Engine, ImageDirectory, ImageStore, ModelHub, PackageIndex, Registry, WeightSource
from factory.recipe.load import RecipeFile
from factory.records import (
    BaseImage,
    BuildOptions,
    Check,
    Context,
    DiskPlan,
    Image,
    ModelFiles,
    Progress,
    PushedImage,
    Report,
    Tell,
)
from factory.references import parse, shared_repository, with_prefix
from factory.shipping import NO_ENGINE, Lane, is_answering, ship
from factory.stages.build import build
from factory.stages.render import render, runtime_requirements, with_weights
from factory.stages.resolve import resolve
from factory.stages.size import size
from factory.stages.verify import verify
from factory.turns import Turns
from factory.wording import count_text, size_text

if TYPE_CHECKING:
    from factory.attesting.keys import Keys
    from factory.attesting.scanning import LeakScan

Stage = Literal["check", "resolve", "size", "render", "build", "push", "verify", "provision", "run"]


class Doors(Protocol):
    """What the road needs of the outside; `wiring.Clients` opens each door on first use."""

    @property
    def hub(self) -> ModelHub:
        """The model hub."""

    @property
    def engine(self) -> Engine:
        """The Docker engine."""

    @property
    def registry(self) -> Registry:
        """The registry that images are pushed to and bases come from."""

    @property
    def store(self) -> ImageStore:
        """The same registry, where blobs and manifests go with no engine between."""

    @property
    def directory(self) -> ImageDirectory:
        """Docker Hub's own API."""

    @property
    def weights(self) -> WeightSource:
        """Where the content of weights comes from."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine adds to a recipe; none of it changes what the recipe means.

    `environment` goes to the workers that verify starts; `source_revision` is the git commit of the recipe's folder.
    `sources` is a folder of templates and worker runtime to render from, instead of the installed ones.
    """

    home: Path
    options: BuildOptions = field(default_factory=BuildOptions)
    registry_prefix: str | None = None
    shared: str | None = None  # the path of the repository that recipes share; None: beside the recipe's own
    stand_in_base: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # what no image may hold, by name
    source_revision: str | None = None
    sources: Path | None = None
    keys: Keys | None = None  # what images are signed and checked by


@dataclass(slots=True)
class Walk:
    """One stage under way: its listener, and the few words that the display shows when it is done."""

    tell: Tell
    summary: str = ""
    is_cached: bool = False  # nothing had to be done
    fingerprint: str = ""  # of what the stage gave: the same again is "unchanged"
    known_by: str = ""  # what a person knows the fingerprint by: a commit, a digest's beginning


@dataclass(frozen=True, slots=True)
class Ended:
    """How a stage ended."""

    state: Literal["done", "unchanged", "failed"]
    summary: str
    seconds: float


def lock_of(file: RecipeFile, *, is_demanded: bool, has_own_base: bool) -> tuple[Lock | None, str]:
    """Return a recipe's lock if it belongs to it, and a sentence if not; when demanded, that is LockDrift."""
    asked = Asked.of(file.recipe, runtime_requirements())
    return belonging(file.path, asked, is_demanded=is_demanded, has_own_base=has_own_base)


@dataclass
class Line:
    """One recipe on the road; `tell` gives the listener of a stage, `stages` how each has ended.

    `known` holds the fingerprints of an earlier walk (a release's journal): a stage that gives the same is unchanged.
    `beside` reads the recipes of its folder: lines of one command share it, so that each is read once. They share
    `turns` too, so that of several that need the same environment one makes it.
    """

    file: RecipeFile
    doors: Doors
    machine: Machine
    tell: Callable[[Stage], Tell]
    is_forced: bool = False
    must_be_locked: bool = False  # no lock, or one of another recipe, is an error
    lane: Lane = "auto"
    compress: Literal["auto", "gzip", "none"] = "auto"  # weights that go straight to the registry
    is_assembled: bool = False  # the image was put together in the registry, no engine has it
    needs_engine: bool = True  # False: the image came, or was found, without one, so verify may do without too
    has_environment: Callable[[], None] = lambda: None  # called when the registry has what recipes share
    known: Mapping[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    stages: dict[Stage, Ended] = field(default_factory=dict)
    beside: Beside = field(default_factory=Beside)
    turns: Turns = field(default_factory=Turns)

    @lazy
    def findings(self) -> tuple[Finding, ...]:
        """What check found, with the model's files in hand; raises CheckError with every `error` of them."""
        models = self.models
        with self.stage("check") as stage:
            found = check(self.file, models)
            warnings = [finding for finding in found if finding.severity == "warning"]
            for finding in warnings:
                stage.tell(Progress("note", finding.rule, str(finding)))
            stage.summary = count_text(len(warnings), "warning") if warnings else "clean"
            stage.fingerprint, stage.known_by = self.file.sha256, f"recipe {self.file.sha256[:12]}"
            if errors := tuple(str(f) for f in found if f.severity == "error"):
                raise CheckError(errors)
            return found

    @lazy
    def lock(self) -> Lock | None:
        """The recipe's lock where it has one that belongs to it; what doesn't is a note, or LockDrift when demanded."""
        has_own_base = self.machine.stand_in_base is None
        found, note = lock_of(self.file, is_demanded=self.must_be_locked, has_own_base=has_own_base)
        if note:
            self.tell("resolve")(Progress("note", "lock", note))
        return found

    def make_lock(self, index: PackageIndex, kept: Lock | None) -> Made:
        """Ask what the recipe means now; what `kept` has stays where the recipe still allows it."""
        recipe, stand_in = self.file.recipe, self.machine.stand_in_base
        with self.stage("resolve") as stage:
            models = as_asked(resolve(at_kept_commits(recipe, kept), self.doors.hub, stage.tell), recipe)
            base_digest = self.doors.registry.digest if stand_in is None else None
            runtime = runtime_requirements()
            made = make(recipe, runtime, models=models, base_digest=base_digest, index=index, kept=kept)
            for note in made.notes:
                stage.tell(Progress("note", "lock", note))
            packages = len(made.lock.runtime) + len(made.lock.packages or ())
            stage.summary = f"{count_text(packages, 'package')}, {count_text(len(models), 'model')}"
            return made

    @lazy
    def models(self) -> tuple[ModelFiles, ...]:
        """The models' exact files, at the locked commits where there is a lock."""
        lock = self.lock
        with self.stage("resolve") as stage:
            if lock is None:
                models = resolve(self.file.recipe, self.doors.hub, stage.tell)
            else:
                models = resolve(at_commits(self.file.recipe, lock), self.doors.hub, stage.tell)
                models = as_asked(models, self.file.recipe)
                demand_digests(self.file.path, models, lock)
            for warning in (warning for model in models for warning in model.warnings):
                stage.tell(Progress("note", "resolve", warning))
            files = sum(len(model.files) for model in models)
            total = size_text(sum(model.unique_bytes for model in models))
            stage.summary = f"{total} in {count_text(files, 'file')}" if models else "no model"
            stage.fingerprint = " ".join(f"{model.key}@{model.commit}:{model.size_bytes}" for model in models) or "none"
            stage.known_by = ", ".join(dict.fromkeys(f"commit {model.commit[:8]}" for model in models))
            return models

    @lazy
    def plan(self) -> DiskPlan:
        """The disks, from an estimate of the image."""
        models, neighbours = self.models, self.neighbours
        with self.stage("size") as stage:
            plan = size(self.file.recipe, models, neighbours=neighbours)
            for warning in (*plan.warnings, *map(str, findings_from_fits(plan.fits, self.file))):
                stage.tell(Progress("note", "size", warning))
            stage.summary = f"container disk {plan.container.size_gb} GB"
            if plan.volume:
                stage.summary += f", volume {plan.volume.size_gb} GB"
            stage.fingerprint = stage.summary
            return plan

    @lazy
    def neighbours(self) -> tuple[tuple[str, tuple[ModelFiles, ...]], ...]:
        """The recipes beside this one that share its volume, with their models' files."""
        sharing = self.beside.sharing(self.file)
        return tuple((other.name, resolve(other, self.doors.hub)) for other in sharing)

    @lazy
    def context(self) -> Context:
        """The build context, its base pinned by digest where the registry could be asked."""
        models = self.models
        with self.stage("render") as stage:
            context = render(
                self.file,
                models,
                self._base(stage.tell),
                repository=self.repository,
                shared=self.shared_repository,
                source_revision=self.machine.source_revision,
                sources=self.machine.sources,
                locked=self.lock.requirements if self.lock else None,
            )
            for warning in context.warnings:
                stage.tell(Progress("note", "render", warning))
            stage.summary = context.reference
            stage.fingerprint = context.digest
            return context

    @lazy
    def image(self) -> Image:
        """The image in the engine; checked and sized before a byte is built."""
        self.findings, self.plan  # noqa: B018 - both raise before anything is spent
        context = self.context
        with self.stage("build") as stage:
            self.leak_scan.demand_clean_context(context)
            context = self.with_weights(context, stage.tell)
            image = build(context, self.doors.engine, self.machine.options, stage.tell, force=self.is_forced)
            stage.is_cached = not image.was_built
            size_known = image.unpacked_bytes > 0  # a buildx builder doesn't tell it
            stage.summary = f"{size_text(image.unpacked_bytes)} unpacked" if size_known else "in the registry"
            return image

    @lazy
    def pushed(self) -> PushedImage:
        """The image in the registry, by the lane that suits it."""
        self.findings, self.plan  # noqa: B018 - both raise before anything is spent
        return ship(self)

    @lazy
    def leak_scan(self) -> LeakScan:
        """What looks an image through for secrets before it is pushed."""
        from factory.attesting.leaks import Searcher
        from factory.attesting.scanning import LeakScan, read_allowed

        return LeakScan(Searcher(self.machine.secrets), self.machine.home, read_allowed(self.file.path))

    @property
    def baked(self) -> tuple[ModelFiles, ...]:
        """The models whose weights go into the image."""
        return tuple(model for model in self.models if model.placement == "image")

    def find_pushed(self) -> PushedImage:
        """Return the image that this recipe's tag names in the registry, without building."""
        context = self.context
        digest = self.doors.registry.digest(context.reference)
        if digest is None:
            raise ImageNotInRegistry(
                "the registry has no image of this recipe as it is now",
                where=context.reference,
                fix=f"run `factory build {self.file.path} --push`",
            )
        return PushedImage(context.repository, context.tag, digest)

    def verify(self, pushed: PushedImage, *, runs: bool) -> tuple[Report, DiskPlan]:
        """Prove the pushed image, and size the disks again: exactly, from what the registry holds."""
        recipe = self.file.recipe
        needs_volume = any(model.placement in ("volume", "cached") for model in self.models)
        volume = self.machine.home / "volumes" / recipe.volume_name if needs_volume else None
        if volume is not None and runs:
            volume.mkdir(parents=True, exist_ok=True)
        with self.stage("verify") as stage:
            has_engine = not runs or self.needs_engine or is_answering(self.doors.engine)
            report = verify(
                recipe,
                pushed,
                self.doors.registry,
                directory=self.doors.directory,
                engine=self.doors.engine if runs and has_engine else None,
                why_still="as asked" if has_engine else NO_ENGINE,
                environment={**recipe.env, **self.machine.environment},
                volume=volume,
                options=self.machine.options,
                tell=stage.tell,
            )
            report = replace(report, checks=(*report.checks, *self._attested(pushed, stage.tell)))
            stage.summary = (
                f"{count_text(len(report.checks), 'check')}, {count_text(len(report.answers), 'job')} answered"
            )
            exact = size(recipe, self.models, image=report.size, neighbours=self.neighbours)
            return report, exact

    def _attested(self, pushed: PushedImage, tell: Tell) -> tuple[Check, ...]:
        """Hold SBOM, provenance and signature against the recipe, and tell each check."""
        from factory.attesting.checking import check as hold

        checks = hold(self.context, self.models, pushed, self.doors.store, self.doors.registry, self.machine.keys)
        for each in checks:
            is_ok = each.verdict == "ok"
            tell(Progress("step" if is_ok else "note", each.name, each.detail, "done" if is_ok else "running"))
        return checks

    @lazy
    def repository(self) -> str:
        """Where the image goes: the recipe's repository, under this machine's registry when it names one."""
        return with_prefix(self.file.recipe.image.repository, self.machine.registry_prefix)

    @lazy
    def shared_repository(self) -> str:
        """Where recipes of this one's namespace keep environments and weights that they share."""
        return shared_repository(self.repository, self.machine.shared)

    def _base(self, tell: Tell) -> BaseImage:
        if self.lock and self.lock.base_image and not self.machine.stand_in_base:
            return self.lock.base_image
        reference = self.machine.stand_in_base or self.file.recipe.image.base_reference
        if parse(reference).digest:
            return BaseImage(reference)
        try:
            return BaseImage(reference, self.doors.registry.digest(reference))
        except FactoryError as error:
            tell(Progress("note", "base", f"base not pinned: {error}"))
            return BaseImage(reference)

    def with_weights(self, context: Context, tell: Tell) -> Context:
        """Bring the weights that go into the image to this machine (never through a layer with a token in it)."""
        folder = self.machine.home / "weights" / self.file.recipe.name
        for model in self.baked:
            self.doors.hub.download(model.repo, model.commit, model.files, folder / model.key, tell)
        return with_weights(context, folder) if self.baked else context

    @contextmanager
    def stage(self, name: Stage) -> Iterator[Walk]:
        """Walk one stage: its beginning, end and time are told, and kept in `stages`."""
        walk, start = Walk(self.tell(name)), time.monotonic()
        walk.tell(Progress("stage", name, "", "started"))
        try:
            yield walk
        except BaseException:
            self.stages[name] = Ended("failed", walk.summary, time.monotonic() - start)
            walk.tell(Progress("stage", name, "", "failed"))
            raise
        if walk.fingerprint:
            self.fingerprints[name] = walk.fingerprint
        is_same = walk.fingerprint != "" and self.known.get(name) == walk.fingerprint
        is_unchanged = walk.is_cached or is_same
        if is_same and not walk.is_cached:  # a stage that skips its work says itself where the result lies
            walk.summary += f", {walk.known_by} as before" if walk.known_by else ", as before"
        self.stages[name] = Ended("unchanged" if is_unchanged else "done", walk.summary, time.monotonic() - start)
        walk.tell(Progress("stage", name, walk.summary, "cached" if is_unchanged else "done"))

    @property
    def story(self) -> list[dict[str, object]]:
        """How each stage ended, in order, for `--json`: an unchanged one's summary says why."""
        return [
            {"stage": name, "state": ended.state, "summary": ended.summary, "seconds": round(ended.seconds, 3)}
            for name, ended in self.stages.items()
        ]

    @property
    def seconds(self) -> dict[str, float]:
        """What each stage took, in order."""
        return {name: ended.seconds for name, ended in self.stages.items()}
