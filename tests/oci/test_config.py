"""A config grows as a Dockerfile's instructions would have made it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from factory.errors import RegistryFailed
from factory.oci import media
from factory.oci.config import Config
from factory.oci.manifest import manifest
from factory.records import Layer

BELOW = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-11-25T00:00:00Z",
    "config": {"Env": ["PATH=/bin", "A=1"], "Cmd": ["bash"], "Entrypoint": ["/run"], "WorkingDir": "/app"},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:a"]},
    "history": [{"created_by": "base"}],
}


def grown(**said: Any) -> dict[str, Any]:
    """Return the config with every kind of instruction on top."""
    config = Config(json.dumps(BELOW).encode())
    config.add_layer("sha256:b", "COPY a /app/ # buildkit")
    config.say_env([("A", "2"), ("B", "x=y")], "ENV A=2 B=x=y")
    config.say_labels([("l", "v")], "LABEL l=v")
    config.say_entrypoint([], "ENTRYPOINT []", is_command_set=said.get("is_command_set", False))
    if "command" in said:
        config.say_command(said["command"], "CMD")
    config.say_labels([("revision", "r")])
    value: dict[str, Any] = json.loads(config.to_bytes())
    return value


def test_env_changes_in_its_place_and_labels_add_up() -> None:
    """A variable keeps its place, a new one is last; what the client labels has no line in the history."""
    value = grown(command=["python"])
    assert value["config"]["Env"] == ["PATH=/bin", "A=2", "B=x=y"]
    assert value["config"]["Labels"] == {"l": "v", "revision": "r"}
    assert value["config"]["Cmd"] == ["python"] and "Entrypoint" not in value["config"]
    assert value["config"]["WorkingDir"] == "/app" and value["created"] == BELOW["created"]
    assert value["rootfs"]["diff_ids"] == ["sha256:a", "sha256:b"]
    empty = [entry.get("empty_layer", False) for entry in value["history"]]
    assert empty == [False, False, True, True, True, True]


@pytest.mark.parametrize(("is_command_set", "command"), [(False, None), (True, ["bash"])])
def test_an_entrypoint_takes_the_bases_command_away(is_command_set: bool, command: list[str] | None) -> None:
    """A CMD of the same Dockerfile stays, one of the base goes."""
    assert grown(is_command_set=is_command_set)["config"].get("Cmd") == command


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"rootfs": {}}', b'{"rootfs": null}', b"\xff"])
def test_what_is_no_config_is_one_sentence(content: bytes) -> None:
    """Anything else under the digest of a config is the registry's fault, said with what to do."""
    with pytest.raises(RegistryFailed, match="none of an image"):
        Config(content, where="u/x")


@pytest.mark.parametrize("oci", [True, False])
def test_a_manifest_names_config_and_layers_in_its_own_family(oci: bool) -> None:
    """Same input, same bytes."""
    config, layer = Layer("sha256:c", 3, media.config_type(oci=oci)), Layer("sha256:l", 5, "t")
    content = manifest(config, [layer], oci=oci)
    assert content == manifest(config, [layer], oci=oci)
    assert media.is_oci(json.loads(content)["mediaType"]) is oci
    assert json.loads(content)["layers"] == [{"mediaType": "t", "size": 5, "digest": "sha256:l"}]
