"""Workers clone, download or install at every start, or a failed start goes unnoticed behind `|| true`.

Cause: a start command (`dockerArgs`, REST's `args`) runs in place of the image's own on each worker, and is billed each
time; when a package index or a branch has changed, or `|| true` hides the failure, the worker runs something else.
Command: `factory provision RECIPE`, which clears it: what it installed belongs into `image.pip`, `image.git` or
`image.steps`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from factory.diagnosis import mends
from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Severity

RULE = "startup_arguments"
_INSTALLS = re.compile(
    r"\b(?P<what>git +(?:-\S+ +)*clone|pip3? +install|uv +(?:pip|sync|add)|(?:apt|apt-get) +(?:-\S+ +)*install|"
    r"conda +install|npm +(?:install|ci)|wget|curl|huggingface-cli +download|hf +download)\b"
)
_HIDES = re.compile(r"\|\|\s*(?:true|:)(?![\w])")


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find start commands that fetch, and those that hide a failure; no text of them is shown."""
    for where, args in arguments(evidence):
        if found := sorted({" ".join(match["what"].split()) for match in _INSTALLS.finditer(args)}):
            what = f"the start command of the {where} runs {', '.join(found)}"
            yield _finding(evidence, "warning", what, "every worker does this anew at its start, billed and unpinned")
        if _HIDES.search(args):
            what = f"the start command of the {where} holds `|| true`"
            yield _finding(evidence, "warning", what, "a step that fails is hidden, and the worker goes on without it")


def arguments(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Yield each start command once, with whose it is."""
    own = str(evidence.endpoint.extra.get("args") or "") if evidence.endpoint else ""
    if own:
        yield "endpoint", own
    template = evidence.template
    if template and template.args and template.args != own:
        yield f"template {template.spec.name}", template.args


def _finding(evidence: Evidence, severity: Severity, seen: str, cause: str) -> Finding:
    otherwise = "move this into the image, and clear the start command in RunPod's console"
    return Finding(RULE, severity, seen, cause, mends.by_recipe(evidence, "provision", otherwise), "certain")
