"""`factory volumes ls|put|prefill|verify` as a user starts them: an emulated account, a hub, and a real S3 server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import s3_server
from forked_cli import Done, ForkedCli, forked_cli
from runpod_box import KEY, Emulated, an_endpoint, emulated
from s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from weights_site import FILES, TOTAL_BYTES
from worker_app import listed, model, write_app

from factory import gathering, settings, wiring
from factory.diagnosis.evidence import Evidence, Failure
from factory.emulator.runpod.clock import RealClock
from factory.emulator.runpod.entities import Container
from factory.emulator.runpod.launch_process import ProcessLauncher

HANDLER = """
from pathlib import Path

class Handler:
    def __init__(self, options, models):
        self.folder = Path(models["m"])

    def __call__(self, inputs):
        return {str(p.relative_to(self.folder)): p.stat().st_size for p in self.folder.rglob("*") if p.is_file()}
"""


@dataclass
class Desk:
    """A machine, an account with the volume `weights`, and the S3 server that reaches it."""

    runpod: Emulated
    env: dict[str, str]
    folder: Path
    volume_id: str
    cli: ForkedCli
    contexts: Path

    @property
    def there(self) -> Path:
        """The volume's folder."""
        return self.folder / "state" / "volumes" / self.volume_id

    def __call__(self, *arguments: str, **env: str) -> Done:
        """Run `factory volumes …`."""
        return self.cli.run("volumes", *arguments, env=self.env | env, folder=self.folder)


@pytest.fixture(scope="module")
def cli() -> Iterator[ForkedCli]:
    """Processes that start quickly."""
    with forked_cli() as started:
        yield started


@pytest.fixture
def desk(cli: ForkedCli, tmp_path: Path) -> Iterator[Desk]:
    """A desk whose recipe `demo.yaml` keeps org/m on the volume `weights`."""
    for name, content in FILES.items():
        path = tmp_path / "hub" / "org" / "m" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    launcher = ProcessLauncher(tmp_path / "contexts")
    state = tmp_path / "state"
    with emulated(clock=RealClock(), hub=tmp_path / "hub", launcher=launcher, state=state) as runpod:
        volume = runpod.call(lambda box: box.world.create_volume("weights", 10, "EU-RO-1"))
        (state / "volumes" / volume.id).mkdir(parents=True)
        with s3_server.run(tmp_path, folder=state / "volumes") as server:
            env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
            env |= {"RUNPOD_API_BASE_URL": runpod.url, "RUNPOD_API_KEY": KEY, "HF_ENDPOINT": runpod.url}
            env |= {"FACTORY_HOME": str(tmp_path / "home"), "RUNPOD_S3_ENDPOINT_URL": server.endpoint_url}
            env |= {"RUNPOD_S3_ACCESS_KEY_ID": ACCESS_KEY_ID, "RUNPOD_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
            (tmp_path / "demo.yaml").write_text(
                "name: demo\nvolume: weights\nimage: {repository: acme/demo}\nhandler: echo\n"
                "model: {repo: org/m, placement: volume}\n"
            )
            yield Desk(runpod, env, tmp_path, volume.id, cli, tmp_path / "contexts")


def test_a_worker_starts_warm_from_a_prefilled_volume(desk: Desk) -> None:
    """prefill, ls and verify by hand, then a job: the worker finds all files, and the Hub isn't asked for any."""
    done = desk("prefill", "demo.yaml", "--json")
    assert done.code == 0, done.err
    says = json.loads(done.out)
    assert (says["sent_bytes"], says["files"], says["volume"]) == (TOTAL_BYTES, len(FILES), desk.volume_id)
    assert "prefill" in done.err and "6 files ready" in done.err
    stock = json.loads(desk("ls", "demo.yaml", "--json").out)
    (there,) = stock["models"]
    assert (there["repo"], there["is_ready"], there["size_bytes"]) == ("org/m", True, TOTAL_BYTES)
    assert stock["recipes"] == ["demo"] and stock["failures"] == []
    checked = desk("verify", "demo.yaml")
    assert checked.code == 0 and "all right" in checked.err
    before = len(content_calls(desk))
    assert files_seen_by_a_worker(desk) == {name: len(content) for name, content in FILES.items()}
    assert len(content_calls(desk)) == before


def content_calls(desk: Desk) -> list[str]:
    """Return the calls for files' content."""
    return [call.path for call in desk.runpod.calls if "/resolve/" in call.path or call.path.startswith("/_cdn")]


def files_seen_by_a_worker(desk: Desk) -> dict[str, int]:
    """Run a job on a process worker that has the volume mounted, and return its answer."""
    commit = httpx.get(f"{desk.runpod.url}/api/models/org/m").json()["sha"]
    block = model("m", listed(desk.folder / "hub" / "org" / "m"), placement="volume", commit=commit)
    context = desk.contexts / "test" / "mine" / "1"
    write_app(context, code=HANDLER, models=[block])
    (context / "Dockerfile").write_text("FROM base\n")
    draft = an_endpoint("mine", container=Container("test/mine:1", env={}), volume_ids=[desk.volume_id])
    endpoint = desk.runpod.call(lambda box: box.world.create_endpoint(draft))
    answer: dict[str, Any] = httpx.post(
        f"{desk.runpod.jobs_url}/{endpoint.id}/runsync?wait=60000",
        json={"input": {"a": 1}},
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=70,
    ).json()
    assert answer["status"] == "COMPLETED", answer
    found: dict[str, int] = answer["output"]
    return found


def test_a_wrong_byte_has_its_own_exit_code(desk: Desk) -> None:
    """verify names the file and the command that mends it; that command mends it."""
    assert desk("prefill", "demo.yaml").code == 0
    (path,) = desk.there.glob("models/*/config.json")
    content = path.read_bytes()
    path.write_bytes(b"#" + content[1:])
    done = desk("verify", "demo.yaml", "--json")
    assert done.code == 117
    (wrong,) = json.loads(done.out)["error"]["details"]["wrong"]
    assert wrong["path"].endswith("/config.json") and wrong["state"] == "wrong digest"
    assert "run `factory volumes prefill demo.yaml --check`" in done.err
    assert desk("prefill", "demo.yaml", "--check").code == 0
    assert path.read_bytes() == content


def test_files_go_where_they_are_told(desk: Desk) -> None:
    """put prints the path that a worker sees; ls PATH lists it."""
    (desk.folder / "photo.png").write_bytes(b"pixels")
    (desk.folder / "empty.txt").touch()
    done = desk("put", "demo.yaml", "photo.png", "empty.txt", "--to", "inputs")
    assert done.out.split() == ["/runpod-volume/inputs/photo.png", "/runpod-volume/inputs/empty.txt"], done.err
    assert desk("put", "demo.yaml", "photo.png", "--to", "/runpod-volume/a b/c.png").code == 0
    assert (desk.there / "a b" / "c.png").read_bytes() == b"pixels"
    large = bytes(range(256)) * 250_000  # in parts
    (desk.folder / "large.bin").write_bytes(large)
    assert desk("put", "demo.yaml", "large.bin").code == 0
    assert (desk.there / "large.bin").read_bytes() == large
    rows = json.loads(desk("ls", "demo.yaml", "inputs", "--json").out)
    assert [(row["path"], row["size_bytes"]) for row in rows] == [("inputs/empty.txt", 0), ("inputs/photo.png", 6)]
    outside = desk("put", "demo.yaml", "photo.png", "--to", "../x")
    assert outside.code == 113 and "no path on the volume" in outside.err


def test_failures_and_unfinished_models_are_seen(desk: Desk) -> None:
    """ls says why workers could not start, and what is half there."""
    folder = desk.there / ".factory" / "failures"
    folder.mkdir(parents=True)
    report = {
        "at": "2026-11-25T01:02:03+00:00",
        "worker": "w1",
        "code": "no_space",
        "sentence": "needs 9 GB",
        "fix": "x",
    }
    (folder / "20261125T010203.5-w1-no_space.json").write_text(json.dumps(report))
    partial = desk.there / "models" / f"org--n@{'a' * 40}.partial" / "files"
    partial.mkdir(parents=True)
    (partial / "w.bin").write_bytes(b"x" * 1000)
    done = desk("ls", "demo.yaml")
    assert "no_space: needs 9 GB" in done.out, done.err
    assert evidence(desk).failures == (
        Failure(*(report[name] for name in ("at", "worker", "code", "sentence", "fix"))),
    )
    assert gathering.ON_THE_VOLUME in evidence(desk, RUNPOD_S3_ACCESS_KEY_ID="").gaps
    refused = evidence(desk, RUNPOD_S3_SECRET_ACCESS_KEY="wrong")
    assert refused.failures == () and "refuses the keys" in refused.gaps[gathering.ON_THE_VOLUME]
    assert "org/n" in done.out and "not ready, 1.0 kB on their way (.partial)" in done.out


def evidence(desk: Desk, **env: str) -> Evidence:
    """Gather what the diagnosis looks at, of an endpoint that has the volume."""
    draft = an_endpoint("mine", container=Container("test/mine:1", env={}), volume_ids=[desk.volume_id])
    endpoint = desk.runpod.call(lambda box: box.world.create_endpoint(draft))
    machine = settings.read(desk.env | {"RUNPOD_ENDPOINT_BASE_URL": desk.runpod.jobs_url} | env)
    return gathering.gather(wiring.target(machine, endpoint.id, None, wiring.Shared(machine)), samples=1, window_s=0)


@pytest.mark.parametrize(
    ("env", "code", "sentence"),
    [
        ({"RUNPOD_S3_SECRET_ACCESS_KEY": "rps_wrong"}, 111, "refuses the keys (SignatureDoesNotMatch)"),
        ({"RUNPOD_S3_ACCESS_KEY_ID": "user_other"}, 111, "refuses the keys (InvalidAccessKeyId)"),
        ({"RUNPOD_S3_ACCESS_KEY_ID": ""}, 111, "no keys for RunPod's S3 API"),
        ({"RUNPOD_S3_ENDPOINT_URL": "http://127.0.0.1:9"}, 112, "no connection (EndpointConnectionError)"),
    ],
)
@pytest.mark.parametrize("command", [["ls"], ["prefill"]])
def test_each_slip_is_one_sentence(
    desk: Desk, command: list[str], env: dict[str, str], code: int, sentence: str
) -> None:
    """Wrong keys, no keys, nobody there: an exit code and a sentence, without a key in it."""
    done = desk(*command, "demo.yaml", **env)
    assert done.code == code and sentence in done.err, done.err
    assert "Traceback" not in done.err and "rps_" not in done.err and SECRET_ACCESS_KEY not in done.err


def test_a_volume_out_of_reach(desk: Desk) -> None:
    """No such volume, several of one name, and a data centre without S3 are three sentences."""
    nothing = desk("ls", "demo.yaml", "--volume", "nothing")
    assert nothing.code == 115 and "volume nothing: the account has no such volume" in nothing.err
    elsewhere = desk.runpod.call(lambda box: box.world.create_volume("far", 10, "EU-CZ-1"))
    elsewhere.data_center = "US-TX-3"  # where RunPod had volumes before it had S3
    far = desk("prefill", "demo.yaml", "--volume", elsewhere.id, RUNPOD_S3_ENDPOINT_URL="")
    assert far.code == 115 and "RunPod has no S3 API in US-TX-3 (it has in EU-CZ-1," in far.err
    desk.runpod.call(lambda box: box.world.create_volume("weights", 10, "EU-CZ-1"))
    several = desk("ls", "demo.yaml")
    assert several.code == 89 and "2 volumes have that name" in several.err
