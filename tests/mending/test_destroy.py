"""What would be removed, what it no longer costs, and what is refused: accounts in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_cloud import FakeCloud

from factory.account import EndpointSpec, TemplateSpec
from factory.errors import AmbiguousName
from factory.journal import Journal
from factory.mending.destroy import destroy, survey
from factory.records import tell_nobody

SPEC = EndpointSpec("demo", "demo:1", 20, pools=("ADA_24",), data_centers=("EU-RO-1",))


@pytest.fixture
def cloud() -> FakeCloud:
    """An account with an endpoint on a volume."""
    cloud = FakeCloud()
    volume = cloud.create_volume("data", "EU-RO-1", 1500)
    template = cloud.create_template(TemplateSpec("demo", "demo:1", 20))
    cloud.create_endpoint(replace(SPEC, volume_ids=(volume.id,), workers_min=2), template)
    return cloud


def test_the_money_is_added_up(cloud: FakeCloud) -> None:
    """Always-on workers with their disks, and 1,000 GB at $0.07 and 500 GB at $0.05."""
    doomed = survey("demo", cloud, volume_name="data")
    assert doomed.costs is not None and doomed.costs.always_on_usd_per_month
    assert doomed.usd_per_month == round(doomed.costs.always_on_usd_per_month + 95.0, 2)
    text = "\n".join(doomed.lines)
    assert "(2 always on)" in text and "all that lies on it: stops costing $95.00 a month" in text
    kept = survey("demo", cloud)
    assert kept.volume is None and kept.usd_per_month == doomed.costs.always_on_usd_per_month
    assert "kept: volume data" in kept.lines[-1] and "$95.00 a month" in kept.lines[-1]


def test_it_goes_in_an_order_that_runpod_allows(cloud: FakeCloud, tmp_path: Path) -> None:
    """What uses goes before what is used; the journal owes nothing afterwards, and keeps its history."""
    journal = Journal.read(tmp_path, "demo")
    journal.memory.pending, journal.memory.tested = "update", "mark"
    destroy(survey("demo", cloud, volume_name="data"), cloud, journal, tell_nobody)
    assert [call for call in cloud.changes() if call.startswith("delete")] == [
        "delete_endpoint demo",
        "delete_template demo",
        "delete_volume data",
    ]
    memory = Journal.read(tmp_path, "demo").memory
    assert (memory.pending, memory.tested) == ("", "")
    assert survey("demo", cloud, volume_name="data").is_nothing


def test_a_template_that_another_endpoint_is_linked_to_stays(cloud: FakeCloud, tmp_path: Path) -> None:
    """Over GraphQL endpoints may share one."""
    (template,) = cloud.held_templates.values()
    cloud.create_endpoint(replace(SPEC, name="other"), template)
    doomed = survey("demo", cloud)
    assert doomed.endpoint is not None and doomed.template is None
    destroy(doomed, cloud, Journal.read(tmp_path, "demo"), tell_nobody)
    assert [e.spec.name for e in cloud.held_endpoints.values()] == ["other"] and cloud.held_templates


def test_of_two_of_one_name_none_goes(cloud: FakeCloud) -> None:
    """Their ids are said."""
    (template,) = cloud.held_templates.values()
    cloud.create_endpoint(SPEC, template)
    with pytest.raises(AmbiguousName, match=r"2 endpoints have the name demo \(ep3, ep4\)"):
        survey("demo", cloud)
    cloud.create_volume("data", "US-KS-2", 10)
    with pytest.raises(AmbiguousName):
        survey("other", cloud, volume_name="data")
