"""A real S3 server over a volume's folder, and a hub with one model: what `factory volumes prefill` works between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import s3_server
from s3_server import ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY, S3Server
from weights_site import Site, site

from factory.account import Volume
from factory.clients.huggingface import HuggingFaceHub
from factory.clients.volume_store import S3VolumeStore
from factory.records import ModelFile, ModelFiles, Progress
from factory.volume.prefill import Filled, How, prefill
from factory.volume.verifying import Verdict, verify
from worker_runtime.weights.store import Store

PART_BYTES = 1 << 20


@dataclass
class Stage:
    """The hub is `site`, the volume's folder `store.root`; `told` is all progress so far."""

    site: Site
    s3: S3Server
    told: list[Progress] = field(default_factory=list)
    volume: Volume = field(default_factory=lambda: Volume(BUCKET, "weights", "EU-RO-1", 10))

    @property
    def store(self) -> Store:
        """The volume as a worker has it mounted."""
        return Store(self.s3.folder / BUCKET)

    @cached_property
    def door(self) -> S3VolumeStore:
        """The volume as factory reaches it."""
        return door(self.s3.endpoint_url)

    def files(self, *paths: str, **changes: Any) -> ModelFiles:
        """Return the model as resolve gives it, with these files or all."""
        block = self.site.block(*paths)
        rows = tuple(ModelFile(row["path"], row["size_bytes"], row["digest"]) for row in block["files"])
        total = sum(row.size_bytes for row in rows)
        fields = {"placement": "volume", "repo_bytes": total, **changes}
        return ModelFiles(block["repo"], block["key"], "main", block["commit"], rows, **fields)

    def fill(self, *models: ModelFiles, door: S3VolumeStore | None = None, **how: Any) -> Filled:
        """Prefill the volume from the hub."""
        return prefill(
            "demo",
            models or (self.files(),),
            self.volume,
            door or self.door,
            HuggingFaceHub(self.site.url, first_wait_s=0.01, timeout_s=5),
            self.told.append,
            How(**{"part_bytes": PART_BYTES, **how}),
        )

    def verify(self) -> Verdict:
        """Read all of the model again."""
        return verify("demo", (self.files(),), self.volume, self.door, self.told.append)

    def there(self, path: str) -> Path:
        """Return where a file of the model lies."""
        return self.store.folder(self.site.model()) / path


def door(url: str, *, key: str = ACCESS_KEY_ID, secret: str = SECRET_ACCESS_KEY, bucket: str = BUCKET) -> S3VolumeStore:
    """Return a volume's files through an S3 server."""
    return S3VolumeStore(bucket, "EU-RO-1", url, key, secret)


@contextmanager
def stage(tmp_path: Path, **says: Any) -> Iterator[Stage]:
    """Open it while the block runs. `says`: the repository's `.hub.json`."""
    with site(tmp_path / "site", **says) as opened, s3_server.run(tmp_path / "s3") as server:
        yield Stage(opened, server)
