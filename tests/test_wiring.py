"""The doors to RunPod's account: which client fills them, once per run, and not without a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.clients.docker_buildx import BuildxEngine
from factory.clients.docker_engine import DockerEngine
from factory.clients.runpod.graphql_cloud import GraphqlCloud
from factory.clients.runpod.jobs import JobClient
from factory.clients.runpod.rest import RestCloud
from factory.errors import CloudDenied
from factory.recipe import load
from factory.settings import Settings
from factory.wiring import Account, Clients

SETTINGS = Settings(Path(".factory"), runpod_key="rpa_x")


@pytest.mark.parametrize(("api", "kind"), [("rest", RestCloud), ("graphql", GraphqlCloud)])
def test_the_setting_chooses_the_api(api: str, kind: type) -> None:
    """RUNPOD_API says which client fills the cloud's door; it is built once."""
    account = Account(
        Settings(Path(".factory"), runpod_key="rpa_x", runpod_api="graphql" if api == "graphql" else "rest")
    )
    assert type(account.cloud) is kind
    assert account.cloud.name == api
    assert account.cloud is account.cloud


@pytest.mark.parametrize("builder", [None, "farm"])
def test_a_builder_stands_before_the_engine(builder: str | None, tmp_path: Path) -> None:
    """Where a builder is named it builds; what runs images is the engine of the settings all the same."""
    (tmp_path / "r.yaml").write_text("name: one\nimage: {repository: acme/one}\nhandler: echo\n")
    host = "tcp://far.example:2375"
    settings = Settings(Path(".factory"), docker_host=host, builder=builder, docker_config=tmp_path / "config.json")
    engine = Clients(settings, load(tmp_path / "r.yaml")).engine
    behind = engine.engine if isinstance(engine, BuildxEngine) else engine
    assert isinstance(engine, BuildxEngine) == (builder is not None)
    assert isinstance(behind, DockerEngine) and str(behind.address) == host


def test_the_jobs_door() -> None:
    """Jobs go by the job API, whatever manages the account."""
    account = Account(SETTINGS)
    assert isinstance(account.jobs, JobClient)
    assert account.jobs is account.jobs


@pytest.mark.parametrize("door", ["cloud", "jobs"])
def test_without_a_key(door: str) -> None:
    """Without a key nothing is asked of RunPod: one sentence says which variable to set."""
    with pytest.raises(CloudDenied, match="RUNPOD_API_KEY: no key for RunPod's account") as caught:
        getattr(Account(Settings(Path(".factory"))), door)
    assert "factory emulator" in caught.value.fix


def test_the_key_is_not_in_the_repr() -> None:
    """Printing the account's doors shows no key."""
    account = Account(SETTINGS)
    assert "rpa_x" not in repr(account) + repr(account.cloud) + repr(account.jobs)
