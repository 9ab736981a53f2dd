"""The table of create_once.py, line by line, against an account that is a list of names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from factory.clients.runpod.create_once import CREATES, create_once
from factory.errors import (
    AmbiguousName,
    CloudDenied,
    CloudFailed,
    CloudGone,
    CloudRefused,
    CloudUnreachable,
    ProvisionError,
)

Step = Literal["ok", "lost", "made_then_lost", "made_late", "refused", "taken", "denied", "gone"]
SILENT = CloudUnreachable("no answer within 30 s")


@dataclass
class Account:
    """An account that plays one step per create, and counts what is asked of it."""

    steps: list[Step]
    looks_fail: bool = False
    volumes: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    creates: int = 0
    looks: int = 0
    slept_s: float = 0.0

    def send(self) -> str:
        """Create the volume, as the next step says."""
        step = self.steps[self.creates]
        self.creates += 1
        errors: dict[str, ProvisionError] = {
            "refused": CloudRefused("no quota"),
            "denied": CloudDenied("401"),
            "gone": CloudGone("410"),
        }
        if step in errors:
            raise errors[step]
        if step == "taken":
            self.volumes += self.late
            raise CloudRefused("the name is taken")
        if step == "made_late":
            self.late.append("v")
            raise SILENT
        if step in ("ok", "made_then_lost"):
            self.volumes += [*self.late, "v"]
            self.late = []
        if step != "ok":
            raise SILENT
        return "v"

    def find(self) -> str | None:
        """Look for the volume."""
        self.looks += 1
        if self.looks_fail:
            raise CloudFailed("503")
        if len(self.volumes) > 1:
            raise AmbiguousName("two volumes are called v")
        return self.volumes[0] if self.volumes else None

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept_s += seconds

    def create(self) -> str:
        """Create the volume once."""
        return create_once(self.send, self.find, 'volume "v"', sleep=self.sleep)


@pytest.mark.parametrize(
    ("steps", "creates", "looks"),
    [
        (["ok"], 1, 0),
        (["made_then_lost"], 1, 1),
        (["lost", "ok"], 2, 4),
        (["lost", "made_then_lost"], 2, 4),
        (["lost", "lost", "ok"], 3, 7),
        (["made_late", "taken"], 2, 4),
    ],
)
def test_exactly_one_exists_after_a_create(steps: list[Step], creates: int, looks: int) -> None:
    """However the answers are lost, one volume exists in the end, and no create went out that could be spared."""
    account = Account(steps)
    assert account.create() == "v"
    assert account.volumes == ["v"]
    assert (account.creates, account.looks) == (creates, looks)


@pytest.mark.parametrize(
    ("steps", "error"),
    [(["refused"], CloudRefused), (["denied"], CloudDenied), (["gone"], CloudGone), (["lost", "denied"], CloudDenied)],
)
def test_a_clear_no_is_not_asked_again(steps: list[Step], error: type[ProvisionError]) -> None:
    """A refusal made nothing: it is raised as it is."""
    account = Account(steps)
    with pytest.raises(error):
        account.create()
    assert account.creates == len(steps)


def test_a_refusal_of_the_second_create_stands_when_nothing_is_there() -> None:
    """A second create that is refused for another reason than the first's late success is an error."""
    with pytest.raises(CloudRefused, match="no quota"):
        Account(["lost", "refused"]).create()


def test_it_gives_up_after_the_last_create() -> None:
    """An account that never answers and never makes anything ends in the last error."""
    account = Account(["lost"] * CREATES)
    with pytest.raises(CloudUnreachable, match="no answer"):
        account.create()
    assert account.creates == CREATES


def test_nothing_is_made_again_when_it_cannot_be_looked_for() -> None:
    """Without a look there is no second create, and the message says that the thing may be there."""
    account = Account(["made_then_lost"], looks_fail=True)
    with pytest.raises(CloudFailed, match=r'volume "v" may have been made: its create failed \(no answer'):
        account.create()
    assert account.creates == 1


def test_a_first_create_that_came_through_late_is_found_out() -> None:
    """When both creates took effect it is said, not billed for in silence."""
    account = Account(["made_late", "ok"])
    with pytest.raises(AmbiguousName):
        account.create()


def test_it_waits_before_each_look() -> None:
    """RunPod gets time to finish a create that was cut off."""
    account = Account(["lost", "ok"])
    account.create()
    assert account.slept_s == pytest.approx(5.0)


def test_it_looks_even_when_it_need_not_wait() -> None:
    """Without pauses there is still one look before a second create."""
    account = Account(["made_then_lost"])
    assert create_once(account.send, account.find, 'volume "v"', pauses_s=()) == "v"
    assert (account.creates, account.looks) == (1, 1)
