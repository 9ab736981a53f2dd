"""/v2/account: the SSH keys. Balance and identity have no route in v2; GraphQL has them."""

from __future__ import annotations

from factory.emulator.runpod.rest_wire import Answer, Ask, Handler
from factory.emulator.runpod.world import World


class Account:
    """Handlers of /v2/account; the keys are the lines of the person's public key, which GraphQL shows as `pubKey`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {"getSshKeys": self.keys, "updateSshKeys": self.replace}

    def keys(self, _ask: Ask) -> Answer:
        """GET /v2/account/ssh-keys."""
        return Answer(body={"keys": self._world.person.public_key.splitlines()})

    def replace(self, ask: Ask) -> Answer:
        """PUT /v2/account/ssh-keys: the whole set."""
        self._world.set_person(public_key="\n".join(ask.body["keys"]))
        return self.keys(ask)
