"""The whole line through the command, with a real engine and registry: built, proved, again, and interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from handlers import SHOUT

from factory.clients.docker_engine import DockerEngine

pytestmark = pytest.mark.engine


class Line:
    """The `factory` command on this machine's engine and registry, with recipes in a folder of its own."""

    def __init__(self, folder: Path, engine: DockerEngine) -> None:
        self.folder = folder
        self.engine = engine
        self.made: set[str] = set()

    def write(self, name: str, steps: str = "", handler: str = SHOUT) -> Path:
        """Write a recipe with a handler of its own."""
        path = self.folder / f"{name}.yaml"
        # Of this folder alone: the registry must not have the image, also when a test is tried again.
        (self.folder / f"{name}_handler.py").write_text(f"{handler}# {self.folder}\n")
        path.write_text(
            f"name: {name}\nimage: {{repository: factory-tests/{name}, steps: [{steps}]}}\n"
            f"handler: {name}_handler.py\ntests: [{{input: {{text: hello}}, expect: {{text: HELLO}}}}]\n"
        )
        return path

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start the command as a user does."""
        env = {**os.environ, "FACTORY_HOME": str(self.folder / "home")}
        command = [sys.executable, "-m", "factory", *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Wait for a command; return exit code, stdout, stderr."""
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Run the command to its end."""
        return self.finish(self.start(*arguments))

    def build(self, *arguments: str | Path) -> list[dict[str, object]]:
        """Build with --json, which must succeed; remember the tags, so that they're removed."""
        code, out, err = self.run("build", *arguments, "--json")
        assert code == 0, err
        records: list[dict[str, object]] = json.loads(out)
        self.made |= {str(record["tag"]) for record in records}
        return records


@pytest.fixture
def line(engine_host: str, registry: str, base_image: str, tmp_path: Path) -> Iterator[Line]:
    """The command, and what it built removed at the end."""
    engine = DockerEngine(engine_host)
    road = Line(tmp_path, engine)
    yield road
    for reference in road.made:
        engine.remove(reference)


def test_from_recipe_to_verified_image_and_again(line: Line) -> None:
    """Built, pushed, its tag removed, pulled back by digest, started, asked; the second build does nothing."""
    recipe = line.write("shout")
    [first] = line.build(recipe, "--push", "--lane", "docker")
    assert first["was_built"] is True and "@sha256:" in str(first["image"])
    [second] = line.build(recipe, "--push")
    assert (second["lane"], second["sent_bytes"], second["image"]) == ("none", 0, first["image"])
    line.engine.remove(str(first["tag"]))
    code, out, err = line.run("verify", recipe, "--json")
    assert code == 0, err
    report = json.loads(out)["report"]
    assert report["answers"][0]["output"] == {"text": "HELLO"}
    assert {check["verdict"] for check in report["checks"]} == {"ok"}
    assert set(report["phases"]) >= {"import", "load", "ready"}


def test_one_changed_line_of_the_handler_sends_one_small_layer(line: Line) -> None:
    """After a change of the handler only the last layer is built and sent: some kB, of an image of many MB."""
    [first] = line.build(line.write("change"), "--push", "--lane", "docker")
    changed = SHOUT + "# one more line\n"
    [second] = line.build(line.write("change", handler=changed), "--push", "--lane", "docker")
    assert second["tag"] != first["tag"]
    assert 0 < int(str(second["sent_bytes"])) < 60_000  # with SBOM and provenance
    assert int(str(first["unpacked_bytes"])) > 100_000_000


def test_a_wrong_answer_is_a_failed_test_job(line: Line) -> None:
    """An image whose answer isn't what the recipe expects is exit code 75, with the path and both values."""
    recipe = line.write("wrong", handler=SHOUT.replace("upper", "lower"))
    line.build(recipe, "--push")
    code, out, err = line.run("verify", recipe)
    assert (code, out) == (75, "")
    assert "HELLO" in err and "hello" in err


def test_several_recipes_at_once_and_one_that_fails(line: Line) -> None:
    """`--jobs 2` builds in parallel; a failing step names its command and doesn't stop the other recipe."""
    good, bad = line.write("good"), line.write("bad", steps='"echo before; false"')
    code, out, err = line.run("build", bad, good, "--jobs", "2", "--json")
    records = json.loads(out)
    line.made.add(records[1]["tag"])
    assert code == 55
    assert records[0]["error"]["code"] == "step_failed" and records[1]["was_built"] is True
    assert "echo before; false" in err and "1 of 2 recipes failed" in err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_stops_the_build_and_leaves_nothing(line: Line, jobs: str) -> None:
    """SIGINT in the middle of a step ends the command with 130, soon, and no image of that recipe exists."""
    recipes = [line.write(f"slow{n}", steps='"echo now-it-waits; sleep 240"') for n in range(int(jobs))]
    process = line.start("build", *recipes, "--jobs", jobs)
    assert process.stderr
    for text in process.stderr:
        if "sleep 240" in text:
            process.send_signal(signal.SIGINT)
            break
    code, out, err = line.finish(process)
    assert (code, out) == (130, ""), err
    tags = [json.loads(line.run("render", recipe, "--json")[1])["reference"] for recipe in recipes]
    assert [line.engine.find(tag) for tag in tags] == [None] * len(tags)
