"""The docs say what the code does: every command, setting and exit code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    """The generator, as `make docs` runs it."""
    spec = importlib.util.spec_from_file_location("docs", ROOT / "scripts" / "docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_page_is_the_help(docs: ModuleType) -> None:
    """docs/commands.md is what the help says today; `make docs` mends it."""
    assert (ROOT / "docs/commands.md").read_text() == docs.commands_page()


def test_errors_page_lists_every_exit_code(docs: ModuleType) -> None:
    """docs/errors.md has each error class; `make docs` mends it."""
    assert (ROOT / "docs/errors.md").read_text() == docs.errors_page()


def test_troubleshooting_page_is_what_the_rules_say(docs: ModuleType) -> None:
    """docs/troubleshooting.md has symptom, cause and command of every rule; `make docs` mends it."""
    assert (ROOT / "docs/troubleshooting.md").read_text() == docs.troubleshooting_page()


def test_exit_codes_are_unique_and_in_their_stage_decade(docs: ModuleType) -> None:
    """No two errors share an exit code, and a class lies in its parent's decade."""
    classes = list(docs.error_classes())
    codes = [c.exit_code for c in classes]
    assert len(codes) == len(set(codes))
    assert len({c.code for c in classes}) == len(classes)
    for kind in classes:
        parent = kind.__mro__[1]
        if parent.exit_code >= 10:
            assert kind.exit_code // 10 == parent.exit_code // 10


def test_the_tree_at_the_top_of_errors_is_complete(docs: ModuleType) -> None:
    """The drawing in factory/errors.py names every class with its exit code."""
    from factory import errors

    drawing = errors.__doc__ or ""
    for kind in docs.error_classes():
        name = {"SettingsError": "Settings"}.get(kind.__name__, kind.__name__)
        assert re.search(rf"\b{name}\b(?: \([^)]*\))? {kind.exit_code}\b", drawing), kind.__name__


def test_every_setting_is_documented() -> None:
    """Each variable that factory/settings.py reads stands in its docstring (and so in docs/commands.md)."""
    from factory import settings

    source = (ROOT / "factory/settings.py").read_text().split('"""', 2)[2]
    for variable in set(re.findall(r'"((?:FACTORY|HF|DOCKER|DOCKERHUB)_[A-Z_]+)"', source)):
        assert variable in (settings.__doc__ or ""), variable


def test_links_between_docs_lead_somewhere() -> None:
    """Every relative link of the README and the docs names a file that exists."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
