"""Extra build steps that hide a failure, or fetch something else tomorrow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from factory.checks.finding import Found
from factory.recipe import RecipeFile

_PIPE = re.compile(
    r"\b(?:curl|wget)\b[^|;&]{0,500}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|\b(?:ba|z|da)?sh\b[^|;&]{0,500}(?:<\(|\$\()\s*(?:curl|wget)\b"
)
_IGNORED = re.compile(r"\|\|\s*(?:true|:)(?=\s|;|$|\))")
_PIP = re.compile(r"\b(?:pip3?|uv\s+pip)\s+install\b")
_UPGRADE = re.compile(r"\bapt(?:-get)?\s+(?:-\S+\s+)*(?:dist-|full-)?upgrade\b")


def _matching(pattern: re.Pattern[str], sentence: str, fix: str) -> Callable[[RecipeFile], Iterator[Found]]:
    def inspect(file: RecipeFile) -> Iterator[Found]:
        for index, step in enumerate(file.recipe.image.steps):
            if pattern.search(step):
                yield Found(f"image.steps.{index}", sentence, fix)

    return inspect


pipe_to_shell = _matching(
    _PIPE,
    "the step runs whatever the URL answers that day, and a broken download passes for success",
    "fetch a file, check its sha256, then run it",
)
ignored_failure = _matching(
    _IGNORED, "'|| true' hides a failure until a job meets it", "let the build fail, or test for the case you mean"
)
step_pip = _matching(_PIP, "the step installs Python packages past image.pip", "list them, pinned, in image.pip")
apt_upgrade = _matching(
    _UPGRADE, "an upgrade makes every build another image, and a larger one", "choose a newer base instead"
)
