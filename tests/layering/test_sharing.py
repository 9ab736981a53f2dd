"""What several images share, what another base would send again, and proposals to share more."""

from __future__ import annotations

from layered import FIRST, PIP, MadeImage, MemoryRegistry

from factory.layering.looking import Look, Part, python_weights
from factory.layering.reading import read_pushed
from factory.layering.sharing import sharing
from factory.recipe.model import Recipe
from factory.records import tell_nobody
from factory.sizing import packages

GB = 1_000_000_000


def look(name: str, *pip: str, base: str | None = None, image: MadeImage | None = None) -> Look:
    """Make what is known of a recipe; of one that is not built, as `looking` estimates it."""
    blocks = {"repository": "a/b", "pip": pip, "base": base}
    recipe = Recipe.model_validate({"name": name, "image": blocks, "handler": {"name": "echo"}})
    base_weight, _ = packages.base_weight(recipe.image.base_reference)
    parts = [Part("base", recipe.image.base_reference, *base_weight), Part("runtime", "runtime", *packages.RUNTIME)]
    parts += [Part("pip", line, *weight) for line, (weight, _) in python_weights(pip).items()]
    reference = f"127.0.0.1:1/a/{name}:1"
    read = read_pushed(MemoryRegistry({reference: image}), reference, tell_nobody) if image else None
    return Look(recipe, f"{name}.yaml", reference, read, tuple(parts), ())


def test_layers_in_common_are_counted_once() -> None:
    """Two images with the base and packages in common: their bytes once, who has them, and each one's own code."""
    common = [("ADD debian", {"bin/sh": b"s" * 9000}), (FIRST, {}), (PIP, {"opt/x": b"x" * 9000})]
    one = MadeImage([*common, ("COPY a /app/", {"app/a": b"1"})])
    two = MadeImage([*common, ("COPY a /app/", {"app/a": b"2"})])
    found = sharing([look("one", image=one), look("two", image=two)])
    assert found.is_exact
    assert {layer.step: layer.recipes for layer in found.layers} == dict.fromkeys(
        ("base", "pip", "other"), ("one", "two")
    )
    assert found.total_bytes - found.once_bytes == sum(layer.size_bytes for layer in found.layers)


def test_another_base_sends_again_what_runs_on_it() -> None:
    """Packages and steps are made anew on another base; code and weights keep their digests."""
    layers = [
        ("ADD debian", {"bin/sh": b"s" * 9000}),
        (FIRST, {}),
        (PIP, {"opt/x": b"x" * 9000}),
        ("COPY models/m/ /models/m/", {"models/m/w": b"w" * 9000}),
        ("COPY a /app/", {"app/a": b"1"}),
    ]
    seen = look("one", image=MadeImage(layers))
    assert seen.image is not None
    [base] = sharing([seen, seen]).bases
    again = sum(layer.cost_bytes for layer in seen.image.layers if layer.step.kind in ("other", "pip"))
    assert (base.recipes, base.once_bytes) == ({"one": again}, again)
    assert base.base_bytes == seen.image.layers[0].cost_bytes


def test_the_same_packages_in_another_order_are_proposed_in_one_order() -> None:
    """A heavy list in two orders is two layers, and would be one."""
    found = sharing([look("one", "torch==2.13.0", "numpy==2.4.6"), look("two", "numpy==2.4.6", "torch==2.13.0")])
    [proposal] = found.proposals
    assert proposal.recipes == ("one", "two") and proposal.cost_bytes == 0
    assert proposal.change == "image.pip, in the same order in each: [torch==2.13.0, numpy==2.4.6]"
    assert 2 * GB < proposal.saved_bytes < 3 * GB
    assert not found.is_exact


def test_a_list_for_all_is_proposed_where_it_saves_more_than_it_adds() -> None:
    """torch in common and a few small packages apart: one list, with what it adds to the smaller image."""
    found = sharing([look("one", "torch==2.13.0"), look("two", "torch==2.13.0", "diffusers==0.42.1"), look("three")])
    [proposal] = found.proposals
    assert set(proposal.recipes) == {"one", "two"}
    assert proposal.change == "image.pip, the same in each: [torch==2.13.0, diffusers==0.42.1]"
    assert proposal.cost_bytes == packages.PYTHON["diffusers"].compressed_bytes
    assert "diffusers" not in proposal.why and "12.0 MB more in an image (one)" in proposal.why


def test_what_has_little_in_common_is_left_alone() -> None:
    """numpy in common and vllm apart: a list for all would cost more than it saves."""
    assert sharing([look("one", "numpy==2.4.6"), look("two", "numpy==2.4.6", "vllm==0.30.0")]).proposals == ()


def test_two_versions_are_told_and_not_joined() -> None:
    """One list is impossible while a package differs in version: then the version is the proposal."""
    found = sharing(
        [look("one", "torch==2.13.0"), look("two", "torch==2.13.0"), look("odd", "torch==2.12.0", "numpy==2.4.6")]
    )
    [proposal] = found.proposals
    assert proposal.recipes == ("odd",)
    assert proposal.change.startswith("image.pip: torch==2.13.0")


def test_another_base_is_proposed_to_the_few() -> None:
    """Of three recipes two have one base: the third is told what its own costs."""
    bases = [look("one", base="nvidia/cuda:12.4.1-runtime-ubuntu22.04") for _ in range(2)]
    [proposal] = sharing([*bases, look("odd", base="pytorch/pytorch:2.13.0-cuda13.0")]).proposals
    assert (proposal.recipes, proposal.saved_bytes) == (("odd",), 3_900_000_000)


def test_recipes_on_the_same_base_share_it_before_they_are_built() -> None:
    """From recipes alone: base and runtime are one layer each, different package lists are not."""
    found = sharing([look("one", "numpy==2.4.6"), look("two", "pandas==3.1.1")])
    assert [layer.step for layer in found.layers] == ["base", "runtime"]
