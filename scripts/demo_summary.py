"""Say what the demo did, from what `factory build --json` and `factory verify --json` printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MB = 1_000_000


def lines(build: dict[str, Any], verified: dict[str, Any], whole_s: str) -> list[tuple[str, str]]:
    """Return what to print: a word and what belongs to it."""
    report = verified["report"]
    size, vector = report["size"], report["answers"][0]["output"]["embeddings"][0]
    pull = next(check["detail"] for check in report["checks"] if check["name"] == "pull")
    took = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in build["seconds"].items())
    phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in report["phases"].items() if phase != "ready")
    first = ", ".join(f"{number:.6f}" for number in vector[:4])
    return [
        ("image", report["image"]["reference"]),
        ("size", f"{size['compressed_bytes'] / MB:.1f} MB compressed, {size['unpacked_bytes'] / MB:.1f} MB unpacked"),
        ("disk", f"{verified['plan']['container']['size_gb']} GB of container disk"),
        (
            "built",
            f"{took}{'' if build['was_built'] else ' (it was there already)'}; {build['sent_bytes'] / MB:.1f} MB sent",
        ),
        ("pulled", pull),
        ("started", f"in {report['phases']['ready']:.1f} s: {phases}"),
        ("embedding", f"{len(vector)} numbers: {first}, …"),
        ("checked", "; ".join(f"{check['name']} {check['verdict']}" for check in report["checks"])),
        ("took", f"{whole_s} s"),
    ]


def main() -> None:
    """Print the summary: `demo_summary.py BUILD.json REPORT.json SECONDS`."""
    build, verified = (json.loads(Path(name).read_text()) for name in sys.argv[1:3])
    for word, rest in lines(build[0], verified, sys.argv[3]):
        sys.stdout.write(f"{word:<10} {rest}\n")


if __name__ == "__main__":
    main()
