"""The worker as a real process, with the unmodified SDK's local modes."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker_app import ApiWorker, listed, model, run_worker, write_app

HANDLER = """
import sys
from typing import Any
import numpy as np
from pydantic import BaseModel

class Handler:
    class Input(BaseModel):
        do: str

    def load(self, model_dir):
        self.model_dir = model_dir

    def __call__(self, inputs) -> Any:
        if inputs.do == "numpy":
            return {"row": np.arange(3, dtype=np.float32), "n": np.int64(7)}
        if inputs.do == "object":
            return {"a": [object()]}
        if inputs.do == "nan":
            return {"score": float("nan")}
        if inputs.do == "empty":
            return {}
        if inputs.do == "none":
            return None
        if inputs.do == "exit":
            sys.exit(3)
        if inputs.do == "big":
            return "x" * 2_000_000
        if inputs.do == "raise":
            raise ValueError("bad thing")
        return inputs.do
"""
GENERATOR = """
class Handler:
    def __call__(self, inputs):
        yield 1
        yield {"two": 2}
        if inputs.get("fail"):
            raise ValueError("third")
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A worker with the handler above."""
    recipe = write_app(tmp_path_factory.mktemp("app"), code=HANDLER)
    with ApiWorker(recipe, FACTORY_MAX_RESULT_MB="1") as running:
        yield running


@pytest.mark.parametrize(
    ("do", "output"),
    [("numpy", {"row": [0.0, 1.0, 2.0], "n": 7}), ("empty", {}), ("héllo 你好 😀", "héllo 你好 😀"), ("none", None)],
)
def test_answers(do: str, output: Any, worker: ApiWorker) -> None:
    """The SDK gives the output as it is: arrays as lists, an empty object as an empty object."""
    answer = worker.job({"do": do})
    assert answer["status"] == "COMPLETED"
    assert answer.get("output") == output


@pytest.mark.parametrize(
    ("job_input", "says"),
    [
        ({"do": "object"}, "output_unserialisable: .*a.0 is of type builtins.object"),
        ({"do": "nan"}, "output_unserialisable: .*score is nan"),
        ({"do": "big"}, "output_too_large: .*2000031 bytes.*1000000"),
        ({"do": "exit"}, "handler_failed: SystemExit: 3"),
        ({"do": "raise"}, "handler_failed: ValueError: bad thing"),
        ({"do": 3}, r"input_invalid: do: Input should be a valid string \(found 3\)"),
        ({"x": 1}, "input_invalid: do: Field required"),
    ],
)
def test_fails_with_a_string(job_input: dict[str, Any], says: str, worker: ApiWorker) -> None:
    """A job that fails ends as FAILED, with one string, and the worker goes on."""
    answer = worker.job(job_input)
    assert answer["status"] == "FAILED"
    assert isinstance(answer["error"], str)
    assert re.match(says, answer["error"])
    assert worker.job({"do": "again"})["output"] == "again"


def test_phases_are_logged(worker: ApiWorker) -> None:
    """The start's phases are in the log, in order, with their seconds; a traceback of a job is there too."""
    phases = worker.events("phase")
    assert [row["phase"] for row in phases] == ["import", "weights", "load", "ready"]
    assert all(row["seconds"] >= 0 for row in phases)


def test_a_generator_in_the_local_api(tmp_path: Path) -> None:
    """Locally a generator's parts come as one list, and its error fails the job."""
    with ApiWorker(write_app(tmp_path, code=GENERATOR)) as running:
        assert running.job({"x": 1})["output"] == [1, {"two": 2}]
        assert running.job({"fail": True})["error"] == "handler_failed: ValueError: third"


@pytest.mark.minilm
def test_embeddings_end_to_end(minilm_folder: Path, tmp_path: Path) -> None:
    """The real model, from a folder like an image's, through the SDK: the stored vector of sentence-transformers."""
    reference = json.loads((Path(__file__).parent / "data" / "minilm_reference.json").read_text())["vectors"][0]
    shutil.copytree(minilm_folder, tmp_path / "models" / "minilm")
    recipe = write_app(
        tmp_path / "app",
        handler={"name": "embeddings"},
        models=[model("minilm", listed(tmp_path / "models" / "minilm"))],
    )
    with ApiWorker(recipe, FACTORY_IMAGE_MODELS=str(tmp_path / "models")) as running:
        answer = running.job({"text": reference["text"]})["output"]
    assert answer["model"] == "minilm"
    assert np.abs(np.array(answer["embeddings"][0]) - np.array(reference["vector"])).max() < 1e-6


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import no_such_module", "handler_import: the handler imports no_such_module"),
        (
            "class Handler:\n    def load(self, d):\n        raise RuntimeError('no GPU here')\n"
            "    def __call__(self, i):\n        return i\n",
            "handler_load: the handler's load raised RuntimeError: no GPU here",
        ),
    ],
    ids=["import", "load"],
)
def test_a_failed_start_answers_every_job_and_ends(code: str, says: str, tmp_path: Path) -> None:
    """A worker that can't start says why to each job, and ends with code 1 after the last one it may answer."""
    with ApiWorker(write_app(tmp_path, code=code), FACTORY_FAILED_JOBS="2") as running:
        for _ in range(2):
            answer = running.job({"x": 1})
            assert answer["status"] == "FAILED"
            assert answer["error"].startswith(says)
        assert running.wait() == 1
        failed = running.events("failed")
    assert len(failed) == 1
    assert says.startswith(failed[0]["code"])
    assert failed[0]["sentence"] in says or says.partition(": ")[2] in failed[0]["sentence"]
    assert not [row for row in running.events("phase") if row["phase"] == "ready"]


def test_a_failed_bootstrap(tmp_path: Path) -> None:
    """Without its volume a worker answers with the sentence; it ends by time, too."""
    files = [{"path": "x.bin", "size_bytes": 3, "digest": "sha256:" + "0" * 64}]
    recipe = write_app(tmp_path / "app", models=[model("m", files, placement="volume")])
    with ApiWorker(recipe, FACTORY_VOLUME=str(tmp_path / "none"), FACTORY_FAILED_S="6") as running:
        assert running.job({})["error"].startswith("volume_missing: the weights belong on ")
        assert running.wait() == 1


def test_no_recipe_at_all(tmp_path: Path) -> None:
    """Even without recipe.json the worker joins and says so."""
    with ApiWorker(tmp_path / "recipe.json", FACTORY_FAILED_JOBS="1") as running:
        assert running.job({})["error"].startswith("recipe: ")
        assert running.wait() == 1


def test_sigterm_ends_the_api(tmp_path: Path) -> None:
    """SIGTERM ends an idle worker at once."""
    with ApiWorker(write_app(tmp_path)) as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() in (0, 143)


def test_the_sdks_own_test_input(tmp_path: Path) -> None:
    """The SDK's --test_input runs one job; its exit code says how it went."""
    recipe = write_app(tmp_path, code=HANDLER)
    done = run_worker(recipe, "--test_input", '{"input": {"do": "hi"}}')
    assert done.returncode == 0
    assert "'output': 'hi'" in done.stdout
    assert run_worker(recipe, "--test_input", '{"input": {"do": "raise"}}').returncode == 1


def test_our_test_input(tmp_path: Path) -> None:
    """--test-input prints one JSON line on stdout, and events on stderr; a job from stdin works too."""
    recipe = write_app(tmp_path / "app", code=HANDLER)
    job = tmp_path / "job.json"
    job.write_text('{"input": {"do": "numpy"}}')
    done = run_worker(recipe, "--test-input", str(job))
    assert (done.returncode, json.loads(done.stdout)) == (0, {"output": {"row": [0, 1, 2], "n": 7}})
    assert '"event": "phase"' in done.stderr
    failed = run_worker(recipe, "--test-input", "-", stdin='{"input": {"do": "raise"}}')
    assert (failed.returncode, json.loads(failed.stdout)) == (1, {"error": "handler_failed: ValueError: bad thing"})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}'])
def test_a_job_that_is_none(text: str, tmp_path: Path) -> None:
    """A file that holds no job is one sentence, before any weights."""
    done = run_worker(write_app(tmp_path), "--test-input", "-", stdin=text)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"].startswith("input_invalid: - is no job (")


def test_check(tmp_path: Path) -> None:
    """--check says in one JSON line that all is well, without weights, or what is wrong."""
    files = [{"path": "x.bin", "size_bytes": 3, "digest": "sha256:" + "0" * 64}]
    recipe = write_app(tmp_path, handler={"name": "embeddings"}, models=[model("m", files)])
    done = run_worker(recipe, "--check")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    expected = {"ok": True, "recipe": "test", "handler": "embeddings", "models": {"m": "image"}, "runpod": "1.12.0"}
    assert json.loads(done.stdout) == expected
    recipe = write_app(tmp_path, handler={"name": "embeddings", "options": {"bach_size": 1}})
    done = run_worker(recipe, "--check")
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == "options_invalid"
    assert "bach_size: Extra inputs are not permitted" in json.loads(done.stdout)["sentence"]


def test_check_finds_a_missing_library(tmp_path: Path) -> None:
    """A handler whose heavy library isn't in the image is found by --check, not by the first load."""
    done = run_worker(write_app(tmp_path, handler={"name": "image_generation"}), "--check")
    assert json.loads(done.stdout)["sentence"] == "the handler imports torch, which the image does not have"


def test_schema(tmp_path: Path) -> None:
    """--schema prints the JSON Schema of the handler's input; {} when it takes anything."""
    done = run_worker(write_app(tmp_path, handler={"name": "embeddings"}), "--schema")
    assert set(json.loads(done.stdout)["properties"]) == {"texts", "text", "normalize", "batch_size"}
    assert json.loads(run_worker(write_app(tmp_path), "--schema").stdout) == {}


def test_a_bad_setting_is_reported_like_any_failure(tmp_path: Path) -> None:
    """A variable without a usable value is named by --check."""
    done = run_worker(write_app(tmp_path), "--check", FACTORY_MAX_RESULT_MB="much")
    assert json.loads(done.stdout)["sentence"] == "FACTORY_MAX_RESULT_MB is no positive number (found 'much')"
