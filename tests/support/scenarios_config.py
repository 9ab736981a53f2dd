"""Scenarios of what is configured: volumes, disks, images, releases, paths, start commands, tokens, GPUs."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from dataclasses import replace

import httpx
from registries import DOCKER_MANIFEST, layer_tar, pusher
from release_bench import LOGIN
from scenes import Scenario, Scene

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.entities import Volume
from factory.emulator.runpod.troubles import PullFailure

PROVISION = "factory provision demo.yaml"
RELEASE = "factory release demo.yaml"
RELEASED = "release --no-run"
WAN = {"repo": "Wan-AI/Wan2.1-T2V-14B", "placement": "volume", "dtype": "bf16"}
LARGE_GPU = ["AMPERE_80"]
TOKEN = "hf_" + "aB3" * 8  # nobody's


def changed(**fields: object) -> Callable[[Scene], None]:
    """Return what changes the endpoint by hand."""
    return lambda scene: scene.change(**fields)


def container(**fields: object) -> Callable[[Scene], None]:
    """Return what changes by hand what the endpoint's containers are made of."""
    return lambda scene: scene.change_container(**fields)


def with_env(**variables: str) -> Callable[[Scene], None]:
    """Return what sets variables of the endpoint by hand."""
    return lambda scene: scene.set_env(**variables)


def waiting(begin: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """Return the same with a job that waits."""

    def both(scene: Scene) -> None:
        begin(scene)
        scene.submit()

    return both


# --- volumes and disks -----------------------------------------------------------------------------------------------
def shrunk(scene: Scene) -> None:
    """The volume is one of 10 GB, from when the recipe had a smaller model."""

    def shrink(box: Box) -> None:
        volume = next(iter(box.world.volumes.values()))
        box.world.volumes[volume.id] = replace(volume, size_gb=10)

    scene.call(shrink)


def other_volume(scene: Scene) -> None:
    """Somebody attached another volume."""

    def attach(box: Box) -> Volume:
        return box.world.create_volume("scratch", 10, "EU-RO-1")

    scene.change(volume_ids=[scene.call(attach).id])


# --- images ----------------------------------------------------------------------------------------------------------
def repository(scene: Scene) -> str:
    """Return the image's name without tag and digest."""
    return scene.bench.image.partition("@")[0]


def push(scene: Scene, tag: str, architecture: str = "amd64") -> None:
    """Push an image by hand."""
    hand = pusher(scene.bench.place.registry, _login())
    hand.image("acme/demo", tag, gzip.compress(layer_tar({"by": tag.encode()}), mtime=0), architecture=architecture)


def _login() -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(':'.join(LOGIN).encode()).decode()}"}


def missing(scene: Scene) -> None:
    """The endpoint names a tag that was never pushed."""
    scene.change_container(image=f"{repository(scene)}:never-pushed")
    scene.submit()


def for_arm(scene: Scene) -> None:
    """Somebody built on a laptop with an ARM processor, and put that image there."""
    push(scene, "from-a-laptop", "arm64")
    scene.change_container(image=f"{repository(scene)}:from-a-laptop")


def latest(scene: Scene) -> None:
    """Somebody tagged the very image `:latest`, and put that there."""
    registry, _, digest = scene.bench.image.partition("/acme/demo@")
    headers = _login() | {"Accept": DOCKER_MANIFEST}
    with httpx.Client(base_url=f"http://{registry}", headers=headers) as client:
        manifest = client.get(f"/v2/acme/demo/manifests/{digest}").raise_for_status().content
    pusher(registry, _login()).manifest("acme/demo", "latest", manifest, DOCKER_MANIFEST)
    scene.change_container(image=f"{repository(scene)}:latest")


def newer_by_hand(scene: Scene) -> None:
    """Somebody built an image of their own, and put that there."""
    push(scene, "mine")
    scene.change_container(image=f"{repository(scene)}:mine")


def unreleased(scene: Scene) -> None:
    """A newer image was released, and somebody put the older one back by hand, in template and endpoint."""
    older = scene.bench.image
    scene.write(image={"repository": "acme/demo", "env": {"NEW": "1"}})
    scene.factory("release", "--no-run", "demo.yaml")
    scene.change_container(image=older)


def stuck_pull(scene: Scene) -> None:
    """The registry gives RunPod nothing for a while: workers try again and again."""
    scene.until(lambda: not scene.workers(), "the worker of the test jobs to go")
    scene.trouble(PullFailure())
    scene.submit()
    scene.until(lambda: _pulls(scene) > 1, "a second pull")


def _pulls(scene: Scene) -> int:
    def count(box: Box) -> int:
        return sum(
            "pending" in line.line
            for worker in box.fleet.workers(scene.endpoint_in(box).id)
            for line in box.fleet.log_lines(worker.id, "system")
        )

    found: int = scene.call(count)
    return found


def registry_is_back(scene: Scene) -> None:
    """The registry gives its images again."""
    scene.call(lambda box: box.troubles.clear())


def changed_template(scene: Scene) -> None:
    """Somebody changed the template, and did not release the endpoint."""

    def change(box: Box) -> None:
        template = next(t for t in box.world.templates.values() if t.name == "demo" and not t.bound_endpoint_id)
        env = {**template.container.env, "GREETING": "good day"}
        box.world.update_template(template.id, replace(template, container=replace(template.container, env=env)))

    scene.call(change)


SCENARIOS = (
    Scenario(
        "the model outgrew its volume",
        "volume_too_small",
        "factory volumes grow demo 76",
        shrunk,
        blocks={"model": WAN, "gpu": LARGE_GPU},
        says="volume demo has 10 GB",
    ),
    Scenario("the volume was detached", "volume_not_attached", PROVISION, changed(volume_ids=[])),
    Scenario("another volume is attached", "volume_not_attached", PROVISION, other_volume),
    Scenario("a container disk of 1 GB", "container_disk_too_small", PROVISION, container(disk_gb=1)),
    Scenario("a tag that was never pushed", "image_missing", RELEASE, missing, verb=RELEASED),
    Scenario("an image for linux/arm64", "image_platform", RELEASE, for_arm, verb=RELEASED),
    Scenario("a private image whose login was taken off", "image_private", PROVISION, container(login_id=None)),
    Scenario(
        "initializing for ever: the pull fails",
        "image_pull_pending",
        RELEASE,
        stuck_pull,
        verb=RELEASED,
        blocks={"endpoint": {"data_centers": ["EU-RO-1"], "idle_timeout_s": 1}},
        prepare=registry_is_back,
    ),
    Scenario(
        "`:latest`, which each host may have of another day", "image_latest", RELEASE, latest, "warning", verb=RELEASED
    ),
    Scenario("an image that somebody built", "image_not_released", RELEASE, newer_by_hand, "warning", verb=RELEASED),
    Scenario("the older image runs", "image_not_released", RELEASE, unreleased, "warning", verb=RELEASED),
    Scenario("the template was changed by hand", "stale_release", PROVISION, changed_template, "warning"),
    Scenario("/workspace: no such file", "wrong_paths", PROVISION, with_env(OUT="/workspace/out")),
    Scenario(
        "every worker downloads the weights anew",
        "wrong_paths",
        PROVISION,
        lambda _scene: None,
        "warning",
        edit="env.HF_HOME: /runpod-volume/huggingface",
        blocks={"env": {"GREETING": "hello", "HF_HOME": "/root/.cache"}},
    ),
    Scenario(
        "workers clone and install at their start, and hide that it failed",
        "startup_arguments",
        PROVISION,
        waiting(container(args="sh -c 'git clone file:///nowhere repo || true; exec sleep 600'")),
        "warning",
    ),
    Scenario("a token in plain sight", "plain_token", PROVISION, with_env(HF_TOKEN=TOKEN), "warning"),
    Scenario("a GPU's name for a pool", "unknown_pools", PROVISION, waiting(changed(pools=["NVIDIA L4"]))),
    Scenario("CUDA 19 on hosts that end below", "cuda_floor", PROVISION, waiting(changed(min_cuda="19.0"))),
    Scenario(
        "CUDA out of memory while loading",
        "vram_too_small",
        PROVISION,
        changed(pools=["AMPERE_16"]),
        blocks={"model": WAN, "gpu": LARGE_GPU},
    ),
)
