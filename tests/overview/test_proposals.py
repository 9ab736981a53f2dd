"""What would mend an account: from what is held to the commands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factory.account import Balance, Endpoint, EndpointSpec, Health, Pod, Template, TemplateSpec, Volume
from factory.overview.audit import audit
from factory.overview.holdings import Drift, Holdings
from factory.overview.proposals import proposals

SPEC = EndpointSpec("demo", "org/demo:1", 20, pools=("ADA_24",), workers_max=3, volume_ids=("vol",))
ENDPOINT = Endpoint("ep", SPEC, is_queue=True)
ASLEEP = Health({"completed": 0, "inQueue": 0}, {"idle": 0})
HELD = Holdings(
    Balance(10.0, 0.5, worker_quota=10),
    gpus=(),
    pods=(),
    volumes=(Volume("vol", "demo", "EU-RO-1", 100),),
    templates=(Template("t", TemplateSpec("demo", "org/demo:1", 20), is_serverless=True),),
    endpoints=(ENDPOINT,),
    billed={"ep": 1.0},
    health={"ep": ASLEEP},
)
ALWAYS_ON = replace(ENDPOINT, spec=replace(SPEC, workers_min=1))


def commands(held: Holdings) -> list[str]:
    """What is proposed, without the key."""
    return [one.command.split(" -H ")[0] for one in proposals(audit(held), "https://api.runpod.io")]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (HELD, []),
        (Holdings(), []),
        (
            replace(HELD, pods=(Pod("p", "old", True, 0.7), Pod("q", "stopped", False, 0.0))),
            ["curl -fsS -X POST https://api.runpod.io/v2/pods/p/action"],
        ),
        (
            replace(HELD, endpoints=()),
            [
                "curl -fsS -X DELETE https://api.runpod.io/v2/network-volumes/vol",
                "curl -fsS -X DELETE https://api.runpod.io/v2/templates/t",
            ],
        ),
        (replace(HELD, endpoints=(), templates=(), kept_volumes={"demo": "r/demo.yaml"}), []),
        (replace(HELD, endpoints=(), templates=(), pods=(Pod("p", "x", False, 0.0, volume_ids=("vol",)),)), []),
        (replace(HELD, endpoints=(), templates=(), pods=None), []),
        (replace(HELD, endpoints=(ALWAYS_ON,)), ["curl -fsS -X PATCH https://api.runpod.io/v2/serverless/ep"]),
        (
            replace(HELD, endpoints=(ALWAYS_ON,), drifts={"demo": Drift("my recipes/demo.yaml", "same")}),
            ["factory provision 'my recipes/demo.yaml'"],
        ),
        (replace(HELD, drifts={"demo": Drift("a.yaml", "changed", "x", "release")}), ["factory release a.yaml"]),
        (replace(HELD, drifts={"demo": Drift("a.yaml", "blocked", "x")}), ["factory plan a.yaml"]),
        (replace(HELD, drifts={"demo": Drift("a.yaml", "unknown", "x")}), []),
        (replace(HELD, billed={}), []),  # idle, and in nobody's way
        (
            replace(HELD, billed={}, balance=Balance(10.0, 0.0, worker_quota=3)),
            ["curl -fsS -X DELETE https://api.runpod.io/v2/serverless/ep"],
        ),
        (
            replace(
                HELD, billed={}, balance=Balance(9.0, 0.0, worker_quota=3), drifts={"demo": Drift("a.yaml", "same")}
            ),
            ["factory destroy a.yaml"],
        ),
        (replace(HELD, billed=None, balance=Balance(10.0, 0.0, worker_quota=3)), []),
    ],
)
def test_what_is_proposed(held: Holdings, expected: list[str]) -> None:
    """Each leak has its command; what isn't known to be one has none."""
    assert commands(held) == expected


def test_days_left_and_quota() -> None:
    """10 dollars at 50 cents an hour; the sum of workers max."""
    seen = audit(HELD)
    assert (seen.days_left, seen.quota_used, seen.quota) == (0.8, 3, 10)


def test_graphql_knows_whose_template_it_is() -> None:
    """With a link the name and content don't matter; without one they do."""
    linked = replace(ENDPOINT, template_id="other")
    assert [t.is_orphan for t in audit(replace(HELD, endpoints=(linked,))).templates or ()] == [True]
    assert [t.endpoints for t in audit(HELD).templates or ()] == [("demo",)]
