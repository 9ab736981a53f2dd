"""Python packages: pinned, once, and none that is known bad."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from factory.checks.finding import Found
from factory.recipe import RecipeFile

# What worker_runtime/requirements.txt installs in every image; a test holds the two equal.
RUNPOD_VERSION = (1, 12, 0)
HUB_VERSION = (2, 4, 0)

_REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*"
    r"(?:@\s*(?P<url>\S+)|(?P<specifier>[^;#]*))?\s*(?:;[^#]*)?(?:\s#.*)?"
)
_PINNED_URL = re.compile(r"@[0-9a-f]{40}\b|#(?:.*&)?sha256=[0-9a-f]{64}|\.whl(?:$|#)")
_NO_PACKAGE = re.compile(r"\s*(-{1,2}[a-z]|#)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of `image.pip`: `version` is set when it is pinned by `==`, `url` when it is fetched from one."""

    key: str
    name: str
    version: str | None
    url: str | None
    text: str

    @property
    def is_pinned(self) -> bool:
        """Does the line always install the same thing?"""
        return self.version is not None or bool(self.url and _PINNED_URL.search(self.url))


def requirements(file: RecipeFile) -> Iterator[Requirement]:
    """Yield the packages of `image.pip`, without pip's own options."""
    for index, line in enumerate(file.recipe.image.pip):
        if not _NO_PACKAGE.match(line):
            yield _parse(f"image.pip.{index}", " ".join(line.split()))


def _parse(key: str, line: str) -> Requirement:
    if re.match(r"(git\+|https?://|file:|\.{0,2}/)", line):
        egg = re.search(r"[#&]egg=([\w.-]+)", line)
        return Requirement(key, _normal(egg[1]) if egg else "", None, line, line)
    found = _REQUIREMENT.fullmatch(re.sub(r"\s+--\w.*", "", line))  # without options like --hash
    if not found or not re.match(r"\s*(?:$|[(<>!~]|===?)", found["specifier"] or ""):
        return Requirement(key, "", None, None, line)
    exact = re.fullmatch(r"\(?\s*={2,3}\s*([A-Za-z0-9.!+_-]+)\s*\)?", (found["specifier"] or "").strip())
    return Requirement(key, _normal(found["name"]), exact[1] if exact else None, found["url"], line)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, `2.6.0+cu124` → (2, 6, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", version.partition("+")[0])[0]))  # type: ignore[index]


def unpinned_pip(file: RecipeFile) -> Iterator[Found]:
    """Find requirements that install something else tomorrow."""
    for item in requirements(file):
        if item.is_pinned:
            continue
        if item.url:
            yield Found(item.key, "a URL without a commit or hash may hold something else tomorrow", _pin_url(item.url))
        elif item.name:
            yield Found(item.key, f"{item.name} is not pinned", f"write '{item.name}==VERSION'")
        else:
            yield Found(item.key, "no requirement that pip would read", "write 'name==VERSION'", "error")


def _pin_url(url: str) -> str:
    if url.startswith("git+"):
        return "end it with '@' and a commit of 40 hex digits, or use image.git"
    return "end it with '#sha256=' and the file's hash"


def duplicate_pip(file: RecipeFile) -> Iterator[Found]:
    """Find packages that are there twice: pip refuses two versions of one."""
    seen: dict[str, Requirement] = {}
    for item in requirements(file):
        first = seen.setdefault(item.name, item) if item.name else item
        if first is not item:
            is_same = first.text.replace(" ", "") == item.text.replace(" ", "")
            yield Found(
                item.key,
                f"{item.name} is there twice ({first.text} on line {file.line(first.key)})",
                "keep one",
                "warning" if is_same else "error",
            )


def sdk_version(file: RecipeFile) -> Iterator[Found]:
    """Find another RunPod SDK than the runtime's, and those that are known bad."""
    for item in requirements(file):
        if item.name != "runpod":
            continue
        ours = ".".join(map(str, RUNPOD_VERSION))
        version = release(item.version) if item.version else ()
        # runpod-python PR #517: 1.7.11 to 1.10.0 give every job to one worker; fixed in 1.10.1. Read 2026-11-23.
        if (1, 7, 11) <= version <= (1, 10, 0):
            sentence, severity = f"runpod {item.version} gives all jobs to one worker (fixed in 1.10.1)", None
            yield Found(item.key, sentence, f"remove it: the runtime brings {ours}", severity)
        elif version != RUNPOD_VERSION:
            sentence = f"every image has runpod {ours}, which the worker runtime is tested with"
            yield Found(item.key, sentence, "remove it", "warning")


def hub_version(file: RecipeFile) -> Iterator[Found]:
    """Find a huggingface_hub that would replace the runtime's."""
    for item in requirements(file):
        if item.name == "huggingface-hub" and (release(item.version) if item.version else ()) != HUB_VERSION:
            ours = ".".join(map(str, HUB_VERSION))
            yield Found(item.key, f"every image has huggingface_hub {ours}, which brings the weights", "remove it")


def handler_packages(file: RecipeFile) -> Iterator[Found]:
    """Find a built-in handler without the package that it imports."""
    needed = {"embeddings": "numpy"}.get(file.recipe.handler.name or "")
    if needed and needed not in {item.name for item in requirements(file)}:
        yield Found(
            "handler.name", f"{file.recipe.handler.name} imports {needed}", f"add '{needed}==VERSION' to image.pip"
        )
