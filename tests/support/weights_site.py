"""A hub with one model of incompressible weights, a volume, and what must hold of both after whatever happened."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from worker_app import listed, model

from factory.emulator.faults import Call, Fault
from factory.emulator.hub import create_hub
from factory.emulator.hub_repos import Repositories
from factory.emulator.serve import running
from worker_runtime.recipe import Model
from worker_runtime.weights.store import Store, directory

MB = 1 << 20
FILES = {
    "config.json": b'{"hidden_size": 8}\n',
    "empty.txt": b"",
    "model-00001.safetensors": random.Random(1).randbytes(8 * MB + 4321),
    "model-00002.safetensors": random.Random(2).randbytes(6 * MB),
    "text/model.safetensors": random.Random(3).randbytes(3 * MB + 1),
    "text/vocab.txt": b"a\nb\n" * 500,
}
TOTAL_BYTES = sum(map(len, FILES.values()))


@dataclass(frozen=True, slots=True)
class Site:
    """A hub that serves org/m from `folder`, and an empty volume."""

    app: Starlette
    url: str
    folder: Path
    volume: Path

    @property
    def store(self) -> Store:
        """The volume as a store."""
        return Store(self.volume)

    @property
    def calls(self) -> list[Call]:
        """The hub's log."""
        found: list[Call] = self.app.state.calls
        return found

    def sent_bytes(self, since: int = 0) -> int:
        """Return the content that the hub has sent, from its n-th call on."""
        return sum(c.sent_bytes for c in self.calls[since:] if c.method == "GET" and c.status in (200, 206))

    def plan(self, *faults: Fault) -> None:
        """Let these things go wrong from now on."""
        self.app.state.faults.extend(faults)

    def block(self, *paths: str, **changes: Any) -> dict[str, Any]:
        """Return recipe.json's block for the model, with these files or all."""
        repo = Repositories(self.folder.parents[1]).get("org/m")
        assert repo is not None
        rows = [row for row in listed(self.folder) if not paths or row["path"] in paths]
        return {**model("m", rows, placement="volume", commit=repo.refs["main"][1].sha), **changes}

    def model(self, *paths: str, **changes: Any) -> Model:
        """Return the same as the runtime's model."""
        return Model.model_validate(self.block(*paths, **changes))

    def demand_whole(self, wanted: Model) -> None:
        """Demand that a model is ready, right to the last byte, and that nothing else is left of it."""
        assert not self.store.missing(wanted)
        folder = self.store.folder(wanted)
        for file in wanted.files:
            content = (folder / file.path).read_bytes()
            assert hashlib.sha256(content).digest() == hashlib.sha256(FILES[file.path]).digest(), file.path
        names = {path.name for path in self.store.models.iterdir()}
        assert names == {directory(wanted), directory(wanted) + ".READY"}


@contextmanager
def site(tmp_path: Path, files: Mapping[str, bytes] = FILES, **says: Any) -> Iterator[Site]:
    """Serve the files from a hub on loopback while the block runs. `says`: the repository's `.hub.json`."""
    folder = tmp_path / "hub" / "org" / "m"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if says:
        (folder / ".hub.json").write_text(json.dumps(says))
    (tmp_path / "volume").mkdir(exist_ok=True)
    app = create_hub(tmp_path / "hub")
    with running(app) as url:
        yield Site(app, url, folder, tmp_path / "volume")
