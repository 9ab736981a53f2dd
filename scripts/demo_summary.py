"""Say what the demo did, from what `factory release --json` (or `provision`) and `factory run --json` printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def lines(made: Any, job: dict[str, Any], volumes: Path, workers: str, whole_s: str) -> list[tuple[str, str]]:
    """Return what to print: a word and what belongs to it."""
    deployment = made["deployment"] if isinstance(made, dict) else made[0]
    stages = made["stages"] if isinstance(made, dict) else []
    vector = job["output"]["embeddings"][0]
    first = ", ".join(f"{number:.6f}" for number in vector[:4])
    volume = volumes / deployment["volume_id"]
    files = [file for file in volume.rglob("*") if file.is_file() and "models" in file.parts]
    size_mb = sum(file.stat().st_size for file in files) / 1_000_000
    took = ", ".join(f"{s['stage']} {s['seconds']:.1f} s" for s in stages if s["state"] == "done")
    return [
        ("image", deployment["image"] if workers == "docker" else f"{deployment['image']} (rendered, not built)"),
        ("endpoint", f"{deployment['endpoint_id']} in {', '.join(deployment['data_centers'])}"),
        ("volume", f"{deployment['volume_id']}: {size_mb:.1f} MB in {len(files)} files, brought by the worker"),
        *([("release", took or "unchanged")] if stages else []),
        ("job", f"{job['job']}: waited {job['delay_ms'] / 1000:.1f} s, ran {job['execution_ms'] / 1000:.1f} s"),
        ("worker", f"{job['worker']}, a {'container of that image' if workers == 'docker' else 'process'}"),
        ("embedding", f"{len(vector)} numbers: {first}, …"),
        ("took", f"{whole_s} s"),
    ]


def main() -> None:
    """Print the summary: `demo_summary.py FOLDER docker|process SECONDS`."""
    folder, workers, whole_s = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    made, job = (json.loads((folder / name).read_text()) for name in ("release.json", "job.json"))
    for word, rest in lines(made, job, folder / "runpod" / "volumes", workers, whole_s):
        sys.stdout.write(f"{word:<10} {rest}\n")


if __name__ == "__main__":
    main()
