"""What a git repository held at a revision, by the `git` command; the working tree is never touched.

Blobs are read by `git cat-file --batch` and not by `git archive`: that one follows `.gitattributes` (`export-ignore`,
`export-subst`), so it may leave out or rewrite what a build would have read (git 2.39, read 2026-11-25).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import SettingsError

MAX_BYTES = 16_000_000  # what lies beside a recipe and is larger is no handler, template or lock
_SYMLINK = "120000"
_FILES = ("100644", "100755", _SYMLINK)
_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    blob: str
    size_bytes: int
    path: str


@dataclass(frozen=True, slots=True)
class GitCheckout:
    """Implements `ports.Checkout` for the repository at `root`."""

    root: Path

    def commit(self, revision: str) -> str:
        """Return the commit that a revision names. Raises SettingsError when this clone has no such one."""
        done = _git(self.root, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"])
        if done.returncode == 0:
            return done.stdout.decode().strip()
        is_shallow = _git(self.root, ["rev-parse", "--is-shallow-repository"]).stdout.strip() == b"true"
        if is_shallow:
            what = f"this clone is shallow and doesn't hold the revision {revision!r}"
            fix = "run `git fetch --unshallow`, or give actions/checkout `fetch-depth: 0`"
        else:
            what = f"no such revision ({revision!r})"
            fix = "name a commit, branch or tag that `git rev-parse` knows, or `git fetch` it first"
        raise SettingsError(what, where=str(self.root), fix=fix)

    def lay(self, commit: str, folders: Sequence[Path], target: Path) -> None:
        """Write the files that lay below `folders` (relative to the root) at a commit to the same paths in `target`."""
        entries = [entry for entry in self._entries(commit, folders) if entry.size_bytes <= MAX_BYTES]
        for entry, content in zip(entries, self._contents(entries), strict=True):
            path = target / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry.mode == _SYMLINK:
                path.symlink_to(os.fsdecode(content))
            else:
                path.write_bytes(content)

    def _entries(self, commit: str, folders: Sequence[Path]) -> Iterator[_Entry]:
        """Yield the files below folders; submodules are not ours."""
        names = sorted({folder.as_posix() for folder in folders})
        command = ["ls-tree", "-r", "-z", "-l", "--full-tree", commit, "--", *([] if "." in names else names)]
        for line in os.fsdecode(self._must(command)).split("\0"):
            head, _, path = line.partition("\t")
            if path and head.split()[0] in _FILES:
                mode, _kind, blob, size = head.split()
                yield _Entry(mode, blob, int(size), path)

    def _contents(self, entries: Iterable[_Entry]) -> Iterator[bytes]:
        """Yield the content of each entry, all by one process."""
        wanted = "".join(f"{entry.blob}\n" for entry in entries).encode()
        answer = memoryview(self._must(["cat-file", "--batch"], wanted))
        at = 0
        while at < len(answer):
            end = at + bytes(answer[at : at + 200]).index(b"\n")
            size = int(bytes(answer[at:end]).split()[2])  # `<object> blob <size>`
            yield bytes(answer[end + 1 : end + 1 + size])
            at = end + 1 + size + 1

    def _must(self, arguments: Sequence[str], content: bytes | None = None) -> bytes:
        done = _git(self.root, arguments, content)
        if done.returncode != 0:
            said = " ".join(done.stderr.decode("utf-8", "replace").split())[:200]
            raise SettingsError(f"git {arguments[0]} failed ({said})", where=str(self.root), fix="run `git fsck`")
        return done.stdout


def find_checkout(folder: Path) -> GitCheckout:
    """Return the repository that a folder lies in. Raises SettingsError outside one, or without git."""
    done = _git(folder, ["rev-parse", "--show-toplevel"])
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")
        if "dubious ownership" in said:
            what, fix = "git doesn't trust this repository, which is another user's", "run `git config --global --add "
            raise SettingsError(what, where=str(folder), fix=f"{fix}safe.directory {folder}`")
        raise SettingsError(
            "not in a git repository", where=str(folder), fix="run it where the recipes are checked out with git"
        )
    return GitCheckout(Path(os.fsdecode(done.stdout.rstrip(b"\n"))))


def _git(folder: Path, arguments: Sequence[str], content: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, input=content, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise SettingsError(
            "git is not installed", where=str(folder), fix="install it (apt-get install git)"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"git does not run here ({type(error).__name__})", where=str(folder)) from error
