"""Is all still as the last release left it? Then nobody need look at the whole account, nor choose anything anew.

A release that found nothing to change, or made all that it wanted and then saw nothing more to change, is settled. It
notes the hash of all that was decided from (`decided_from`) and the hash of what stood in the account (`seen`). While
both are the same, so is the decision: the catalogue, prices, stock, balance and secrets matter to changes alone. Any
difference, whatever it is, means a look at everything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from factory import __version__
from factory.account import Holdings
from factory.errors import CloudRefused
from factory.journal import Settled
from factory.pipeline import Line
from factory.ports import Cloud
from factory.provisioning.desired import wants_cached
from factory.provisioning.observed import ImageState, Observed
from factory.questions import in_thread
from factory.records import Deployment, ImageSize, ModelFiles
from factory.references import parse
from factory.stages.provision import with_models_of

VERSION = 1  # of what is hashed; another version of factory looks at everything once


def decided_from(line: Line, image: ImageState, size: ImageSize | None) -> str:
    """Hash what a plan is made of beside the account: the recipe, its models and neighbours, the image as it is."""
    neighbours = line.neighbours
    return _hash(
        {
            "version": [VERSION, __version__],
            "recipe": line.file.recipe.model_dump(mode="json"),
            "models": _plain(line.models),
            "neighbours": {name: _plain(models) for name, models in neighbours},
            "image": asdict(image),
            "size": asdict(size) if size else None,
        }
    )


def holdings(cloud: Cloud, line: Line, *, volume: bool, login: bool) -> Holdings:
    """Look at what the recipe may have in the account, its cached models included. Raises what the port raises."""
    held = cloud.holdings(volumes=volume, logins=login)
    if not wants_cached(line.file.recipe):
        return held
    return replace(held, endpoints=with_models_of(held.endpoints, cloud.all_models()))


def seen(recipe: str, held: Holdings | Observed, *, volume: str, login: str) -> str:
    """Hash all that has the recipe's names, whatever its ids; `volume` and `login` are names, empty where none is."""
    return _hash(
        {
            "endpoints": [asdict(e) for e in held.endpoints if e.spec.name == recipe],
            "templates": [asdict(t) for t in held.templates if t.spec.name == recipe and not t.is_bound],
            "volumes": [asdict(v) for v in held.volumes if volume and v.name == volume],
            "logins": [asdict(login_) for login_ in held.logins if login and login_.name == login],
        }
    )


def as_left(settled: Settled, recipe: str, held: Holdings) -> Deployment | None:
    """Return the deployment when the account is as it was settled; None when anything differs."""
    if seen(recipe, held, volume=settled.volume, login=settled.login) != settled.seen:
        return None
    endpoint = next(e for e in held.endpoints if e.spec.name == recipe)
    template = next(t for t in held.templates if t.spec.name == recipe and not t.is_bound)
    return Deployment(
        recipe=recipe,
        endpoint_id=endpoint.id,
        template_id=template.id,
        volume_id=next((v.id for v in held.volumes if settled.volume and v.name == settled.volume), None),
        version=endpoint.version,
        image=endpoint.spec.image,
        was_changed=False,
        pools=endpoint.spec.pools,
        data_centers=endpoint.spec.data_centers,
    )


def look_again(
    settled: Settled, line: Line, cloud: Callable[[], Cloud], public_digest: Callable[[str], str | None]
) -> Future[Holdings | None]:
    """Begin to ask all that an unchanged release asks, while the Hub is asked: RunPod, the image's tag, the base's.

    The future is of what was settled in the account, None where RunPod refuses the question (then each list is asked
    for by itself). What the registries answer waits in `once.py` for who needs it; what goes wrong is met there too.
    """

    def look() -> Holdings | None:
        try:
            return holdings(cloud(), line, volume=bool(settled.volume), login=bool(settled.login))
        except CloudRefused:
            return None

    registry = line.doors.registry
    in_thread(partial(public_digest if settled.is_public else registry.digest, settled.reference))
    machine, lock = line.machine, line.lock
    base = machine.stand_in_base or line.file.recipe.image.base_reference
    is_locked = lock is not None and lock.base_image is not None and not machine.stand_in_base
    if not is_locked and not parse(base).digest:
        in_thread(partial(registry.digest, base))
    return in_thread(look)


def _plain(models: Sequence[ModelFiles]) -> list[dict[str, Any]]:
    return [asdict(model) for model in models]


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
