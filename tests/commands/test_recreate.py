"""`factory recreate` as a user types it: a new id, the same configuration, whoever kills it on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mend_bench import MendShop
from release_bench import held_call

from factory.emulator.runpod.box import Box
from factory.emulator.runpod.troubles import Balance, EndpointGone
from factory.journal import Journal

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
ENV = b"# mine\r\nA = '1'\nexport RUNPOD_ENDPOINT_ID=\"old\"  # the endpoint\nB=2"


@pytest.mark.parametrize("api", ["rest", "graphql"])
def test_the_endpoint_comes_back_under_a_new_id(shop: MendShop, tmp_path: Path, api: str) -> None:
    """From 404 at the job API to an answered job; all but the id is as it was, and .env names the new one."""
    bench = shop.released_twice(tmp_path, api)
    runpod, old_id, before = shop.place.runpod, shop.endpoint.id, shop.held
    (tmp_path / ".env").write_bytes(ENV)
    runpod.call(lambda box: box.troubles.add(EndpointGone(endpoint=old_id)))
    assert bench.run("run", "demo.yaml").code == 95
    done = bench.run("recreate", "demo.yaml", "--yes", "--env-file", ".env")
    assert done.code == 0, done.err
    new_id = shop.endpoint.id
    assert new_id != old_id and done.out.split() == [old_id, new_id]
    assert shop.held == before
    assert (tmp_path / ".env").read_bytes() == ENV.replace(b'"old"', f'"{new_id}"'.encode())
    answered = bench.run("run", "demo.yaml")
    assert answered.code == 0 and json.loads(answered.out) == {"a": 1}, answered.err
    assert "unchanged" in bench.run("provision", "demo.yaml").err


def test_what_a_create_has_no_words_for_comes_back_too(shop: MendShop, tmp_path: Path) -> None:
    """Excluded GPU types and cached models are set again; what REST v2 can't be told is named."""
    bench = shop.released_twice(tmp_path, "rest")
    commit = Journal.read(tmp_path / "home", "demo").memory.history[-1].models[MODEL]
    references = [f"https://huggingface.co/{MODEL}:{commit}"]

    def extend(box: Box) -> None:
        (endpoint,) = box.world.endpoints.values()
        endpoint.excluded_gpus, endpoint.model_references = ["NVIDIA GeForce RTX 3090"], references
        endpoint.container.args = "python other.py"

    shop.place.runpod.call(extend)
    done = bench.run("recreate", "demo", "--yes", "--json")
    assert done.code == 0, done.err
    assert (shop.endpoint.excluded_gpus, shop.endpoint.model_references) == (["NVIDIA GeForce RTX 3090"], references)
    assert json.loads(done.out)["lost"] == ["args"] and "set it again at RunPod: args" in done.err

    gone = [f"https://huggingface.co/{MODEL}:{'a' * 40}"]
    shop.place.runpod.call(lambda box: setattr(next(iter(box.world.endpoints.values())), "model_references", gone))
    done = bench.run("recreate", "demo", "--yes", "--json")
    assert done.code == 0 and json.loads(done.out)["lost"] == ["models"], done.err


def test_an_endpoint_that_no_recipe_made_is_named_by_its_id(shop: MendShop, tmp_path: Path) -> None:
    """It gets a template of its name, which a create by REST v2 needs."""
    bench = shop.released_twice(tmp_path, "rest")
    shop.place.runpod.call(lambda box: box.world.delete_template(next(iter(_own_templates(box)))))
    old_id = shop.endpoint.id
    done = bench.run("recreate", old_id, "--yes")
    assert done.code == 0 and done.out.split() == [old_id, shop.endpoint.id], done.err
    assert [template["name"] for template in shop.held["templates"]] == ["demo"]


def _own_templates(box: Box) -> list[str]:
    return [template.id for template in box.world.templates.values() if template.bound_endpoint_id is None]


@pytest.mark.parametrize(
    ("arguments", "env", "code", "sentence"),
    [
        (["demo.yaml"], None, 130, "interrupted"),  # asked, and nobody there to say yes
        (["nothing", "--yes"], None, 95, "no endpoint nothing"),
        (["demo", "--yes", "--env-file", ".env"], None, 3, "can't be read"),
        (["demo", "--yes", "--env-file", ".env"], b"A=1\n", 3, "no line sets RUNPOD_ENDPOINT_ID"),
        (["demo", "--yes", "--env-file", ".env", "--key", "B"], b"A=1\n", 3, "no line sets B"),
    ],
)
def test_what_can_not_be_done_is_said_before_anything_is_deleted(
    shop: MendShop, tmp_path: Path, arguments: list[str], env: bytes | None, code: int, sentence: str
) -> None:
    """One sentence, and the endpoint is still there."""
    bench = shop.released_twice(tmp_path, "rest")
    if env is not None:
        (tmp_path / ".env").write_bytes(env)
    old_id = shop.endpoint.id
    done = bench.run("recreate", *arguments)
    assert done.code == code and sentence in done.err and "Traceback" not in done.err
    assert shop.endpoint.id == old_id


def test_before_the_balance_is_paid_nothing_is_deleted(shop: MendShop, tmp_path: Path) -> None:
    """RunPod would not let it be made again."""
    bench = shop.released_twice(tmp_path, "rest")
    old_id = shop.endpoint.id
    shop.place.runpod.call(lambda box: box.troubles.add(Balance(usd=-1.5)))
    done = bench.run("recreate", "demo", "--yes")
    assert done.code == 86 and "makes no endpoint below $0.01" in done.err and shop.endpoint.id == old_id


POINTS = [
    ("rest", ("DELETE", "/v2/serverless/*"), "", False),
    ("rest", ("DELETE", "/v2/serverless/*"), "", True),
    ("rest", ("POST", "/v2/serverless"), "", False),
    ("rest", ("POST", "/v2/serverless"), "", True),
    ("graphql", ("", ""), "deleteEndpoint", True),
    ("graphql", ("", ""), "saveEndpoint", True),  # its workers are taken away before the delete
]


@pytest.mark.parametrize("name", ["demo.yaml", "by id"])
@pytest.mark.parametrize(
    ("api", "rest", "graphql", "is_after"), POINTS, ids=[f"{p[0]} {p[1][0] or p[2]} {p[3]}" for p in POINTS]
)
def test_killed_anywhere_the_next_run_goes_on(
    shop: MendShop, tmp_path: Path, name: str, api: str, rest: tuple[str, str], graphql: str, is_after: bool
) -> None:
    """There is one endpoint in the end, with the old configuration, and .env has its id."""
    bench = shop.released_twice(tmp_path, api)
    before, old_id = shop.held, shop.endpoint.id
    (tmp_path / ".env").write_bytes(ENV)
    target = old_id if name == "by id" else name
    arguments = ("recreate", target, "--yes", "--env-file", ".env")
    shop.kill(bench, held_call(api, rest, graphql, is_after=is_after), *arguments)
    assert (tmp_path / ".env").read_bytes() == ENV
    done = bench.run(*arguments)
    assert done.code == 0, done.err
    assert done.out.split() == [old_id, shop.endpoint.id] and shop.endpoint.id != old_id
    assert shop.held == before
    assert f'"{shop.endpoint.id}"'.encode() in (tmp_path / ".env").read_bytes()
    assert Journal.read(tmp_path / "home", "demo").memory.recreation is None
