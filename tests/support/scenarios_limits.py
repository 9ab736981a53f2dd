"""Scenarios of what an account, a start, a job and a model run into."""

from __future__ import annotations

from dataclasses import replace

from runpod_box import an_endpoint
from scenes import Scenario, Scene

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.troubles import Balance, EndpointGone

PROVISION = "factory provision demo.yaml"
RELEASE = "factory release demo.yaml"
TOKEN = "hf_" + "aB3" * 8  # nobody's
COMMIT, NEXT_COMMIT = "1" * 40, "2" * 40
WEIGHTS = {"path": "model.safetensors", "size": 1_000_000, "sha256": "ab" * 32}
LARGE = ("Wan-AI/Wan2.1-T2V-14B", "Orange-3DV-Team/MoCha")


# --- the account -----------------------------------------------------------------------------------------------------
def broke(scene: Scene) -> None:
    """The money is used up while a job waits."""
    scene.trouble(Balance(0.0))
    scene.submit()


def nearly_broke(scene: Scene) -> None:
    """There is money for less than an hour."""

    def spend(box: Box) -> None:
        box.world.set_person(balance_usd=0.05)

    scene.submit()
    scene.until(lambda: scene.workers(), "a worker that costs")
    scene.call(spend)


def credit(scene: Scene) -> None:
    """Credit is added in the console."""
    scene.call(lambda box: box.troubles.clear())
    scene.call(lambda box: box.world.set_person(balance_usd=100.0))


def gone(scene: Scene) -> None:
    """The job API no longer knows this endpoint, and will know its successor."""
    scene.trouble(EndpointGone(scene.endpoint.id))


def crowded(scene: Scene) -> None:
    """The quota shrank with the balance, and another endpoint has its share of it."""

    def crowd(box: Box) -> None:
        box.world.create_endpoint(an_endpoint("other", workers_max=4))
        box.world.set_person(worker_quota=5)

    scene.call(crowd)


def nameless_secret(scene: Scene) -> None:
    """The environment names a secret that was deleted."""
    scene.set_env(API_TOKEN="{{ RUNPOD_SECRET_API_TOKEN }}")


def make_secret(scene: Scene) -> None:
    """The secret is made in the console."""
    scene.call(lambda box: box.world.create_secret("API_TOKEN", "nobody's"))


# --- starts and jobs -------------------------------------------------------------------------------------------------
def old_sdk(scene: Scene) -> None:
    """Somebody's program has an old SDK, which says so at its start."""
    scene.set_env(PROGRAM="sh -c 'echo \"--- Starting Serverless Worker |  Version 1.9.0 ---\"; exec sleep 600'")
    scene.submit()
    scene.until(lambda: _says(scene, "Version 1.9.0"), "the worker's first line")


def _says(scene: Scene, text: str) -> bool:
    def look(box: Box) -> bool:
        workers = box.fleet.workers(scene.endpoint_in(box).id)
        return any(text in line.line for worker in workers for line in box.fleet.log_lines(worker.id))

    found: bool = scene.call(look)
    return found


def without_init_timeout(scene: Scene) -> None:
    """Somebody removed the variable that factory sets for so many bytes, from template and endpoint."""
    env = {name: value for name, value in scene.endpoint.container.env.items() if name != "RUNPOD_INIT_TIMEOUT"}

    def remove(box: Box) -> None:
        template = next(t for t in box.world.templates.values() if t.name == "demo" and not t.bound_endpoint_id)
        box.world.update_template(template.id, replace(template, container=replace(template.container, env=env)))

    scene.call(remove)
    scene.change_container(env=env)


def cut_off(scene: Scene) -> None:
    """Somebody lowered the endpoint's time-out to less than a job takes."""
    scene.change(execution_timeout_ms=1000)
    job_id = scene.submit(wait=20)
    scene.until(lambda: scene.job(job_id).status == "TIMED_OUT", "a job that is cut off")


def too_large(scene: Scene) -> None:
    """The worker says that its result is larger than RunPod takes."""
    job_id = scene.submit(fail="output_too_large: result.video is a file of 24000000 bytes, and 9000000 more fit")
    scene.until(lambda: scene.job(job_id).status == "FAILED", "a job that fails")


def cancelled_elsewhere(scene: Scene) -> None:
    """A job that was submitted here is cancelled in the console."""
    job_id = scene.submit(wait=60)
    scene.call(lambda box: box.jobs.cancel(scene.endpoint_in(box).id, job_id))


# --- models ----------------------------------------------------------------------------------------------------------
def gated(scene: Scene) -> None:
    """The recipe's model is gated: this machine's token may read it, the worker has none."""
    scene.bench.settings["HF_TOKEN"] = TOKEN
    scene.model("acme/gated", sha=COMMIT, gated="auto", tokens=[TOKEN], files=[WEIGHTS])
    scene.write(model={"repo": "acme/gated", "placement": "volume"})
    scene.factory("provision", "demo.yaml")


def hand_over_token(scene: Scene) -> None:
    """The secret is made in the console."""
    scene.call(lambda box: box.world.create_secret("HF_TOKEN", TOKEN))


def shut_out(scene: Scene) -> None:
    """The recipe's model becomes gated, and nobody here was let in."""
    scene.model("acme/open", sha=COMMIT, files=[WEIGHTS])
    scene.write(model={"repo": "acme/open", "placement": "volume"})
    scene.factory("provision", "demo.yaml")
    scene.model("acme/open", sha=COMMIT, gated="manual", tokens=[], files=[WEIGHTS])


def vanished(scene: Scene) -> None:
    """The tag that the recipe names is removed from the Hub."""
    tag = {"v1": {"type": "tag", "sha": NEXT_COMMIT, "files": [WEIGHTS]}}
    scene.model("acme/tagged", sha=COMMIT, files=[WEIGHTS], refs=tag)
    scene.write(model={"repo": "acme/tagged", "revision": "v1", "placement": "volume"})
    scene.factory("release", "--no-run", "demo.yaml")
    scene.model("acme/tagged", sha=COMMIT, files=[WEIGHTS])


def moved(scene: Scene) -> None:
    """The owner pushes to the branch that the recipe names."""
    scene.model("acme/moving", sha=COMMIT, files=[WEIGHTS])
    scene.write(model={"repo": "acme/moving", "placement": "volume"})
    scene.factory("release", "--no-run", "demo.yaml")
    scene.model("acme/moving", sha=NEXT_COMMIT, files=[WEIGHTS | {"sha256": "cd" * 32}])


def build(scene: Scene) -> None:
    """The image of the recipe as it is now is built and pushed, which takes an engine."""
    scene.write()


SCENARIOS = (
    Scenario(
        "the balance is gone",
        "balance",
        "add credit in RunPod's console (Billing)",
        broke,
        prepare=credit,
        is_mended=False,
    ),
    Scenario(
        "the balance lasts an hour",
        "balance",
        "add credit in RunPod's console (Billing)",
        nearly_broke,
        "warning",
        prepare=credit,
        is_mended=False,
    ),
    Scenario("404 Not Found for a listed endpoint", "endpoint_gone", "factory recreate demo.yaml", gone),
    Scenario("workersMax 0", "no_workers", PROVISION, lambda scene: scene.change(workers_max=0)),
    Scenario(
        "workersMax lowered after days without requests",
        "no_workers",
        PROVISION,
        lambda scene: scene.change(workers_max=2),
        "warning",
    ),
    Scenario(
        "the worker quota is used up",
        "worker_quota",
        PROVISION,
        crowded,
        "warning",
        edit="endpoint.workers.max: 1",
    ),
    Scenario(
        "a secret that isn't there",
        "secret_missing",
        "make the secret API_TOKEN in RunPod's console (Secrets), then start the workers anew",
        nameless_secret,
        prepare=make_secret,
        is_mended=False,
    ),
    Scenario("an SDK that gives all jobs to one worker", "sdk_version", RELEASE, old_sdk, "warning"),
    Scenario(
        "weights that take longer than RunPod waits",
        "init_timeout",
        PROVISION,
        without_init_timeout,
        "warning",
        blocks={
            "model": None,
            "models": [{"repo": repository, "placement": "volume", "dtype": "bf16"} for repository in LARGE],
            "gpu": ["AMPERE_80"],
        },
    ),
    Scenario("jobs end as TIMED_OUT", "execution_timeout", PROVISION, cut_off),
    Scenario(
        "a result larger than RunPod takes",
        "payload_too_large",
        PROVISION,
        too_large,
        edit="disk.volume: 10",
        blocks={"model": {"repo": "sentence-transformers/all-MiniLM-L6-v2", "placement": "disk"}},
    ),
    Scenario(
        "a job that no longer exists",
        "job_gone",
        "factory jobs list demo.yaml",
        cancelled_elsewhere,
        "warning",
    ),
    Scenario(
        "a gated model, and a worker without a token",
        "model_denied",
        PROVISION,
        gated,
        edit="secrets: [HF_TOKEN]",
        prepare=hand_over_token,
    ),
    Scenario(
        "a model that became gated",
        "model_denied",
        "accept the licence on https://huggingface.co/acme/open with the account of HF_TOKEN",
        shut_out,
        is_mended=False,
    ),
    Scenario("a tag that vanished", "model_gone", RELEASE, vanished, edit="model.revision: main"),
    Scenario("a branch that moved", "model_changed", RELEASE, moved, "note", prepare=build),
)
