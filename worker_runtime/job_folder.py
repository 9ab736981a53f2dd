"""A directory of its own for each job: inputs come into it, outputs may be written there, and it is always removed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import Any

_NAME = re.compile(r"job-(?P<pid>\d+)-.*")
_current: ContextVar[JobFolder | None] = ContextVar("job_folder", default=None)


class JobFolder:
    """`with JobFolder(root, job_id) as folder:` gives `folder.path` and removes it, whatever happened inside.

    The directory is made when it is first asked for: most jobs need none, and making one costs more than they do.
    Inside, `JobFolder.current()` finds it: also in coroutines and in `asyncio.to_thread`, not in threads of one's own.
    """

    def __init__(self, root: Path, job_id: str = "") -> None:
        self._root = root
        self._label = re.sub(r"[^A-Za-z0-9_-]", "", job_id)[:40]
        self._token: Token[JobFolder | None] | None = None
        self._lock = threading.Lock()
        self._inputs = 0
        self._input_bytes = 0
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The directory, for this user alone. Raises OSError when it can't be made."""
        with self._lock:
            if self._path is None:
                self._root.mkdir(parents=True, exist_ok=True)
                self._path = Path(tempfile.mkdtemp(prefix=f"job-{os.getpid()}-{self._label}-", dir=self._root))
            return self._path

    def __enter__(self) -> JobFolder:
        """Make this the folder of the job that runs."""
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the directory with all that is in it."""
        if self._token is not None:
            with contextlib.suppress(ValueError):  # left in another context than entered: that one ends by itself
                _current.reset(self._token)
        if self._path is not None:
            _remove(self._path)

    @staticmethod
    def find() -> JobFolder | None:
        """Return the folder of the job that this code runs for, or None outside a job."""
        return _current.get()

    @staticmethod
    def current() -> JobFolder:
        """Return the folder of the job that this code runs for. Raises RuntimeError outside a job."""
        folder = _current.get()
        if folder is None:
            raise RuntimeError("no job is running in this context: use `with JobFolder(root):`, or asyncio.to_thread")
        return folder

    @staticmethod
    def remove_leftovers(root: Path) -> int:
        """Remove the folders of processes that are gone (workers that were killed); return how many. For a start."""
        leftovers = [path for path in root.glob("job-*") if _is_left_over(path)]
        for path in leftovers:
            _remove(path)
        return len(leftovers)

    def next_input(self) -> Path:
        """Return a new path for one input, without a suffix."""
        with self._lock:
            self._inputs += 1
            number = self._inputs
        return self.path / f"input-{number:03d}"

    def count_input(self, size_bytes: int) -> int:
        """Add to the bytes of this job's inputs and return their sum."""
        with self._lock:
            self._input_bytes += size_bytes
            return self._input_bytes


def _is_left_over(path: Path) -> bool:
    found = _NAME.fullmatch(path.name)
    if found is None:
        return False
    pid = int(found["pid"])
    # In a restarted container the worker has the same process id as the one that was killed: none of these is ours yet.
    return pid == os.getpid() or not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    def open_up(_function: Callable[..., Any], name: str, _error: object) -> None:
        """Take back the right to list and change a directory, which a model's program may have given up."""
        for locked in (Path(name).parent, Path(name)):
            with contextlib.suppress(OSError):
                if locked.is_dir() and locked.is_relative_to(path):
                    locked.chmod(stat.S_IRWXU)

    shutil.rmtree(path, onerror=open_up)
    for _ in range(100):  # one pass for each level that was locked
        if not path.exists():
            return
        shutil.rmtree(path, onerror=open_up)
