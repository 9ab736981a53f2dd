"""Who is still there: the processes that things belong to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from factory import owners

NODE, BOOT, PID, BEGAN = owners.me().split("/")


def test_this_process_is_there() -> None:
    """Nobody removes what is one's own."""
    assert not owners.is_gone(owners.me())


def test_an_ended_process_is_gone() -> None:
    """Its id may be taken again some day: when it began tells the two apart."""
    code = "from factory import owners; print(owners.me(), end='')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert owners.is_gone(ended)


@pytest.mark.parametrize(
    ("owner", "is_gone"),
    [
        (f"{NODE}/{BOOT}/{PID}/{BEGAN}1", True),  # another process had the id
        (f"{NODE}/another-boot/{PID}/{BEGAN}", True),  # the machine was started again
        (f"another-machine/{BOOT}/{PID}/1", False),
        (f"{NODE}/{BOOT}/x/1", False),
        ("", False),
        ("a/b", False),
    ],
    ids=["id taken again", "rebooted", "elsewhere", "no id", "empty", "too short"],
)
def test_others(owner: str, is_gone: bool) -> None:
    """Of another machine nothing is known, and what can't be read is left alone."""
    assert owners.is_gone(owner) is is_gone
