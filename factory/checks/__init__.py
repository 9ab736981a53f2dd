"""The linter: what is wrong with a recipe although it can be read. `check` is its one public verb."""

from __future__ import annotations

from collections.abc import Sequence

from factory.checks.finding import Finding as Finding
from factory.checks.finding import Found, ModelRule, Rule, Severity, finding
from factory.checks.rules import MODEL_RULES, RULES, VRAM
from factory.recipe import RecipeFile
from factory.records import ModelFiles, PoolFit


def check(recipe_file: RecipeFile, models: Sequence[ModelFiles] = ()) -> tuple[Finding, ...]:
    """Return what the rules find, in file order.

    Rules that need the models' files run only when `models` holds them (`factory check --online`, `factory build`).
    """
    found: list[tuple[Rule | ModelRule, Found]] = [(rule, item) for rule in RULES for item in rule.inspect(recipe_file)]
    if models:
        found += [(rule, item) for rule in MODEL_RULES for item in rule.inspect(recipe_file, models)]
    found.sort(key=lambda pair: recipe_file.line(pair[1].key))
    return tuple(finding(rule, recipe_file, item) for rule, item in found)


def findings_from_fits(fits: Sequence[PoolFit], recipe_file: RecipeFile) -> tuple[Finding, ...]:
    """Return the findings for GPU pools that are too small, from what the stage `size` says of each.

    When every pool is too small that is an error; one among others is a warning, since RunPod may choose it.
    """
    gpu = recipe_file.recipe.gpu
    pools = gpu.pools if gpu else ()
    all_fail = all(fit.verdict == "error" for fit in fits)
    findings = []
    for fit in fits:
        if fit.verdict == "fine":
            continue
        key = f"gpu.pools.{pools.index(fit.pool)}" if fit.pool in pools else "gpu.min_vram_gb"
        severity: Severity = "error" if fit.verdict == "error" and all_fail else "warning"
        fix = (
            "choose a larger pool, a smaller dtype, or 'offload: true'" if fit.verdict == "error" else "leave more room"
        )
        rule = Rule(VRAM, severity, lambda _: ())
        findings.append(finding(rule, recipe_file, Found(key, fit.sentence, fix)))
    return tuple(findings)
