"""Whole images, from a registry and from an engine: the same layers, with what made each."""

from __future__ import annotations

import pytest
from layered import FIRST, PIP, MadeImage, MemoryRegistry, pieces, tar_of

from factory.errors import VerifyError
from factory.layering.reading import Known, read_pushed, read_saved
from factory.records import tell_nobody

IMAGE = MadeImage(
    [
        ("ADD debian", {"bin/sh": b"s" * 5000}),
        (FIRST, {}),
        (PIP, {"opt/venv/a.py": b"a" * 7000}),
        ("COPY models/tiny/ /models/tiny/ # buildkit", {"models/tiny/w": b"w" * 9000}),
        ("COPY recipe.json /app/ # buildkit", {"app/recipe.json": b"{}"}),
    ]
)
NAME = "127.0.0.1:1/a/b:1"


@pytest.mark.parametrize("is_plain", [False, True], ids=["gzip", "plain"])
def test_an_image_in_a_registry(is_plain: bool) -> None:
    """Each layer has its step and sizes; weights are known by size alone and not read."""
    registry = MemoryRegistry({NAME: IMAGE}, is_plain=is_plain)
    image = read_pushed(registry, NAME, tell_nobody)
    assert [layer.step.kind for layer in image.layers] == ["base", "other", "pip", "weights", "code"]
    assert [layer.unpacked_bytes for layer in image.layers] == [5000, 0, 7000, None, 2]
    assert all(layer.stored_bytes for layer in image.layers)
    assert image.layers[3].note == "weights are not read" and not image.layers[3].entries


def test_a_layer_of_two_images_is_read_once() -> None:
    """The second image's layers are known from the first: only its config is read."""
    registry = MemoryRegistry({NAME: IMAGE, "127.0.0.1:1/a/c:1": IMAGE})
    known: Known = {}
    first = read_pushed(registry, NAME, tell_nobody, known)
    read_bytes = registry.read_bytes
    second = read_pushed(registry, "127.0.0.1:1/a/c:1", tell_nobody, known)
    assert second.layers == first.layers
    assert registry.read_bytes - read_bytes == len(IMAGE.config)


def test_the_base_is_known_by_its_own_config_too() -> None:
    """An image by a template of its own, without our first step: the labels name the base, whose layers count."""
    base = MadeImage([("ADD debian", {"bin/sh": b"s" * 5000}), ("RUN more", {"bin/more": b"m"})])
    registry = MemoryRegistry({"127.0.0.1:1/base/python:3": base})
    labels = {
        "org.opencontainers.image.base.name": "127.0.0.1:1/base/python:3",
        "org.opencontainers.image.base.digest": registry.digest("127.0.0.1:1/base/python:3") or "",
    }
    registry.images[NAME] = MadeImage([*base.layers, ("RUN make", {"made": b"1"})], labels)
    image = read_pushed(registry, NAME, tell_nobody)
    assert [layer.step.kind for layer in image.layers] == ["base", "base", "other"]


@pytest.mark.parametrize("is_new", [False, True], ids=["docker 20.10", "docker 25"])
def test_an_image_of_an_engine(is_new: bool) -> None:
    """Either form of `docker save` gives the layers that the registry would, without stored sizes, weights read too."""
    image = read_saved(pieces(IMAGE.saved(is_new=is_new), 700), NAME, tell_nobody)
    pushed = read_pushed(MemoryRegistry({NAME: IMAGE}), NAME, tell_nobody)
    assert [layer.diff_id for layer in image.layers] == [layer.diff_id for layer in pushed.layers]
    assert [layer.unpacked_bytes for layer in image.layers] == [5000, 0, 7000, 9000, 2]
    assert image.layers[2].entries == pushed.layers[2].entries
    assert {layer.stored_bytes for layer in image.layers} == {None}


@pytest.mark.parametrize("saved", [b"", b"x" * 2000, tar_of({"manifest.json": b"[]"}), IMAGE.saved(is_new=True)[:3000]])
def test_a_stream_that_is_no_image_is_one_sentence(saved: bytes) -> None:
    """An engine that hangs up, or says something else."""
    with pytest.raises(VerifyError):
        read_saved([saved], NAME, tell_nobody)
