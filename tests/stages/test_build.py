"""build: up to date or built."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine

from factory.records import BaseImage, BuildOptions, Context, Progress
from factory.stages.build import build

CONTEXT = Context("demo", "factory/demo", (), BaseImage("scratch"), "0123456789abcdef" * 4)


def test_an_image_that_is_there_is_up_to_date() -> None:
    """The tag is the context's digest: what bears it is not built again."""
    engine = FakeEngine()
    first = build(CONTEXT, engine, BuildOptions())
    told: list[Progress] = []
    second = build(CONTEXT, engine, BuildOptions(), told.append)
    assert first.reference == second.reference == "factory/demo:0123456789abcdef"
    assert (first.was_built, second.was_built, len(engine.built)) == (True, False, 1)
    assert [(p.state, p.text) for p in told] == [("cached", "factory/demo:0123456789abcdef is up to date")]


def test_force_builds_again() -> None:
    """`force` builds what is there."""
    engine = FakeEngine()
    for _ in range(2):
        assert build(CONTEXT, engine, BuildOptions(), force=True).was_built
    assert len(engine.built) == 2


@pytest.mark.parametrize("network", [None, "host"])
def test_the_options_reach_the_engine(network: str | None) -> None:
    """The machine's options go to the engine as they are."""
    engine = FakeEngine()
    build(CONTEXT, engine, BuildOptions(network=network))
    assert [options.network for _, options in engine.built] == [network]
