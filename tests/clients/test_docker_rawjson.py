"""`clients/docker_rawjson.py`: what buildx prints, whole, cut and broken."""

from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from factory.clients.docker_buildkit import Log, Status, Trace, Vertex
from factory.clients.docker_rawjson import read_rawjson

STATUS = {
    "vertexes": [
        {
            "digest": "sha256:1",
            "name": "[2/3] RUN true",
            "started": "2026-11-25T08:40:18.044852936Z",
            "completed": "2026-11-25T08:40:19.5Z",
            "error": "exit code: 1",
        },
        {"digest": "sha256:2", "name": "[1/3] FROM base", "cached": True},
    ],
    "statuses": [{"id": "extracting", "vertex": "sha256:2", "current": 3, "total": 7}],
    "logs": [{"vertex": "sha256:1", "stream": 1, "data": base64.b64encode("hällo\n".encode()).decode()}],
}
EXPECTED = Trace(
    (
        Vertex("sha256:1", "[2/3] RUN true", False, 1795596018.044852, 1795596019.5, "exit code: 1"),
        Vertex("sha256:2", "[1/3] FROM base", True, None, None, ""),
    ),
    (Status("extracting", "sha256:2", 3, 7),),
    (Log("sha256:1", "hällo\n"),),
)


def test_objects_on_one_line_and_on_several() -> None:
    """Both forms that buildx has had are read, and words between them are kept."""
    lines = ["#0 building", json.dumps(STATUS), *json.dumps(STATUS, indent=2).split("\n"), "", "ERROR: failed to solve"]
    assert list(read_rawjson(f"{line}\n" for line in lines)) == [
        "#0 building",
        EXPECTED,
        EXPECTED,
        "ERROR: failed to solve",
    ]


def test_a_stream_that_is_cut() -> None:
    """What is no whole object comes out as words: nothing is lost of what may say why."""
    assert list(read_rawjson(["{", '  "vertexes": [', "ERROR: gone"])) == ["{", '  "vertexes": [', "ERROR: gone"]
    assert list(read_rawjson(["{", " nonsense", "}", "{}"])) == ["{", " nonsense", "}", Trace()]


@given(st.lists(st.text(alphabet='{}[]":,aä1 \n', max_size=40), max_size=20))
def test_junk_never_raises(lines: list[str]) -> None:
    """Whatever comes, it is a trace or words."""
    assert all(isinstance(found, Trace | str) for found in read_rawjson(lines))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_fields_of_other_kinds_are_left_out(value: object) -> None:
    """A field of another kind than it should be is as if it weren't there."""
    found = list(
        read_rawjson([json.dumps({"vertexes": value, "statuses": [{"id": value}], "logs": [{"data": value}]})])
    )
    assert len(found) == 1 and isinstance(found[0], Trace)
