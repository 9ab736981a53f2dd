"""`factory render --out` writes a context that any builder can build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from factory.emulator.hub import create_hub
from factory.emulator.serve import running


def test_weights_of_an_image_lie_in_the_context(tmp_path: Path) -> None:
    """Weights that go into the image are there with their content, as `docker build` will copy them."""
    files = {"config.json": b"{}", "deep/er/model.safetensors": os.urandom(100_000)}
    for path, content in files.items():
        place = tmp_path / "hub" / "org" / "model" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    recipe, out = tmp_path / "baked.yaml", tmp_path / "context"
    recipe.write_text(
        "name: baked\nmodel: {repo: org/model, placement: image}\nimage: {repository: a/baked}\nhandler: echo\n"
        "tests: [{input: {a: 1}}]\n"
    )
    with running(create_hub(tmp_path / "hub")) as hub:
        env = {**os.environ, "FACTORY_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub}
        command = [sys.executable, "-m", "factory", "render", str(recipe), "--out", str(out)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {path: (out / "models" / "model" / path).read_bytes() for path in files} == files
