"""`.github/workflows/images.yml`: what its steps run is run here, with GitHub's variables and its API on loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from runpod_box import KEY, emulated

from factory.emulator.hub import create_hub
from factory.emulator.serve import running

ROOT = Path(__file__).parents[2]
COMMENT = ROOT / ".github/scripts/comment.py"
BASE = "127.0.0.1:9/base@sha256:" + "ab" * 32  # pinned: no registry is asked
RECIPE = "name: {name}\nimage: {{repository: acme/{name}}}\nhandler: echo\ntests: [{{input: {{a: 1}}}}]\n"


def workflow() -> dict[str, Any]:
    """Read the workflow."""
    read: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/images.yml").read_text())
    return read


def script(job: str, step: str) -> str:
    """Return what a step runs, by its name or id."""
    steps = workflow()["jobs"][job]["steps"]
    found = [one["run"] for one in steps if step in (one.get("name"), one.get("id"))]
    assert len(found) == 1, f"{job} has {len(found)} steps {step}"
    return str(found[0])


def run(text: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does: bash, stopping at the first error, its files empty."""
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        (folder / name).write_text("")
        environ[name] = str(folder / name)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("FACTORY_", "HF_", "RUNPOD_"))}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=env | environ, capture_output=True, text=True, check=False)


def git(folder: Path, *arguments: str) -> str:
    """Run git as nobody in particular."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """The Hub, emulated."""
    with running(create_hub(ROOT / "tests/fixtures/hub")) as url:
        yield url


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with two commits: the second changes one of its two recipes. factory is installed in it."""
    folder = tmp_path / "checkout"
    (folder / "recipes").mkdir(parents=True)
    program = folder / ".venv/bin/factory"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m factory "$@"\n')
    program.chmod(0o755)
    for name in ("one-a", "two-b"):
        (folder / f"recipes/{name}.yaml").write_text(RECIPE.format(name=name))
    git(folder, "init", "--quiet")
    git(folder, "add", "recipes")
    git(folder, "commit", "--quiet", "-m", "first")
    (folder / "recipes/two-b.yaml").write_text(RECIPE.format(name="two-b") + "env: {A: b}\n")
    git(folder, "commit", "--quiet", "-am", "second")
    return folder


def outputs(folder: Path) -> dict[str, Any]:
    """Read the step's one output, which is JSON on one line."""
    name, _, value = (folder / "GITHUB_OUTPUT").read_text().rstrip("\n").partition("=")
    assert name == "changes" and "\n" not in value
    read: dict[str, Any] = json.loads(value)
    return read


@pytest.mark.parametrize(
    ("since", "recipes", "expected"),
    [
        ("HEAD~1", "", ["two-b"]),
        ("HEAD", "", []),
        ("0" * 40, "", ["two-b"]),  # a new branch: the commit before
        ("deadbeef" * 5, "", ["two-b"]),  # a forced push: that commit is gone
        ("", "", ["one-a", "two-b"]),
        ("", "recipes/one-a.yaml", ["one-a"]),
        ("HEAD~1", "recipes/one-a.yaml", []),
    ],
)
def test_the_matrix(checkout: Path, hub: str, since: str, recipes: str, expected: list[str]) -> None:
    """The first job's output is a matrix of just the recipes that changed, each with the disk that it needs."""
    done = run(
        script("changed", "changed"),
        checkout,
        SINCE=since,
        RECIPES=recipes,
        IS_FORK="false",
        HF_ENDPOINT=hub,
        FACTORY_REGISTRY="127.0.0.1:9",
        FACTORY_BASE=BASE,
    )
    assert done.returncode == 0, done.stderr
    jobs = outputs(checkout)["include"]
    assert [job["name"] for job in jobs] == expected
    assert all(job["disk_gb"] >= 1 and job["reason"] and (checkout / job["recipe"]).is_file() for job in jobs)


def test_a_broken_recipe_stops_the_run(checkout: Path, hub: str) -> None:
    """A recipe that can't be read fails the step with its sentence."""
    (checkout / "recipes/one-a.yaml").write_text("name: [")
    environ = {"SINCE": "HEAD", "RECIPES": "", "IS_FORK": "false", "HF_ENDPOINT": hub}
    done = run(script("changed", "changed"), checkout, **environ)
    assert done.returncode == 10 and "one-a.yaml" in done.stderr


def test_a_fork_is_told(checkout: Path, hub: str) -> None:
    """A fork's run says why nothing will be built."""
    environ = {"SINCE": "HEAD", "RECIPES": "", "IS_FORK": "true", "HF_ENDPOINT": hub}
    done = run(script("changed", "changed"), checkout, **environ)
    assert done.returncode == 0 and "::notice::a fork's run has no secret" in done.stdout


@pytest.mark.parametrize(("needed_gb", "code"), [("1", 0), ("9999999", 1)])
def test_room_on_the_engines_disk(tmp_path: Path, needed_gb: str, code: int) -> None:
    """The disk that the recipe needs is compared with what is free where the engine keeps its images."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(f'#!/bin/sh\n[ "$1" = info ] && echo {tmp_path}\n')
    (tmp_path / "bin/docker").chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    done = run(script("image", "Is there room for it?"), tmp_path, PATH=path, NEEDED_GB=needed_gb, NAME="wan")
    assert done.returncode == code, done.stderr
    said = f"wan needs {needed_gb} GB"
    assert said in done.stdout and ("::error::" in done.stdout) == bool(code)


@dataclass
class GitHub:
    """GitHub's API for comments, as far as the script needs it; `comments` are those of pull request 7."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Serve it on loopback."""
    state = GitHub()

    class Api(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _say(self, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            state.tokens.add(self.headers["Authorization"])

        def _body(self) -> str:
            return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

        def do_GET(self) -> None:
            """Return one page."""
            found = re.fullmatch(r"/repos/acme/models/issues/7/comments\?per_page=100&page=(\d+)", self.path)
            assert found, self.path
            start = (int(found[1]) - 1) * 100
            self._say(state.comments[start : start + 100])

        def do_POST(self) -> None:
            """Make a comment."""
            assert self.path == "/repos/acme/models/issues/7/comments"
            state.comments.append({"id": len(state.comments) + 1, "body": self._body()})
            self._say(state.comments[-1])

        def do_PATCH(self) -> None:
            """Replace one."""
            comment = state.comments[int(self.path.removeprefix("/repos/acme/models/issues/comments/")) - 1]
            comment["body"] = self._body()
            self._say(comment)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def github_environ(github: GitHub) -> Mapping[str, str]:
    """Return what a runner sets for a step of pull request 7."""
    return {
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "acme/models",
        "GITHUB_TOKEN": "ghs_x",
        "PULL_REQUEST": "7",
    }


def test_the_comment_is_posted_once(tmp_path: Path, github: GitHub) -> None:
    """The second run replaces what the first one said, past a page of other people's comments."""
    github.comments = [{"id": number + 1, "body": f"comment {number}"} for number in range(130)]
    (tmp_path / ".github/scripts").mkdir(parents=True)
    (tmp_path / ".github/scripts/comment.py").write_text(COMMENT.read_text())
    for text in ("the first plan", "the second plan", "x" * 70_000):
        (tmp_path / "comment.md").write_text(text)
        done = run(script("plan", "Comment"), tmp_path, **github_environ(github))
        assert done.returncode == 0, done.stderr
        assert len(github.comments) == 131
        assert text[:60_000] in github.comments[-1]["body"] and len(github.comments[-1]["body"]) < 65_536
    assert github.comments[3]["body"] == "comment 3"
    assert github.tokens == {"Bearer ghs_x"}


def test_the_plan_is_what_the_comment_says(checkout: Path, hub: str) -> None:
    """The plan of the changed recipes is run against an account, and what it says is in the comment."""
    changes = {"include": [{"recipe": "recipes/two-b.yaml"}]}
    with emulated() as runpod:
        environ = {
            "RUNPOD_API_KEY": KEY,
            "RUNPOD_API_BASE_URL": runpod.url,
            "RUNPOD_ENDPOINT_BASE_URL": runpod.jobs_url,
        }
        environ |= {"HF_ENDPOINT": hub, "FACTORY_REGISTRY": "127.0.0.1:9", "FACTORY_BASE": BASE}
        environ |= {"CHANGES": json.dumps(changes), "GITHUB_SHA": "c0ffee", "FACTORY_HOME": str(checkout / "home")}
        done = run(script("plan", "Plan"), checkout, **environ)
    comment = (checkout / "comment.md").read_text()
    said = re.search(r"of c0ffee \(exit code (\d+)", comment)
    assert said and int(said[1]) == 4 and done.returncode == 0, done.stderr  # something would change: no failure
    assert "two-b" in comment and "one-a" not in comment


def test_a_plan_that_fails_is_in_the_comment_too(checkout: Path, hub: str) -> None:
    """With a key that RunPod doesn't know the step fails, and the comment says why."""
    with emulated(keys=frozenset({"rpa_other"})) as runpod:
        environ = {"RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": runpod.url, "HF_ENDPOINT": hub, "FACTORY_BASE": BASE}
        environ |= {"CHANGES": '{"include": [{"recipe": "recipes/two-b.yaml"}]}', "GITHUB_SHA": "c0ffee"}
        done = run(script("plan", "Plan"), checkout, **environ)
    assert done.returncode == 81
    assert "exit code 81" in (checkout / "comment.md").read_text()


def test_without_a_key_there_is_no_plan(tmp_path: Path) -> None:
    """Where the secret isn't set the step says so, and no comment follows."""
    done = run(script("plan", "Plan"), tmp_path, RUNPOD_API_KEY="", CHANGES='{"include": []}')
    assert done.returncode == 0 and "::notice::no plan" in done.stdout
    assert not (tmp_path / "comment.md").exists()


@pytest.mark.engine
def test_build_and_verify(tmp_path: Path, engine_host: str, registry: str, base_image: str) -> None:
    """The image is built, pushed and verified by what the job runs, and the run's summary holds what was made."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/echo.yaml").write_bytes((ROOT / "recipes/echo.yaml").read_bytes())
    own = {name: value for name, value in os.environ.items() if name.startswith("FACTORY_")}
    environ = own | {"RECIPE": "recipes/echo.yaml", "NAME": "echo", "FACTORY_HOME": str(tmp_path / "home")}
    done = run(script("image", "Build and push"), tmp_path, **environ)
    assert done.returncode == 0, done.stderr
    assert f'"image": "{registry}/factory/echo@sha256:' in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    done = run(script("image", "Verify"), tmp_path, **environ)
    assert done.returncode == 0, done.stderr


def test_every_action_is_pinned_and_every_script_is_bash() -> None:
    """Actions name a version; scripts parse; what people write reaches a script as a variable, never as its text."""
    for job in workflow()["jobs"].values():
        for step in job["steps"]:
            assert re.fullmatch(r"[\w./-]+@v\d+(\.\d+)*", step["uses"]) if "uses" in step else "run" in step
            text = step.get("run", "")
            assert "${{" not in text
            subprocess.run(["bash", "-n", "-c", text], check=True)


def test_rights_and_shell() -> None:
    """Each job has no more rights than it needs, and each script ends at its first error."""
    read = workflow()
    assert read["defaults"] == {"run": {"shell": "bash"}}  # what `run` here does too
    assert read["permissions"] == {"contents": "read"}
    rights = {name: set(job.get("permissions", {})) for name, job in read["jobs"].items()}
    assert rights["changed"] == set()
    assert "pull-requests" in rights["plan"] and "pull-requests" not in rights["image"]
    assert "id-token" in rights["image"] and "id-token" not in rights["plan"]
