"""Workers and their volumes."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_stage import Stage

pytestmark = pytest.mark.anyio


async def test_workers_get_their_volume_and_a_deleted_one_goes(anyio_backend: str, tmp_path: Path) -> None:
    """The volume of the worker's data centre is its folder; deleted, it is removed when no worker has it any more."""
    stage = Stage(tmp_path)
    volume = stage.box.world.create_volume("v", 10, "EU-RO-1")
    endpoint = stage.endpoint(workers_min=1, volume_ids=[volume.id])
    await stage.step()
    folder = stage.launcher.last.order.volume_folder
    assert folder == tmp_path / "volumes" / volume.id
    assert stage.launcher.last.order.env["RUNPOD_VOLUME_ID"] == volume.id
    assert (folder / "x").write_bytes(b"1")
    stage.box.world.update_volume(volume.id, size_gb=20)
    await stage.step(1, times=2)
    assert (folder / "x").read_bytes() == b"1"
    stage.box.world.delete_endpoint(endpoint.id)
    stage.box.world.delete_volume(volume.id)
    await stage.step(1, times=2)
    assert not folder.exists()
    await stage.box.close()
