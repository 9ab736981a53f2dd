"""Lines of an image's history in human words."""

from __future__ import annotations

import pytest
from layered import FIRST, PIP

from factory.layering.history import steps_of

MACHINE = "RUN /bin/sh -c . /run/machine/env && export DEBIAN_FRONTEND=noninteractive"


def one(line: str) -> tuple[str, str]:
    """Return the name and words of the layer above our first step that this line made."""
    config = {"rootfs": {"diff_ids": ["a", "b"]}, "history": [{"created_by": FIRST}, {"created_by": line}]}
    step = steps_of(config)[1]
    return step.name, step.text


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        (PIP, "pip", "Python packages of the recipe"),
        (
            f"{MACHINE} && packages='ffmpeg git' && apt-get install -- $packages # buildkit",
            "apt",
            "Debian packages: ffmpeg git",
        ),
        (f"{MACHINE} && packages=ffmpeg && apt-get install", "apt", "Debian packages: ffmpeg"),
        (f"{MACHINE} && packages='' && apt-get install", "apt", "Debian packages: none but a missing venv"),
        (
            "RUN /bin/sh -c python -m venv /opt/venv && pip install -r /opt/requirements/runtime.txt",
            "runtime",
            "the worker's packages",
        ),
        ("RUN /bin/sh -c install.py recipe.txt --constraint runtime.txt", "pip", "Python packages of the recipe"),
        ("RUN /bin/sh -c install.py runtime.txt --locked runtime.lock.txt", "runtime", "the worker's packages"),
        ("RUN /bin/sh -ec . /run/machine/env; make all # buildkit", "step 1", "make all"),
        ("COPY /source/ /opt/src/Wan2.1/ # buildkit", "sources", "source: Wan2.1"),
        ("COPY models/flux/ /models/flux/ # buildkit", "weights", "weights: flux"),
        ("COPY recipe.json handler.py /app/ # buildkit", "code", "code: recipe.json handler.py"),
        ("/bin/sh -c #(nop) COPY dir:12ab in /app/worker_runtime/ ", "code", "code: dir:12ab in"),
        ("/bin/sh -c make", "other", "make"),
        ("", "other", "no word of it"),
    ],
)
def test_a_line_of_the_template(line: str, name: str, text: str) -> None:
    """What the template writes is known again, by BuildKit and by the classic builder; the rest is told as it is."""
    assert one(line) == (name, text)


def test_steps_are_counted_and_the_base_lies_below() -> None:
    """A recipe's steps have numbers from 1; what lies below our first step is the base."""
    step = "RUN /bin/sh -ec . /run/machine/env; "
    lines = ["ADD debian", "RUN apt-get install x", FIRST, f"{step}one", f"{step}two"]
    config = {"rootfs": {"diff_ids": list("abcde")}, "history": [{"created_by": line} for line in lines]}
    assert [each.name for each in steps_of(config)] == ["base", "base", "other", "step 1", "step 2"]


def test_a_lost_history_is_told() -> None:
    """An image with fewer lines than layers (a squashed or foreign one) has a step for each layer all the same."""
    assert [step.text for step in steps_of({"rootfs": {"diff_ids": ["a", "b"]}})] == ["its history is lost"] * 2
