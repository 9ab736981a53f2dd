"""`scripts/engine` as a person meets it, in a checkout of its own: it keeps all it has below the one it lies in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
# Not this venv's: an unprivileged user may have no way to where it lies.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin") or "python3"
NOBODY = 65534


@dataclass(frozen=True)
class Checkout:
    """A copy of scripts/ in a folder of its own."""

    folder: Path

    def engine(
        self, word: str, *, environment: Mapping[str, str] | None = None, as_nobody: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run scripts/engine in a shell that has exported nothing of ours."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("FACTORY_", "DOCKER_"))}
        command = [PYTHON, str(self.folder / "scripts/engine"), word]
        return subprocess.run(
            command,
            env={**ours, **(environment or {})},
            user=NOBODY if as_nobody and os.geteuid() == 0 else None,
            extra_groups=() if as_nobody and os.geteuid() == 0 else None,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def exports(self) -> dict[str, str]:
        """Return what `eval "$(scripts/engine env)"` sets in a shell."""
        script = f'eval "$({PYTHON} {self.folder}/scripts/engine env)" && env'
        done = subprocess.run(["bash", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith(("DOCKER_", "FACTORY_")))

    @property
    def run_folder(self) -> Path:
        """Where the pid files lie: in the checkout, or where `env` says the socket is."""
        inside = self.folder / ".factory/engine/run"
        socket = self.exports().get("DOCKER_HOST", "").removeprefix("unix://")
        return Path(socket).parent if socket.startswith("/run/factory-") else inside

    def pids(self) -> dict[str, int]:
        """Return the services that were started here, by the name of their pid file."""
        return {path.name: int(path.read_text()) for path in self.run_folder.glob("*.pid")}


@pytest.fixture(params=["short", "long"])
def checkout(request: pytest.FixtureRequest) -> Iterator[Checkout]:
    """A checkout that every user may enter, at a path of a length that sockets allow, and at one that they don't."""
    top = Path(tempfile.mkdtemp(prefix="factory-", dir="/tmp"))
    folder = top if request.param == "short" else top / ("deep" * 30)
    shutil.copytree(SCRIPTS, folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for each in (top, folder):
        each.chmod(0o777)
    made = Checkout(folder)
    yield made
    made.engine("down")
    shutil.rmtree(top)


def answers(url: str) -> bool:
    """Does an HTTP server on this machine answer 200?"""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        return bool(response.status == 200)


@pytest.mark.engine
def test_the_shared_engine_is_up_and_exports_what_a_build_needs(
    engine_host: str, registry: str, base_image: str
) -> None:
    """A second `up` changes nothing, and what `env` prints is what this test run was given."""
    before = subprocess.run([SCRIPTS / "engine", "env"], capture_output=True, text=True).stdout
    assert subprocess.run([SCRIPTS / "engine", "up"]).returncode == 0
    assert subprocess.run([SCRIPTS / "engine", "env"], capture_output=True, text=True).stdout == before
    assert f"export DOCKER_HOST={engine_host}\n" in before
    assert f"export FACTORY_REGISTRY={registry}\n" in before
    assert answers(f"http://{registry}/v2/")
    ran = ["docker", "run", "--rm", "--network", "host", base_image, "python3", "-c", "import sys; print(sys.version)"]
    assert subprocess.run(ran, capture_output=True, text=True).stdout.startswith("3.11")


@pytest.mark.engine
def test_what_was_killed_comes_back_where_it_was(engine_host: str, checkout: Checkout) -> None:
    """After a power cut (stale pid files, sockets and mounts) `up` brings back the same addresses."""
    assert checkout.engine("up").returncode == 0
    exports, killed = checkout.exports(), checkout.pids()
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)
    if not killed:  # the engine was there before us: then the registry is a container
        port = exports["FACTORY_REGISTRY"].rpartition(":")[2]
        listed = subprocess.run(["docker", "ps", "-q", "--filter", f"publish={port}"], capture_output=True, text=True)
        assert subprocess.run(["docker", "kill", listed.stdout.strip()]).returncode == 0
    again = checkout.engine("up")
    assert again.returncode == 0, again.stderr
    assert checkout.exports() == exports
    assert set(checkout.pids().values()).isdisjoint(killed.values())
    assert answers(f"http://{exports['FACTORY_REGISTRY']}/v2/")
    assert checkout.engine("status").returncode == 0


@pytest.mark.engine
def test_down_stops_what_is_ours_and_leaves_no_mount(engine_host: str, checkout: Checkout) -> None:
    """After `down` nothing runs from the checkout and nothing is mounted in it; a second one is content."""
    assert checkout.engine("up").returncode == 0
    run_folder = checkout.run_folder
    assert "stopped the registry" in checkout.engine("down").stderr
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in commands if f"{checkout.folder}/.factory".encode() in line]
    assert str(checkout.folder) not in Path("/proc/self/mounts").read_text()
    assert not run_folder.exists()
    assert checkout.engine("status").returncode == 1
    assert "nothing of ours" in checkout.engine("down").stderr


@pytest.mark.parametrize("checkout", ["short"], indirect=True)
def test_down_spares_a_process_that_has_a_recorded_pid_by_chance(checkout: Checkout) -> None:
    """After a reboot a recorded pid may be anybody's: it is only stopped when its command line is ours."""
    run_folder = checkout.folder / ".factory/engine/run"
    run_folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        for name in ("dockerd.pid", "registry.pid"):
            (run_folder / name).write_text(f"{stranger.pid}\n")
        assert checkout.engine("down").returncode == 0
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("checkout", ["short"], indirect=True)
def test_env_before_up_says_so(checkout: Checkout) -> None:
    """`eval "$(scripts/engine env)"` exports nothing when nothing runs."""
    done = checkout.engine("env")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "engine: nothing runs: `scripts/engine up` first\n"


@pytest.mark.parametrize("checkout", ["short"], indirect=True)
def test_a_machine_without_apt_is_told_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    """Not Debian, no Docker: one sentence."""
    (tmp_path / "python3").symlink_to(PYTHON)
    done = checkout.engine("up", environment={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "this is not Debian or Ubuntu: install docker" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("checkout", ["short"], indirect=True)
def test_a_person_who_is_not_root_is_told_what_to_ask_for(checkout: Checkout) -> None:
    """No engine that this user may reach, and no right to install one: one sentence with the command."""
    done = checkout.engine("up", as_nobody=True)
    assert done.returncode == 1
    assert "sudo " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("checkout", ["short"], indirect=True)
def test_an_unknown_word_shows_the_usage(checkout: Checkout) -> None:
    """Exit status 2, and the commands on stderr."""
    done = checkout.engine("start")
    assert (done.returncode, done.stdout) == (2, "")
    assert "scripts/engine up" in done.stderr
