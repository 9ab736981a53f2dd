"""What must be there before anything is made: money, quota, pools, stock, image, secrets. Each finding says its fix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.account import EndpointSpec
from factory.provisioning import choices
from factory.provisioning.actions import Action
from factory.provisioning.costs import Costs
from factory.provisioning.desired import Desired
from factory.provisioning.observed import ImageState, Observed, PoolOffer
from factory.recipe.model import Recipe
from factory.recipe.tokens import looks_random, redacted, token_in
from factory.recipe.volume_paths import VOLUME, is_off_volume, names_workspace
from factory.wording import count_text, money_text

Severity = Literal["error", "warning"]
LEAST_BALANCE_USD = 0.01  # RunPod makes no endpoint below it (recorded from its API, 2026-08)
FEW_DAYS = 7


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in the way (error) or worth knowing (warning). `code` is stable, `sentence` holds no secret."""

    severity: Severity
    code: str
    sentence: str
    fix: str = ""

    def __str__(self) -> str:
        """Return the one line a person reads."""
        return f"{self.sentence}; {self.fix}" if self.fix else self.sentence


@dataclass(frozen=True, slots=True)
class Sight:
    """All that the checks look at."""

    recipe: Recipe
    desired: Desired
    actions: Sequence[Action]
    image: ImageState
    observed: Observed
    offers: Mapping[str, PoolOffer]
    costs: Costs

    @property
    def endpoint(self) -> EndpointSpec:
        """The endpoint as it must be."""
        return self.desired.endpoint

    def action(self, resource: str) -> Action | None:
        """Return the action on a resource."""
        return next((action for action in self.actions if action.resource == resource), None)


def preflight(sight: Sight) -> tuple[Finding, ...]:
    """Return all findings, errors first."""
    checks = (
        _balance,
        _quota,
        _pools,
        _stock,
        _cuda,
        _cpu,
        _models,
        _image,
        _login,
        _environment,
        _secrets,
        _tokens,
        _workers,
    )
    found = [finding for check in checks for finding in check(sight)]
    return tuple(sorted(found, key=lambda finding: finding.severity != "error"))


# --- money and quota -------------------------------------------------------------------------------------------------
def _balance(sight: Sight) -> Iterator[Finding]:
    balance = sight.observed.balance
    if balance.balance_usd < LEAST_BALANCE_USD or balance.is_under_balance:
        yield Finding(
            "error",
            "balance",
            f"the account has {signed_money(balance.balance_usd)}, and RunPod makes and starts nothing without money",
            "add credit in RunPod's console (Billing)",
        )
        return
    per_day = balance.spend_usd_per_h * 24 + sight.costs.idle_usd_per_month / 30
    if per_day and balance.balance_usd / per_day < FEW_DAYS:
        days = balance.balance_usd / per_day
        sum_text = f"{money_text(balance.balance_usd)} ÷ {money_text(per_day)} a day"
        yield Finding(
            "warning",
            "balance_low",
            f"the balance lasts {days:.1f} days ({sum_text}: present spend and this recipe's idle costs)",
            "add credit; unpaid volumes may be lost",
        )


def signed_money(usd: float) -> str:
    """Return `-$1.20` or `$4.90`."""
    return f"-{money_text(-usd)}" if usd < 0 else money_text(usd)


def _quota(sight: Sight) -> Iterator[Finding]:
    quota, endpoint = sight.observed.balance.worker_quota, sight.endpoint
    own = max((e.spec.workers_max for e in sight.observed.endpoints if e.spec.name == endpoint.name), default=0)
    if quota is None or endpoint.workers_max <= own:  # RunPod minds an increase only
        return
    others = {e.spec.name: e.spec.workers_max for e in sight.observed.endpoints if e.spec.name != endpoint.name}
    held = sum(e.spec.workers_max for e in sight.observed.endpoints if e.spec.name != endpoint.name)
    if held + endpoint.workers_max <= quota:
        return
    left = max(0, quota - held)
    most = ", ".join(
        f"{name} {count}" for name, count in sorted(others.items(), key=lambda item: (-item[1], item[0])) if count
    )
    lower = f"write endpoint.workers.max: {left}, or lower" if left else "lower"
    yield Finding(
        "error",
        "worker_quota",
        f"{held + endpoint.workers_max} workers in all, and the account's quota is {quota}: {endpoint.name} "
        f"{endpoint.workers_max}, others {held} ({most})",
        f"{lower} another endpoint's",
    )


# --- GPUs ------------------------------------------------------------------------------------------------------------
def _pools(sight: Sight) -> Iterator[Finding]:
    if sight.recipe.gpu is None:
        return
    if not sight.observed.pools:
        yield Finding(
            "warning",
            "catalogue",
            "RunPod's catalogue lists no pools now, so pools and stock are unchecked",
            "plan again",
        )
        return
    if not sight.endpoint.pools:
        largest = max(sight.offers.values(), key=lambda offer: offer.vram_gb)
        yield Finding(
            "error",
            "no_pool",
            f"no pool has {sight.recipe.gpu.min_vram_gb:g} GB per GPU and room for the weights (the largest is "
            f"{largest.id}, {largest.vram_gb} GB)",
            "ask for less in gpu.min_vram_gb, and for more GPUs with gpu.count",
        )
    for pool in sight.endpoint.pools:
        if wrong := choices.misnamed(pool, sight.offers):
            sentence = f"{redacted(pool)!r} {wrong.what}; RunPod accepts it and never schedules a worker"
            yield Finding("error", "unknown_pool", sentence, wrong.fix)


def _stock(sight: Sight) -> Iterator[Finding]:
    pools = [pool for pool in sight.endpoint.pools if pool in sight.offers]
    if not pools or not sight.observed.pools:
        return
    places = sight.endpoint.data_centers
    stocks = {pool: sight.offers[pool].stock_in(places) for pool in pools}
    volume = sight.action("volume")
    here = ", ".join(places) or "any data centre"
    if all(stock == "none" for stock in stocks.values()):
        better = choices.places_with_stock(pools, sight.offers, sight.observed)
        fix = f"data centres with storage and stock now: {', '.join(better[:4])}" if better else "add other pools"
        is_new = volume is not None and volume.kind == "create"
        why = "and a volume made there stays there" if is_new else "so jobs wait in the queue"
        sentence = f"no GPU of {', '.join(pools)} is free in {here} now, {why}"
        yield Finding("error" if is_new else "warning", "no_stock", sentence, fix)
    elif stocks[pools[0]] == "none":
        free = ", ".join(f"{pool} {stock}" for pool, stock in stocks.items() if stock != "none")
        yield Finding("warning", "first_pool_empty", f"{pools[0]} has no GPU free in {here} now: workers get {free}")


def _cuda(sight: Sight) -> Iterator[Finding]:
    floor = sight.endpoint.min_cuda
    pools = [sight.offers[pool] for pool in sight.endpoint.pools if pool in sight.offers]
    lacking = [offer for offer in pools if not choices.has_cuda(offer, floor)]
    if floor is None or not lacking:
        return
    highest = ", ".join(f"{offer.id} up to {offer.cuda_versions[-1]}" for offer in lacking)
    whose = "gpu.min_cuda" if sight.recipe.gpu and sight.recipe.gpu.min_cuda else "the image"
    is_all = len(lacking) == len(pools)
    yield Finding(
        "error" if is_all else "warning",
        "cuda_floor",
        f"{whose} asks for CUDA {floor}, and hosts have less: {highest}",
        "lower it, or build on an older CUDA" if is_all else "they will never be used",
    )


def _cpu(sight: Sight) -> Iterator[Finding]:
    if sight.recipe.gpu is None and not sight.endpoint.cpus:
        yield Finding(
            "error",
            "no_cpu",
            f"no CPU instance has {sight.endpoint.container_disk_gb} GB of container disk and memory for the weights",
            "put models on the volume (placement: volume), or choose a GPU",
        )


def _workers(sight: Sight) -> Iterator[Finding]:
    if sight.endpoint.workers_max == 0:
        yield Finding("warning", "no_workers", "with no workers a job waits for ever", "raise endpoint.workers.max")


def _models(sight: Sight) -> Iterator[Finding]:
    if sight.desired.models and sight.recipe.gpu is None:
        yield Finding(
            "error",
            "cached_on_cpu",
            "RunPod brings cached models to GPU endpoints only",  # docs.runpod.io, read 2026-11-23
            "write placement: volume, or give the recipe a 'gpu'",
        )


# --- the image -------------------------------------------------------------------------------------------------------
def _image(sight: Sight) -> Iterator[Finding]:
    image = sight.image
    if image.problem:
        yield Finding("warning", "registry", f"the registry could not be asked: {image.problem}")
    elif not image.is_pushed:
        yield Finding(
            "warning",
            "not_pushed",
            f"{image.reference} is not in its registry yet",
            "run `factory build RECIPE --push` before `factory provision`",
        )
    if image.is_out_of_reach:
        yield Finding(
            "error",
            "out_of_reach",
            f"RunPod can't pull {image.reference}: that registry is this machine's own",
            "push to a registry on the internet (image.repository, FACTORY_REGISTRY), or use `factory emulator`",
        )
    if image.platform != "linux/amd64":
        yield Finding(
            "error",
            "platform",
            f"the image is {image.platform}, and RunPod runs linux/amd64 only",
            "build and push again",
        )


def _login(sight: Sight) -> Iterator[Finding]:
    action = sight.action("login")
    if action is not None and action.kind == "create" and not sight.image.has_login:
        yield Finding(
            "error",
            "no_login",
            f"{sight.image.reference} is private, and this machine has no login to hand to RunPod",
            "run `docker login`, or set FACTORY_REGISTRY_USERNAME and FACTORY_REGISTRY_PASSWORD",
        )


# --- environment and secrets -----------------------------------------------------------------------------------------
def _environment(sight: Sight) -> Iterator[Finding]:
    for name, value in sight.endpoint.env.items():
        if names_workspace(value):
            yield Finding(
                "error",
                "workspace",
                f"env.{name} names /workspace, which serverless workers don't have: their volume is at {VOLUME}",
                f"write {VOLUME} instead",
            )
        elif sight.desired.volume and is_off_volume(name, value):
            yield Finding(
                "warning",
                "cache_off_volume",
                f"env.{name} is not on the volume, so what libraries keep there is lost with each worker",
                f"remove it, or put it below {VOLUME}",
            )


def _secrets(sight: Sight) -> Iterator[Finding]:
    named = {name for value in sight.endpoint.env.values() for name in re.findall(r"RUNPOD_SECRET_(\w+)", value)}
    missing = sorted(named - set(sight.observed.secrets))
    if missing:
        known = f" (it has {', '.join(sorted(sight.observed.secrets))})" if sight.observed.secrets else ""
        yield Finding(
            "error",
            "secret_missing",
            f"RunPod has no {'secret' if len(missing) == 1 else 'secrets'} {', '.join(missing)}{known}",
            "make it in RunPod's console (Secrets); factory never sees its value",
        )


def _tokens(sight: Sight) -> Iterator[Finding]:
    for name, value in sight.endpoint.env.items():
        kind = token_in(value)
        if kind or looks_random(value):
            what = kind[0] if kind else "what looks like a key or token"
            yield Finding(
                "error", "token", f"env.{name} holds {what}", "revoke it, and name a RunPod secret in 'secrets' instead"
            )
    template = next((t for t in sight.observed.templates if t.spec.name == sight.recipe.name and not t.is_bound), None)
    if template and (token_in(template.args) or looks_random(template.args)):
        what = "the template's start command at RunPod holds what looks like a token; it is cleared"
        yield Finding("warning", "token_in_args", what, "revoke that token")


def summary(findings: Sequence[Finding]) -> str:
    """Return `2 errors, 1 warning`."""
    counts = [(kind, sum(f.severity == kind for f in findings)) for kind in ("error", "warning")]
    return ", ".join(count_text(count, kind) for kind, count in counts if count)
