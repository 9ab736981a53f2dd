"""No child outlives the worker.

RunPod's SDK forks a process that pings "this worker is alive, and does job X". When the worker dies by SIGKILL, by the
kernel for want of memory, or by os._exit, and isn't PID 1, that process goes on, and the dead job looks alive until its
time limit (seen with runpod 1.12.0, 2026-11-23). So every process forked from the main thread asks the kernel to be
killed when the worker dies. The main thread only, because the kernel's signal comes when the *thread* that forked ends
(prctl(2), PR_SET_PDEATHSIG). Programs started with `subprocess` are no such forks; those that `command` runs
end with their process group.

And no fork keeps another thread waiting. `subprocess` learns by the end of a pipe that its program has begun; a fork in
that moment, by another thread, keeps the pipe open for as long as the forked process lives, and `subprocess` waits for
ever: so a lazy start hung in the SDK's call of nvidia-smi while the main thread forked the SDK's ping (Python 3.11.7,
seen 2026-11-25). So forks and the starts of programs take turns.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class _Tie:
    """Ties forked children to the life of this process."""

    def __init__(self) -> None:
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up now: a forked child should look up little
        self._is_main = False
        self._parent = os.getpid()

    def before(self) -> None:
        self._is_main = threading.current_thread() is threading.main_thread()
        self._parent = os.getpid()

    def in_child(self) -> None:
        if not self._is_main:
            return
        self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._parent:  # it died before the kernel knew
            os._exit(1)


def die_with_worker() -> None:
    """Let each process that the main thread forks from now on end with this one. Once per process, on Linux.

    multiprocessing must fork for that: Python 3.14 starts children from a server process instead, with which the SDK
    sends no pings at all (runpod 1.12.0, seen 2026-11-23).
    """
    if not sys.platform.startswith("linux"):
        return
    multiprocessing.set_start_method("fork", force=True)
    tie = _Tie()
    os.register_at_fork(before=tie.before, after_in_child=tie.in_child)
    _take_turns()


def _take_turns() -> None:
    """Let no fork happen while another thread starts a program. There is no public place for that in `subprocess`."""
    turn = threading.RLock()  # the same thread may do both: `preexec_fn`
    start: Any = subprocess.Popen._execute_child  # type: ignore[attr-defined]

    def start_in_turn(*arguments: Any, **more: Any) -> None:
        with turn:
            start(*arguments, **more)

    subprocess.Popen._execute_child = start_in_turn  # type: ignore[attr-defined]
    os.register_at_fork(before=turn.acquire, after_in_parent=turn.release, after_in_child=turn.release)


def end_at_once(code: int) -> None:
    """End this process now, whatever its threads do, and its children with it."""
    for child in multiprocessing.active_children():
        child.kill()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
