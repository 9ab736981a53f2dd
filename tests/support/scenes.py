"""A scene: an emulated account with one endpoint that was healthy, and `factory` as processes beside it.

    with stage(tmp_path_factory.mktemp("stage")) as place:            # once per module: registry, RunPod, hub, forks
        scene = Scene.open(place, tmp_path)                           # `demo.yaml` is provisioned and answers
        scene.change(container=Container(...))                        # somebody's hand in the console
        scene.submit(); scene.until(lambda: scene.ended(2), "two ends")
        found = scene.diagnose()                                      # found.top["rule"], found.code
        scene.mend(found.top)                                         # the edit and the command that were printed
        scene.answered()                                              # a job comes back

A `Scenario` is one row of the table symptom → how it comes about → what is found → the command. Rows live in
`tests/support/scenarios_*.py`, each with a tuple SCENARIOS; tests/diagnosis/test_scenarios.py plays them all.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from forked_cli import Done
from program_launcher import ProgramLauncher
from release_bench import HUB, RECIPE, Bench, Workshop, workshop

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.entities import Endpoint, Job, Worker
from factory.emulator.runpod.troubles import Trouble

DEADLINE_S = 30.0
WORKER_QUOTA = 10
# What a person has and a test hasn't: an engine to start the image with, and a hand to say yes.
WITHOUT_A_PERSON = {"release": ("--no-run",), "recreate": ("--yes",)}


def stage(folder: Path) -> AbstractContextManager[Workshop]:
    """Open a registry, an emulated account whose workers are programs, and a hub, for many scenes."""
    hub = folder / "hub"
    for repository in HUB.glob("*/*"):
        (hub / repository.parent.name).mkdir(parents=True, exist_ok=True)
        (hub / repository.parent.name / repository.name).symlink_to(repository)
    return workshop(folder, launcher=ProgramLauncher(), hub=hub)


@dataclass(frozen=True)
class Found:
    """What `factory diagnose --json` said, and its exit code."""

    code: int
    record: dict[str, Any]
    done: Done

    @property
    def findings(self) -> list[dict[str, Any]]:
        """All findings, the worst first."""
        findings: list[dict[str, Any]] = self.record["findings"]
        return findings

    @property
    def top(self) -> dict[str, Any]:
        """The worst."""
        assert self.findings, f"nothing was found: {self.record}"
        return self.findings[0]


@dataclass
class Scene:
    """One test's account and machine."""

    bench: Bench
    recipe: Path
    settings: dict[str, object] = field(default_factory=dict)  # blocks of the recipe that differ from the bench's

    @classmethod
    def open(
        cls, place: Workshop, folder: Path, *, verb: str = "provision", api: str = "rest", **blocks: object
    ) -> Scene:
        """Empty the account, and bring the recipe live by `factory VERB`; `blocks` are in place of its own.

        `verb` is `provision`, or `release --no-run`, which leaves something that a rollback can come back to.
        """
        place.runpod.call(lambda box: box.troubles.clear())
        place.runpod.call(lambda box: box.world.set_person(worker_quota=WORKER_QUOTA))
        place.runpod.empty()
        scene = cls(Bench(place, folder, api=api), folder / "demo.yaml")
        scene.write(**blocks)
        scene.factory(*verb.split(), "demo.yaml")
        return scene

    def write(self, **blocks: object) -> None:
        """Write the recipe with these blocks in place of its own; its image is pushed if it wasn't."""
        self.settings |= blocks
        self.bench.write(**self.settings)

    def factory(self, *words: str, is_ok: bool = True) -> Done:
        """Run `factory WORDS…` in the recipe's folder; the exit code is 0 unless `is_ok` is False."""
        done = self.bench.run(*words)
        assert not is_ok or done.code == 0, f"factory {' '.join(words)}: exit code {done.code}\n{done.err}"
        return done

    # --- the account -----------------------------------------------------------------------------------------------
    def call(self, function: Callable[[Box], Any]) -> Any:
        """Do something with the box in its own thread."""
        return self.bench.place.runpod.call(function)

    @property
    def endpoint(self) -> Endpoint:
        """The recipe's endpoint as the box has it."""
        found: Endpoint = self.call(self.endpoint_in)
        return found

    def change(self, **fields: object) -> None:
        """Change the endpoint by hand, as in RunPod's console."""
        now = self.endpoint
        self.call(lambda box: box.world.update_endpoint(now.id, replace(now, **fields)))  # type: ignore[arg-type]

    def change_container(self, **fields: object) -> None:
        """Change what the endpoint's containers are made of: image, args, disk_gb, env, login_id."""
        self.change(container=replace(self.endpoint.container, **fields))  # type: ignore[arg-type]

    def set_env(self, **variables: str) -> None:
        """Set variables of the endpoint by hand, beside those it has."""
        self.change_container(env={**self.endpoint.container.env, **variables})

    def trouble(self, trouble: Trouble) -> None:
        """Let the platform have a trouble."""
        self.call(lambda box: box.troubles.add(trouble))

    def model(self, repository: str, **says: object) -> None:
        """Put a model repository on the hub, or change it: what its `.hub.json` says."""
        folder = self.bench.place.hub / repository
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".hub.json").write_text(json.dumps(says))

    # --- jobs and workers ------------------------------------------------------------------------------------------
    def submit(self, **job_input: object) -> str:
        """Queue a job, the recipe's test unless an input is given, and return its id."""
        if not job_input:
            return self.factory("run", "demo.yaml", "--detach").out.strip()
        (self.bench.folder / "job.json").write_text(json.dumps(job_input))
        return self.factory("run", "demo.yaml", "--input", "job.json", "--detach").out.strip()

    def job(self, job_id: str) -> Job:
        """Return a job as the box has it."""
        found: Job | None = self.call(lambda b: b.jobs.get(self.endpoint_in(b).id, job_id))
        assert found is not None, f"no job {job_id}"
        return found

    def workers(self) -> list[Worker]:
        """Return the workers as the box has them."""
        found: list[Worker] = self.call(lambda b: b.fleet.workers(self.endpoint_in(b).id))
        return found

    def has_ended(self, times: int) -> bool:
        """Has a worker's container ended so often?"""
        return any(worker.restarts >= times for worker in self.workers())

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something to come true."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
            time.sleep(0.05)

    @staticmethod
    def endpoint_in(box: Box) -> Endpoint:
        """Return the recipe's endpoint; to be called in the box's own thread."""
        return next(endpoint for endpoint in box.world.endpoints.values() if endpoint.name == "demo")

    # --- diagnosed and mended --------------------------------------------------------------------------------------
    def diagnose(self, *words: str, target: str = "demo.yaml") -> Found:
        """Run `factory diagnose TARGET --json`."""
        done = self.factory("diagnose", target, "--json", *words, is_ok=False)
        assert done.code in (0, 100, 101), done.err
        return Found(done.code, json.loads(done.out), done)

    def mend(self, finding: dict[str, Any]) -> None:
        """Do what the finding says: its edit of the recipe, then its command."""
        if edit := finding["edit"]:
            key, _, value = edit.partition(": ")
            self.write(**_edited(RECIPE | self.settings, key.split("."), yaml.safe_load(value)))
        words = shlex.split(finding["command"])
        assert words[0] == "factory", f"no command: {finding['command']}"
        self.factory(*words[1:], *WITHOUT_A_PERSON.get(words[1], ()))

    def answered(self) -> None:
        """See that a job comes back as the recipe's test expects."""
        done = self.factory("run", "demo.yaml", "--timeout", "30")
        assert json.loads(done.out) == {"a": 1}


def _edited(blocks: dict[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """Return the top block of a dotted key with the value in it."""
    first, *rest = keys
    for key in reversed(rest):
        value = {key: value}
    old = blocks.get(first)
    merged = {**old, **value} if rest and isinstance(old, dict) else value
    return {first: merged}


@dataclass(frozen=True)
class Scenario:
    """One row. `begin` breaks a healthy scene; `rule` and `command` are of the top finding; `blocks` of the recipe.

    `says` is part of what was seen or of its cause; `edit` is how the edit of the recipe begins. `verb`: how the recipe
    came live. `words` are further ones for `diagnose`. `is_mended`: the command brings the answer (one that says "wait"
    only tells). `prepare` is what a person does between the diagnosis and the command, where no `edit` can say it.
    """

    symptom: str
    rule: str
    command: str
    begin: Callable[[Scene], None]
    severity: str = "error"
    says: str = ""
    edit: str = ""
    verb: str = "provision"
    blocks: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    is_mended: bool = True
    prepare: Callable[[Scene], None] = lambda _scene: None

    def __str__(self) -> str:
        return f"{self.rule}: {self.symptom}"
