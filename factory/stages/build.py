"""build: a context becomes an image in the engine, unless it is there already."""

from __future__ import annotations

from factory.ports import Engine
from factory.records import BuildOptions, Context, Image, Progress, Tell, tell_nobody


def build(
    context: Context, engine: Engine, options: BuildOptions, tell: Tell = tell_nobody, *, force: bool = False
) -> Image:
    """Return the context's image, built for linux/amd64.

    The tag is the context's digest, so an image of that name is this context's: it is up to date and nothing is done,
    unless `force`. Raises the tree below BuildError, and Interrupted.
    """
    if not force and (found := engine.find(context.reference)):
        tell(Progress("log", "up to date", f"{context.reference} is up to date", "cached"))
        return found
    return engine.build(context, options, tell)
