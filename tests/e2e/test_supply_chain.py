"""Leaks, SBOM and provenance with a real engine and registry, by both lanes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from handlers import EMPTY

from factory.clients.docker_engine import DockerEngine
from factory.clients.registry import DistributionRegistry
from factory.clients.registry_store import DistributionStore

pytestmark = pytest.mark.engine

SECRET = "planted-by-the-test-of-leaks"


def factory(folder: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """Run the command to its end, on a machine that has one secret."""
    env = {**os.environ, "FACTORY_HOME": str(folder / "home"), "MY_SECRET": SECRET}
    command = [sys.executable, "-m", "factory", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=300)
    return done.returncode, done.stdout, done.stderr


def recipe(folder: Path, name: str, steps: str = "") -> Path:
    """Write a recipe with a handler of its own."""
    (folder / "handler.py").write_text(EMPTY)
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nimage: {{repository: supply-chain/{name}, steps: [{steps}]}}\nhandler: handler.py\n"
        "secrets: [MY_SECRET]\ntests: [{input: {a: 1}, expect: {}}]\n"
    )
    return path


def test_a_secret_in_a_deleted_file_is_refused_and_nothing_is_pushed(
    tmp_path: Path, engine_host: str, registry: str
) -> None:
    """A step writes it, the next one deletes it: its layer holds it all the same, and no tag comes to be."""
    halves = SECRET[:8], SECRET[8:]
    write = f"printf '%s%s' {halves[0]} {halves[1]} > /root/key"
    code, out, err = factory(tmp_path, "build", "--push", recipe(tmp_path, "leaky", f'"{write}", "rm /root/key"'))
    try:
        assert code == 66, err
        assert "the value of MY_SECRET in root/key" in err and SECRET not in out + err
        listed = httpx.get(f"http://{registry}/v2/supply-chain/leaky/tags/list", trust_env=False)
        assert listed.status_code == 404 or not listed.json().get("tags")
    finally:
        _forget(engine_host, f"{registry}/supply-chain/*")


def test_both_lanes_attach_what_verify_then_finds(tmp_path: Path, engine_host: str, registry: str) -> None:
    """The engine's image and the one put together on its environment have an SBOM (valid) and provenance."""
    path = recipe(tmp_path, "vouched", f'"true {uuid.uuid4().hex}"')  # an environment that no registry has met
    store = DistributionStore(lambda _: None)
    reader = DistributionRegistry(lambda _: None)
    lanes = []
    try:
        for change in ("", "# another handler\n"):
            (tmp_path / "handler.py").write_text(EMPTY + change)
            code, out, err = factory(tmp_path, "build", "--push", path, "--json")
            assert code == 0, err
            repository, _, digest = str(json.loads(out)[0]["image"]).partition("@")
            found = {each.artifact_type: each.blob for each in store.referrers(repository, digest)}
            blob = found["application/vnd.cyclonedx+json"]
            bill = reader.read(repository, blob.digest, 0, blob.size_bytes)
            assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode()) is None
            names = {part.get("purl", "").split("@")[0] for part in json.loads(bill)["components"]}
            assert {"pkg:pypi/runpod", "pkg:deb/debian/bash"} <= names
            code, out, err = factory(tmp_path, "verify", path, "--no-run", "--json")
            assert code == 0, err
            checks = {check["name"]: check for check in json.loads(out)["report"]["checks"]}
            assert checks["sbom"]["verdict"] == checks["provenance"]["verdict"] == "ok"
            lanes.append("patch" if "patch lane" in checks["provenance"]["detail"] else "docker")
        assert lanes[1] == "patch"
    finally:
        _forget(engine_host, f"{registry}/supply-chain/*")


def _forget(host: str, pattern: str) -> None:
    """Remove the images of these repositories, the shared environments too."""
    command = ["docker", "-H", host, "images", "--format", "{{.Repository}}:{{.Tag}}", pattern]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    for reference in listed.stdout.split():
        DockerEngine(host).remove(reference)
