"""What an image holds at /app, in a folder of a test: recipe.json, a handler's file, and the worker as a process."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker_runtime.events import EventLog

COMMIT = "c" * 40


class SeenLog(EventLog):
    """An event log whose lines can be read back."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        super().__init__(self.text)

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the events so far, all or those of one name."""
        rows = [json.loads(line) for line in self.text.getvalue().splitlines()]
        return [row for row in rows if name in (None, row["event"])]


def git_sha1(content: bytes) -> str:
    """Return the digest that the Hub gives for a file in plain git."""
    return "git-sha1:" + hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def sha256(content: bytes) -> str:
    """Return the digest that the Hub gives for a file in LFS."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def listed(folder: Path) -> list[dict[str, Any]]:
    """Return recipe.json's list of the files below a folder; large and weight files are those of LFS."""
    rows = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ".hub.json"):
        content = path.read_bytes()
        digest = sha256(content) if path.suffix in (".safetensors", ".bin") else git_sha1(content)
        rows.append({"path": path.relative_to(folder).as_posix(), "size_bytes": len(content), "digest": digest})
    return rows


def model(key: str, files: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return one model's block of recipe.json."""
    block = {"key": key, "repo": f"org/{key}", "commit": COMMIT, "placement": "image", "load_dtype": None}
    return {**block, "files": list(files), **changes}


def write_app(
    folder: Path,
    *,
    handler: Mapping[str, Any] | None = None,
    models: Sequence[Mapping[str, Any]] = (),
    code: str | None = None,
) -> Path:
    """Write recipe.json (and handler.py, when there is code) into a folder, and return recipe.json's path."""
    folder.mkdir(parents=True, exist_ok=True)
    block: dict[str, Any] = {"name": None, "file": None, "options": {}}
    if code is not None:
        (folder / "handler.py").write_text(code)
        block["file"] = "handler.py"
    block |= handler or ({} if code is not None else {"name": "echo"})
    recipe = {"name": "test", "recipe_sha256": "0" * 64, "handler": block, "models": list(models)}
    path = folder / "recipe.json"
    path.write_text(json.dumps(recipe))
    return path


def environment(recipe: Path, **changes: str) -> dict[str, str]:
    """Return this process's environment for a worker: nothing of RunPod's or of the Hub's but what is given."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("RUNPOD_", "HF_", "FACTORY_"))}
    return {**own, "FACTORY_RECIPE": str(recipe), "PYTHONUNBUFFERED": "1", **changes}


def run_worker(
    recipe: Path, *arguments: str, stdin: str = "", timeout_s: float = 60, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m worker_runtime` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "worker_runtime", *arguments],
        env=environment(recipe, **changes),
        cwd=recipe.parent if recipe.parent.is_dir() else None,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


class ApiWorker:
    """A worker in the SDK's local API mode: `python -m worker_runtime --rp_serve_api`, on loopback."""

    def __init__(self, recipe: Path, *arguments: str, **changes: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        options = ["--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port), *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker_runtime", *options],
            env=environment(recipe, **changes),
            cwd=recipe.parent if recipe.parent.is_dir() else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> ApiWorker:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.url + "/openapi.json", timeout=5).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise AssertionError("the worker does not answer:\n" + "\n".join(self.lines))

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def job(self, job_input: Any) -> dict[str, Any]:
        """Post a job to /runsync and return the answer's object."""
        body = json.dumps({"input": job_input}).encode()
        request = urllib.request.Request(self.url + "/runsync", data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name in the log so far."""
        rows = [json.loads(line) for line in self.lines if line.startswith('{"event"')]
        return [row for row in rows if row["event"] == name]

    def wait(self, timeout_s: float = 30) -> int:
        """Wait for the worker's end, its whole log included, and return its exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(5)
        return code
