"""recipe.json, and the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from worker_app import model, write_app

from worker_runtime import recipe, settings
from worker_runtime.errors import RecipeError, SettingsError
from worker_runtime.input_rules import AllowList

FILE = {"path": "model.safetensors", "size_bytes": 3, "digest": "sha256:" + "0" * 64}


def test_reads_what_render_writes(app: Path) -> None:
    """A recipe with a model and a handler's file is read, every field."""
    found = recipe.load(write_app(app, code="x = 1", models=[model("m", [FILE], placement="volume")]))
    assert found.handler.file == "handler.py"
    assert found.models[0].files[0].size_bytes == 3
    assert found.models[0].folder == "models--org--m"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": None}, "name: Input should be a valid string (found None)"),
        ({"extra": 1}, "extra: Extra inputs are not permitted (found 1)"),
        ({"handler": {"name": "echo", "file": "x.py"}}, "handler: must have either a name or a file"),
        ({"handler": {}}, "handler: must have either a name or a file"),
        ({"models": [model("m", [])]}, "models.0.files: Tuple should have at least 1 item"),
        ({"models": [model("m", [FILE], commit="main")]}, "models.0.commit: "),
        ({"models": [model("m", [{**FILE, "path": "../x"}])]}, "models.0.files.0.path: must be a path inside"),
        ({"models": [model("m", [{**FILE, "digest": "md5:0"}])]}, "models.0.files.0.digest: "),
    ],
)
def test_names_the_place(change: dict[str, Any], says: str, app: Path) -> None:
    """A recipe.json that is wrong is refused with the path of the wrong value."""
    path = write_app(app)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RecipeError) as caught:
        recipe.load(path)
    assert says in str(caught.value)


def test_no_json_and_no_file(app: Path) -> None:
    """Text that isn't JSON, and no file, are one sentence each."""
    with pytest.raises(RecipeError, match="can't be read"):
        recipe.load(app / "recipe.json")
    write_app(app).write_text("{")
    with pytest.raises(RecipeError, match="Invalid JSON"):
        recipe.load(app / "recipe.json")


def test_defaults() -> None:
    """With nothing set the worker looks where the image has things."""
    found = settings.read({})
    assert found.recipe == Path("/app/recipe.json")
    assert (found.volume, found.may_volume_be_folder) == (Path("/runpod-volume"), False)
    assert found == settings.Settings()


def test_reads_the_environment() -> None:
    """Each variable lands in its setting, and a token is not shown."""
    found = settings.read(
        {
            "FACTORY_VOLUME": "/v",
            "FACTORY_MAX_RESULT_MB": "2.5",
            "FACTORY_INPUT_ALLOW": " a:1, b:2,",
            "HF_ENDPOINT": "http://h/",
            "HF_TOKEN": "hf_secret",
            "RUNPOD_WEBHOOK_GET_JOB": "http://q?",
        }
    )
    assert found.may_volume_be_folder
    assert found.max_result_bytes == 2_500_000
    assert found.inputs.allow == AllowList.parse(["a:1", "b:2"])
    assert (found.hub_endpoint, found.hub_token, found.queue_url is not None) == ("http://h", "hf_secret", True)
    assert "hf_secret" not in repr(found)


@pytest.mark.parametrize("text", ["x", "-1", "0", "nan", "inf"])
def test_a_number_that_is_none(text: str) -> None:
    """A variable that should be a number, and isn't, is named with what was found."""
    with pytest.raises(SettingsError, match=f"FACTORY_FAILED_JOBS is no positive number .found '{text}'"):
        settings.read({"FACTORY_FAILED_JOBS": text})


def test_a_program_does_not_inherit_the_queue_key() -> None:
    """A model's own program gets the environment, but not the key to RunPod's queue."""
    assert settings.inherited_environment({"B": "2"}, {"A": "1", "RUNPOD_AI_API_KEY": "k"}) == {"A": "1", "B": "2"}
