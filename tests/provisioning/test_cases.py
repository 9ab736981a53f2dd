"""The case table over the fake, over REST v2 and over GraphQL: planned, carried out, and planned again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from accounts import Account, boxed, fill, opened
from plan_case import Case
from plan_cases_foreign import FOREIGN
from plan_cases_own import OWN
from runpod_box import Emulated

from factory.errors import ProvisionError
from factory.provisioning.plan import Plan

CASES = (*OWN, *FOREIGN)
ROWS = [pytest.param(cloud, case, id=f"{cloud}: {case.name}") for case in CASES for cloud in case.clouds]


@pytest.fixture(scope="module")
def box() -> Iterator[Emulated]:
    """One emulated RunPod for the whole table."""
    with boxed() as emulated:
        yield emulated


def test_the_table_is_large_enough_and_has_each_case_once() -> None:
    """At least 40 cases, by different names; two of them at most are not for all clouds."""
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 40
    assert sum(len(case.clouds) < 3 for case in CASES) <= 2


@pytest.mark.parametrize(("cloud", "case"), ROWS)
def test_a_case_is_planned_and_carried_out(cloud: str, case: Case, box: Emulated) -> None:
    """The plan has the actions of its row; carrying it out gives its error, or an account that needs nothing more."""
    with opened(cloud, box) as account:
        account.make(case.exists, case.weights_gb)
        fill(account, case.exists, box)
        planned = account.plan(case)
        _compare(planned, case)
        if case.error:
            _is_refused(account, planned, case)
            return
        account.carry_out(planned, is_replacing=case.is_replacing)
        again = account.plan(case)
        assert {a.resource: a.kind for a in again.actions} == {a.resource: "unchanged" for a in planned.actions}
        assert not again.has_changes


def _compare(planned: Plan, case: Case) -> None:
    assert {action.resource: action.kind for action in planned.actions} == case.actions, planned.actions
    for resource, fields in case.fields.items():
        action = next(action for action in planned.actions if action.resource == resource)
        assert tuple(change.field for change in action.changes) == fields, action
    found = tuple(f"!{f.code}" if f.severity == "error" else f.code for f in planned.findings)
    assert found == case.findings, planned.findings


def _is_refused(account: Account, planned: Plan, case: Case) -> None:
    """It is refused with the error of the row, and nothing is made or changed."""
    before = _all(account)
    with pytest.raises(ProvisionError) as caught:
        account.carry_out(planned, is_replacing=case.is_replacing)
    assert caught.value.code == case.error
    assert caught.value.fix
    assert _all(account) == before


def _all(account: Account) -> tuple[object, ...]:
    cloud = account.cloud
    return cloud.volumes(), cloud.logins(), cloud.templates(), cloud.endpoints()
