"""Where the engine's things lie, and what is remembered between two calls."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
HOME = CHECKOUT / ".factory" / "engine"
STATE_FILE = HOME / "state.json"
CA_FILE = Path("/etc/ssl/certs/ca-certificates.crt")

# A name for what can't lie in the checkout: the same for the same checkout, different for another.
UNIQUE = f"factory-{hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]}"

# Sockets and pid files. A Unix socket's path has at most 107 bytes, and containerd's deepest lies 36 below this.
RUN = HOME / "run" if len(str(HOME / "run")) <= 70 else Path("/run") / UNIQUE


class Refusal(Exception):
    """What keeps the engine from running, in one sentence with what to do about it."""


@dataclass
class State:
    """What `up` and `base` found out. An empty string means: not (yet) known.

    `docker_host` is the engine's address, `is_private` whether we started it, `registry` its `host:port`, and
    `stand_in` the reference of the base image that stands in for the official one.
    """

    docker_host: str = ""
    is_private: bool = False
    registry: str = ""
    stand_in: str = ""

    @classmethod
    def read(cls) -> State:
        """Read the remembered state; a missing or damaged file is an empty one."""
        try:
            return cls(**json.loads(STATE_FILE.read_text()))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self) -> None:
        """Remember the state for the next call."""
        HOME.mkdir(parents=True, exist_ok=True)
        STATE_FILE.write_text(json.dumps(asdict(self), indent=1) + "\n")


def say(line: str) -> None:
    """Tell the person at the terminal; stdout is for `env` alone."""
    sys.stderr.write(f"engine: {line}\n")
    sys.stderr.flush()
