"""An endpoint gets a configuration that it had before, image and all, and its workers roll to it."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Callable, Sequence

from factory.account import Endpoint, EndpointSpec, Template, TemplateSpec
from factory.journal import Outcome, Past
from factory.ports import Cloud
from factory.records import ModelFiles, Progress, Tell
from factory.stages.provision import wait_for_rollout


def put_back(
    cloud: Cloud,
    endpoint: Endpoint,
    template_spec: TemplateSpec,
    spec: EndpointSpec,
    tell: Tell,
    *,
    models: Sequence[str] | None = None,
    limit_s: float | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Endpoint:
    """Give an endpoint and its template what they were, and wait until no worker runs anything else.

    The template comes first: killed between the two, the endpoint still reads as it was, and a second run goes on.
    `models` are the cached models that it had, None where nobody changed them. `limit_s` is for the workers to roll: by
    default one job's time. Raises RolloutTimedOut and what the port raises.
    """
    tell(Progress("note", "rollback", f"putting back {spec.image}"))
    template = next((t for t in cloud.templates() if t.spec.name == template_spec.name and not t.is_bound), None)
    if template is None:
        template = cloud.create_template(template_spec)
    else:
        template = cloud.update_template(template, template_spec)
    changed = cloud.update_endpoint(endpoint, spec, template)
    if models is not None:
        cloud.set_models(endpoint.id, models)
    wait_for_rollout(endpoint.id, cloud, tell, limit_s=limit_s or spec.execution_timeout_ms / 1000, pause=pause)
    return changed


def as_template(spec: EndpointSpec) -> TemplateSpec:
    """Return the template that says of the container what an endpoint does."""
    return TemplateSpec(spec.name, spec.image, spec.container_disk_gb, spec.env, spec.login_id)


def template_behind(cloud: Cloud, endpoint: Endpoint) -> Template:
    """Return the template that an endpoint is saved with: the linked one, else that of its name.

    REST v2 keeps no link and asks for no template at a change: there an endpoint that has none gets its own words.
    """
    templates = cloud.templates()
    for template in templates:
        if template.id == endpoint.template_id:
            return template
    own = (t for t in templates if t.spec.name == endpoint.spec.name and t.is_serverless and not t.is_bound)
    return next(own, Template("", as_template(endpoint.spec), is_serverless=True, is_bound=True))


def as_past(
    endpoint: Endpoint,
    outcome: Outcome,
    models: Sequence[ModelFiles] = (),
    *,
    problems: tuple[str, ...] = (),
    restored: Past | None = None,
) -> Past:
    """Return what the history keeps of an endpoint as it is now; `restored` is what a rollback put back."""
    return Past(
        at=time.time(),
        outcome=outcome,
        endpoint_id=endpoint.id,
        endpoint=endpoint.spec,
        version=endpoint.version,
        models=restored.models if restored else {model.repo: model.commit for model in models},
        who=who(),
        problems=problems,
        restored_at=(restored.at or 1.0) if restored else 0.0,  # 0 would say: a release
    )


def who() -> str:
    """Return who works at which machine: `ada@laptop`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
