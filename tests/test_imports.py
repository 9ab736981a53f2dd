"""The map of docs/index.md as a test: who may import whom, and which library lives in which file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module (longest matching prefix wins) → what of ours it may import.
LAYERS = {
    "factory.__main__": ["factory.cli"],
    "factory.cli": ["factory.commands", "factory.errors", "factory.__version__"],
    "factory.commands": [
        "factory.commands",
        "factory.pipeline",
        "factory.shipping.Lane",
        "factory.lanes.packing.Compress",
        "factory.locking",
        "factory.layering",
        "factory.changes",
        "factory.beside",
        "factory.turns",
        "factory.live",
        "factory.telling",
        "factory.mending",
        "factory.releasing",
        "factory.overseeing",
        "factory.overview",
        "factory.deploying",
        "factory.gathering",
        "factory.volume",
        "factory.diagnosis",
        "factory.ledger.Ledger",
        "factory.wiring",
        "factory.settings",
        "factory.emulator",
        "factory.recipe",
        "factory.checks",
        "factory.records",
        "factory.account",
        "factory.provisioning",
        "factory.results",
        "factory.errors",
        "factory.wording",
    ],
    "factory.lazy": [],
    "factory.turns": [],
    "factory.beside": ["factory.recipe", "factory.errors"],
    "factory.pipeline": [
        "factory.stages",
        "factory.shipping",
        "factory.lanes",
        "factory.locking",
        "factory.attesting",
        "factory.lazy",
        "factory.turns",
        "factory.beside",
        "factory.checks",
        "factory.ports",
        "factory.recipe",
        "factory.references",
        "factory.records",
        "factory.account",
        "factory.provisioning",
        "factory.errors",
        "factory.wording",
    ],
    "factory.shipping": [
        "factory.kept",
        "factory.ports",
        "factory.__version__",
        "factory.attesting",
        "factory.lanes",
        "factory.stages",
        "factory.pipeline",
        "factory.records",
        "factory.errors",
        "factory.wording",
    ],
    "factory.deploying": [
        "factory.pipeline",
        "factory.looking",
        "factory.journal",
        "factory.provisioning",
        "factory.stages",
        "factory.ports",
        "factory.records",
        "factory.errors",
    ],
    "factory.oci": ["factory.oci", "factory.records", "factory.errors"],
    "factory.lanes": [
        "factory.kept",
        "factory.lanes",
        "factory.oci",
        "factory.ports",
        "factory.records",
        "factory.errors",
        "factory.references",
        "factory.wording",
    ],
    "factory.locking": [
        "factory.locking",
        "factory.recipe",
        "factory.ports",
        "factory.records",
        "factory.errors",
        "factory.references",
        "factory.wording",
    ],
    "factory.attesting": [
        "factory.attesting",
        "factory.layering.tar_reading",
        "factory.layering.history",
        "factory.oci",
        "factory.ports",
        "factory.recipe",
        "factory.records",
        "factory.errors",
        "factory.references",
        "factory.wording",
    ],
    "factory.layering": [
        "factory.layering",
        "factory.telling",
        "factory.oci",
        "factory.pipeline",
        "factory.stages",
        "factory.sizing",
        "factory.ports",
        "factory.recipe",
        "factory.records",
        "factory.errors",
        "factory.references",
        "factory.wording",
    ],
    "factory.changes": [
        "factory.changes",
        "factory.pipeline",
        "factory.stages",
        "factory.sizing",
        "factory.ports",
        "factory.recipe",
        "factory.records",
        "factory.errors",
        "factory.wording",
    ],
    "factory.overseeing": [
        "factory.questions.in_thread",
        "factory.overseeing",
        "factory.overview",
        "factory.deploying",
        "factory.looking",
        "factory.live",
        "factory.ledger",
        "factory.pipeline",
        "factory.provisioning",
        "factory.stages",
        "factory.ports",
        "factory.account",
        "factory.errors",
        "factory.wording",
    ],
    "factory.looking": [
        "factory.kept",
        "factory.pipeline",
        "factory.ports",
        "factory.provisioning",
        "factory.sizing",
        "factory.records",
        "factory.references",
        "factory.errors",
    ],
    "factory.releasing": [
        "factory.settling",
        "factory.proving",
        "factory.restoring",
        "factory.deploying",
        "factory.pipeline",
        "factory.shipping",
        "factory.live",
        "factory.journal",
        "factory.provisioning",
        "factory.stages",
        "factory.recipe",
        "factory.records",
        "factory.account",
        "factory.errors",
        "factory.wording",
    ],
    "factory.settling": [
        "factory.questions.in_thread",
        "factory.references",
        "factory.__version__",
        "factory.journal",
        "factory.pipeline",
        "factory.provisioning",
        "factory.stages",
        "factory.ports",
        "factory.records",
        "factory.account",
        "factory.errors",
    ],
    "factory.mending": [
        "factory.telling",
        "factory.mending",
        "factory.proving",
        "factory.restoring",
        "factory.live",
        "factory.journal",
        "factory.provisioning",
        "factory.stages",
        "factory.recipe",
        "factory.ports",
        "factory.records",
        "factory.account",
        "factory.references",
        "factory.errors",
        "factory.wording",
    ],
    "factory.proving": [
        "factory.stages",
        "factory.recipe",
        "factory.ports",
        "factory.records",
        "factory.account",
        "factory.errors",
        "factory.wording",
    ],
    "factory.restoring": [
        "factory.journal",
        "factory.stages",
        "factory.ports",
        "factory.records",
        "factory.account",
    ],
    "factory.live": [
        "factory.telling",
        "factory.ledger",
        "factory.stages",
        "factory.ports",
        "factory.records",
        "factory.account",
        "factory.errors",
        "factory.wording",
    ],
    "factory.gathering": [
        "factory.volume.failures",
        "factory.questions",
        "factory.glimpses",
        "factory.deploying",
        "factory.looking",
        "factory.pipeline",
        "factory.live",
        "factory.journal",
        "factory.ledger",
        "factory.diagnosis",
        "factory.provisioning",
        "factory.stages",
        "factory.recipe",
        "factory.ports",
        "factory.records",
        "factory.account",
        "factory.errors",
    ],
    "factory.glimpses": [
        "factory.questions",
        "factory.live",
        "factory.diagnosis",
        "factory.account",
        "factory.errors",
    ],
    "factory.questions": ["factory.errors"],
    "factory.volume": [
        "factory.volume",
        "factory.ports",
        "factory.account",
        "factory.records",
        "factory.errors",
    ],
    "factory.kept": ["factory.ports", "factory.records"],
    "factory.once": ["factory.ports", "factory.records", "factory.references", "factory.errors"],
    "factory.wiring": [
        "factory.attesting.keys",
        "factory.journal",
        "factory.ledger",
        "factory.kept",
        "factory.once",
        "factory.looking",
        "factory.clients",
        "factory.settings",
        "factory.errors",
        "factory.records",
        "factory.recipe",
        "factory.pipeline.Machine",
        "factory.pipeline.Line",
        "factory.gathering",
        "factory.references",
        "factory.account",
        "factory.ports",
    ],
    "factory.lanes.top": ["factory.records"],
    "factory.stages": [
        "factory.lanes.top",
        "factory.ports",
        "factory.oci.digests",
        "factory.recipe",
        "factory.records",
        "factory.errors",
        "factory.references",
        "factory.catalogue",
        "factory.sizing",
        "factory.provisioning",
        "factory.account",
        "factory.wording",
    ],
    "factory.diagnosis": [
        "factory.diagnosis",
        "factory.provisioning",
        "factory.sizing",
        "factory.account",
        "factory.records",
        "factory.recipe",
        "factory.catalogue",
        "factory.references",
        "factory.wording",
    ],
    "factory.overview": [
        "factory.overview",
        "factory.provisioning",
        "factory.ledger.Entry",
        "factory.account",
        "factory.errors",
        "factory.wording",
    ],
    "factory.provisioning": [
        "factory.provisioning",
        "factory.account",
        "factory.records",
        "factory.errors",
        "factory.recipe",
        "factory.catalogue",
        "factory.references",
        "factory.wording",
    ],
    "factory.sizing": [
        "factory.sizing",
        "factory.records",
        "factory.errors",
        "factory.recipe",
        "factory.catalogue",
        "factory.wording",
    ],
    "factory.checks": ["factory.checks", "factory.recipe", "factory.records", "factory.catalogue", "factory.wording"],
    "factory.recipe": ["factory.recipe", "factory.errors"],
    "factory.clients": [
        "factory.clients",
        "factory.turns",
        "factory.__version__",
        "factory.account",
        "factory.oci",
        "factory.records",
        "factory.errors",
        "factory.owners",
        "factory.references",
        "factory.wording",
    ],
    "factory.emulator": ["factory.emulator", "factory.owners"],
    "factory.owners": [],
    "factory.ports": ["factory.records", "factory.account"],
    "factory.account": [],
    "factory.results": ["factory.errors"],
    "factory.telling": ["factory.records"],
    "factory.ledger": ["factory.account", "factory.errors"],
    "factory.journal": ["factory.account", "factory.records"],
    "factory.records": [],
    "factory.errors": [],
    "factory.wording": [],
    "factory.catalogue": [],
    "factory.references": ["factory.errors"],
    "factory.settings": ["factory.errors"],
    "factory": [],
    "worker_runtime": ["worker_runtime"],
}

# A library → the only places that may import it.
LIBRARIES = {
    "hyperscan": ["factory.attesting.leaks"],
    "cyclonedx": ["factory.attesting.components"],
    "packageurl": ["factory.attesting.components"],
    "cryptography": ["factory.attesting.keys"],
    "click": ["factory.cli", "factory.commands"],
    "rich": ["factory.commands"],
    "docker": ["factory.clients.docker_", "factory.emulator.runpod.launch_docker"],
    "huggingface_hub": ["factory.clients.huggingface", "worker_runtime.weights.hub"],
    "httpx": ["factory.clients"],
    "jinja2": ["factory.stages.render"],
    "yaml": ["factory.recipe"],
    "uv": ["factory.clients.uv"],
    "starlette": ["factory.emulator"],
    "uvicorn": ["factory.emulator"],
    "isal": ["factory.lanes.compressing"],
    "graphql": ["factory.emulator.runpod"],
    "jsonschema": ["factory.emulator.runpod"],
    "httpx_sse": ["factory.clients.runpod"],
    "stamina": ["factory.clients"],
    "runpod": ["worker_runtime.sdk"],
    "httpcore2": ["worker_runtime.download", "factory.clients.huggingface"],
    "boto3": ["factory.clients.volume_store", "worker_runtime.storage"],
    "botocore": ["factory.clients.volume_store", "worker_runtime.storage", "worker_runtime.storage_pin"],
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield the dotted name and the tree of every module of both packages."""
    for package in ("factory", "worker_runtime"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield name, ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports, absolutely; `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the map"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_below(name: str, prefix: str) -> bool:
    """Is a dotted name the prefix, or under it? (a prefix that ends in `_` names a family of files)"""
    return name == prefix or name.startswith(prefix if prefix.endswith("_") else prefix + ".")


MODULES = dict(modules())


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name: str) -> None:
    """Each module imports only what its layer may."""
    layer = max((prefix for prefix in LAYERS if is_below(name, prefix)), key=len)
    for target in imports(MODULES[name]):
        if target.split(".")[0] in ("factory", "worker_runtime"):
            allowed = [*LAYERS[layer], name]
            assert any(is_below(target, prefix) for prefix in allowed), f"{name} must not import {target}"


@pytest.mark.parametrize("name", MODULES)
def test_each_library_lives_in_one_place(name: str) -> None:
    """A library is imported only where the map says."""
    for target in imports(MODULES[name]):
        library = target.split(".")[0]
        if library in LIBRARIES:
            assert any(is_below(name, place) for place in LIBRARIES[library]), f"{name} must not import {library}"


@pytest.mark.parametrize("name", [n for n in MODULES if n.split(".")[0] == "factory" and n != "factory.settings"])
def test_only_settings_reads_the_environment(name: str) -> None:
    """`os.environ` and `os.getenv` appear in factory/settings.py alone."""
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv"):
            pytest.fail(f"{name} reads the environment at line {node.lineno}")


@pytest.mark.parametrize("command", [n for n in MODULES if n.startswith("factory.commands.")])
def test_commands_stay_thin(command: str) -> None:
    """The body of a click command has at most 15 lines."""
    for node in ast.walk(MODULES[command]):
        if isinstance(node, ast.FunctionDef) and any("command" in ast.unparse(d) for d in node.decorator_list):
            first = node.body[1] if len(node.body) > 1 else node.body[0]
            assert (node.end_lineno or 0) - first.lineno < 15, f"{command} does more than translate"


def test_help_needs_no_heavy_library() -> None:
    """`factory --help` imports click and nothing slow: that is what keeps it under 0.15 s."""
    import subprocess

    code = "import factory.cli, sys; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    slow = {"pydantic", "docker", "huggingface_hub", "httpx", "rich", "jinja2", "yaml", "boto3", "cryptography"}
    assert not slow & set(loaded)
