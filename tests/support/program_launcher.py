"""Workers that are real programs and truly end: what an endpoint's `args` or its variable PROGRAM say is executed.

An endpoint with neither gets a worker in the emulator's loop that gives every input back, as a healthy image would; an
input {"wait": SECONDS} takes so long, {"fail": TEXT} fails. The exit code is what the system says: 128 + N for signal
N, 126 or 127 where there is nothing to execute.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path
from typing import Any

from factory.emulator.runpod.launch_inline import InlineLauncher
from factory.emulator.runpod.launcher import Handle, LaunchFailed, Order, Say

PROGRAM = "PROGRAM"
ROOT = Path(__file__).parent.parent.parent


async def answer(job_input: dict[str, Any]) -> dict[str, Any]:
    """Do what the input says, and give it back."""
    await asyncio.sleep(float(job_input.get("wait", 0)))
    if "fail" in job_input:
        raise ValueError(job_input["fail"])
    return job_input


class ProgramLauncher(InlineLauncher):
    """Starts programs of this machine, or tasks that answer."""

    def __init__(self) -> None:
        super().__init__(answer)

    async def start(self, order: Order, say: Say) -> Handle:
        """Start the program that the endpoint names. Raises LaunchFailed as a container engine would."""
        container = order.endpoint.container
        command = container.args or container.env.get(PROGRAM, "")
        if not command:
            return await super().start(order, say)
        say("system", f"start container for {order.worker.image}: begin")
        words = shlex.split(command)
        try:
            process = await asyncio.create_subprocess_exec(*words, stdout=PIPE, stderr=STDOUT, env=_environment(order))
        except FileNotFoundError as error:
            raise LaunchFailed(f'exec: "{words[0]}": executable file not found in $PATH', exit_code=127) from error
        except OSError as error:
            raise LaunchFailed(f'exec: "{words[0]}": {error.strerror}', exit_code=126) from error
        return ProgramWorker(process, say)


def _environment(order: Order) -> dict[str, str]:
    """Return what RunPod gives a worker, and where `python -m worker_runtime` finds itself and its volume."""
    volume = {"FACTORY_VOLUME": str(order.volume_folder)} if order.volume_folder else {}
    return {
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        **order.env,
        **volume,
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
    }


class ProgramWorker:
    """One such program."""

    def __init__(self, process: Process, say: Say) -> None:
        self._process = process
        self._say = say
        self._exit_code: int | None = None
        self._reading = asyncio.create_task(self._read())

    @property
    def name(self) -> str:
        """The process's id."""
        return str(self._process.pid)

    async def poll(self) -> int | None:
        """Return the exit code once it has ended and all that it said was read."""
        return self._exit_code

    async def stop(self, grace_s: float) -> None:
        """Kill it: a test's programs have nothing to finish."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._say("container", line.decode(errors="replace").rstrip("\n"))
        code = await self._process.wait()
        self._exit_code = code if code >= 0 else 128 - code
