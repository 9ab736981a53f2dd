"""Workers as processes of this machine's Python, where no Docker engine is: `python -m worker_runtime`, no image.

What an image would hold comes from a folder of rendered build contexts:

    factory render recipes/minilm.yaml --out CONTEXTS/factory/minilm/9231ba0ce1fe90b6
    factory emulator --workers process --contexts CONTEXTS

The image's repository (without the registry) and its tag name the context, or its digest: the first 16 or all 64 hex
digits. From it come the runtime's code, recipe.json, the handler, weights in the image, and the ENV of its Dockerfile.
Not from it: packages (this Python must have them), a file system of its own, and limits of any kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import anyio.to_thread

from factory import owners
from factory.emulator.runpod.images import parsed
from factory.emulator.runpod.launcher import VOLUME_PATH, Handle, LaunchFailed, Order, Say
from factory.emulator.runpod.worker_output import Outlet

# The kernel kills the worker when the emulator's loop ends, however it does: else it would ask a dead port for jobs for
# ever, hundreds of times a second. PR_SET_PDEATHSIG is 1 (prctl(2)); elsewhere than on Linux there is no such thing.
_MORTAL = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(137)
os.execv(sys.executable, [sys.executable, "-u", "-m", "worker_runtime", *sys.argv[2:]])
"""
_ENV_LINE = re.compile(r'^ENV ([A-Za-z_]\w*)=("(?:[^"\\]|\\.)*"|[^\s"]+)$', re.MULTILINE)


SCRATCH_PREFIX = "factory-worker-"
OWNER = ".owner"


class ProcessLauncher:
    """Starts processes. `contexts` holds the rendered contexts, `python` has what the worker imports."""

    needs_url = True

    def __init__(self, contexts: Path | None = None, python: str = sys.executable) -> None:
        self._contexts = contexts.resolve() if contexts else None
        self._python = python

    async def sweep(self) -> None:
        """Remove the scratch folders of emulators that are gone; their workers died with them."""
        await anyio.to_thread.run_sync(remove_abandoned, Path(tempfile.gettempdir()))

    async def start(self, order: Order, say: Say) -> Handle:
        """Start a process in a scratch folder of its own. Raises LaunchFailed: no context for its image, or `args`."""
        context = self._context_of(order.worker.image)
        if order.endpoint.container.args:
            raise LaunchFailed("`args` are a container's command, and here is no container", exit_code=127)
        worker = self._begun(order, context, say)
        say("system", f"start container for {order.worker.image}: begin")
        return worker

    def _begun(self, order: Order, context: Path, say: Say) -> ProcessWorker:
        """Start the process: in the loop's thread, since it is killed when the thread that started it ends."""
        scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{order.worker.id}-"))
        (scratch / "tmp").mkdir()
        (scratch / OWNER).write_text(owners.me())
        try:
            process = subprocess.Popen(
                [self._python, "-c", _MORTAL, str(os.getpid())],
                cwd=scratch,
                env=process_environment(order, context, scratch),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(scratch, ignore_errors=True)
            raise LaunchFailed(f"{self._python} can't be started: {error}", exit_code=127) from error
        return ProcessWorker(process, scratch, say)

    def _context_of(self, image: str) -> Path:
        reference = parsed(image)
        if self._contexts is None:
            raise LaunchFailed("no engine runs images here, and no folder of rendered contexts was given", is_pull=True)
        digits = reference.version.removeprefix("sha256:")
        for name in (digits, digits[:16]):
            folder = self._contexts / reference.repository / name
            if folder.resolve().is_relative_to(self._contexts) and (folder / "recipe.json").is_file():
                return folder
        wanted = self._contexts / reference.repository / digits[:16]
        raise LaunchFailed(f"there is no rendered context at {wanted}", is_pull=True)


class ProcessWorker:
    """One such process, with all that it starts in its process group."""

    def __init__(self, process: subprocess.Popen[bytes], scratch: Path, say: Say) -> None:
        self._process = process
        self._scratch = scratch
        self._outlet = Outlet(say)
        self._has_ended = asyncio.Event()
        self._exit_code: int | None = None
        threading.Thread(target=self._read, name=f"worker-{process.pid}", daemon=True).start()

    @property
    def name(self) -> str:
        """The process's id."""
        return str(self._process.pid)

    async def poll(self) -> int | None:
        """Return the exit code (128 + N for signal N), None while it runs."""
        return self._exit_code

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, kill its whole group after `grace_s`, and remove its scratch folder."""
        if grace_s > 0 and self._exit_code is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_ended.wait(), grace_s)
        self._signal(signal.SIGKILL)
        await self._has_ended.wait()
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(self._scratch, ignore_errors=True))

    def _signal(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signum)

    def _read(self) -> None:
        """Carry its output, in a thread, until the process ends; what it left running may still hold the pipe."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        chunks = iter(lambda: os.read(pipe, 65536), b"")
        reader = threading.Thread(target=self._outlet.pour, args=(chunks,), daemon=True)
        reader.start()
        code = self._process.wait()
        self._signal(signal.SIGKILL)
        reader.join(timeout=5)
        self._process.stdout.close()
        self._outlet.call(self._note_end, code if code >= 0 else 128 - code)

    def _note_end(self, code: int) -> None:
        self._exit_code = code
        self._has_ended.set()


def remove_abandoned(folder: Path) -> None:
    """Remove what workers of emulators that are gone left in a folder."""
    for owner in folder.glob(f"{SCRATCH_PREFIX}*/{OWNER}"):
        if owners.is_gone(owner.read_text()):
            shutil.rmtree(owner.parent, ignore_errors=True)


def process_environment(order: Order, context: Path, scratch: Path) -> dict[str, str]:
    """Return a worker's environment: the image's, RunPod's, and where things lie that an image has at fixed places.

    Nothing of the emulator's own environment gets in. Values that name the volume's path get its folder here.
    """
    volume = str(order.volume_folder) if order.volume_folder else None
    env = {**image_environment((context / "Dockerfile").read_text()), **order.env}
    if volume:
        env = {name: _moved(value, volume) for name, value in env.items()} | {"FACTORY_VOLUME": volume}
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",  # they look at a container's disk and at the internet
        **env,
        "HOME": str(scratch),
        "TMPDIR": str(scratch / "tmp"),
        "PYTHONPATH": str(context),
        "FACTORY_RECIPE": str(context / "recipe.json"),
        "FACTORY_IMAGE_MODELS": str(context / "models"),
        "FACTORY_DISK_CACHE": str(scratch / "cache"),
    }


def image_environment(dockerfile: str) -> Mapping[str, str]:
    """Return what the last stage of a Dockerfile rendered by factory sets, one variable a line."""
    stage = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[-1]
    found = {}
    for name, value in _ENV_LINE.findall(stage):
        found[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return found


def _moved(value: str, volume: str) -> str:
    return re.sub(rf"(?<![\w/.-]){re.escape(VOLUME_PATH)}(?![\w.-])", lambda _: volume, value)
