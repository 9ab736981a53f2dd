"""push: an image of the engine goes to its registry, and is named by digest from there on."""

from __future__ import annotations

from factory.ports import Engine
from factory.records import Image, PushedImage, Tell, tell_nobody


def push(image: Image, engine: Engine, tell: Tell = tell_nobody) -> PushedImage:
    """Push the image's tag; layers that the registry has are not sent again.

    Raises the tree below PushError, and Interrupted.
    """
    return engine.push(image.reference, tell)
