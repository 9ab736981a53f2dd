"""`prefill` as a process of its own that a test may kill: `python prefill_process.py HUB S3 MODEL`, MODEL as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from s3_server import ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY

from factory.account import Volume
from factory.clients.huggingface import HuggingFaceHub
from factory.clients.volume_store import S3VolumeStore
from factory.records import ModelFile, ModelFiles, tell_nobody
from factory.volume.prefill import How, prefill

ROOT = Path(__file__).parents[2]


def start(hub_url: str, s3_url: str, model: ModelFiles, part_bytes: int) -> subprocess.Popen[bytes]:
    """Start it."""
    told = json.dumps({**asdict(model), "part_bytes": part_bytes})
    return subprocess.Popen(
        [sys.executable, __file__, hub_url, s3_url, told], env={"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0"}
    )


def main(hub_url: str, s3_url: str, told: str) -> None:
    """Prefill."""
    says = json.loads(told)
    part_bytes = says.pop("part_bytes")
    files = tuple(ModelFile(**row) for row in says.pop("files"))
    model = ModelFiles(**{**says, "files": files, "warnings": ()})
    store = S3VolumeStore(BUCKET, "EU-RO-1", s3_url, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    volume = Volume(BUCKET, "weights", "EU-RO-1", 10)
    hub = HuggingFaceHub(hub_url, timeout_s=60)
    prefill("demo", [model], volume, store, hub, tell_nobody, How(part_bytes=part_bytes))


if __name__ == "__main__":
    main(*sys.argv[1:])
