"""/v2/registries: logins, and the delegations of ECR repositories."""

from __future__ import annotations

import re
from typing import Any

from factory.emulator.runpod.pods import Delegation, Pod
from factory.emulator.runpod.records import Records
from factory.emulator.runpod.refusals import Refused
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler, listing
from factory.emulator.runpod.times import time_text
from factory.emulator.runpod.world import World, new_id

_ARN = re.compile(
    r"arn:aws[a-z-]*:ecr:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):repository/(?P<name>[^:\s]+)(:(?P<tag>\S+))?"
)


class Registries:
    """Handlers of registry logins and delegations."""

    def __init__(self, world: World, pods: Records[Pod]) -> None:
        self._world = world
        self._pods = pods
        self._delegations: Records[Delegation] = Records(world.store, "delegation")

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listRegistries": self.all,
            "createRegistry": self.create,
            "getRegistry": self.one,
            "deleteRegistry": self.delete,
            "listDelegations": self.delegations,
            "createDelegation": self.delegate,
            "revokeDelegation": self.revoke,
        }

    def all(self, ask: Ask) -> Answer:
        """GET /v2/registries; user and password are never shown."""
        return listing(
            ask, "registries", [{"id": login.id, "name": login.name} for login in self._world.logins.values()]
        )

    def create(self, ask: Ask) -> Answer:
        """POST /v2/registries."""
        login = self._world.create_login(ask.body["name"], ask.body["username"], ask.body["password"])
        return Answer(201, {"id": login.id, "name": login.name})

    def one(self, ask: Ask) -> Answer:
        """GET /v2/registries/{id}."""
        login = self._world.find_login(ask.path["id"])
        return Answer(body={"id": login.id, "name": login.name})

    def delete(self, ask: Ask) -> Answer:
        """DELETE: templates lose their reference; whoever pulls with it holds it."""
        login = self._world.find_login(ask.path["id"])
        if any(pod.container.login_id == login.id for pod in self._pods.values()):
            raise Refused(400, "Registry credential is in use by a pod and cannot be deleted")
        self._world.delete_login(login.id)
        return Answer(204)

    def delegations(self, ask: Ask) -> Answer:
        """GET /v2/registries/delegations."""
        return listing(ask, "delegations", [self._view(delegation) for delegation in self._delegations.values()])

    def delegate(self, ask: Ask) -> Answer:
        """POST /v2/registries/delegations: a record only, nothing is pulled with it."""
        match = _ARN.fullmatch(ask.body["resource"])
        if match is None:
            raise Refused(
                400, "resource must be the ARN of an ECR repository: arn:aws:ecr:REGION:ACCOUNT:repository/NAME"
            )
        delegation = Delegation(
            new_id(), ask.body.get("name"), match["account"], match["name"], match["tag"] or "latest", match["region"]
        )
        delegation.created_at = self._world.now()
        self._delegations.keep(delegation)
        return Answer(201, self._view(delegation))

    def revoke(self, ask: Ask) -> Answer:
        """DELETE /v2/registries/delegations/{id}."""
        self._delegations.drop(self._delegations.find(ask.path["id"]).id)
        return Answer(204)

    def _view(self, delegation: Delegation) -> dict[str, Any]:
        return {
            "id": delegation.id,
            "name": delegation.name,
            "delegatorUserId": self._world.person.id,
            "awsUser": delegation.aws_account,
            "repository": delegation.repository,
            "tag": delegation.tag,
            "awsRegion": delegation.region,
            "dockerRegistryUri": f"{delegation.aws_account}.dkr.ecr.{delegation.region}.amazonaws.com",
            "createdAt": time_text(delegation.created_at),
        }
