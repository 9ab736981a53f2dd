"""resolve: the exact files, bytes and digests of a recipe's models, each at one commit.

Calls per model, at most: 1 for the commit, 1 per 1,000 entries of the tree (folders count), 1 to read the head of one
file. Models of the same repository and revision share them. The head is read only when it tells something: whether a
gated or private repository may be read, or how many parameters the selection holds when the Hub's index doesn't say.

Placement `auto`: up to IMAGE_MAX_BYTES, free to all (neither gated nor private) → image; everything else → volume.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from typing import Literal

from factory.errors import AccessDenied, FactoryError, HubFailed, NothingSelected, UnexpectedSize
from factory.ports import ModelHub
from factory.recipe.model import Model, Recipe
from factory.records import GB, ModelFile, ModelFiles, Progress, RepoInfo, Tell, tell_nobody

IMAGE_MAX_BYTES = 2 * GB
"""Weights up to this size go into the image: it starts without a download and still pulls in about a minute."""
EXPECTED_TOLERANCE = 0.05
INDEX_TOLERANCE = 0.01
"""The Hub's index is about the selection when its bytes differ by less than this; headers take far less."""
NEAREST = 5
DTYPE_BITS: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
    "F4": 4,
}
"""Bits per element of the types that safetensors knows (safetensors 0.6, `Dtype`)."""
_SHARD = re.compile(r"(?P<stem>.*)-(?P<index>\d{2,})-of-(?P<count>\d{2,})(?P<suffix>\.[^/]+)")

Source = Literal["index", "header", "file sizes"]


def resolve(recipe: Recipe, hub: ModelHub, tell: Tell = tell_nobody) -> tuple[ModelFiles, ...]:
    """Return the selected files of every model, in the recipe's order.

    Raises NothingSelected, UnexpectedSize, and what the hub raises; a gated repository whose listing is public gives a
    warning here, and AccessDenied only where its content is needed.
    """
    reader = _Reader(hub, tell)
    return tuple(_resolve_model(model, f"models[{i}] ({model.repo})", reader) for i, model in enumerate(recipe.models))


def select(files: Iterable[ModelFile], include: Sequence[str], exclude: Sequence[str]) -> tuple[ModelFile, ...]:
    """Return the files that some pattern of `include` (all, when empty) and none of `exclude` matches, in order.

    Patterns mean what they mean to huggingface_hub's own filter (2.4.0, `filter_repo_objects`), which the worker's
    download uses: `*` crosses folders, case counts, a final `/` takes the folder, a backslash is a slash.
    """
    is_included, is_excluded = _matcher(include), _matcher(exclude)
    return tuple(
        file
        for file in files
        if (not include or is_included(_slashed(file.path))) and not (exclude and is_excluded(_slashed(file.path)))
    )


class _Reader:
    """Asks the hub, and remembers its answers for the models that share a repository."""

    def __init__(self, hub: ModelHub, tell: Tell) -> None:
        self._hub = hub
        self._tell = tell
        self._listings: dict[tuple[str, str], tuple[RepoInfo, tuple[ModelFile, ...]]] = {}
        self._heads: dict[tuple[str, str, str], Mapping[str, int]] = {}

    def listing(self, repo: str, revision: str) -> tuple[RepoInfo, tuple[ModelFile, ...]]:
        if (repo, revision) not in self._listings:
            key = f"resolve {repo}"
            self._tell(Progress("step", key, f"list {repo}@{revision}", "started"))
            try:
                info = self._hub.info(repo, revision)
                files = tuple(self._hub.files(repo, info.commit))
            except FactoryError:
                self._tell(Progress("step", key, f"list {repo}@{revision}", "failed"))
                raise
            self._listings[repo, revision] = info, files
            self._tell(Progress("step", key, f"{repo}@{info.commit[:8]}: {len(files):,} files", "done"))
        return self._listings[repo, revision]

    def head(self, repo: str, commit: str, path: str) -> Mapping[str, int]:
        if (repo, commit, path) not in self._heads:
            self._heads[repo, commit, path] = self._hub.probe(repo, commit, path)
        return self._heads[repo, commit, path]


def _resolve_model(model: Model, where: str, reader: _Reader) -> ModelFiles:
    info, files = reader.listing(model.repo, model.revision)
    chosen = select(files, model.include, model.exclude)
    if not chosen:
        raise _nothing(model, where, files)
    _demand_whole_sets(where, chosen, files)
    size_bytes = sum(f.size_bytes for f in chosen)
    _demand_expected_size(model, where, size_bytes)
    parameters, source, is_readable, warnings = _look_inside(info, chosen, reader)
    is_open = info.gated == "no" and not info.is_private
    placement = model.placement
    if placement == "auto":
        placement = "image" if is_open and size_bytes <= IMAGE_MAX_BYTES else "volume"
    return ModelFiles(
        repo=model.repo,
        key=model.key,
        revision=model.revision,
        commit=info.commit,
        files=chosen,
        placement=placement,
        repo_bytes=sum(f.size_bytes for f in files),
        gated=info.gated,
        is_readable=is_readable,
        licence=info.licence,
        load_dtype=model.dtype,
        parameters=parameters,
        parameters_source=source,
        warnings=warnings,
    )


# --- what is selected ----------------------------------------------------------------------------------------------
def _matcher(patterns: Sequence[str]) -> Callable[[str], re.Match[str] | None]:
    whole = (translate(f"{p}*" if p.endswith("/") else p) for p in map(_slashed, patterns))
    return re.compile("|".join(f"(?:{p})" for p in whole)).match


def _slashed(path: str) -> str:
    return path.replace("\\", "/")


def _nothing(model: Model, where: str, files: Sequence[ModelFile]) -> NothingSelected:
    if not files:
        return NothingSelected(
            f"the repository has no files at {model.revision}", where=where, fix="check the revision"
        )
    paths = [f.path for f in files]
    near = [p for pattern in model.include for p in difflib.get_close_matches(pattern, paths, n=NEAREST, cutoff=0.3)]
    near = list(dict.fromkeys(near))[:NEAREST] or _largest(files)
    what = f"include and exclude leave none of the {len(files):,} files"
    return NothingSelected(what, where=where, fix=f"the nearest paths are {', '.join(near)}", details={"nearest": near})


def _largest(files: Sequence[ModelFile]) -> list[str]:
    return [f.path for f in sorted(files, key=lambda f: -f.size_bytes)[:NEAREST]]


def _demand_whole_sets(where: str, chosen: Sequence[ModelFile], files: Sequence[ModelFile]) -> None:
    sets: dict[tuple[str, str, str], dict[int, str]] = {}
    for file in chosen:
        if "-of-" in file.path and (shard := _SHARD.fullmatch(file.path)):
            of = (shard["stem"], shard["count"], shard["suffix"])
            sets.setdefault(of, {})[int(shard["index"])] = shard["index"]
    missing: list[str] = []
    for (stem, count, suffix), found in sets.items():
        first = 0 if 0 in found else 1
        width = len(next(iter(found.values())))
        absent = sorted(set(range(first, first + int(count))) - found.keys())
        missing += [f"{stem}-{index:0{width}}-of-{count}{suffix}" for index in absent]
    if not missing:
        return
    shown = ", ".join(missing[:NEAREST]) + (f" and {len(missing) - NEAREST:,} more" if len(missing) > NEAREST else "")
    is_listed = missing[0] in {f.path for f in files}
    fix = "let include and exclude take the whole set" if is_listed else "the upload is incomplete: choose a revision"
    raise NothingSelected(f"shards are missing: {shown}", where=where, fix=fix, details={"missing": missing})


def _demand_expected_size(model: Model, where: str, size_bytes: int) -> None:
    if model.expect_gb is None:
        return
    true_gb = size_bytes / GB
    if abs(true_gb - model.expect_gb) <= EXPECTED_TOLERANCE * model.expect_gb:
        return
    what = f"the selection is {true_gb:,.4g} GB, and the recipe expects {model.expect_gb:,.4g} GB"
    fix = f"set expect_gb: {true_gb:.3g}, or narrow include and exclude"
    details = {"true_bytes": size_bytes, "expect_gb": model.expect_gb}
    raise UnexpectedSize(what, where=where, fix=fix, details=details)


# --- what is in it -------------------------------------------------------------------------------------------------
def _look_inside(
    info: RepoInfo, chosen: Sequence[ModelFile], reader: _Reader
) -> tuple[Mapping[str, int], Source, bool | None, tuple[str, ...]]:
    """Return the parameters that the selection's safetensors hold, where they are from, readability and warnings."""
    tensors = [f for f in chosen if f.path.endswith(".safetensors")]
    tensor_bytes = sum(f.size_bytes for f in tensors)
    indexed = info.parameters if _is_about(info.parameters, tensor_bytes) else {}
    if (indexed or not tensors) and info.gated == "no" and not info.is_private:
        return indexed, ("index" if indexed else "file sizes"), None, ()
    largest = max(tensors or chosen, key=lambda f: f.size_bytes)
    try:
        head = reader.head(info.repo, info.commit, largest.path)
    except AccessDenied as error:
        return indexed, ("index" if indexed else "file sizes"), False, (str(error),)
    except HubFailed as error:
        # A size can still be told without the head, so this is no reason to fail.
        unknown = () if indexed or not tensors else (f"parameters are estimated from file sizes: {error}",)
        return indexed, ("index" if indexed else "file sizes"), None, unknown
    if indexed or not head:
        return indexed, ("index" if indexed else "file sizes"), True, ()
    # The largest file stands for all: its share of each type, scaled to the bytes of the selection.
    share = tensor_bytes / largest.size_bytes
    return {dtype: round(count * share) for dtype, count in head.items()}, "header", True, ()


def _is_about(parameters: Mapping[str, int], tensor_bytes: int) -> bool:
    if not parameters or not tensor_bytes or not parameters.keys() <= DTYPE_BITS.keys():
        return False
    indexed_bytes = sum(count * DTYPE_BITS[dtype] // 8 for dtype, count in parameters.items())
    return abs(indexed_bytes - tensor_bytes) <= INDEX_TOLERANCE * tensor_bytes
