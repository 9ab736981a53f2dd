"""What an image carries in vain, and the line to change: pure, over `contents.ImageContents`.

Bytes count once: a file that a later layer replaces or removes is waste of its own layer whatever else it is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from factory.layering.contents import Entry, ImageContents, LayerContents, Step
from factory.layering.junk import SOMETIMES_NEEDED, Junk, bytecode_source, junk_of
from factory.recipe.model import Recipe
from factory.wording import count_text, size_text

LEAST_BYTES = 1_000_000  # a finding below that is not worth a line of anybody's recipe
LEAST_TWICE_BYTES = 100_000  # of one content
LEAST_BASE_BYTES = 50_000_000  # what only another base mends
SHOWN_PATHS = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Bytes that need not be there: unpacked ones, in which layer, why, and the line that mends it.

    `is_certain` is False for what some programs need after all.
    """

    kind: str
    layer: str
    size_bytes: int
    what: str
    change: str
    paths: tuple[str, ...] = ()
    is_certain: bool = True


@dataclass(slots=True)
class _Heap:
    """Paths of one kind in one layer, as they are gathered."""

    size_bytes: int = 0
    count: int = 0
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        self.size_bytes += entry.size_bytes
        self.count += 1
        self.sizes[entry.path] = entry.size_bytes

    @property
    def paths(self) -> tuple[str, ...]:
        """The largest of them."""
        return tuple(sorted(self.sizes, key=lambda path: (-self.sizes[path], path))[:SHOWN_PATHS])


@dataclass(frozen=True, slots=True)
class _Lost:
    """Files of a layer that are not to be seen in the image, and the layer that covers them."""

    layer: int
    by: int
    verb: str  # replaced, removed, or rewritten unchanged


def findings(image: ImageContents, recipe: Recipe | None = None) -> tuple[Finding, ...]:
    """Return what could go, the most bytes first; `recipe` makes the proposed lines concrete."""
    lost, final = _overlay(image)
    found = [
        *_lost(image, lost, recipe),
        *_junk(image, final, recipe),
        *_bytecode(image, final, recipe),
        *_twice(image, final),
    ]
    return tuple(sorted(found, key=lambda finding: (-finding.size_bytes, finding.kind, finding.layer)))


def largest(image: ImageContents, count: int) -> tuple[tuple[Entry, LayerContents], ...]:
    """Return the largest files, each with its layer."""
    every = ((entry, layer) for layer in image.layers for entry in layer.entries)
    return tuple(sorted(every, key=lambda pair: (-pair[0].size_bytes, pair[0].path))[:count])


# --- what is seen of what is there -----------------------------------------------------------------------------------
Final = Mapping[str, tuple[int, Entry]]  # path → its layer and itself


def _overlay(image: ImageContents) -> tuple[dict[_Lost, _Heap], Final]:
    """Lay the layers over each other: what is covered, and what is seen in the end."""
    seen: dict[str, tuple[int, Entry]] = {}
    lost: dict[_Lost, _Heap] = defaultdict(_Heap)

    def cover(path: str, by: int, verb: str) -> None:
        if (below := seen.pop(path, None)) and below[1].size_bytes:
            lost[_Lost(below[0], by, verb)].add(below[1])

    for number, layer in enumerate(image.layers):
        gone = [entry for entry in layer.entries if entry.kind in ("removed", "emptied")]
        below = sorted(seen) if gone else []
        for entry in gone:  # whiteouts speak of the layers beneath, never of their own
            for path in _under(below, entry):
                cover(path, number, "removed")
        for entry in layer.entries:
            if entry.kind in ("file", "link"):
                before = seen.get(entry.path)
                is_same = before is not None and bool(entry.digest) and before[1].digest == entry.digest
                cover(entry.path, number, "rewritten unchanged" if is_same else "replaced")
                seen[entry.path] = (number, entry)
    return lost, seen


def _under(paths: list[str], entry: Entry) -> Iterator[str]:
    """Yield the path itself if it was removed, and all that lies below it."""
    if entry.kind == "removed":
        yield entry.path
    prefix = f"{entry.path}/" if entry.path else ""
    for place in range(bisect_left(paths, prefix), len(paths)):
        if not paths[place].startswith(prefix):
            return
        yield paths[place]


# --- the rules -------------------------------------------------------------------------------------------------------
def _lost(image: ImageContents, lost: Mapping[_Lost, _Heap], recipe: Recipe | None) -> Iterator[Finding]:
    for key, heap in lost.items():
        below, above = image.layers[key.layer].step, image.layers[key.by].step
        if heap.size_bytes >= LEAST_BYTES:
            what = f"{count_text(heap.count, 'file')} {key.verb} by {above.name} ({above.text[:60]}), sent all the same"
            yield Finding(
                f"{key.verb.split()[0]} later",
                below.name,
                heap.size_bytes,
                what,
                _join(below, above, recipe),
                heap.paths,
            )


def _join(below: Step, above: Step, recipe: Recipe | None) -> str:
    """Propose that what writes a file and what changes it are one step."""
    steps = recipe.image.steps if recipe else ()
    if below.number and above.number and max(below.number, above.number) <= len(steps):
        joined = " && ".join(dict.fromkeys((steps[below.number - 1], steps[above.number - 1])))
        return f"image.steps: make {below.name} and {above.name} one line: {joined}"
    if below.kind == "base":
        return f"image.base: one that has it as {above.name} leaves it; a layer can't take bytes out of those below"
    place = "the template's block pip" if below.kind in ("pip", "runtime") else f"what makes {below.name}"
    return f"do in {place} what {above.name} does: a layer can't take bytes out of those below it"


def _junk(image: ImageContents, final: Final, recipe: Recipe | None) -> Iterator[Finding]:
    heaps: dict[tuple[int, Junk], _Heap] = defaultdict(_Heap)
    for number, entry in final.values():
        if entry.size_bytes and (junk := junk_of(entry.path)):
            heaps[number, junk].add(entry)
    yield from _base(
        image, {key: heap for key, heap in heaps.items() if image.layers[key[0]].step.kind == "base"}, recipe
    )
    for (number, junk), heap in heaps.items():
        step = image.layers[number].step
        if step.kind != "base" and heap.size_bytes >= LEAST_BYTES:
            what = f"{junk.what} ({count_text(heap.count, 'file')})"
            is_certain = junk.kind not in SOMETIMES_NEEDED
            yield Finding(
                junk.kind,
                step.name,
                heap.size_bytes,
                what,
                _removed(step, junk.removal, recipe),
                heap.paths,
                is_certain,
            )


def _base(image: ImageContents, heaps: Mapping[tuple[int, Junk], _Heap], recipe: Recipe | None) -> Iterator[Finding]:
    """Sum up what only another base mends."""
    size_bytes = sum(heap.size_bytes for heap in heaps.values())
    if size_bytes < LEAST_BASE_BYTES:
        return
    kinds: Counter[str] = Counter()
    for (_, junk), heap in heaps.items():
        kinds[junk.kind] += heap.size_bytes
    what = ", ".join(f"{kind} {size_text(number)}" for kind, number in kinds.most_common(4))
    yield Finding(
        "base", "base", size_bytes, what, base_change(recipe) or "image.base: a slimmer one, if the handler runs on it"
    )


def base_change(recipe: Recipe | None) -> str:
    """Return the line that names a slimmer base of the same kind; empty when we know none."""
    if recipe is None or recipe.image.base is None:
        return ""
    base, python = recipe.image.base.partition("@")[0], recipe.image.python
    if "-devel" in base:
        return f"image.base: {base.replace('-devel', '-runtime')} (compilers stay out; build wheels elsewhere)"
    official = base.removeprefix("docker.io/").removeprefix("library/")
    if official.startswith("python:") and "slim" not in official and "alpine" not in official:
        return f"image.base: leave it out, or python:{python}-slim-bookworm"
    return ""


def _removed(step: Step, removal: str, recipe: Recipe | None) -> str:
    """Propose where to remove something: in the very step that brings it, or its bytes stay in that layer."""
    if step.number and recipe and step.number <= len(recipe.image.steps):
        return f"image.steps[{step.number - 1}]: {recipe.image.steps[step.number - 1]} && {removal}"
    blocks = {"pip": "pip", "runtime": "python", "apt": "apt", "sources": "sources", "code": "worker"}
    if step.kind in blocks:
        return f"image.template, block {blocks[step.kind]}, in its RUN: && {removal}"
    return f"in the line that makes this layer: && {removal}"


def _bytecode(image: ImageContents, final: Final, recipe: Recipe | None) -> Iterator[Finding]:
    """Find compiled modules that no import will use: of another Python, or without their source."""
    wanted = f"cpython-{recipe.image.python.replace('.', '')}" if recipe else ""
    heaps: dict[int, _Heap] = defaultdict(_Heap)
    for number, entry in final.values():
        found = bytecode_source(entry.path)
        if image.layers[number].step.kind == "base" or found is None or junk_of(entry.path):
            continue
        source, tag = found
        if source not in final or (wanted and tag != wanted):
            heaps[number].add(entry)
    for number, heap in heaps.items():
        if heap.size_bytes >= LEAST_BYTES:
            step = image.layers[number].step
            what = f"byte code of another Python or without its source ({count_text(heap.count, 'file')})"
            change = _removed(step, "find / -xdev -name __pycache__ -prune -exec rm -rf {} +", recipe)
            yield Finding("unused byte code", step.name, heap.size_bytes, what, change, heap.paths)


def _twice(image: ImageContents, final: Final) -> Iterator[Finding]:
    """Find content that lies at several paths; what is junk anyway, or in the base, is told elsewhere."""
    by_content: dict[bytes, list[tuple[int, Entry]]] = defaultdict(list)
    for number, entry in final.values():
        is_told = junk_of(entry.path) or bytecode_source(entry.path)
        if entry.digest and entry.size_bytes >= LEAST_TWICE_BYTES and not is_told:
            by_content[entry.digest].append((number, entry))
    heaps: dict[int, _Heap] = defaultdict(_Heap)
    pairs: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for copies in by_content.values():
        (_, first), *others = sorted(copies, key=lambda copy: (copy[0], copy[1].path))
        for number, entry in others:
            if image.layers[number].step.kind != "base":
                heaps[number].add(entry)
                pairs[number].append((entry.size_bytes, f"ln -f /{first.path} /{entry.path}"))
    for number, heap in heaps.items():
        if heap.size_bytes >= LEAST_BYTES:
            step = image.layers[number].step
            what = f"{count_text(heap.count, 'file')} with the content of another"
            change = f"in the step that writes both: {max(pairs[number])[1]}; or leave one out of {step.name}"
            yield Finding("twice", step.name, heap.size_bytes, what, change, heap.paths)
