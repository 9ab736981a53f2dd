"""Forks and the starts of programs, in a process of their own: nobody waits for the other for ever."""

from __future__ import annotations

import subprocess
import sys

FORKS_WHILE_PROGRAMS_START = """
import os, subprocess, sys, threading, time
{protect}
over = threading.Event()

def start_programs():
    for _ in range(60):
        subprocess.run(["true"], check=True)
    over.set()

threading.Thread(target=start_programs, daemon=True).start()
children = []
while not over.is_set() and len(children) < 400:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    children.append(child)
ended = over.wait(8)
for child in children:
    os.kill(child, 9)
os._exit(0 if ended else 9)
"""


def outcome(protect: str) -> int:
    """Fork as fast as it goes while another thread starts programs; 0 when all programs were started."""
    code = FORKS_WHILE_PROGRAMS_START.format(protect=protect)
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False, timeout=60).returncode


def test_a_fork_keeps_no_program_from_starting() -> None:
    """Every program starts, however often the main thread forks meanwhile (without the runtime this hangs)."""
    assert outcome("from worker_runtime.children import die_with_worker; die_with_worker()") == 0
