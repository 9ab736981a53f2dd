"""Scenarios of workers that crash, start slowly or get no GPU: rules 1, 2, 3 and 5."""

from __future__ import annotations

import sys
from collections.abc import Callable

from scenes import Scenario, Scene

from factory.emulator.runpod.troubles import NoStock, SlowStart

PROVISION = "factory provision demo.yaml"
RELEASE = "factory release demo.yaml"
ROLLBACK = "factory rollback demo.yaml"
PYTHON = "python3 -c"


def crashing(program: str, *, ends: int = 2) -> Callable[[Scene], None]:
    """Return what makes the endpoint's workers run a program that ends, by hand, and waits until it has ended."""

    def begin(scene: Scene) -> None:
        scene.set_env(PROGRAM=program)
        _wait_for_ends(scene, ends)

    return begin


def started_with(args: str) -> Callable[[Scene], None]:
    """Return what gives the endpoint a start command by hand."""

    def begin(scene: Scene) -> None:
        scene.change_container(args=args)
        _wait_for_ends(scene, 2)

    return begin


def _wait_for_ends(scene: Scene, times: int) -> None:
    scene.submit()
    scene.until(lambda: scene.has_ended(times), f"{times} ends")


def bad_version(scene: Scene) -> None:
    """The recipe itself has a variable with which its workers crash, and was provisioned without tests."""
    scene.write(env={"GREETING": "hello", "PROGRAM": "sh -c 'echo KeyError: BEAM; exit 1'"})
    scene.factory("provision", "demo.yaml")
    _wait_for_ends(scene, 2)


def killed_version(scene: Scene) -> None:
    """The recipe's new version is killed for its memory, and was provisioned without tests."""
    scene.write(env={"GREETING": "hello", "PROGRAM": "sh -c 'echo loading; kill -9 $$'"})
    scene.factory("provision", "demo.yaml")
    _wait_for_ends(scene, 2)


def sold_out_pool(scene: Scene) -> None:
    """Somebody moved the endpoint to a pool that has no stock in the volume's data centre."""
    scene.trouble(NoStock("AMPERE_80"))
    scene.change(pools=["AMPERE_80"])
    scene.submit()
    scene.until(lambda: [w.status for w in scene.workers()] == ["THROTTLED"], "a throttled worker")


def sold_out_recipe(scene: Scene) -> None:
    """All pools of the recipe are sold out."""
    for pool in ("ADA_24", "AMPERE_24"):
        scene.trouble(NoStock(pool))
    scene.submit()
    scene.until(lambda: [w.status for w in scene.workers()] == ["THROTTLED"], "a throttled worker")


def slow(scene: Scene) -> None:
    """The container needs some seconds before it asks for a job."""
    scene.trouble(SlowStart(seconds=4.0))
    scene.submit()
    scene.until(lambda: [w.status for w in scene.workers()] == ["INITIALIZING"], "a worker that starts")


def deleted(scene: Scene) -> None:
    """Somebody deleted the endpoint in the console."""
    scene.call(lambda box: box.world.delete_endpoint(scene.endpoint_in(box).id))


def broken_handler(scene: Scene) -> None:
    """The new version's runtime finds no recipe: it joins the queue and fails every job with the reason.

    `setpriv` has the kernel kill it with the tests: else it would ask a dead port for jobs for ever.
    """
    scene.write(env={"GREETING": "hello", "PROGRAM": f"setpriv --pdeathsig KILL {sys.executable} -u -m worker_runtime"})
    scene.factory("provision", "demo.yaml")
    job = scene.submit()
    scene.until(lambda: scene.job(job).status == "FAILED", "a failed job")


def full_volume(scene: Scene) -> None:
    """A worker's write to its volume fails: the kernel's own ENOSPC, from /dev/full under the volume's name."""
    folder = scene.bench.folder / "runpod-volume"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to("/dev/full")
    scene.set_env(PROGRAM=f"dd if=/dev/zero of={folder}/model.safetensors count=1")
    _wait_for_ends(scene, 2)


def stop_writing(scene: Scene) -> None:
    """Whoever wrote is stopped."""
    scene.factory("provision", "demo.yaml")


SCENARIOS = (
    Scenario("the account has no endpoint of that name", "not_deployed", RELEASE, deleted, verb="release --no-run"),
    Scenario(
        "every job fails at once with the same error",
        "start_failed",
        ROLLBACK,
        broken_handler,
        says="recipe",
        verb="release --no-run",
    ),
    Scenario(
        "No space left on device",
        "disk_full",
        "factory volumes grow demo 15",
        full_volume,
        prepare=stop_writing,
    ),
    Scenario(
        "jobs wait, workers are unhealthy, nothing completes: the program ends with an error of its own",
        "crash_loop",
        PROVISION,
        crashing("sh -c 'echo KeyError: BEAM; exit 1'"),
        says="last line: KeyError: BEAM",
    ),
    Scenario(
        "a new version crashes, the one before answered", "crash_loop", ROLLBACK, bad_version, verb="release --no-run"
    ),
    Scenario(
        "exit code 2: the handler is not found",
        "exit_codes",
        PROVISION,
        started_with("python3 -u /app/handler.py"),
        says="exit code 2",
    ),
    Scenario(
        "exit code 126: the command can't be executed",
        "exit_codes",
        PROVISION,
        started_with("/etc"),
        says="exit code 126",
    ),
    Scenario(
        "exit code 127: the command is not there",
        "exit_codes",
        PROVISION,
        started_with("/opt/start.sh --fast"),
        says="exit code 127",
    ),
    Scenario(
        "exit code 137: killed for its memory",
        "exit_codes",
        PROVISION,
        crashing(f"{PYTHON} 'import os; print(\"loading\", flush=True); os.kill(os.getpid(), 9)'"),
        says="exit code 137; last line: loading",
    ),
    Scenario(
        "exit code 137 of a new version",
        "exit_codes",
        ROLLBACK,
        killed_version,
        says="exit code 137",
        verb="release --no-run",
    ),
    Scenario(
        "exit code 139: a crash in native code",
        "exit_codes",
        PROVISION,
        crashing(f"{PYTHON} 'import ctypes; ctypes.string_at(0)'"),
        says="exit code 139",
    ),
    Scenario(
        "exit code 1 with the GPU's memory full",
        "exit_codes",
        PROVISION,
        crashing("sh -c 'echo torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB; exit 1'"),
        says="the GPU's memory ran out",
    ),
    Scenario("throttled: the endpoint's pool is sold out", "gpu_not_available", PROVISION, sold_out_pool),
    Scenario(
        "throttled: every pool of the recipe is sold out",
        "gpu_not_available",
        PROVISION,
        sold_out_recipe,
        edit="gpu: [ADA_24, AMPERE_24, ",
    ),
    Scenario(
        "running or initializing, jobs in the queue: the start-up is not done",
        "startup_not_finished",
        "factory diagnose demo.yaml --watch 60",
        slow,
        severity="note",
        is_mended=False,
    ),
)
