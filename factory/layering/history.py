"""The lines of an image's history in human words: which of them made which layer.

A config's `history` has one entry per instruction, lowest first; those with `empty_layer` made none (OCI image-spec
v1.1, config.md, read 2026-11-25). BuildKit writes the instruction as it was, with `# buildkit` at its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from factory.layering.contents import Step

# The template's first step: what lies below came with the base image.
FIRST_STEP = "factory: the base image is not linux/amd64"
SHOWN_CHARACTERS = 200

_APT_PACKAGES = re.compile(r"packages=(?:'([^']*)'|([^\s&;]+))")
# What is installed comes first on the line, constraints after it.
_REQUIREMENTS = re.compile(r"(?:/opt/requirements/|install\.py )(recipe|runtime)\b")
_RECIPE_STEP = re.compile(r"^RUN /bin/sh -ec (?:\. /run/machine/env; )?(.*)$", re.DOTALL)


def steps_of(config: Mapping[str, Any], *, base_layers: int = 0) -> tuple[Step, ...]:
    """Return what made each layer, lowest first; as many as the config's `rootfs` has.

    `base_layers` says how many came with the base image, where that is known; else the template's first step does.
    """
    count = len(config.get("rootfs", {}).get("diff_ids", ()))
    made = [entry for entry in config.get("history") or () if not entry.get("empty_layer")]
    lines = [_line(entry) for entry in made]
    base_layers = base_layers or next((n for n, line in enumerate(lines) if FIRST_STEP in line), 0)
    steps = list(_steps(lines, base_layers))
    steps += [Step("other", "its history is lost")] * (count - len(steps))
    return tuple(steps[:count])


def _line(entry: Mapping[str, Any]) -> str:
    """Return an entry's instruction, without what the builder puts around it."""
    text = str(entry.get("created_by") or entry.get("comment") or "").removesuffix("# buildkit").strip()
    text = re.sub(r"^/bin/sh -c #\(nop\)\s*", "", text)  # the classic builder
    return re.sub(r"^/bin/sh -c ", "RUN /bin/sh -c ", text)


def _steps(lines: Sequence[str], base_layers: int) -> Iterator[Step]:
    number = 0
    for place, line in enumerate(lines):
        if place < base_layers:
            yield Step("base", line[:SHOWN_CHARACTERS] or "base image")
        elif match := _RECIPE_STEP.match(line):
            number += 1
            yield Step("step", match[1][:SHOWN_CHARACTERS], number)
        else:
            yield _step(line)


def _step(line: str) -> Step:
    """Tell a line of our template from the others; a recipe's own template may have any."""
    words = line.split()
    verb, target = (words[0], words[-1]) if words else ("", "")
    if verb in ("COPY", "ADD"):
        return _copied(line, target)
    if FIRST_STEP in line:
        return Step("other", "check of the base image's platform and Python")
    if verb == "RUN" and (match := _REQUIREMENTS.search(line)):
        is_own = match[1] == "recipe"
        return Step("pip", "Python packages of the recipe") if is_own else Step("runtime", "the worker's packages")
    if verb == "RUN" and "apt-get install" in line:
        match = _APT_PACKAGES.search(line)
        names = (match[1] or match[2] or "") if match else ""
        return Step("apt", f"Debian packages: {names}" if names.strip() else "Debian packages: none but a missing venv")
    return Step("other", line.removeprefix("RUN /bin/sh -c ")[:SHOWN_CHARACTERS] or "no word of it")


def _copied(line: str, target: str) -> Step:
    if target.startswith("/models"):
        return Step("weights", f"weights: {target.strip('/').partition('/')[2] or 'models'}")
    if target.startswith("/opt/src"):
        return Step("sources", f"source: {target.strip('/').rpartition('/')[2]}")
    if target.startswith("/app"):
        return Step("code", f"code: {' '.join(line.split()[1:-1])}")
    if target.startswith("/opt/requirements"):
        return Step("other", "lists of Python packages, and what installs them")
    return Step("other", line[:SHOWN_CHARACTERS])
