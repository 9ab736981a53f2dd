"""A Dockerfile's end is read only where every word is certain, and means what Docker makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.lanes.top import Copy, Say, cut
from factory.records import ContextFile
from factory.stages.render import quoted


def file(path: str, content: bytes | None = b"x") -> ContextFile:
    """Return a file of a context."""
    return ContextFile(path, 0o644, "sha256:" + "0" * 64, 1, content)


FILES = (
    file("Dockerfile"),
    file(".machine/env"),
    file("handler.py"),
    file("install.py"),
    file("models/m/a.bin", None),
    file("models/m/in/b.bin", None),
    file("recipe.json"),
    file("worker_runtime/a.py"),
    file("worker_runtime/in/b.py"),
)
BELOW = "FROM base\nRUN --mount=type=bind,source=.machine,target=/run/machine . /run/machine/env && true\n"
TEXTS = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs", "Cc", "Zl", "Zp"]))


@given(TEXTS)
def test_a_quoted_value_is_read_as_it_was(value: str) -> None:
    """Whatever `quoted` writes into LABEL and ENV comes back."""
    found = cut(f"{BELOW}LABEL a.b={quoted(value)}\nENV A={quoted(value)}\n", FILES)
    assert found is not None
    assert [step.pairs for step in found.top.steps if isinstance(step, Say)] == [(("a.b", value),), (("A", value),)]


def test_a_whole_top_is_read_in_order() -> None:
    """COPY, LABEL, ENV, ENTRYPOINT and CMD are the top; the environment needs what its mounts and COPYs name."""
    below = BELOW + "COPY install.py /opt/requirements/\nWORKDIR /app\n"
    top = (
        "COPY models/m/ /models/m/\nCOPY worker_runtime/ /app/worker_runtime/\nCOPY recipe.json handler.py /app/\n"
        '# said\nLABEL a="b c" \\\n  d=e\nENV A="x"\nENTRYPOINT []\nCMD ["python", "-u"]\n'
    )
    found = cut(below + top, FILES)
    assert found is not None and found.text == below
    assert [each.path for each in found.needs] == [".machine/env", "install.py"]
    weights, runtime, code, labels, env, entrypoint, command = found.top.steps
    assert isinstance(weights, Copy) and weights.weights == "m"
    assert isinstance(runtime, Copy)
    assert [path for path, _ in runtime.files] == ["app/worker_runtime/a.py", "app/worker_runtime/in/b.py"]
    assert isinstance(code, Copy) and code.created_by == "COPY recipe.json handler.py /app/ # buildkit"
    assert isinstance(labels, Say) and labels.pairs == (("a", "b c"), ("d", "e"))
    assert isinstance(env, Say) and isinstance(entrypoint, Say) and entrypoint.words == ()
    assert isinstance(command, Say) and command.created_by == 'CMD ["python" "-u"]'


@pytest.mark.parametrize(
    "line",
    [
        "COPY --chown=1:1 recipe.json /app/",
        "COPY --from=git /x /app/",
        "COPY recipe.json /usr/lib/",
        "COPY recipe.json /app/other",
        "COPY recipe.json /app/../lib/",
        "COPY *.json /app/",
        "COPY . /app/",
        "COPY missing /app/",
        "COPY models/m/ /models/other/",
        "ENV A=$B",
        'ENV A="$B"',
        "ENV A b",
        'LABEL a="\\n"',
        "CMD python",
        "ENTRYPOINT [1]",
        "USER nobody",
        "WORKDIR /app",
        "RUN true",
    ],
)
def test_what_is_not_certain_is_no_top(line: str) -> None:
    """An instruction that may mean more stays in the environment, with all below it, or nothing is cut at all."""
    above = 'CMD ["a"]\n'
    found = cut(f"{BELOW}ENV A=b\n{line}\n{above}", FILES)
    assert found is None or found.text == f"{BELOW}ENV A=b\n{line}\n"


@pytest.mark.parametrize(
    "below",
    [
        "# escape=`\nFROM base\n",
        "FROM base\nCOPY . /x/\n",
        "FROM base\nCOPY models/ /x/\n",
        "FROM base\nADD $A /x/\n",
        'FROM base\nCOPY ["handler.py", "/x/"]\n',
        "FROM base\nRUN --mount=type=bind,target=/x true\n",
        "FROM base\nRUN <<E\ntrue\nE\n",
        "FROM base\nONBUILD COPY handler.py /x/\n",
        "",
    ],
)
def test_a_part_below_that_may_read_anything_gives_no_environment(below: str) -> None:
    """Where the files that it needs aren't certain, nothing is cut."""
    assert cut(below + 'ENV A="b"\n', FILES) is None


def test_a_command_of_the_part_below_is_known() -> None:
    """ENTRYPOINT forgets the base's CMD, not one of the same Dockerfile's last stage."""
    own = cut(BELOW + 'CMD ["x"]\nRUN true\nENTRYPOINT ["a"]\n', FILES)
    other = cut('FROM a AS b\nCMD ["x"]\n' + BELOW + 'ENTRYPOINT ["a"]\n', FILES)
    assert own and own.top.is_command_set
    assert other and not other.top.is_command_set
