"""What no worker needs and images have all the same: caches, tests, documentation, what compilers need."""

from __future__ import annotations

import re
from typing import NamedTuple

PACKAGES = r"(?:^|/)(?:site|dist)-packages/"


class Junk(NamedTuple):
    """A kind of it: which paths, what to call it, and the shell words that remove it in the step that makes it."""

    kind: str
    pattern: re.Pattern[str]
    what: str
    removal: str


def _junk(kind: str, pattern: str, what: str, removal: str) -> Junk:
    return Junk(kind, re.compile(pattern), what, removal)


# The first that matches a path counts it. `find … -prune` and not `rm`: where there is nothing it is no error.
JUNK = (
    _junk("git", r"(?:^|/)\.git/", "history of git checkouts", "find / -xdev -name .git -prune -exec rm -rf {} +"),
    _junk(
        "package cache",
        r"(?:^|/)\.cache/(?:pip|uv)/|^root/\.npm/|(?:^|/)pip-cache/",
        "caches of pip, uv or npm",
        "rm -rf /root/.cache /root/.npm",
    ),
    _junk("model cache", r"(?:^|/)\.cache/(?:huggingface|torch)/", "models cached by a step", "rm -rf /root/.cache"),
    _junk(
        "apt cache",
        r"^var/lib/apt/lists/(?!lock$|partial)|^var/cache/apt/.*\.(?:bin|deb)$",
        "package lists and archives of apt",
        "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb",
    ),
    _junk("left in /tmp", r"^(?:var/)?tmp/", "files left in /tmp", "rm -rf /tmp/* /var/tmp/*"),
    _junk(
        "tests",
        PACKAGES + r".*/tests/|(?:^|/)opt/src/[^/]+/(?:tests?|examples)/",
        "tests of packages",
        "find /opt/venv -type d -name tests -prune -exec rm -rf {} +",
    ),
    _junk(
        "package tools",
        PACKAGES + r"(?:pip|setuptools|wheel|uv)(?:-[^/]*)?/|(?:^|/)ensurepip/_bundled/",
        "pip and its kin, which a worker never calls",
        "rm -rf /opt/venv/lib/python*/site-packages/pip* /opt/venv/lib/python*/site-packages/setuptools*",
    ),
    _junk("static libraries", r"\.a$", "static libraries", "find /opt/venv /usr/local -name '*.a' -delete"),
    _junk(
        "headers",
        r"(?:^|/)include/.*\.(?:h|hpp|hh|cuh|inl)$|" + PACKAGES + r".*\.(?:h|hpp|cuh|pxd|pyx)$",
        "C headers and Cython sources",
        "find /opt/venv -type d -name include -prune -exec rm -rf {} +",
    ),
    _junk(
        "documentation",
        r"(?:^|/)share/(?:doc|man|info|gtk-doc|help)/",
        "documentation",
        "rm -rf /usr/share/doc/* /usr/share/man/*",
    ),
    _junk("translations", r"(?:^|/)share/locale/", "translations", "rm -rf /usr/share/locale/*"),
)
# Some packages compile at run time (torch.compile, triton), and a recipe's steps may call pip: told, never a fault.
SOMETIMES_NEEDED = frozenset({"headers", "package tools"})

_BYTECODE = re.compile(r"^(?P<folder>.*/)?__pycache__/(?P<name>[^/]+?)\.(?P<tag>[a-z]+-\d+)(?:\.opt-\d)?\.pyc$")


def junk_of(path: str) -> Junk | None:
    """Return what kind of junk a path is, if any."""
    return next((junk for junk in JUNK if junk.pattern.search(path)), None)


def bytecode_source(path: str) -> tuple[str, str] | None:
    """Return the source of a compiled module and the Python it is for (`cpython-311`); None for another file.

    PEP 3147, PEP 488: `folder/__pycache__/name.cpython-311[.opt-1].pyc` belongs to `folder/name.py`.
    """
    match = _BYTECODE.match(path)
    return (f"{match['folder'] or ''}{match['name']}.py", match["tag"]) if match else None
