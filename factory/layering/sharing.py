"""What several images share, what a new base would send again, and how recipes could share more: pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from factory.layering.contents import LayerContents, StepKind
from factory.layering.looking import Look, python_weights
from factory.sizing.packages import base_weight, python_name, python_weight
from factory.wording import size_text

LEAST_BYTES = 20_000_000  # a proposal that saves less is not worth the change
# What a new base makes anew: whatever runs on it. Copied layers (code, weights, lists) keep their content and digest.
RUN_ON_BASE: frozenset[StepKind] = frozenset({"apt", "runtime", "pip", "step", "other"})


@dataclass(frozen=True, slots=True)
class SharedLayer:
    """A layer that several images have."""

    digest: str
    step: str
    size_bytes: int
    recipes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BaseChange:
    """What another base image would send again: `once_bytes` counts equal layers once, `recipes` each one's own."""

    base: str
    recipes: dict[str, int]
    base_bytes: int
    once_bytes: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of recipes that lets more be shared: what it saves (sent and stored), and what it costs each image."""

    recipes: tuple[str, ...]
    change: str
    why: str
    saved_bytes: int
    cost_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sharing:
    """All of it; `is_exact` when every image was read."""

    layers: tuple[SharedLayer, ...]
    total_bytes: int
    once_bytes: int
    bases: tuple[BaseChange, ...]
    proposals: tuple[Proposal, ...]
    is_exact: bool


def sharing(looks: Sequence[Look]) -> Sharing:
    """Return what these recipes share: from their layers, or all from the recipes when one isn't built."""
    is_exact = all(look.image is not None for look in looks)
    parts = [_costs(look) if is_exact else _foreseen_costs(look) for look in looks]
    sizes = {key: size for costs in parts for key, (size, _) in costs.items()}
    return Sharing(
        layers=tuple(_shared(looks, parts)),
        total_bytes=sum(size for costs in parts for size, _ in costs.values()),
        once_bytes=sum(sizes.values()),
        bases=tuple(_bases(looks)),
        proposals=tuple(sorted(_proposals(looks), key=lambda p: (p.cost_bytes - p.saved_bytes, p.recipes))),
        is_exact=is_exact,
    )


Costs = dict[str, tuple[int, str]]  # a layer's digest, or what stands for it → its bytes and its step


def _costs(look: Look) -> Costs:
    """Return the layers of an image; of one that isn't built, those that its recipe will give."""
    if look.image is None:
        return _foreseen_costs(look)
    return {layer.diff_id: (layer.cost_bytes, layer.step.name) for layer in look.image.layers}


def _foreseen_costs(look: Look) -> Costs:
    costs: Costs = {}
    key = ""
    for step in ("base", "apt", "runtime", "pip", "sources", "weights"):
        found = [part for part in look.parts if part.step == step]
        # A layer is shared when all below it is too, but for weights, which are the same layer on any other.
        names = " ".join(part.name for part in found)
        key = f"{step} {names}" if step == "weights" else f"{key} {step} {names}"
        if found:
            costs[key] = (sum(part.compressed_bytes for part in found), step)
    return costs


def _shared(looks: Sequence[Look], parts: Sequence[Costs]) -> Iterator[SharedLayer]:
    users: dict[str, list[str]] = defaultdict(list)
    known: Costs = {}
    for look, costs in zip(looks, parts, strict=True):
        known |= costs
        for digest in costs:
            users[digest].append(look.recipe.name)
    shared = [digest for digest, names in users.items() if len(names) > 1]
    for digest in sorted(shared, key=lambda digest: -known[digest][0]):
        size_bytes, step = known[digest]
        yield SharedLayer(digest if digest.startswith("sha256:") else "", step, size_bytes, tuple(users[digest]))


# --- another base ----------------------------------------------------------------------------------------------------
def _bases(looks: Sequence[Look]) -> Iterator[BaseChange]:
    groups: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        groups[look.recipe.image.base_reference].append(look)
    for base, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        once: dict[str, int] = {}
        recipes: dict[str, int] = {}
        base_bytes = 0
        for look in group:
            again, base_bytes = _above(look)
            once |= again
            recipes[look.recipe.name] = sum(again.values())
        is_exact = all(look.image is not None for look in group)
        yield BaseChange(base, recipes, base_bytes, sum(once.values()), is_exact)


def _above(look: Look) -> tuple[dict[str, int], int]:
    """Return what runs on the base, by layer, and the base's own bytes."""
    if look.image is None:
        costs = _costs(look)
        again = {key: size for key, (size, step) in costs.items() if step in ("apt", "runtime", "pip")}
        return again, sum(size for size, step in costs.values() if step == "base")
    layers: tuple[LayerContents, ...] = look.image.layers
    again = {layer.diff_id: layer.cost_bytes for layer in layers if layer.step.kind in RUN_ON_BASE}
    return again, sum(layer.cost_bytes for layer in layers if layer.step.kind == "base")


# --- more in common --------------------------------------------------------------------------------------------------
def _proposals(looks: Sequence[Look]) -> Iterator[Proposal]:
    yield from _same_lists(looks)
    yield from _same_versions(looks)
    yield from _same_bases(looks)


def _same_lists(looks: Sequence[Look]) -> Iterator[Proposal]:
    """Propose one list of Python packages for recipes on the same base whose lists have much in common."""
    grounds: dict[tuple[object, ...], list[list[Look]]] = defaultdict(list)
    for look in looks:
        image = look.recipe.image
        if image.pip:
            grounds[image.base_reference, image.python, image.apt, image.template].append([look])
    for groups in grounds.values():
        while (best := _best_pair(groups)) is not None:
            one, other = best
            groups.remove(other)
            one.extend(other)
        for group in groups:
            if len({look.recipe.image.pip for look in group}) > 1:
                yield _one_list(group)


def _best_pair(groups: Sequence[list[Look]]) -> tuple[list[Look], list[Look]] | None:
    """Return the two groups that gain most from one list; None when no two gain enough."""
    pairs = [(_gain([*one, *other]) - _gain(one) - _gain(other), one, other) for one, other in combinations(groups, 2)]
    gain, one, other = max(pairs, key=lambda pair: pair[0], default=(0, [], []))
    return (one, other) if gain >= LEAST_BYTES else None


def _gain(group: Sequence[Look]) -> int:
    """Return what one list saves these recipes, less what it adds to their images; very little when it can't be."""
    union = _union(group)
    if union is None:
        return -(10**15)
    whole = _pip_bytes(union)
    own = [_pip_bytes(look.recipe.image.pip) for look in group]
    layers = {look.recipe.image.pip: size for look, size in zip(group, own, strict=True)}
    return sum(layers.values()) - whole - sum(whole - size for size in own)


def _union(group: Sequence[Look]) -> tuple[str, ...] | None:
    """Return one list for all, the longest recipe's order first; None when a package differs in version."""
    lines: dict[str, str] = {}
    for look in sorted(group, key=lambda look: -len(look.recipe.image.pip)):
        for line in look.recipe.image.pip:
            if lines.setdefault(_name(line), line) != line:
                return None
    return tuple(lines.values())


def _name(line: str) -> str:
    """Return what a line of image.pip is about: its package, or the whole option."""
    return line if line.lstrip().startswith("-") else python_name(line)


def _pip_bytes(pip: tuple[str, ...]) -> int:
    return sum(weight.compressed_bytes for weight, _ in python_weights(pip).values())


def _one_list(group: Sequence[Look]) -> Proposal:
    union = _union(group) or ()
    whole = _pip_bytes(union)
    names = tuple(look.recipe.name for look in group)
    lists = {look.recipe.image.pip: _measured(look) for look in group}
    largest = max([whole, *lists.values()])
    costs = {look.recipe.name: whole - _pip_bytes(look.recipe.image.pip) for look in group}
    common = set.intersection(*({*look.recipe.image.pip} for look in group))
    heavy = sorted(common, key=lambda line: -python_weight(line)[0].compressed_bytes)[:3]
    dearest = max(costs, key=lambda name: costs[name])
    why = f"{', '.join(heavy)} in common: one layer instead of {len(lists)}"
    if costs[dearest]:
        why += f", at most {size_text(costs[dearest])} more in an image ({dearest})"
    if len({(look.recipe.image.git, look.recipe.image.steps) for look in group}) > 1:
        why += "; their sources and steps stay layers of their own"
    if set(union) != common:
        why += "; `factory lock` says whether they install together"
    if set(union) == common:
        change = f"image.pip, in the same order in each: [{', '.join(union)}]"
    else:
        change = f"image.pip, the same in each: [{', '.join(union)}]"
    return Proposal(names, change, why, sum(lists.values()) - largest, sum(costs.values()))


def _measured(look: Look) -> int:
    """Return the bytes of the layer of Python packages: the image's own where it was read."""
    if look.image is not None:
        return sum(layer.cost_bytes for layer in look.image.layers if layer.step.kind == "pip")
    return _pip_bytes(look.recipe.image.pip)


def _same_versions(looks: Sequence[Look]) -> Iterator[Proposal]:
    """Propose one version where recipes differ in nothing but that of a heavy package."""
    lines: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for look in looks:
        for line in look.recipe.image.pip:
            lines[_name(line)][re.sub(r"\s", "", line)].append(look.recipe.name)
    for name, versions in lines.items():
        size_bytes = python_weight(name)[0].compressed_bytes
        if len(versions) > 1 and size_bytes >= LEAST_BYTES:
            wanted = max(versions, key=lambda line: (len(versions[line]), line))
            others = tuple(recipe for line, names in versions.items() if line != wanted for recipe in names)
            why = f"{' and '.join(sorted(versions))} are layers of their own, {size_text(size_bytes)} each"
            yield Proposal(
                others, f"image.pip: {wanted}, if the model runs on it", why, size_bytes * (len(versions) - 1)
            )


def _same_bases(looks: Sequence[Look]) -> Iterator[Proposal]:
    """Propose the base that most recipes have to those of the same Python that have another."""
    for python in sorted({look.recipe.image.python for look in looks}):
        bases = Counter(look.recipe.image.base_reference for look in looks if look.recipe.image.python == python)
        wanted = bases.most_common(1)[0][0]
        for base in bases:
            names = tuple(look.recipe.name for look in looks if look.recipe.image.base_reference == base)
            size_bytes = base_weight(base)[0].compressed_bytes
            if base != wanted and size_bytes >= LEAST_BYTES:
                why = f"{bases[wanted]} recipes have {wanted}; {base} is {size_text(size_bytes)} of its own"
                yield Proposal(names, f"image.base: {wanted}, if the handler runs on it", why, size_bytes)
