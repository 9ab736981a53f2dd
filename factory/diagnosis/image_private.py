"""The image is private, and the endpoint has no login for its registry: the pull stays pending.

Cause: RunPod pulls as anybody unless the endpoint names a registry login of the account; one that was deleted since
counts as none.
Command: `docker login REGISTRY`, then `factory provision RECIPE`, which hands the login to RunPod.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend
from factory.references import parse


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find a private image without a login."""
    image, endpoint = evidence.image, evidence.endpoint
    if image is None or endpoint is None or image.is_public is not False:
        return
    known = {login.id for login in evidence.account.logins}
    login_id = endpoint.spec.login_id
    if login_id is not None and (login_id in known or "registry logins" in evidence.gaps):
        return
    has = "the endpoint has no registry login" if login_id is None else f"its registry login {login_id} is gone"
    yield Finding(
        "image_private",
        "error",
        f"{image.reference} is private, and {has}",
        "RunPod may not pull the image, so no worker starts",
        _mend(evidence, parse(image.reference).registry, has_login=image.has_login),
        "certain",
        {"image": image.reference},
    )


def _mend(evidence: Evidence, registry: str, *, has_login: bool) -> Mend:
    """With a login on this machine provisioning suffices."""
    mend = mends.by_recipe(
        evidence, "provision", "add a registry login in RunPod's console and name it in the endpoint"
    )
    if has_login or evidence.recipe is None:
        return mend
    host = "" if registry == "docker.io" else f" {registry}"
    return Mend(f"docker login{host} && {mend.command}")
