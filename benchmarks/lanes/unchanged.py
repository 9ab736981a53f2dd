"""An unchanged `factory release`: whole processes, over both management APIs, and how many requests each makes.

PYTHONPATH=tests/support python -m benchmarks.lanes.unchanged [ROUNDS]

Two recipes in turns: one that leaves all open (the model at a branch, the base by a tag) and one that pins both. The
account with its worker and the Hub are the emulator's, in this process; the registry is one of its own that wants a
login. Every stage must say "unchanged", or there is no figure.
"""

from __future__ import annotations

import base64
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from registries import pusher
from release_bench import LOGIN, RECIPE, Bench, Workshop, workshop

from benchmarks.timing import Taken, load, timed
from factory.emulator.runpod.launch_inline import InlineLauncher

GOAL_S, MOST_REQUESTS = 1.0, 8
STAGES = {"resolve", "check", "size", "render", "build", "push", "verify", "provision", "run"}


@dataclass
class Case:
    """One recipe over one API, and what its runs took."""

    api: str
    is_pinned: bool
    bench: Bench
    place: Workshop
    taken: list[Taken] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the table calls it."""
        return (
            f"{self.api}, {'model at a commit, base by digest' if self.is_pinned else 'model at a branch, base by tag'}"
        )

    def command(self) -> list[str]:
        """Write the recipe, and return the command that releases it."""
        model = dict(RECIPE["model"])
        if self.is_pinned:
            model["revision"] = _commit(self.place, str(model["repo"]))
        else:
            self.bench.settings["FACTORY_BASE"] = f"{self.place.registry}/base:1"
        endpoint = {**RECIPE["endpoint"], "workers": {"max": 2}}  # the quota is for ten in all
        recipe = self.bench.write(name=self.bench.folder.name, model=model, endpoint=endpoint)
        return [sys.executable, "-m", "factory", "release", str(recipe), "--no-run", "--json"]

    def run(self, command: Sequence[str], *, is_first: bool = False) -> None:
        """Release once; the first makes all, each other must find all unchanged."""
        before = len(self.place.requests())
        run = timed(command, self.bench.env)
        states = _states(run)
        if is_first:
            return
        if states != dict.fromkeys(STAGES, "unchanged"):
            sys.exit(f"{self.name}: something was not unchanged: {states}")
        self.taken.append(run)
        self.requests.append(len(self.place.requests()) - before)

    def row(self) -> str:
        """Return the row of the table."""
        walls = [run.wall_s for run in self.taken]
        cpu_s, requests = statistics.median(run.cpu_s for run in self.taken), max(self.requests)
        is_met = statistics.median(walls) <= GOAL_S and requests <= MOST_REQUESTS
        return (
            f"| {self.name} | {requests} | {statistics.median(walls):.2f} | {min(walls):.2f} | {max(walls):.2f} "
            f"| {cpu_s:.2f} | {'met' if is_met else 'MISSED'} |"
        )


def main(rounds: int) -> int:
    """Time all cases in turns, and print the table."""
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "place").mkdir()
        with workshop(Path(home) / "place", launcher=InlineLauncher()) as place:
            _push_base(place)
            cases = [
                _case(Path(home), place, api, is_pinned) for api in ("rest", "graphql") for is_pinned in (False, True)
            ]
            commands = [case.command() for case in cases]
            for case, command in zip(cases, commands, strict=True):
                case.run(command, is_first=True)
            for _ in range(rounds):
                for case, command in zip(cases, commands, strict=True):
                    case.run(command)
    lines = [
        f"| `factory release`, unchanged, {rounds} runs each | requests | median s | min s | max s | CPU s, median "
        f"| goal: {GOAL_S:g} s, {MOST_REQUESTS} requests |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        *(case.row() for case in cases),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any("MISSED" in line for line in lines) else 0


def _case(home: Path, place: Workshop, api: str, is_pinned: bool) -> Case:
    (folder := home / f"{api}-{'pinned' if is_pinned else 'open'}").mkdir()
    return Case(api, is_pinned, Bench(place, folder, api), place)


def _push_base(place: Workshop) -> None:
    login = base64.b64encode(":".join(LOGIN).encode()).decode()
    pusher(place.registry, {"Authorization": f"Basic {login}"}).image("base", "1")


def _commit(place: Workshop, repo: str) -> str:
    """Return the commit of the emulated repository's `main`."""
    return str(httpx.get(f"{place.runpod.url}/api/models/{repo}", trust_env=False).json()["sha"])


def _states(run: Taken) -> dict[str, str]:
    """Return how each stage of a release ended; a release that failed ends the benchmark."""
    if run.code != 0:
        sys.exit(f"exit status {run.code}: {run.err[-500:]}")
    return {stage["stage"]: stage["state"] for stage in json.loads(run.out)["stages"]}


if __name__ == "__main__":
    missed = main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    sys.stdout.write(f"\n{load()}\n")
    sys.exit(missed)
