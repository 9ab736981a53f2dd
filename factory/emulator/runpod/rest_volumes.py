"""/v2/network-volumes."""

from __future__ import annotations

from typing import Any

from factory.emulator.runpod.entities import Volume
from factory.emulator.runpod.rest_wire import Answer, Ask, Handler, listing
from factory.emulator.runpod.world import World


class Volumes:
    """Handlers of network volumes."""

    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> dict[str, Handler]:
        """Return them by operationId."""
        return {
            "listNetworkVolumes": self.all,
            "createNetworkVolume": self.create,
            "getNetworkVolume": self.one,
            "updateNetworkVolume": self.update,
            "deleteNetworkVolume": self.delete,
        }

    def all(self, ask: Ask) -> Answer:
        """GET /v2/network-volumes."""
        return listing(ask, "networkVolumes", [_view(volume) for volume in self._world.volumes.values()])

    def create(self, ask: Ask) -> Answer:
        """POST: an unknown data centre is a 400 that lists the valid ones."""
        body = ask.body
        volume = self._world.create_volume(body["name"], int(body["size"]), body["dataCenter"], body.get("type"))
        return Answer(201, _view(volume))

    def one(self, ask: Ask) -> Answer:
        """GET /v2/network-volumes/{id}."""
        return Answer(body=_view(self._world.find_volume(ask.path["id"])))

    def update(self, ask: Ask) -> Answer:
        """PATCH: a name, a size that isn't smaller; nothing else can change."""
        size = ask.body.get("size")
        size_gb = None if size is None else int(size)
        return Answer(body=_view(self._world.update_volume(ask.path["id"], name=ask.body.get("name"), size_gb=size_gb)))

    def delete(self, ask: Ask) -> Answer:
        """DELETE: refused while an endpoint has it."""
        self._world.delete_volume(ask.path["id"])
        return Answer(204)


def _view(volume: Volume) -> dict[str, Any]:
    return {
        "id": volume.id,
        "name": volume.name,
        "size": volume.size_gb,
        "dataCenter": volume.data_center,
        "type": volume.tier,
    }
