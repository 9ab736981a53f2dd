"""What an image says of itself, and what is asked of registries once."""

from __future__ import annotations

import pytest
from fake_hub import FakeHub, FakeRegistry

from factory.errors import RegistryUnreachable
from factory.looking import cuda_of
from factory.once import HubOnce, RegistryOnce


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ([], None),
        (["PATH=/usr/bin"], None),
        (["CUDA_VERSION=12.4.1"], "12.4"),
        (["NVIDIA_REQUIRE_CUDA=cuda>=12.6 brand=tesla,driver>=535", "CUDA_VERSION=12.8.0"], "12.6"),
        (["NVIDIA_REQUIRE_CUDA=", "CUDA_VERSION=13.0.1"], "13.0"),
        (["CUDA_VERSION=next"], None),
    ],
)
def test_the_images_cuda_is_what_it_requires(environment: list[str], expected: str | None) -> None:
    """What NVIDIA's images require of the driver, else the CUDA that they hold."""
    assert cuda_of(environment) == expected


def test_a_hub_is_asked_the_same_thing_once() -> None:
    """Ten recipes of one model are one question."""
    hub = FakeHub()
    once = HubOnce(hub)
    found = [(once.info("org/small", "main"), tuple(once.files("org/small", "main"))) for _ in range(10)]
    assert all(each == found[0] for each in found)
    assert hub.asked.count("info org/small") == 1


def test_a_tag_that_was_not_there_is_asked_for_again() -> None:
    """It may have been pushed meanwhile; one that is there stays."""
    registry = FakeRegistry({})
    once = RegistryOnce(registry)
    assert once.digest("acme/a:1") is None
    registry.digests["acme/a:1"] = "sha256:" + "1" * 64
    assert once.digest("acme/a:1") == "sha256:" + "1" * 64


def test_a_registry_that_is_down_is_waited_for_once() -> None:
    """The second question fails at once, also when the registry would answer by now."""
    registry = FakeRegistry({"acme/a:1": "sha256:" + "1" * 64}, is_down=True)
    once = RegistryOnce(registry)
    for reference in ("acme/a:1", "acme/b:1"):
        with pytest.raises(RegistryUnreachable):
            once.digest(reference)
        registry.is_down = False
