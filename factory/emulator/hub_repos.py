"""Model repositories as folders: DIR/org/name/… , with their files, digests and commits.

A file `.hub.json` in a repository's folder says what a folder can't, every key optional:

    sha          the commit of `main` (40 hex); by default a digest of the tree
    gated        false, "auto" or "manual"; private: true or false
    tokens       the tokens let in to a gated or private repository
    licence      as in the model card; safetensors: {"parameters": {"F32": 123}, "total": 123}
    files        [{"path", "size", "sha256" | "git_sha1"}]: files that are listed and have no content here
    headers      {"path": {"F32": 123}}: of a listed .safetensors file, the header that is served
    refs         {"v1.0": {"type": "tag", "sha": "…", "files": […]}}: further branches and tags; files as in `main`

So a repository of 69 GB, or of 50,000 files, costs one small file. Folders below a repository that are symbolic links
are not entered; linked files are served, and the repository's own folder may be a link.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

HUB_FILE = ".hub.json"
LFS_BYTES = 10_000_000
"""Files this large always lie in LFS: the Hub refuses them in plain git (known of the Hub, not measured)."""
WEIGHT_SUFFIXES = (".bin", ".ckpt", ".h5", ".model", ".msgpack", ".npz", ".onnx", ".pb", ".pt", ".pth", ".safetensors")
ARCHIVE_SUFFIXES = (".7z", ".arrow", ".bz2", ".gz", ".joblib", ".npy", ".parquet", ".pickle", ".pkl", ".tar", ".zip")
LFS_SUFFIXES = WEIGHT_SUFFIXES + ARCHIVE_SUFFIXES
"""What the .gitattributes of a new repository puts in LFS at any size (known of the Hub, not measured)."""
DTYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
DTYPE_BYTES |= {"I8": 1, "U8": 1, "BOOL": 1}
MAX_HEADER_BYTES = 1_000_000
SKIPPED_FOLDERS = frozenset({".git", ".cache", "__pycache__"})
_REPO_ID = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+")
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "git_sha1": re.compile(r"[0-9a-f]{40}")}


class BadHubFile(Exception):
    """A .hub.json says something that can't be; the message names the file."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository. `oid` is the git blob's sha1; LFS files have a sha256. No `source`: listed only."""

    path: str
    size: int
    oid: str
    sha256: str | None
    source: Path | None = None

    @property
    def etag(self) -> str:
        """What the Hub gives as ETag: the sha256 of an LFS file, else the blob's sha1."""
        return self.sha256 or self.oid

    def as_entry(self) -> dict[str, Any]:
        """Return the file as the tree API lists it."""
        entry: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.sha256:
            pointer_size = len(_lfs_pointer(self.sha256, self.size))
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": pointer_size}
        return entry


@dataclass(frozen=True)
class Commit:
    """A repository's tree at one commit."""

    sha: str
    files: Mapping[str, HubFile]

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """Every file and folder, ordered by path."""
        folders = {parent for path in self.files for parent in _parents(path)}
        # Folder ids are no true git tree ids: nothing that reads the API depends on them.
        listed = {p: {"type": "directory", "oid": _sha1(p.encode()), "size": 0, "path": p} for p in folders}
        listed.update((f.path, f.as_entry()) for f in self.files.values())
        return [listed[path] for path in sorted(listed)]


@dataclass(frozen=True)
class Repo:
    """A model repository: `refs` maps a branch or tag to its kind ("branch" or "tag") and commit."""

    id: str
    refs: Mapping[str, tuple[str, Commit]]
    gated: str | bool = False
    private: bool = False
    tokens: frozenset[str] = frozenset()
    licence: str | None = None
    safetensors: Mapping[str, Any] | None = None
    headers: Mapping[str, bytes] = field(default_factory=dict)

    def at(self, revision: str) -> Commit | None:
        """Return the commit of a branch, tag or full commit id."""
        if revision in self.refs:
            return self.refs[revision][1]
        return next((commit for _, commit in self.refs.values() if commit.sha == revision), None)


class Repositories:
    """The repositories below a folder. Reads again what has changed on disk; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is no folder, so it holds no repositories (org/name/…)")
        self._folder = folder
        self._known: dict[str, tuple[object, Repo]] = {}
        self._digests: dict[tuple[str, int, int], HubFile] = {}
        self._lock = threading.Lock()

    def ids(self) -> list[str]:
        """Return every repository's id, ordered."""
        found = (f"{path.parent.name}/{path.name}" for path in self._folder.glob("*/*") if path.is_dir())
        return sorted(repo_id for repo_id in found if _REPO_ID.fullmatch(repo_id))

    def get(self, repo_id: str) -> Repo | None:
        """Return a repository as it is now, or None. Raises BadHubFile."""
        folder = self._folder / repo_id
        if not _REPO_ID.fullmatch(repo_id) or not folder.is_dir():
            return None
        with self._lock:
            found = list(_walk(folder))
            signature = (_stamp(folder / HUB_FILE), [(path, s.st_size, s.st_mtime_ns) for path, s, _ in found])
            known = self._known.get(repo_id)
            if known is None or known[0] != signature:
                known = (signature, self._read(repo_id, folder, found))
                self._known[repo_id] = known
            return known[1]

    def _read(self, repo_id: str, folder: Path, found: list[tuple[str, os.stat_result, Path]]) -> Repo:
        real = {path: self._digested(path, stat, source) for path, stat, source in found}
        hub_file = folder / HUB_FILE
        if not hub_file.is_file():
            return Repo(repo_id, {"main": ("branch", _commit(real))})
        try:
            return _described(repo_id, json.loads(hub_file.read_text()), real)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadHubFile(f"{hub_file}: {type(error).__name__}: {error}") from error

    def _digested(self, path: str, stat: os.stat_result, source: Path) -> HubFile:
        key = (str(source), stat.st_size, stat.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = _digest(path, stat.st_size, source)
        return self._digests[key]


def _described(repo_id: str, says: dict[str, Any], real: Mapping[str, HubFile]) -> Repo:
    files = {f.path: f for f in map(_listed, says.get("files", ()))} | dict(real)
    refs = {"main": ("branch", _commit(files, says.get("sha")))}
    for name, ref in says.get("refs", {}).items():
        of_ref = {f.path: f for f in map(_listed, ref["files"])} if "files" in ref else files
        refs[name] = (ref.get("type", "branch"), _commit(of_ref, ref.get("sha")))
    return Repo(
        id=repo_id,
        refs=refs,
        gated=says.get("gated", False),
        private=bool(says.get("private", False)),
        tokens=frozenset(says.get("tokens", ())),
        licence=says.get("licence"),
        safetensors=says.get("safetensors"),
        headers={path: _header(files[path], counts) for path, counts in says.get("headers", {}).items()},
    )


def _listed(row: Mapping[str, Any]) -> HubFile:
    path, size = str(row["path"]), int(row["size"])
    if path.startswith("/") or not set(path.split("/")).isdisjoint({"", ".", ".."}):
        raise ValueError(f"{path!r} is no path inside a repository")
    kind = "sha256" if "sha256" in row else "git_sha1"
    digest = str(row[kind])
    if not _HEX[kind].fullmatch(digest):
        raise ValueError(f"{path}: {digest!r} is no {kind}")
    if kind == "git_sha1":
        return HubFile(path, size, oid=digest, sha256=None)
    return HubFile(path, size, oid=_git_sha1(_lfs_pointer(digest, size)), sha256=digest)


def _header(file: HubFile, counts: Mapping[str, int]) -> bytes:
    """Make the head of a safetensors file that fills the file's size: length, then JSON padded with spaces."""
    tensors, end = {}, 0
    for dtype, count in counts.items():
        start, end = end, end + count * DTYPE_BYTES[dtype]
        tensors[f"weights.{dtype.lower()}"] = {"dtype": dtype, "shape": [count], "data_offsets": [start, end]}
    text = json.dumps(tensors, separators=(",", ":")).encode()
    length = file.size - 8 - end
    if not len(text) <= length <= MAX_HEADER_BYTES:
        raise ValueError(f"{file.path}: these counts leave {length} bytes for the header of a {file.size} byte file")
    return length.to_bytes(8, "little") + text.ljust(length)


def _commit(files: Mapping[str, HubFile], sha: str | None = None) -> Commit:
    if sha is not None and not _HEX["git_sha1"].fullmatch(sha):
        raise ValueError(f"{sha!r} is no commit (40 hex digits)")
    tree = "".join(f"{path}\0{files[path].etag}\0{files[path].size}\n" for path in sorted(files))
    return Commit(sha or _sha1(tree.encode()), files)


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result, Path]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
        for name in sorted(names):
            source = Path(parent, name)
            if name != HUB_FILE and source.is_file():
                yield source.relative_to(folder).as_posix(), source.stat(), source


def _digest(path: str, size: int, source: Path) -> HubFile:
    if size < LFS_BYTES and not path.endswith(LFS_SUFFIXES):
        return HubFile(path, size, oid=_git_sha1(source.read_bytes()), sha256=None, source=source)
    with source.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return HubFile(path, size, oid=_git_sha1(_lfs_pointer(sha256, size)), sha256=sha256, source=source)


def _stamp(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rsplit("/", 1)[0]
        yield path


def _lfs_pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _git_sha1(content: bytes) -> str:
    return _sha1(b"blob %d\0" % len(content) + content)


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
