"""GraphQL's JSON to the nouns of `factory/account.py`, and back.

Field names and their meaning: RunPod's GraphQL as runpodctl, flash and the `runpod` SDK 1.12.0 use it (read
2026-11-25); `saveEndpoint` is not in the published schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from factory.account import (
    Balance,
    CloudWorker,
    DataCenter,
    Endpoint,
    EndpointSpec,
    GpuOffer,
    Holdings,
    Login,
    Pod,
    Rollout,
    Stock,
    Template,
    TemplateSpec,
    Volume,
)
from factory.clients.runpod.graphql_notes import Running, still_runs
from factory.errors import CloudRefused

Json = Mapping[str, Any]
WorkerStatus = Literal["RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY"]

_STOCK: dict[str, Stock] = {"low": "low", "medium": "medium", "high": "high"}
FLASHBOOT_ON, FLASHBOOT_OFF = "FLASHBOOT", "OFF"


def read_balance(data: Json) -> Balance:
    """Read `myself`; what the operation didn't ask for is not known."""
    myself = data["myself"]
    quota = myself.get("maxServerlessConcurrency")
    return Balance(
        balance_usd=float(myself["clientBalance"]),
        spend_usd_per_h=float(myself["currentSpendPerHr"] or 0),
        is_under_balance=bool(myself.get("underBalance")),
        worker_quota=None if quota is None else int(quota),
    )


def read_volume(row: Json) -> Volume:
    """Read a network volume."""
    return Volume(row["id"], row["name"], row["dataCenterId"], int(row["size"]))


def read_login(row: Json) -> Login:
    """Read a registry login."""
    return Login(row["id"], row["name"])


def read_holdings(data: Json) -> Holdings:
    """Read `myself` with all that factory makes."""
    myself = data["myself"]
    return Holdings(
        tuple(map(read_endpoint, myself["endpoints"] or ())),
        tuple(map(read_template, myself["podTemplates"] or ())),
        tuple(map(read_volume, myself["networkVolumes"] or ())),
        tuple(map(read_login, myself["containerRegistryCreds"] or ())),
    )


def read_env(pairs: Iterable[Json] | None) -> dict[str, str]:
    """Read `[{key value}]`."""
    return {pair["key"]: pair["value"] or "" for pair in pairs or ()}


def write_env(env: Mapping[str, str]) -> list[dict[str, str]]:
    """Return `[{key value}]`."""
    return [{"key": key, "value": value} for key, value in env.items()]


def read_version(row: Json) -> int | None:
    """Read an endpoint's version."""
    return None if row["version"] is None else int(row["version"])


def read_running(row: Json) -> Running:
    """Read what a template would start."""
    env = read_env(row["env"])
    return Running(
        row["imageName"] or "", int(row["containerDiskInGb"] or 0), env, row["containerRegistryAuthId"] or None
    )


def read_template(row: Json) -> Template:
    """Read a template."""
    now = read_running(row)
    spec = TemplateSpec(row["name"], now.image, now.disk_gb, now.env, now.login_id)
    return Template(
        id=row["id"],
        spec=spec,
        is_serverless=bool(row["isServerless"]),
        args=row["dockerArgs"] or "",
        is_bound=bool(row["boundEndpointId"]),
    )


def write_template(spec: TemplateSpec, template_id: str | None = None, readme: str = "") -> dict[str, object]:
    """Return the input of `saveTemplate`; without an id it makes a template.

    All six fields that some version of its schema wanted non-null are sent, `dockerArgs` too: without it users met
    "Something went wrong" or a pod template (pulumi-runpod-native issue 18, read 2026-11-23).
    """
    return {
        **({"id": template_id} if template_id else {}),
        "name": spec.name,
        "imageName": spec.image,
        "dockerArgs": "",
        "containerDiskInGb": spec.container_disk_gb,
        "volumeInGb": 0,
        "env": write_env(spec.env),
        "isServerless": True,
        "containerRegistryAuthId": spec.login_id or "",
        "readme": readme,
    }


def read_endpoint(row: Json) -> Endpoint:
    """Read an endpoint, with what its workers really start from (`graphql_notes.py`)."""
    template = row["template"]
    version = read_version(row)
    now = still_runs(template["readme"], row["id"], version) or read_running(template)
    is_queue = row["type"] != "LB"
    is_by_delay = row["scalerType"] != "REQUEST_COUNT"
    has_idle_timeout = (is_by_delay or not is_queue) and row["idleTimeout"] is not None
    spec = EndpointSpec(
        name=row["name"],
        image=now.image,
        container_disk_gb=now.disk_gb,
        env={**now.env, **read_env(row["env"])},
        login_id=now.login_id,
        pools=pools(row),
        gpu_count=int(row["gpuCount"] or 1),
        min_cuda=row["minCudaVersion"] or None,
        cpus=tuple(row["instanceIds"] or ()),
        workers_min=int(row["workersMin"] or 0),
        workers_max=int(row["workersMax"] or 0),
        idle_timeout_s=int(row["idleTimeout"]) if has_idle_timeout else None,
        scaler="queue_delay" if is_by_delay else "request_count",
        scaler_value=float(row["scalerValue"]),
        data_centers=split(row["locations"]),
        volume_ids=read_volume_ids(row),
        execution_timeout_ms=int(row["executionTimeoutMs"] or 0),
        flashboot=(row["flashBootType"] or FLASHBOOT_OFF) != FLASHBOOT_OFF,
    )
    return Endpoint(
        id=row["id"],
        spec=spec,
        is_queue=is_queue,
        version=version,
        template_id=row["templateId"] or None,
        extra=_extra(row),
    )


def _extra(row: Json) -> dict[str, Any]:
    """Return what we don't manage, where there is any."""
    extra = {
        "excluded_gpus": excluded(row),
        "allowed_cuda": split(row["allowedCudaVersions"]),
        "models": tuple(row["modelReferences"] or ()),
        "flashboot": row["flashBootType"] if row["flashBootType"] not in (None, FLASHBOOT_ON, FLASHBOOT_OFF) else "",
    }
    return {name: value for name, value in extra.items() if value}


def read_volume_ids(row: Json) -> tuple[str, ...]:
    """Return an endpoint's volumes, from the list or the single field, each once."""
    listed = [entry["networkVolumeId"] for entry in row["networkVolumeIds"] or ()]
    single = [row["networkVolumeId"]] if row["networkVolumeId"] else []
    return tuple(dict.fromkeys([*listed, *single]))


def write_volume_ids(volume_ids: Iterable[str]) -> dict[str, object]:
    """Return both fields for an endpoint's volumes: one alone goes into both, as runpodctl sends it back."""
    ids = list(volume_ids)
    return {
        "networkVolumeId": ids[0] if len(ids) == 1 else "",
        "networkVolumeIds": [{"networkVolumeId": volume_id} for volume_id in ids],
    }


def split(text: str | None) -> tuple[str, ...]:
    """Return the parts of a comma list."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def pools(row: Json) -> tuple[str, ...]:
    """Return the pools that an endpoint asks for, in order."""
    return tuple(part for part in split(row["gpuIds"]) if not part.startswith("-"))


def excluded(row: Json) -> tuple[str, ...]:
    """Return the GPU types that an endpoint refuses."""
    return tuple(part[1:] for part in split(row["gpuIds"]) if part.startswith("-"))


def full_input(row: Json) -> dict[str, object]:
    """Return the input of `saveEndpoint` that leaves an endpoint as it is.

    `saveEndpoint` sets every field that is left out to its default; `minCudaVersion` to 12.0 (recorded 2026), so that
    none is said with "". A field that RunPod shows as null has no value to send.
    """
    kept = {
        name: row[name]
        for name in (
            *("id", "name", "type", "templateId", "gpuCount", "instanceIds", "workersMin", "workersMax"),
            *("workersPFBTarget", "idleTimeout", "scalerType", "scalerValue", "executionTimeoutMs"),
            *("flashBootType", "modelReferences"),
        )
        if row[name] is not None
    }
    texts = {name: row[name] or "" for name in ("gpuIds", "allowedCudaVersions", "minCudaVersion", "locations")}
    env = {"env": write_env(read_env(row["env"]))}
    return {**kept, **texts, **env, **write_volume_ids(read_volume_ids(row))}


def write_endpoint(
    spec: EndpointSpec, template_id: str, row: Json | None = None, excluded_gpus: Iterable[str] = ()
) -> dict[str, object]:
    """Return the input of `saveEndpoint`: a new queue endpoint, or the endpoint `row` with all that `spec` says.

    A CUDA floor of ours clears a list of allowed versions, as over REST v2, which has one or the other.
    """
    if not float(spec.scaler_value).is_integer():
        raise CloudRefused(
            f"GraphQL takes whole scaler values only (found {spec.scaler_value:g})",
            where=f'endpoint "{spec.name}"',
            fix="write a whole number, or set RUNPOD_API=rest",
        )
    before = {"type": "QB", "allowedCudaVersions": ""} if row is None else full_input(row)
    was_on = before.get("flashBootType", FLASHBOOT_OFF) != FLASHBOOT_OFF
    on = before["flashBootType"] if was_on else FLASHBOOT_ON
    wanted: dict[str, object] = {
        "name": spec.name,
        "templateId": template_id,
        "env": [],  # what is laid over the template's; ours is all in the template
        "gpuIds": ",".join([*spec.pools, *(f"-{gpu}" for gpu in excluded_gpus)]) if spec.pools else "",
        "instanceIds": list(spec.cpus),
        "minCudaVersion": spec.min_cuda or "",
        "locations": ",".join(spec.data_centers),
        **write_volume_ids(spec.volume_ids),
        "workersMin": spec.workers_min,
        "workersMax": spec.workers_max,
        "scalerType": spec.scaler.upper(),
        "scalerValue": int(spec.scaler_value),
        "executionTimeoutMs": spec.execution_timeout_ms,
        "flashBootType": on if spec.flashboot else FLASHBOOT_OFF,
        **({"gpuCount": spec.gpu_count} if spec.pools else {}),
        **({"allowedCudaVersions": ""} if spec.min_cuda else {}),
        **({} if spec.idle_timeout_s is None else {"idleTimeout": spec.idle_timeout_s}),
    }
    return {**before, **wanted}


def read_gpus(data: Json) -> tuple[GpuOffer, ...]:
    """Read the catalogue; GraphQL lists pod prices only, so the price of a flex worker is not known."""
    pool_of = {gpu: pool["id"] for pool in data["serverlessGpuPools"] for gpu in pool["gpuTypeIds"] or ()}
    stock: dict[str, dict[str, Stock]] = {}
    for data_center in data["dataCenters"]:
        for entry in data_center["gpuAvailability"] or ():
            level = _STOCK.get((entry["stockStatus"] or "").lower())
            if level and entry["available"] is not False:
                stock.setdefault(entry["gpuTypeId"], {})[data_center["id"]] = level
    return tuple(
        GpuOffer(
            id=row["id"],
            name=row["displayName"],
            pool=pool_of.get(row["id"]),
            vram_gb=int(row["memoryInGb"]),
            usd_per_h=None,
            stock=stock.get(row["id"], {}) if row["id"] in pool_of else {},  # in no pool, no worker gets it
        )
        for row in data["gpuTypes"]
    )


def read_data_center(row: Json) -> DataCenter:
    """Read a data centre; GraphQL says whether it has storage, not which tiers."""
    return DataCenter(row["id"], row["location"] or "", ("STANDARD",) if row["storageSupport"] else ())


def read_pods(data: Json) -> tuple[Pod, ...]:
    """Read the rented pods: those that belong to no endpoint."""
    return tuple(_read_pod(row) for row in data["myself"]["pods"] or () if not row["endpointId"])


def _read_pod(row: Json) -> Pod:
    machine = row["machine"] or {}
    is_running = row["desiredStatus"] not in ("EXITED", "PAUSED", "TERMINATED")
    return Pod(
        id=row["id"],
        name=row["name"] or "",
        is_running=is_running,
        usd_per_h=float(row["costPerHr"] or 0) if is_running else 0.0,
        gpu=machine.get("gpuTypeId"),
        gpu_count=int(row["gpuCount"] or 0),
        data_center=machine.get("dataCenterId"),
        volume_ids=(row["networkVolumeId"],) if row["networkVolumeId"] else (),
    )


def read_workers(data: Json) -> tuple[CloudWorker, ...]:
    """Read an endpoint's pods."""
    endpoint = data["myself"]["endpoint"]
    return tuple(_read_worker(pod, endpoint) for pod in endpoint["pods"] or ())


def _read_worker(pod: Json, endpoint: Json) -> CloudWorker:
    machine, runtime = pod["machine"] or {}, pod["runtime"] or {}
    version = pod["version"]
    return CloudWorker(
        id=pod["id"],
        status=_worker_status(pod),
        is_stale=version is not None and endpoint["version"] is not None and version < endpoint["version"],
        version=version,
        image=pod["imageName"] or None,
        gpu=machine.get("gpuTypeId"),
        data_center=machine.get("dataCenterId"),
        uptime_s=runtime.get("uptimeInSeconds", pod["uptimeSeconds"]),
    )


def _worker_status(pod: Json) -> WorkerStatus:
    """Return what a pod is doing; whether one that runs has a job, GraphQL doesn't say."""
    if pod["desiredStatus"] in ("EXITED", "PAUSED"):
        return "IDLE"
    if pod["desiredStatus"] in ("DEAD", "RESTARTING"):
        return "UNHEALTHY"
    has_started = bool(pod["runtime"] or pod["uptimeSeconds"])
    return "RUNNING" if pod["desiredStatus"] == "RUNNING" and has_started else "INITIALIZING"


def read_rollout(data: Json) -> Rollout:
    """Read how many of an endpoint's pods are of its version."""
    version = data["myself"]["endpoint"]["version"]
    workers = read_workers(data)
    latest = sum(not worker.is_stale for worker in workers)
    return Rollout(version, latest, len(workers), latest < len(workers))
