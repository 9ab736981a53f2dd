"""`factory` beside an emulated account: processes with one environment, and jobs put into the box by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forked_cli import Done, ForkedCli, Process
from runpod_box import KEY, Emulated

from factory.emulator.runpod.box import Box


@dataclass
class Desk:
    """A folder, an account, and `factory` processes over one of the two APIs."""

    runpod: Emulated
    cli: ForkedCli
    folder: Path
    api: str = "rest"

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process."""
        env = {"RUNPOD_API": self.api, "RUNPOD_API_KEY": KEY, "RUNPOD_API_BASE_URL": self.runpod.url}
        env |= {"RUNPOD_ENDPOINT_BASE_URL": self.runpod.jobs_url, "FACTORY_HOME": str(self.folder / "home")}
        return env | {"HF_ENDPOINT": self.runpod.url, "PATH": "/usr/bin:/bin", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def start(self, *arguments: str | Path) -> Process:
        """Start `factory ARGUMENTS…`."""
        return self.cli.start(*arguments, env=self.env, folder=self.folder)

    def run(self, *arguments: str | Path) -> Done:
        """Run `factory ARGUMENTS…` to its end."""
        return self.start(*arguments).wait()


def submit(box: Box, endpoint_id: str, **job_input: object) -> str:
    """Queue a job, and return its id."""
    return box.jobs.submit(endpoint_id, {"input": job_input}, is_sync=False).id
