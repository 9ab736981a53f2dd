"""What pydantic finds, in plain words: what is wrong, what was found, in which unit, and what to write."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from factory.recipe.model import Block, Recipe
from factory.recipe.problems import nearest, quoted, shown
from factory.recipe.shorthand import Path

Words = tuple[str, str]  # what is wrong, the fix

SHORTHAND_KEYS = ("model",)


def describe(error: Mapping[str, Any], written: str) -> Words:
    """Return (what is wrong, the fix) of one pydantic error; `written` is the plain scalar as it stands in the file."""
    kind, path, value = str(error["type"]), error["loc"], error.get("input")
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return "missing", _meaning(path)
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"{value} is {word} {_number(context[bound])}{_unit(path)}", ""
    if kind == "string_pattern_mismatch":
        return _pattern(path, value)
    if kind == "literal_error" and path[:1] == ("disk",):
        return f"expected auto or a whole number (GB), found {shown(value)}", ""
    if kind == "literal_error":
        return _choice(context["expected"], value)
    if kind in _TYPES:
        return _wrong_type(_TYPES[kind], path, value, written)
    if kind == "too_short":
        return "needs at least one key", "RunPod drops an empty input, so write any, e.g. {ping: 1}"
    return f"{error['msg']} (found {shown(value)})", ""


_BOUNDS = {
    "greater_than": ("not above", "gt"),
    "greater_than_equal": ("below", "ge"),
    "less_than": ("not below", "lt"),
    "less_than_equal": ("above", "le"),
}
_TYPES = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a block of keys",
    "model_type": "a block of keys",
}


def _wrong_type(wanted: str, path: Path, value: object, written: str) -> Words:
    if _is_environment(path) and isinstance(value, bool | int | float):  # it may be a secret, so it isn't shown
        return f"expected a text, found {'true or false' if isinstance(value, bool) else 'a number'}", "quote it"
    what = f"expected {wanted}{_unit(path)}, found {shown(value)}"
    if value is None:
        return what, "give it a value" if _is_required(path) else "give it a value, or remove the key"
    if wanted == "a text" and written:
        return f"expected a text, found {_kind(value)} {written}", f"quote it: '{written}'"
    if wanted == "true or false" and isinstance(value, str) and value.lower() in _YES_NO:
        return what, f"write {_YES_NO[value.lower()]}"
    if wanted.endswith("number") and isinstance(value, str) and _is_number(value):
        return what, f"write {value.strip().replace('_', '')} without quotes"
    if wanted == "a block of keys":
        return what, _BLOCKS.get(path[0] if len(path) == 1 else "", "write its keys on the lines below, indented")
    if wanted == "a list" and isinstance(value, str):
        return what, f"write [{quoted(value)}]"
    return what, ""


_BLOCKS: Mapping[str | int, str] = {
    "gpu": "write e.g. 'gpu: AMPERE_48', or 'gpu: {min_vram_gb: 24}'",
    "handler": "write e.g. 'handler: echo' or 'handler: my_handler.py'",
    "image": "write e.g. 'image: {repository: user/name}'",
}
_YES_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _is_environment(path: Path) -> bool:
    return (path[0] == "env" and len(path) == 2) or (path[:2] == ("image", "env") and len(path) == 3)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\s*-?\d[\d_]*(\.\d+)?\s*", text))


def _kind(value: object) -> str:
    return "the value" if isinstance(value, bool) else "the number"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _unit(path: Path) -> str:
    name = next((str(step) for step in reversed(path) if isinstance(step, str)), "")
    if name.endswith("_s"):
        return " (seconds)"
    return " (GB)" if name.endswith("_gb") or path[:1] == ("disk",) else ""


def _choice(expected: str, value: object) -> Words:
    choices = re.findall(r"'([^']*)'", expected)
    near = nearest(value, choices) if isinstance(value, str) else None
    return f"expected one of {', '.join(choices)}, found {shown(value)}", f"did you mean '{near}'?" if near else ""


# --- keys --------------------------------------------------------------------------------------------------------
def _unknown_key(path: Path) -> Words:
    key, block = str(path[-1]), block_at(path[:-1])
    known = [*block.model_fields, *(SHORTHAND_KEYS if block is Recipe else ())] if block else []
    homes = [home for home in _homes().get(key, ()) if home.rpartition(".")[0] != ".".join(map(str, path[:-1]))]
    if near := nearest(key, known):
        return "unknown key", f"did you mean '{near}'?"
    if homes:
        return "unknown key", f"did you mean '{homes[0]}'?"
    return "unknown key", f"known here: {', '.join(known)}" if known else ""


def _meaning(path: Path) -> str:
    block = block_at(path[:-1])
    description = block.model_fields[str(path[-1])].description if block else None
    return f"add it ({description[0].lower()}{description[1:].rstrip('.')})" if description else "add it"


def _is_required(path: Path) -> bool:
    block = block_at(path[:-1])
    info = block.model_fields.get(str(path[-1])) if block else None
    return bool(info and info.is_required())


def block_at(path: Path) -> type[Block] | None:
    """Return the model's block at a path of the data, None where there is none."""
    block: type[Block] | None = Recipe
    for step in path:
        if isinstance(step, int):
            continue
        if block is None or step not in block.model_fields:
            return None
        block = block_of(block.model_fields[step].annotation)
    return block


def block_of(annotation: Any) -> type[Block] | None:
    """Return the block inside `Block`, `Block | None` or `tuple[Block, ...]`; None for anything else."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple):
        return next((block for inner in typing.get_args(annotation) if (block := block_of(inner))), None)
    return None


def fields(block: type[Block] = Recipe, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every field of the recipe, lists without their index."""
    for name, info in block.model_fields.items():
        yield prefix + name
        if inner := block_of(info.annotation):
            yield from fields(inner, f"{prefix}{name}.")


@cache
def _homes() -> Mapping[str, list[str]]:
    homes: dict[str, list[str]] = {}
    for name in fields():
        homes.setdefault(name.rpartition(".")[2], []).append(name)
    return homes


# --- texts with a form -------------------------------------------------------------------------------------------
def _pattern(path: Path, value: object) -> Words:
    name = ".".join(str(step) for step in path if isinstance(step, str))
    if name.endswith(".[key]"):
        return f"{quoted(str(value))} is no variable's name", "use letters, digits and '_', and start with no digit"
    if _is_environment(path):
        return "expected one line of text", "YAML's '>-' joins lines with spaces"
    return _FORMS[name](str(value))


def _form(expected: str, fix: str) -> Callable[[str], Words]:
    return lambda value: (f"expected {expected}, found {quoted(value)}", fix)


def _repo(value: str) -> Words:
    what = f"expected owner/name, found {quoted(value)}"
    if inside := re.search(r"huggingface\.co/([\w.-]+/[\w.-]+)", value):
        return what, f"write '{inside[1]}'"
    return what, "write it as on huggingface.co, e.g. 'Wan-AI/Wan2.1-T2V-14B'"


def _git_url(value: str) -> Words:
    if "@" in value:
        return "credentials or an ssh address in the URL", "use a public repository's https:// URL"
    return f"expected a public https:// URL, found {quoted(value)}", "write e.g. 'https://github.com/owner/name'"


def _repository(value: str) -> Words:
    what = f"no image repository: {quoted(value)}"
    if "://" in value:
        return what, f"write it without '{value.split('://')[0]}://'"
    if "@" in value or ":" in value.rpartition("/")[2]:
        return what, "write it without a tag or digest: factory makes the tag"
    if value != value.lower():
        return what, f"use lower case: {quoted(value.lower())}"
    return what, "write 'user/name' or 'registry/path/name'"


def _secret(_: str) -> Words:
    return "expected a variable's name", "write the name of a RunPod secret, never its value"


_SLUG = _form("3 to 48 of a-z, 0-9 and '-', a letter or digit at both ends", "choose such a name")
_FOLDER = _form("a folder's name of letters, digits, '.', '_' and '-'", "choose such a name")
_ONE_LINE = _form("one line of text", "join commands with '&&'; YAML's '>-' joins lines with spaces")

_FORMS: Mapping[str, Callable[[str], Words]] = {
    "name": _SLUG,
    "volume": _SLUG,
    "secrets": _secret,
    "models.repo": _repo,
    "models.name": _FOLDER,
    "image.repository": _repository,
    "image.base": _form("an image reference", "write e.g. 'python:3.11-slim-bookworm'"),
    "image.python": _form("major.minor", "write e.g. '3.11'"),
    "image.apt": _form("a Debian package", "write e.g. 'ffmpeg', one package per entry"),
    "image.pip": _form("one requirement", "write e.g. 'numpy==2.2.6', one per entry"),
    "image.steps": _ONE_LINE,
    "image.git.url": _git_url,
    "image.git.commit": _form("a commit of 40 hex digits", "find it with 'git ls-remote URL'"),
    "image.git.name": _FOLDER,
    "gpu.min_cuda": _form("major.minor", "write e.g. '12.4'"),
}
