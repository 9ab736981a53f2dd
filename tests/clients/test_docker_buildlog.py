"""What either builder says, told on as steps, lines and bytes; and how a failure reads."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import pytest

from factory.clients.docker_buildlog import BuildLog, pull_progress
from factory.errors import BuildError, EngineDiskFull, StepFailed
from factory.records import BuildOptions, Progress

MOUNT = "--mount=type=bind,source=.machine,target=/run/machine . /run/machine/env &&"


def field(number: int, value: int | bytes) -> bytes:
    """Encode a protobuf field of less than 128 bytes."""
    return bytes([number << 3, value]) if isinstance(value, int) else bytes([number << 3 | 2, len(value)]) + value


def trace(*fields: bytes) -> dict[str, object]:
    """Make one of BuildKit's messages."""
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(b"".join(fields)).decode()}


def vertex(key: str, name: str, **more: int | str) -> bytes:
    """Encode a vertex; `started` and `completed` are seconds."""
    body = field(1, key.encode()) + field(3, name.encode())
    for name_, number in (("cached", 4), ("started", 5), ("completed", 6), ("error", 7)):
        value = more.get(name_)
        if isinstance(value, str):
            body += field(number, value.encode())
        elif value is not None:
            body += field(number, value if name_ == "cached" else field(1, value))
    return field(1, body)


def printed(key: str, text: str) -> bytes:
    """Encode what a vertex printed."""
    return field(3, field(1, key.encode()) + field(4, text.encode()))


def read(messages: Sequence[Mapping[str, object]]) -> tuple[BuildLog, list[Progress]]:
    """Read messages; return the log and what it told."""
    told: list[Progress] = []
    log = BuildLog("demo", BuildOptions(), told.append)
    for message in messages:
        log.read(message)
    return log, told


def test_buildkit_steps_and_lines() -> None:
    """Steps are told as they start and end, with seconds; lines are joined where the engine cut them."""
    run = f"[2/3] RUN {MOUNT} x"
    log, told = read(
        [
            trace(vertex("i", "[internal] load build definition", started=1, completed=2)),
            trace(vertex("a", "[1/3] FROM base", cached=1, started=1, completed=1), vertex("b", run)),
            trace(vertex("b", run, started=2)),
            trace(printed("b", "one li"), printed("b", "ne\n10%\r100%\n\x1b[31mred\x1b[0m\npart")),
            trace(vertex("b", run, started=2, completed=5)),
            {"id": "moby.image.id", "aux": {"ID": "sha256:abc"}},
        ]
    )
    assert [(p.kind, p.state, p.text) for p in told] == [
        ("step", "cached", "1/3 FROM base"),
        ("step", "started", "2/3 RUN x"),
        ("log", "running", "one line"),
        ("log", "running", "100%"),
        ("log", "running", "red"),
        ("log", "running", "part"),
        ("step", "done", "2/3 RUN x (3.0 s)"),
    ]
    assert (log.image_id, log.error) == ("sha256:abc", None)


def test_buildkit_failure_of_many_steps() -> None:
    """From ten steps on BuildKit aligns their numbers: a failed one is still told by its own."""
    log, _ = read(
        [
            trace(vertex("b", "[stage-0  3/12] RUN make", started=1, completed=2, error="failed: exit code: 2")),
            {"error": "executor failed running [/bin/sh -c make]: exit code: 2"},
        ]
    )
    assert log.failure().where == "demo, step 3/12"


def test_buildkit_failure() -> None:
    """The failed step, its command and its last lines are told; a step cancelled beside it is not the culprit."""
    lines = "".join(f"line {n}\n" for n in range(3))
    log, told = read(
        [
            trace(vertex("a", "[2/9] RUN beside", started=1, completed=2, error="context canceled")),
            trace(vertex("b", "[stage-1 3/9] RUN make", started=1)),
            trace(printed("b", lines)),
            trace(printed("b", "error: https://ada:secret@host/x is bad\n")),
            trace(vertex("b", "[stage-1 3/9] RUN make", started=1, completed=2, error="failed: exit code: 2")),
            {"error": "executor failed running [/bin/sh -c make]: exit code: 2"},
        ]
    )
    failure = log.failure()
    assert isinstance(failure, StepFailed)
    assert str(failure) == ("demo, step 3/9: `RUN make` failed with exit code 2: error: https://***@host/x is bad")
    assert failure.details["lines"] == ["line 0", "line 1", "line 2", "error: https://***@host/x is bad"]
    assert told[-1].state == "failed" and "secret" not in repr(told)


CLASSIC = [
    {"stream": "Step 1/2 : FROM base"},
    {"stream": "\n"},
    {"stream": " ---> ff4336135cb3\n"},
    {"stream": f"Step 2/2 : RUN {MOUNT} apt-get install -y x"},
    {"stream": "\n"},
    {"stream": " ---> Running in 470d7f958e80\n"},
    {"stream": "E: Unable to locate package x\n"},
]


def test_classic_failure() -> None:
    """The classic builder's words give the same; its containers and layers are remembered for tidying up."""
    error = "The command '/bin/sh -c apt-get install -y x' returned a non-zero code: 100"
    log, told = read([*CLASSIC, {"errorDetail": {"code": 100, "message": error}, "error": error}])
    assert [(p.kind, p.state, p.text) for p in told] == [
        ("step", "started", "1/2 FROM base"),
        ("step", "done", "1/2 FROM base"),
        ("step", "started", "2/2 RUN apt-get install -y x"),
        ("log", "running", "E: Unable to locate package x"),
        ("step", "failed", "2/2 RUN apt-get install -y x"),
    ]
    assert (log.layers, log.containers) == (["ff4336135cb3"], ["470d7f958e80"])
    assert "exit code 100: the distribution has no package x" in str(log.failure())


def test_classic_cache_and_end() -> None:
    """`Using cache` is a cached step; the closing talk is no line of the step."""
    log, told = read(
        [
            {"stream": "Step 1/1 : COPY a /a"},
            {"stream": " ---> Using cache\n"},
            {"stream": " ---> 4090d7800ef5\n"},
            {"aux": {"ID": "sha256:4090"}},
            {"stream": "Successfully built 4090d7800ef5\n"},
        ]
    )
    assert [p.state for p in told] == ["started", "cached"]
    assert log.image_id == "sha256:4090"


@pytest.mark.parametrize(
    ("messages", "kind", "says"),
    [
        ([{"error": "write /var/lib/docker/x: no space left on device"}], EngineDiskFull, "disk is full"),
        ([*CLASSIC, {"stream": "No space left on device\n"}, {"error": "code: 1"}], EngineDiskFull, "disk is full"),
        (
            [{"error": "failed to solve: dockerfile parse error on line 3: unknown instruction: RUM"}],
            BuildError,
            r"can't be read \(line 3: unknown instruction: RUM\)",
        ),
        ([{"error": "something else"}], BuildError, r"refuses \(something else\)"),
        ([], BuildError, "without a word"),
    ],
)
def test_failures_that_are_no_step(messages: list[dict[str, object]], kind: type[BuildError], says: str) -> None:
    """A full disk is the engine's, wherever it shows; a Dockerfile that can't be read names its line."""
    log, _ = read(messages)
    with pytest.raises(kind, match=says):
        raise log.failure()


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            {"status": "Pushing", "id": "a", "progressDetail": {"current": 12, "total": 10}},
            Progress("bytes", "a", "Pushing", "running", 10, 10),
        ),
        (
            {"status": "Pushing", "id": "a", "progressDetail": {"total": 95}},  # containerd image store, docker 26.1
            Progress("bytes", "a", "Pushing", "running", 0, 95),
        ),
        ({"status": "Pushed", "id": "a", "progressDetail": {}}, Progress("bytes", "a", "Pushed", "done")),
        ({"status": "Layer already exists", "id": "a"}, Progress("bytes", "a", "Layer already exists", "cached")),
        ({"status": "Mounted from x/y", "id": "a"}, Progress("bytes", "a", "Mounted from x/y", "cached")),
        ({"status": "The push refers to …"}, Progress("log", "", "The push refers to …")),
        ({"status": "Waiting", "id": "a", "progressDetail": None}, Progress("log", "a", "Waiting")),
    ],
)
def test_layers(message: dict[str, object], told: Progress) -> None:
    """A layer's progress never passes its total, and one that needed no bytes is cached."""
    assert pull_progress(message) == told
