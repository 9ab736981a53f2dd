"""The `command` handler with real programs."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from worker_app import SeenLog

from worker_runtime.errors import (
    CommandFailed,
    CommandTimeout,
    InputInvalid,
    OptionsInvalid,
    OutputTooLarge,
)
from worker_runtime.handlers.command import Handler
from worker_runtime.handlers.command_options import Options, fill, placeholders

# Prints its arguments, and does what --do says.
PROGRAM = """
import json, os, pathlib, sys, time
out = pathlib.Path(sys.argv[1])
do = sys.argv[2]
(out / "seen.json").write_text(json.dumps({"argv": sys.argv[3:], "cwd": os.getcwd(), "word": os.environ.get("WORD")}))
if do == "progress":
    for i in (10, 10, 55, 100):
        sys.stderr.write(f"\\rstep {i}%|###|")
        sys.stderr.flush()
elif do == "fail":
    print("on the way", flush=True)
    sys.stderr.write("line one\\nCUDA error: out of luck\\n")
    sys.exit(7)
elif do == "abort":
    os.abort()
elif do == "sleep":
    if os.fork() == 0:
        pathlib.Path(sys.argv[3]).write_text(str(os.getpid()))
        time.sleep(600)
    time.sleep(600)
elif do == "big":
    (out / "big.bin").write_bytes(b"x" * 2000)
elif do == "nothing":
    (out / "seen.json").unlink()
elif do == "outside":
    (out / "link.json").symlink_to("/etc/hostname")
elif do == "folders":
    (out / "a" / "b").mkdir(parents=True)
    (out / "a" / "b" / "video.mp4").write_bytes(b"mp4")
"""


class Media:
    """A reader of media that takes the text for the content."""

    def read(self, media: str) -> bytes:
        """Return the text's bytes."""
        return media.encode()


@pytest.fixture
def program(tmp_path: Path) -> str:
    """The program's path."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


@pytest.fixture
def jobs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the jobs' folders are made."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def handler(program: str, log: SeenLog, *arguments: Any, do: str = "{do}", **options: Any) -> Handler:
    """Return a handler that runs the program."""
    inputs = options.pop("inputs", {})
    made = Handler(
        options={
            "argv": [sys.executable, program, "{out_dir}", do, *arguments],
            "inputs": {"do": {"default": "echo"}, **inputs},
            **options,
        },
        models={"wan": Path("/w"), "extra": Path("/x")},
        media=Media(),  # type: ignore[arg-type]
        progress=lambda text: log.tell("progress", text=text),
    )
    made.load(Path("/w"))
    return made


def run(made: Handler, **job_input: Any) -> dict[str, Any]:
    """Run one job, as the adapter does, and return its output."""
    return made(made.Input.model_validate(job_input))


def seen(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what the program saw."""
    import json

    content = next(file["base64"] for file in answer["files"] if file["name"] == "seen.json")
    found: dict[str, Any] = json.loads(base64.b64decode(content))
    return found


def test_arguments_folders_and_environment(program: str, log: SeenLog, jobs_folder: Path) -> None:
    """Inputs and folders reach the program, one argument each, whatever is in them; the job's folder is removed."""
    made = handler(
        program, log, "--prompt={prompt}", "--ckpt", "{models.extra}", "{model_dir}", "{n}", "{{x}}", "{on}",
        inputs={"prompt": {}, "n": {"type": "integer", "default": 3}, "on": {"type": "boolean", "default": True}},
        env={"WORD": "w-{n}"},
    )  # fmt: skip
    prompt = "a 'cat' $(rm -rf /) ; \"x\" \n --flag 你好"
    found = seen(run(made, prompt=prompt))
    assert found["argv"] == [f"--prompt={prompt}", "--ckpt", "/x", "/w", "3", "{x}", "true"]
    assert found["word"] == "w-3"
    assert Path(found["cwd"]).parent == jobs_folder
    assert not list(jobs_folder.iterdir())


def test_optional_groups(program: str, log: SeenLog) -> None:
    """A group is left out when its input is absent or false; a true boolean leaves the flag alone."""
    made = handler(
        program, log, ["--seed", "{seed}"], ["--fast", "{fast}"],
        inputs={"seed": {"type": "integer", "required": False}, "fast": {"type": "boolean", "default": False}},
    )  # fmt: skip
    assert seen(run(made))["argv"] == []
    assert seen(run(made, seed=0, fast=True))["argv"] == ["--seed", "0", "--fast"]


def test_a_file_input_is_a_file(program: str, log: SeenLog) -> None:
    """A file input is written into the job's folder, and the program gets its path."""
    made = handler(
        program, log, "{image}", inputs={"image": {"type": "file", "suffix": ".png"}}, outputs=["*", "../*"][:1]
    )
    path = Path(seen(run(made, image="content"))["argv"][0])
    assert path.name == "input-image.png"
    assert not path.exists()


def test_files_come_back(program: str, log: SeenLog) -> None:
    """What the program wrote comes back with its path below out_dir, size and type; globs choose."""
    made = handler(program, log, outputs=["**/*.mp4"])
    assert run(made, do="folders")["files"] == [
        {"name": "a/b/video.mp4", "size_bytes": 3, "media_type": "video/mp4", "base64": "bXA0"}
    ]


def test_a_link_to_the_outside_does_not_come_back(program: str, log: SeenLog) -> None:
    """A symbolic link that leads out of out_dir is no output."""
    assert [file["name"] for file in run(handler(program, log), do="outside")["files"]] == ["seen.json"]


def test_progress_is_told(program: str, log: SeenLog) -> None:
    """Each new progress in the program's output is one event, also from a bar that ends its lines with \\r."""
    run(handler(program, log, progress=r"(\d+)%\|"), do="progress")
    assert [event["text"] for event in log.events("progress")] == ["10", "55", "100"]


@pytest.mark.parametrize(
    ("do", "error", "says"),
    [
        ("fail", CommandFailed, r"ended with exit code 7; its last lines: line one \| CUDA error: out of luck"),
        ("abort", CommandFailed, "was killed by signal 6"),
        ("nothing", CommandFailed, r"wrote no file that matches \*\*/\*"),
        ("big", OutputTooLarge, r"wrote 0\.0 MB in 2 files"),
    ],
)
def test_failures(do: str, error: type[Exception], says: str, program: str, log: SeenLog, jobs_folder: Path) -> None:
    """A program that fails, or gives back nothing or too much, fails the job with the reason; nothing stays."""
    with pytest.raises(error, match=says):
        run(handler(program, log, max_output_mb=0.002), do=do)
    assert not list(jobs_folder.iterdir())


def test_a_time_out_ends_the_whole_group(program: str, log: SeenLog, tmp_path: Path) -> None:
    """A program that takes too long is stopped together with its children."""
    pid_file = tmp_path / "child"
    with pytest.raises(CommandTimeout, match=r"ran longer than 1 s and was stopped"):
        run(handler(program, log, str(pid_file), timeout_s=1), do="sleep")
    child = int(pid_file.read_text())
    deadline = time.monotonic() + 10
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("text", ["--ckpt_dir=/other", "-x", "nul\0byte"])
def test_a_text_is_never_an_option(text: str, program: str, log: SeenLog) -> None:
    """A text that the program would read as an option of its own, or can't be an argument, is refused."""
    made = handler(program, log, "--prompt", "{prompt}", inputs={"prompt": {}})
    with pytest.raises(InputInvalid, match="prompt: must not"):
        run(made, prompt=text)


def test_negative_numbers_are_fine(program: str, log: SeenLog) -> None:
    """Only texts are suspect: -1 is a number."""
    made = handler(program, log, "{n}", inputs={"n": {"type": "integer"}})
    assert seen(run(made, n=-1))["argv"] == ["-1"]


@pytest.mark.parametrize(
    ("spec", "value", "says"),
    [
        ({"type": "integer", "min": 1}, 0, "greater than or equal to 1"),
        ({"type": "number", "max": 1}, 1.5, "less than or equal to 1"),
        ({"type": "integer"}, "3", "valid integer"),
        ({"max_length": 2}, "abc", "at most 2 characters"),
        ({"choices": ["a", "b"]}, "c", "'a' or 'b'"),
        ({"type": "boolean"}, 1, "valid boolean"),
        ({}, None, "valid string"),
    ],
)
def test_inputs_are_checked(spec: dict[str, Any], value: Any, says: str, program: str, log: SeenLog) -> None:
    """The job's inputs obey the recipe's rules."""
    made = handler(program, log, "{x}", inputs={"x": spec})
    with pytest.raises(ValidationError, match=says):
        run(made, x=value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"argv": []}, "argv: List should have at least 1 item"),
        ({"argv": [["ls"]]}, "the program can't be optional"),
        ({"argv": ["ls", "{prompt}"]}, "{prompt} is no input of this handler"),
        ({"argv": ["ls", "{a.b}"]}, "{a.b} is no input of this handler"),
        ({"argv": ["ls", "{}"]}, "a placeholder is {name}"),
        ({"argv": ["ls", "{x!r}"]}, "a placeholder is {name}"),
        ({"argv": ["ls", "{x"]}, "expected '}'"),
        ({"argv": ["ls", "{x}"], "inputs": {"x": {"required": False}}}, "{x} may be absent"),
        ({"argv": ["ls"], "outputs": ["../*"]}, "must be a glob below out_dir"),
        ({"argv": ["ls"], "outputs": ["/etc/*"]}, "must be a glob below out_dir"),
        ({"argv": ["ls"], "progress": "%"}, "needs a group"),
        ({"argv": ["ls"], "progress": "("}, "is no regular expression"),
        ({"argv": ["ls"], "inputs": {"x": {"type": "integer", "default": "a"}}}, "x: Input should be a valid integer"),
        ({"argv": ["ls"], "inputs": {"x": {"kind": "a"}}}, "inputs.x.kind: Extra inputs"),
        ({"argv": ["ls", "{models.van}"]}, "has no model for {models.van} (it has: model_dir, models.wan)"),
        ({"argv": ["no-such-program-here"]}, "the image has no program no-such-program-here"),
        ({"argv": ["ls"], "cwd": "/no/such"}, "the image has no folder /no/such"),
        ({"argv": ["ls"], "shell": True}, "shell: Extra inputs"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], says: str, log: SeenLog) -> None:
    """Each option that can't work is found before the first job, in words."""
    from worker_runtime import contract

    with pytest.raises(OptionsInvalid) as caught:
        contract.load(
            contract.make(Handler, options=options, models={"wan": Path("/w")}, media=Media(), progress=print),
            Path("/w"),
        )
    assert says in str(caught.value)


def test_the_wan_example_of_the_docs() -> None:
    """The YAML in docs/worker.md is a set of options that is accepted."""
    import yaml

    text = (Path(__file__).parents[2] / "docs" / "worker.md").read_text()
    block = text.split("```yaml\n")[1].split("```")[0]
    assert Options.model_validate(yaml.safe_load(block)["handler"]["options"]).timeout_s == 3000


@given(st.text())
def test_any_value_fills_a_template_unchanged(value: str) -> None:
    """Braces in a value are not read again: filling is not recursive."""
    assert fill("<{x}>", {"x": value}) == f"<{value}>"


@given(st.text(max_size=30))
def test_any_template_is_read_or_refused(template: str) -> None:
    """A template either gives its names or a ValueError."""
    try:
        names = placeholders(template)
    except ValueError:
        return
    assert all(isinstance(name, str) and name for name in names)


def test_the_program_does_not_get_the_queue_key(
    program: str, log: SeenLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key to RunPod's queue stays in the worker."""
    monkeypatch.setitem(os.environ, "RUNPOD_AI_API_KEY", "secret")
    made = Handler(
        options={"argv": ["sh", "-c", "env > $0", "{out_dir}/env.txt"]}, models={}, media=Media(), progress=print  # type: ignore[arg-type]
    )  # fmt: skip
    assert b"secret" not in base64.b64decode(run(made)["files"][0]["base64"])
