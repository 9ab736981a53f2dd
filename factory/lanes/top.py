"""The top of an image: what its Dockerfile's end copies and says, which needs no engine.

`cut` reads a rendered Dockerfile from its end, for as long as it understands every word: COPY of context files below
/app and /models, LABEL, ENV, ENTRYPOINT and CMD. What is kept below is the environment, a Dockerfile of its own.
Whatever is not certain stays below; where a part below may read any file of the context, nothing is cut.
(Dockerfile reference, docs.docker.com/reference/dockerfile, read 2026-11-25.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from factory.records import Context, ContextFile

FOLDERS = ("/app/", "/models/")  # our own: a layer under a symlinked system folder would destroy the image

_DIRECTIVE = re.compile(r"^#\s*escape\s*=", re.IGNORECASE | re.MULTILINE)
_PLAIN_PATH = re.compile(r"[\w@+=:,~-][\w@+=:,~./-]*")
_PAIR = re.compile(r"""([A-Za-z_][\w.-]*)=(?:"((?:[^"\\$]|\\["\\$])*)"|([\w./:@+,=-]*))(?:\s+|$)""")


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY: files by their path in the image (without a slash in front), and the line as BuildKit's history has it."""

    files: tuple[tuple[str, ContextFile], ...]
    created_by: str
    weights: str | None = None  # the model's key, where the files are its weights


@dataclass(frozen=True, slots=True)
class Say:
    """LABEL, ENV, ENTRYPOINT or CMD: `pairs` of the first two, `words` of the others."""

    kind: str
    created_by: str
    pairs: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Top:
    """A Dockerfile's end, in order; `is_command_set` says whether the part below has a CMD of its own."""

    steps: tuple[Copy | Say, ...]
    is_command_set: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """A Dockerfile cut in two: the text of the part below, the context files that it needs, and the top."""

    text: str
    needs: tuple[ContextFile, ...]
    top: Top = field(default_factory=lambda: Top(()))


@dataclass(frozen=True, slots=True)
class _Instruction:
    start: int  # where its first line begins
    name: str
    rest: str


def cut_context(context: Context) -> Cut | None:
    """Cut the Dockerfile of a context."""
    dockerfile = next((file.content for file in context.files if file.path == "Dockerfile"), None)
    return cut(dockerfile.decode(), context.files) if dockerfile else None


def cut(text: str, files: Sequence[ContextFile]) -> Cut | None:
    """Cut a Dockerfile; None when there is no top, or the part below can't be understood."""
    if _DIRECTIVE.search(text):
        return None
    instructions = _instructions(text)
    steps: list[Copy | Say] = []
    while instructions and (step := _step(instructions[-1], files)) is not None:
        steps.insert(0, step)
        end = instructions.pop().start
    needs = _needs(instructions, files)
    if not steps or not instructions or needs is None:
        return None
    stage = max((i for i, each in enumerate(instructions) if each.name == "FROM"), default=0)
    is_command_set = any(each.name == "CMD" for each in instructions[stage:])
    return Cut(text[:end].rstrip() + "\n", needs, Top(tuple(steps), is_command_set))


def _instructions(text: str) -> list[_Instruction]:
    """Return the instructions; a line that ends in a backslash goes on, comments and empty lines between fall away."""
    found: list[_Instruction] = []
    start, at, parts = 0, 0, list[str]()
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            start = at if not parts else start
            goes_on = stripped.endswith("\\")
            parts.append(stripped[:-1] if goes_on else stripped)
            if not goes_on:
                found.append(_instruction(start, "".join(parts)))
                parts = []
        at += len(line)
    return [*found, _instruction(start, "".join(parts))] if parts else found


def _instruction(start: int, line: str) -> _Instruction:
    name, _, rest = line.partition(" ")
    return _Instruction(start, name.upper(), rest.strip())


# --- the top ---------------------------------------------------------------------------------------------------------
def _step(instruction: _Instruction, files: Sequence[ContextFile]) -> Copy | Say | None:
    """Return what an instruction does, None when it isn't certain."""
    if instruction.name == "COPY":
        return _copy(instruction.rest, files)
    if instruction.name in ("LABEL", "ENV"):
        return _pairs(instruction.name, instruction.rest)
    if instruction.name in ("ENTRYPOINT", "CMD"):
        return _words(instruction.name, instruction.rest)
    return None


def _copy(rest: str, files: Sequence[ContextFile]) -> Copy | None:
    *sources, target = rest.split() or [""]
    if not sources or not target.endswith("/") or not target.startswith(FOLDERS) or not _is_plain(target[1:]):
        return None
    copied: dict[str, ContextFile] = {}
    for source in sources:
        named = _named(source, files)
        if not named:
            return None
        copied |= {target[1:] + below: file for below, file in named}
    created_by = f"COPY {rest} # buildkit"
    key = target.removeprefix("/models/").rstrip("/")
    is_weights = any(file.path.startswith("models/") for file in copied.values())
    if is_weights and (sources != [f"models/{key}/"] or target != f"/models/{key}/" or "/" in key):
        return None  # the weights lane knows one place for a model
    return Copy(tuple(sorted(copied.items())), created_by, key if is_weights else None)


def _is_plain(path: str) -> bool:
    """Is it a path without a wildcard, a variable, quotes or a way up?"""
    return bool(_PLAIN_PATH.fullmatch(path)) and not {"..", ".", ""} & set(path.rstrip("/").split("/"))


def _named(source: str, files: Sequence[ContextFile]) -> list[tuple[str, ContextFile]] | None:
    """Return the files that a source names, with the path below the target that each gets; None when not certain."""
    path = source.removeprefix("./").strip("/")
    if not path or not _is_dotted_plain(path):
        return None
    exact = [(file.path.rsplit("/", 1)[-1], file) for file in files if file.path == path and not source.endswith("/")]
    return exact or [(file.path.removeprefix(path + "/"), file) for file in files if file.path.startswith(path + "/")]


def _is_dotted_plain(path: str) -> bool:
    """Is it a plain path, whose first character may be a dot (`.machine`)?"""
    return _is_plain(path[1:] if path.startswith(".") and not path.startswith("..") else path)


def _pairs(kind: str, rest: str) -> Say | None:
    pairs, at = [], 0
    while at < len(rest):
        match = _PAIR.match(rest, at)
        if match is None or (kind == "ENV" and not re.fullmatch(r"\w+", match[1])):
            return None
        quoted, bare = match[2], match[3]
        pairs.append((match[1], re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare))
        at = match.end()
    said = " ".join(f"{name}={value}" for name, value in pairs)
    return Say(kind, f"{kind} {said}", pairs=tuple(pairs)) if pairs else None


def _words(kind: str, rest: str) -> Say | None:
    try:
        words = json.loads(rest)
    except ValueError:
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    said = " ".join(json.dumps(word, ensure_ascii=False) for word in words)
    return Say(kind, f"{kind} [{said}]", words=tuple(words))


# --- the part below --------------------------------------------------------------------------------------------------
def _needs(instructions: Sequence[_Instruction], files: Sequence[ContextFile]) -> tuple[ContextFile, ...] | None:
    """Return the context files that instructions name; None when that isn't certain, or weights are among them."""
    needed: dict[str, ContextFile] = {}
    for instruction in instructions:
        sources = _sources(instruction)
        for source in sources if sources is not None else [""]:
            named = _named(source, files)
            if not named or any(file.content is None for _, file in named):
                return None
            needed |= {file.path: file for _, file in named}
    return tuple(needed[path] for path in sorted(needed))


def _sources(instruction: _Instruction) -> list[str] | None:
    """Return the context paths that an instruction reads; None when it may be any."""
    if instruction.name not in ("COPY", "ADD", "RUN"):
        return None if instruction.name == "ONBUILD" else []
    flags, rest = _flags(instruction.rest)
    if "<<" in rest and not rest.startswith("["):
        return None
    if instruction.name == "RUN":
        return _bound(flags)
    if any(flag.startswith("--from=") for flag in flags):
        return []
    sources = rest.split()[:-1]
    if not sources or rest.startswith("["):
        return None
    return [each for each in sources if not _is_address(instruction.name, each)]


def _flags(rest: str) -> tuple[list[str], str]:
    """Return the flags in front of an instruction's words, and the words."""
    flags = []
    while match := re.match(r"(--\S+)\s+", rest):
        flags.append(match[1])
        rest = rest[match.end() :]
    return flags, rest


def _is_address(name: str, source: str) -> bool:
    return name == "ADD" and re.match(r"https?://|git@", source) is not None


def _bound(flags: Sequence[str]) -> list[str] | None:
    """Return the sources of a RUN's bind mounts; None for one of the whole context."""
    sources = []
    for flag in flags:
        name, _, mount = flag.partition("=")
        options = dict(part.partition("=")[::2] for part in mount.split(",")) if name == "--mount" else {"from": ""}
        if options.get("type", "bind") != "bind" or "from" in options:
            continue
        source = options.get("source", options.get("src", ""))
        if not source:
            return None
        sources.append(source)
    return sources
