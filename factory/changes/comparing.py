"""Recipes now against recipes at a commit: each is rendered twice, and is changed where the digests differ.

Both sides ask the Hub and the registry through the same doors, which ask once: a branch that moves has one commit on
both sides, so only what the repository holds can differ. A recipe of which no source differs is not rendered at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from factory.changes.reasons import Reason, Side, reasons
from factory.errors import FactoryError
from factory.pipeline import Line
from factory.ports import Checkout
from factory.recipe.load import RecipeFile, load
from factory.sizing.building import WITHOUT_ENGINE_GB, build_disk_gb
from factory.stages.render import TEMPLATE, runtime_folder, template_folder

LineFor = Callable[[RecipeFile, Path | None], Line]
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Change:
    """A recipe whose image would be another one: why, and the free disk that building it needs (GB, 10^9 bytes)."""

    path: Path
    name: str
    tag: str
    disk_gb: int
    reasons: tuple[Reason, ...]

    @property
    def reason(self) -> str:
        """The reasons in words."""
        return ", ".join(map(str, self.reasons))


@dataclass(frozen=True, slots=True)
class Deleted:
    """A recipe that was there at the commit; `path` is relative to the repository."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A recipe that can't be rendered as it is now."""

    path: Path
    error: FactoryError


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from a commit."""

    commit: str | None
    changed: tuple[Change, ...]
    deleted: tuple[Deleted, ...]
    failed: tuple[Failed, ...]
    unchanged: tuple[Path, ...]


@dataclass(frozen=True)
class Then:
    """The commit's side, laid out below `folder`: what recipes there were, and what they were rendered from."""

    root: Path
    folder: Path
    is_vendored: bool

    @cached_property
    def sources(self) -> Path | None:
        """Where template and worker runtime of that commit lie; None: factory is no part of the repository."""
        return self.folder if self.is_vendored else None

    def path(self, path: Path) -> Path:
        """Return where a file of the working tree lies on this side, whether it was there or not."""
        return self.folder / path.resolve().relative_to(self.root)

    @cached_property
    def recipes(self) -> Mapping[str, Path]:
        """Recipe name → the path it had then, for those that can be read."""
        found: dict[str, Path] = {}
        for path in sorted(self.folder.rglob("*.yaml")):
            try:
                found.setdefault(load(path).recipe.name, path)
            except FactoryError:
                continue
        return found

    @cached_property
    def is_factory_the_same(self) -> bool:
        """Are template and worker runtime byte by byte those of now? True where they are no part of the repository."""
        return self.sources is None or all(
            _tree(now) == _tree(then)
            for now, then in (
                (template_folder(), template_folder(self.sources)),
                (runtime_folder(), runtime_folder(self.sources)),
            )
        )


def compare_all(
    paths: Sequence[Path],
    checkout: Checkout,
    commit: str | None,
    workspace: Path,
    line_for: LineFor,
    *,
    whole: Path | None,
) -> Changes:
    """Compare recipes of the working tree with those of a commit, which is laid out below `workspace`.

    Without a commit there was nothing: every recipe is new. `whole` is a folder of which the paths are all recipes, so
    that what is missing among them was deleted; None: they were named. Raises ValueError for a path outside the
    repository.
    """
    root = checkout.root.resolve()
    parents = {path.resolve().parent for path in paths} | ({whole.resolve()} if whole else set())
    folders = sorted(folder.relative_to(root) for folder in parents)
    own = [template_folder().resolve(), runtime_folder().resolve()]
    is_vendored = own == [root / "templates", root / "worker_runtime"]
    if commit is not None:
        checkout.lay(commit, [*folders, *(folder.relative_to(root) for folder in own if is_vendored)], workspace)
    then = Then(root, workspace, is_vendored)
    present = [path for path in paths if path.exists()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda path: _compare(path, then, line_for), present))
    names = {outcome.name for outcome in found if isinstance(outcome, Change)}
    return Changes(
        commit,
        tuple(outcome for outcome in found if isinstance(outcome, Change)),
        tuple(_deleted(paths, then, names, whole)),
        tuple(outcome for outcome in found if isinstance(outcome, Failed)),
        tuple(path for path, outcome in zip(present, found, strict=True) if outcome is None),
    )


def _compare(path: Path, then: Then, line_for: LineFor) -> Change | Failed | None:
    """Return what became of one recipe; None when its image would be the same."""
    try:
        file = load(path)
        before = _before(file, then)
        if before is not None and then.is_factory_the_same and _reads_the_same(file, before):
            return None
        line = line_for(file, None)
        new = _side(line, None)
    except FactoryError as error:
        return Failed(path, error)
    if before is None:
        return _change(path, line, new, (Reason("new"),))
    try:
        old = _side(line_for(load(before), then.sources), then.sources)
    except FactoryError as error:
        return _change(path, line, new, (Reason("unreadable", f"then: {error.what or error}"),))
    if old.context.digest == new.context.digest:
        return None
    return _change(path, line, new, reasons(old, new))


def _before(file: RecipeFile, then: Then) -> Path | None:
    """Return the recipe's file on the other side: at its path, else (renamed) that of the same name whose file went."""
    path = then.path(file.path)
    if path.is_file():
        return path
    found = then.recipes.get(file.recipe.name)
    return found if found and not (then.root / found.relative_to(then.folder)).exists() else None


def _reads_the_same(file: RecipeFile, before: Path) -> bool:
    """Is all that the recipe is rendered from the same, byte by byte? Only asked without a template of its own."""
    if file.recipe.image.template or file.path.read_bytes() != before.read_bytes():
        return False
    beside = [name for name in (file.recipe.handler.file, file.path.with_suffix(".lock").name) if name]
    if before.stem != file.path.stem:
        return False
    return all(_content(file.path.parent / name) == _content(before.parent / name) for name in beside)


def _side(line: Line, sources: Path | None) -> Side:
    recipe = line.file.recipe
    template = line.file.path.parent / recipe.image.template if recipe.image.template else None
    return Side(recipe, line.context, _content(template or template_folder(sources) / TEMPLATE))


def _change(path: Path, line: Line, new: Side, why: tuple[Reason, ...]) -> Change:
    disk_gb = WITHOUT_ENGINE_GB if _has_environment(line) else build_disk_gb(new.recipe)
    return Change(path, new.recipe.name, new.context.reference, disk_gb, why)


def _has_environment(line: Line) -> bool:
    """Does the registry have all that an engine would have to make?"""
    environment = line.context.environment
    try:
        return environment is not None and line.doors.registry.digest(environment.reference) is not None
    except FactoryError:
        return False


def _deleted(paths: Sequence[Path], then: Then, changed: set[str], whole: Path | None) -> list[Deleted]:
    """Return the recipes that were there and aren't; one that only has another file name now is not gone."""
    if whole:
        candidates = [path for path in then.recipes.values() if path.parent == then.path(whole)]
    else:
        candidates = [then.path(path) for path in paths if not path.exists()]
    names = {name for path in paths if path.exists() and (name := _name(path))} | changed
    gone = [path for path in candidates if not (then.root / path.relative_to(then.folder)).exists()]
    return [
        Deleted(path.relative_to(then.folder), name) for path in gone if (name := _name(path)) and name not in names
    ]


def _name(path: Path) -> str | None:
    try:
        return load(path).recipe.name
    except FactoryError:
        return None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _tree(folder: Path) -> Mapping[str, bytes]:
    """Return path → content of what a render reads below a folder."""
    kinds = {".py", ".j2", ".txt"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in kinds and not {"tests", "__pycache__"} & set(path.relative_to(folder).parts)
    }
