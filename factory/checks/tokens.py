"""Secrets that stand in a recipe. No value is ever shown: its kind, or its first three characters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from factory.checks.finding import Found
from factory.checks.texts import environment, recipe_texts
from factory.recipe import RecipeFile
from factory.recipe.tokens import NO_SECRETS, is_secret_name, looks_random, token_in


def token_like(file: RecipeFile) -> Iterator[Found]:
    """Find tokens by the prefix that their issuer gives them, and by their randomness, in every text."""
    for key, text in recipe_texts(file):
        if found := token_in(text):
            fix = "revoke it, and name a RunPod secret in 'secrets' instead"
            yield Found(_shown(key), f"this holds {found[0]} ({found[1]}…)", fix)
        elif looks_random(text) and not key.startswith("tests."):  # a test's input may well be base64
            fix = "name a RunPod secret in 'secrets' instead, if it is one"
            yield Found(_shown(key), f"this looks like a key or token ({text[:3]}…)", fix, "warning")


def _shown(key: str) -> str:
    """Return the key, up to the part that is itself a token."""
    parts = key.split(".")
    return ".".join(itertools.takewhile(lambda part: not (token_in(part) or looks_random(part)), parts))


def secret_value(file: RecipeFile) -> Iterator[Found]:
    """Find variables that are named like secrets and hold a value."""
    for key, name, value in environment(file):
        if not is_secret_name(name) or value.strip().lower() in NO_SECRETS or token_in(value):
            continue
        is_reference = "RUNPOD_SECRET_" in value
        if key.startswith("image.") and is_reference:
            yield Found(key, "RunPod fills in secrets at run time only, not in an image", f"move {name} to 'secrets'")
        elif key.startswith("image."):
            yield Found(
                key, f"the value of {name} would lie in an image layer", f"remove it, and add {name} to 'secrets'"
            )
        elif not is_reference:
            yield Found(
                key,
                f"{name} is named like a secret and has its value here",
                f"remove it, and add {name} to 'secrets'",
                "warning",
            )
