"""What refers to an image, attached after a push and held against the recipe by `factory verify`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from factory.attesting.provenance import PROVENANCE_TYPE, Making, provenance, read_provenance
from factory.attesting.sbom import SBOM_TYPE, Components, models_in, recipe_in, sbom
from factory.attesting.signing import check_signature
from factory.errors import AttestationWrong
from factory.ports import ImageStore, Registry
from factory.records import Artifact, Check, Context, ModelFiles, PushedImage, Referrer

if TYPE_CHECKING:
    from factory.attesting.keys import Keys


def papers(
    context: Context, models: Sequence[ModelFiles], components: Components | None, digest: str, making: Making
) -> tuple[Artifact, ...]:
    """Return what is attached to the image of that digest: provenance, and the SBOM where the components are known."""
    statement = provenance(digest, context.repository, context, models, making)
    made = [Artifact(PROVENANCE_TYPE, statement, PROVENANCE_TYPE)]
    if components is not None:
        made.append(Artifact(SBOM_TYPE, sbom(context.recipe, components, models), SBOM_TYPE))
    return tuple(made)


def check(
    context: Context,
    models: Sequence[ModelFiles],
    pushed: PushedImage,
    store: ImageStore,
    registry: Registry,
    keys: Keys | None = None,
) -> tuple[Check, ...]:
    """Hold what is attached to an image against the recipe; what isn't there is a warning.

    With `keys` a signature must be there. Raises AttestationWrong when it isn't, or something contradicts the recipe.
    """
    signed = (check_signature(pushed, keys, store, registry),) if keys else ()
    there = {each.artifact_type: each for each in store.referrers(pushed.repository, pushed.digest)}
    with ThreadPoolExecutor(2) as pool:
        contents = dict(
            zip(
                (SBOM_TYPE, PROVENANCE_TYPE),
                pool.map(lambda kind: _read(there.get(kind), pushed, registry), (SBOM_TYPE, PROVENANCE_TYPE)),
                strict=True,
            )
        )
    bill, statement = contents[SBOM_TYPE], contents[PROVENANCE_TYPE]
    return (
        _missing("sbom") if bill is None else _check_sbom(bill, context, models, pushed),
        _missing("provenance") if statement is None else _check_provenance(statement, context, pushed),
        *signed,
    )


def _read(referrer: Referrer | None, pushed: PushedImage, registry: Registry) -> bytes | None:
    return registry.read(pushed.repository, referrer.blob.digest, 0, referrer.blob.size_bytes) if referrer else None


def _missing(name: str) -> Check:
    return Check(name, "warning", "none is attached: `factory build RECIPE --push --force` attaches it")


def _check_sbom(content: bytes, context: Context, models: Sequence[ModelFiles], pushed: PushedImage) -> Check:
    try:
        recipe, found = recipe_in(content), models_in(content)
    except (ValueError, KeyError, AttributeError) as error:
        raise _wrong("the SBOM is no CycloneDX", pushed) from error
    if recipe != context.recipe:
        raise _wrong(f"the SBOM is of {recipe!r}, not of {context.recipe!r}", pushed)
    wanted = {f"{model.repo}@{model.commit}": {file.path: file.digest for file in model.files} for model in models}
    if found != wanted:
        other = sorted(set(found) ^ set(wanted)) or sorted(name for name in wanted if found[name] != wanted[name])
        raise _wrong(f"the SBOM has other models' files than the recipe ({', '.join(other)})", pushed)
    return Check("sbom", "ok", f"CycloneDX, of this recipe, {len(content) // 1000} kB")


def _check_provenance(content: bytes, context: Context, pushed: PushedImage) -> Check:
    try:
        subject, external, internal = read_provenance(content)
    except ValueError as error:
        raise _wrong("the provenance is no SLSA statement", pushed) from error
    if subject != pushed.digest:
        raise _wrong(f"the provenance is of {subject[:19]}…", pushed)
    if external.get("contextSha256") != context.digest:
        raise _wrong("the provenance names another build context than the recipe has now", pushed)
    detail = (
        f"of this context, {internal.get('lane')} lane, searched for secrets (rules {internal.get('leakScanRules')})"
    )
    return Check("provenance", "ok", detail)


def _wrong(what: str, pushed: PushedImage) -> AttestationWrong:
    return AttestationWrong(
        what, where=pushed.reference, fix="push the image again: `factory build RECIPE --push --force`"
    )
