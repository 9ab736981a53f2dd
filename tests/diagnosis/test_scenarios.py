"""From a broken endpoint to an answered job, by the commands that `factory diagnose` printed: every row for real.

Symptom → scenario → top finding → command: the rows are in tests/support/scenarios_*.py. Each runs over HTTP against an
emulated account with an image in a real registry and workers that are programs and truly end.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from release_bench import Workshop
from scenes import Scenario, Scene, stage

from factory.diagnosis.rules import MODULES

TABLES = sorted(path.stem for path in (Path(__file__).parent.parent / "support").glob("scenarios_*.py"))
SCENARIOS: list[Scenario] = [row for table in TABLES for row in importlib.import_module(table).SCENARIOS]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """The account, the registry and the hub that all scenes share."""
    with stage(tmp_path_factory.mktemp("stage")) as opened:
        yield opened


@pytest.mark.parametrize("scenario", [pytest.param(row, id=str(row)) for row in SCENARIOS])
def test_the_printed_command_mends_it(scenario: Scenario, place: Workshop, tmp_path: Path) -> None:
    """The top finding names rule and command; once the command ran, the endpoint answers a job."""
    scene = Scene.open(place, tmp_path, verb=scenario.verb, **scenario.blocks)
    scenario.begin(scene)
    found = scene.diagnose(*scenario.words)
    top = found.top
    assert (top["rule"], top["severity"], top["command"]) == (scenario.rule, scenario.severity, scenario.command), found
    assert scenario.says in f"{top['seen']}; {top['cause']}"
    assert top["edit"].startswith(scenario.edit) and bool(top["edit"]) == bool(scenario.edit), top
    assert found.code == {"error": 100, "warning": 101, "note": 0}[scenario.severity]
    scenario.prepare(scene)
    if scenario.is_mended:
        scene.mend(top)
    scene.answered()


def test_every_rule_has_a_scenario() -> None:
    """Whatever `diagnose` can find was found for real, as the worst of what there was."""
    rules = {module.__name__.rpartition(".")[2] for module in MODULES}
    assert rules == {scenario.rule for scenario in SCENARIOS}
