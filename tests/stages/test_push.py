"""push: an image by its tag, named by digest afterwards."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine

from factory.errors import PushError
from factory.records import BaseImage, BuildOptions, Context, Image
from factory.stages.build import build
from factory.stages.push import push

CONTEXT = Context("demo", "registry.example/factory/demo", (), BaseImage("scratch"), "0123456789abcdef" * 4)


def test_a_pushed_image_is_named_by_digest() -> None:
    """The tag that was built is what is pushed; a second push sends nothing."""
    engine = FakeEngine()
    image = build(CONTEXT, engine, BuildOptions())
    first, second = push(image, engine), push(image, engine)
    assert first.reference.startswith("registry.example/factory/demo@sha256:")
    assert (first.tag, first.digest) == (second.tag, second.digest) and first.tag == CONTEXT.tag
    assert first.sent_bytes > 0 and second.sent_bytes == 0


def test_an_image_that_was_never_built() -> None:
    """The engine's error comes through as it is."""
    with pytest.raises(PushError):
        push(Image("factory/none:1", "sha256:0", 0, was_built=False), FakeEngine())
