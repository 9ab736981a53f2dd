"""render: a Dockerfile and its context, the same wherever and whenever, and safe whatever the recipe says."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.clients.docker_context import MACHINE_MOUNT, MACHINE_SOURCE, context_tar, without_machine
from factory.errors import HandlerMissing, RenderError, TemplateError
from factory.recipe.load import RecipeFile, loads
from factory.records import BaseImage, Context, ContextFile, ModelFile, ModelFiles
from factory.stages.render import context_digest, quoted, render, with_weights

BASE = BaseImage("python:3.11-slim-bookworm", "sha256:" + "5" * 64)
HANDLER = """class Handler:
    def load(self, model_dir):
        pass

    def __call__(self, inputs):
        return inputs
"""


def recipe_file(folder: Path, **blocks: Any) -> RecipeFile:
    """Return a recipe as loaded from this folder."""
    image = {"repository": "factory/demo"} | blocks.pop("image", {})
    plain = {"name": "demo", "image": image, "handler": "echo"} | blocks
    return loads(yaml.safe_dump(plain), folder / "demo.yaml")


def render_in(folder: Path, found: tuple[ModelFiles, ...] = (), base: BaseImage = BASE, **blocks: Any) -> Context:
    """Render a recipe of this folder, with the models that resolve found."""
    return render(recipe_file(folder, **blocks), found, base, repository="factory/demo")


def text_of(context: Context, path: str = "Dockerfile") -> str:
    """Return a file of the context."""
    return next((file.content or b"").decode() for file in context.files if file.path == path)


def instructions(dockerfile: str) -> list[str]:
    """Return the instructions of a Dockerfile, continued lines joined, as Docker's parser splits them."""
    joined = re.sub(r"\\[ \t]*\n", "", dockerfile)
    return [line for line in joined.split("\n") if line.strip() and not line.lstrip().startswith("#")]


# --- the Dockerfile ------------------------------------------------------------------------------------------------
FULL: dict[str, Any] = {
    "models": [{"repo": "org/one", "placement": "image"}, {"repo": "org/two", "placement": "volume"}],
    "image": {
        "apt": ["ffmpeg"],
        "pip": ["numpy==2.4.6"],
        "git": [{"url": "https://example.org/tool.git", "commit": "a" * 40}],
        "env": {"GREETING": "hello"},
        "steps": ["echo one"],
    },
    "handler": "handler.py",
}


def models_of(folder: Path) -> tuple[ModelFiles, ...]:
    """Return the two models of FULL, the first with its weights on this machine."""
    path = folder / "weights" / "one" / "sub dir" / "w.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    file = ModelFile("sub dir/w.bin", 7, "sha256:" + "7" * 64)
    return (
        ModelFiles("org/one", "one", "main", "1" * 40, (file,), "image", 7),
        ModelFiles("org/two", "two", "main", "2" * 40, (file,), "volume", 7),
    )


@pytest.fixture
def full(tmp_path: Path) -> Context:
    """Return a context that uses every block."""
    (tmp_path / "handler.py").write_text(HANDLER)
    return render_in(tmp_path, models_of(tmp_path), **FULL)


def test_layers_go_from_what_changes_least_to_the_handler(full: Context) -> None:
    """Base, check, apt, runtime, pip, sources, steps, weights, runtime's code, handler: in this order."""
    final = text_of(full).rpartition("FROM ")[2]
    order = [
        "uname -m",
        "apt-get install",
        "worker_runtime/requirements.txt",
        "COPY requirements.txt",
        "COPY --from=source1 /source/ /opt/src/tool/",
        "echo one",
        "COPY models/one/ /models/one/",
        "COPY worker_runtime/ /app/worker_runtime/",
        "COPY recipe.json handler.py /app/",
        "LABEL ",
        "ENV GREETING",
        "ENTRYPOINT []",
        'CMD ["python", "-u", "-m", "worker_runtime"]',
    ]
    assert [final.index(part) for part in order] == sorted(final.index(part) for part in order)


def test_after_the_handler_come_no_layers(full: Context) -> None:
    """What follows the handler is configuration only, so a changed handler rebuilds one layer."""
    after = text_of(full).partition("COPY recipe.json")[2]
    assert {line.split()[0] for line in instructions(after)[1:]} == {"LABEL", "ENV", "ENTRYPOINT", "CMD"}


def test_volume_weights_put_the_hub_home_on_the_volume(full: Context, tmp_path: Path) -> None:
    """HF_HOME lies on the volume when a model does, and is not set otherwise."""
    assert "ENV HF_HOME=/runpod-volume/huggingface\n" in text_of(full)
    assert "HF_HOME" not in text_of(render_in(tmp_path))


def test_labels_tell_where_the_image_comes_from(full: Context, tmp_path: Path) -> None:
    """Title, base, recipe hash and model commits are labels; no date is."""
    dockerfile = text_of(full)
    assert 'LABEL org.opencontainers.image.base.name="python:3.11-slim-bookworm"' in dockerfile
    assert f'LABEL org.opencontainers.image.base.digest="{BASE.digest}"' in dockerfile
    assert 'LABEL factory.model.one="org/one@' + "1" * 40 in dockerfile
    assert f'LABEL factory.recipe.sha256="{recipe_file(tmp_path, **FULL).sha256}"' in dockerfile
    assert "created" not in dockerfile


def test_no_engine_of_2022_is_asked_for_what_it_lacks(full: Context) -> None:
    """No `# syntax=` (needs Docker Hub), no here-document (docker 20.10 has none), no shell form of CMD."""
    dockerfile = text_of(full)
    assert not re.search(r"^#\s*(syntax|escape)\s*=", dockerfile, re.MULTILINE | re.IGNORECASE)
    assert "<<" not in dockerfile
    assert re.search(r"^CMD \[", dockerfile, re.MULTILINE)


def test_steps_with_network_have_the_machines_mount(full: Context) -> None:
    """Every RUN but the offline check sources what the machine adds, as the engine's client expects it."""
    runs = [line for line in instructions(text_of(full)) if line.startswith("RUN ")]
    with_mount = [line for line in runs if line.startswith(f"RUN {MACHINE_MOUNT} ") and MACHINE_SOURCE in line]
    assert len(with_mount) == len(runs) - 1
    classic = without_machine(text_of(full))
    assert "--mount" not in classic and "/run/machine" not in classic


def test_bases_own_packages_are_seen_only_where_the_recipe_names_the_base(tmp_path: Path) -> None:
    """A recipe that picks a base with torch in it gets that torch; the default base's packages stay out."""
    assert "--system-site-packages" not in text_of(render_in(tmp_path))
    assert "--system-site-packages" in text_of(render_in(tmp_path, image={"base": "pytorch/pytorch:2.9"}))


def test_a_base_without_digest_is_warned_of(tmp_path: Path) -> None:
    """FROM has the digest when the registry could be asked."""
    assert render_in(tmp_path).warnings == ()
    assert f"FROM python:3.11-slim-bookworm@{BASE.digest}\n" in text_of(render_in(tmp_path))
    loose = render_in(tmp_path, base=BaseImage("python:3.11-slim-bookworm"))
    assert loose.warnings == (
        "the base python:3.11-slim-bookworm is not pinned by digest: another day's build may differ",
    )
    assert render_in(tmp_path, base=BaseImage(f"own/base@{BASE.digest}")).warnings == ()


def test_recipe_json_is_what_the_worker_reads(full: Context) -> None:
    """The worker's own reader takes it."""
    from worker_runtime.recipe import WorkerRecipe

    worker = WorkerRecipe.model_validate_json(text_of(full, "recipe.json"))
    assert [(model.key, model.placement) for model in worker.models] == [("one", "image"), ("two", "volume")]
    assert worker.handler.file == "handler.py"
    assert (
        text_of(full, "recipe.json")
        == json.dumps(json.loads(text_of(full, "recipe.json")), sort_keys=True, separators=(",", ":")) + "\n"
    )


def test_the_context_has_sources_and_no_leavings(full: Context) -> None:
    """The runtime's sources and requirements are in it; caches and tests are not."""
    paths = [file.path for file in full.files]
    assert "worker_runtime/__main__.py" in paths and "worker_runtime/requirements.txt" in paths
    assert not [path for path in paths if "__pycache__" in path or path.endswith(".pyc") or "/tests/" in path]
    assert {file.mode for file in full.files} == {0o644}


def test_weights_enter_by_the_hubs_digest(full: Context, tmp_path: Path) -> None:
    """They are named, not read."""
    weights = next(file for file in full.files if file.path == "models/one/sub dir/w.bin")
    assert weights.digest == "sha256:" + "7" * 64
    assert weights.content is None and weights.source is None
    brought = next(f for f in with_weights(full, tmp_path / "weights").files if f.path == weights.path)
    assert brought.source == tmp_path / "weights/one/sub dir/w.bin"


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    """Without a download there is no image with weights in it."""
    models = models_of(tmp_path)
    (tmp_path / "weights/one/sub dir/w.bin").unlink()
    with pytest.raises(RenderError, match=r"one/sub dir/w\.bin goes into the image and is not on this machine"):
        with_weights(render_in(tmp_path, models), tmp_path / "weights")


# --- determinism ---------------------------------------------------------------------------------------------------
def test_two_folders_two_dates_one_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder, date, umask, working directory and line ends have no influence on the context's bytes."""
    tars, digests = [], []
    for name, umask, date, line_end in (("a", 0o022, 1e9, "\n"), ("deeper/b", 0o077, 1.7e9, "\r\n")):
        folder = tmp_path / name
        old = os.umask(umask)
        try:
            folder.mkdir(parents=True)
            (folder / "handler.py").write_bytes(HANDLER.replace("\n", line_end).encode())
            (folder / "own.j2").write_bytes('{% extends "Dockerfile.j2" %}\n'.replace("\n", line_end).encode())
            models = models_of(folder)
        finally:
            os.umask(old)
        for path in folder.rglob("*"):
            os.utime(path, (date, date))
        monkeypatch.chdir(folder)
        context = render_in(folder, models, **FULL | {"image": FULL["image"] | {"template": "own.j2"}})
        digests.append(context.digest)
        tars.append(b"".join(context_tar(with_weights(context, folder / "weights"))))
    assert digests[0] == digests[1]
    assert tars[0] == tars[1]
    with tarfile.open(fileobj=BytesIO(tars[0])) as archive:
        assert archive.getnames()[0] == "Dockerfile"


def test_the_source_revision_is_a_label_and_no_part_of_the_tag(tmp_path: Path) -> None:
    """Two commits with the same context are one image."""
    file = recipe_file(tmp_path)
    one, two = (render(file, (), BASE, repository="a/b", source_revision=revision) for revision in ("abc", None))
    assert one.digest == two.digest
    assert one.files == two.files
    assert one.labels == {"org.opencontainers.image.revision": "abc"}
    assert two.labels == {}


def test_one_line_of_the_handler_changes_one_file_and_the_tag(tmp_path: Path) -> None:
    """Nothing else in the context knows of the handler's text."""
    (tmp_path / "handler.py").write_text(HANDLER)
    before = render_in(tmp_path, handler="handler.py")
    (tmp_path / "handler.py").write_text(HANDLER.replace("pass", "return None"))
    after = render_in(tmp_path, handler="handler.py")
    changed = {file.path for file in after.files} - {f.path for f in before.files if f in after.files}
    assert changed == {"handler.py"}
    assert before.tag != after.tag


files = st.lists(
    st.builds(
        lambda path, content: ContextFile(path, 0o644, f"sha256:{content:064x}", 1, b"x"),
        st.text("abc/ ", min_size=1, max_size=8),
        st.integers(0, 5),
    ),
    unique_by=lambda file: file.path,
)


@given(files=files, data=st.data())
def test_the_digest_does_not_depend_on_order(files: list[ContextFile], data: st.DataObject) -> None:
    """Any order of the files has one digest, and another content another one."""
    shuffled = data.draw(st.permutations(files))
    assert context_digest(files) == context_digest(shuffled)
    if files:
        other = [ContextFile(files[0].path, 0o755, files[0].digest, 1), *files[1:]]
        assert context_digest(other) != context_digest(files)


def test_a_file_name_with_a_line_break_is_refused() -> None:
    """It could stand for two lines of the digest."""
    with pytest.raises(RenderError, match="line break"):
        context_digest([ContextFile("a\nb", 0o644, "sha256:0", 1)])


# --- hostile values --------------------------------------------------------------------------------------------------
def unquoted(text: str) -> str:
    """Read a double-quoted word as BuildKit's shell lexer does (frontend/dockerfile/shell, v0.13)."""
    assert text[0] == text[-1] == '"'
    found, rest = [], iter(text[1:-1])
    for char in rest:
        assert char not in '"$', "an unescaped quote ends the word, a dollar expands"
        if char == "\\":
            following = next(rest)
            found.append(following if following in '"$\\' else char + following)
        else:
            found.append(char)
    return "".join(found)


line = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))


@given(value=line)
def test_quoted_values_come_out_as_they_went_in(value: str) -> None:
    """Quotes, dollars and backslashes survive Docker's own lexer, and the line stays one line."""
    assert unquoted(quoted(value)) == value
    assert instructions(f"ENV A={quoted(value)}\nCMD []\n")[-1] == "CMD []"


@pytest.mark.parametrize("value", ["a\nRUN evil", "a\r\nb", "a\0b"])
def test_values_with_line_breaks_are_refused(value: str) -> None:
    """A Dockerfile has no way to write them."""
    with pytest.raises(RenderError, match="line break"):
        quoted(value)


hostile = st.one_of(
    st.sampled_from(
        [
            "\\",
            "x \\",
            "'; RUN evil",
            '"]\nRUN evil',
            "$(evil)",
            "${PATH}",
            "{{ 7*7 }}",
            "{% raw %}",
            "# syntax=evil",
            "<<EOF",
        ]
    ),
    st.text(max_size=20),
)


@settings(max_examples=40, deadline=None)  # each renders a whole context
@given(step=hostile, value=hostile, requirement=hostile)
def test_no_value_of_a_recipe_becomes_an_instruction(step: str, value: str, requirement: str) -> None:
    """Whatever the loader lets through, the Dockerfile has the same instructions in the same order."""
    from factory.errors import RecipeError

    folder = Path("nowhere")
    plain = instructions(text_of(render_in(folder, image={"steps": ["x"], "env": {"A": "x"}, "pip": ["x"]})))
    try:
        context = render_in(folder, image={"steps": [step], "env": {"A": value}, "pip": [requirement]})
    except (RecipeError, RenderError):
        return
    rendered = instructions(text_of(context))
    assert [line.split()[0] for line in rendered] == [line.split()[0] for line in plain]
    step_line = next(line for line in rendered if '"/bin/sh"' in line)
    assert json.loads(step_line.partition("target=/run/machine ")[2])[2] == f"{MACHINE_SOURCE}; {step}"
    assert text_of(context, "requirements.txt") == f"{requirement}\n"


# --- templates -------------------------------------------------------------------------------------------------------
def template_in(folder: Path, text: str) -> Iterator[Context]:
    """Render with a template of the recipe's own."""
    (folder / "own.j2").write_text(text)
    yield render_in(folder, image={"template": "own.j2"})


def test_a_recipe_may_extend_our_template(tmp_path: Path) -> None:
    """Blocks are replaced or added to; the rest stays ours."""
    text = '{% extends "Dockerfile.j2" %}{% block steps %}{{ super() }}RUN echo {{ recipe.name | sh }}\n{% endblock %}'
    (context,) = template_in(tmp_path, text)
    dockerfile = text_of(context)
    assert "\nRUN echo demo\n" in dockerfile
    assert 'CMD ["python", "-u", "-m", "worker_runtime"]' in dockerfile


def test_a_recipe_may_replace_our_template_even_under_its_name(tmp_path: Path) -> None:
    """A file Dockerfile.j2 beside the recipe can extend ours of the same name."""
    (tmp_path / "Dockerfile.j2").write_text('{% extends "Dockerfile.j2" %}{% block apt %}# none\n{% endblock %}')
    assert "# none\n" in text_of(render_in(tmp_path, image={"template": "Dockerfile.j2"}))
    (tmp_path / "Dockerfile.j2").write_text("FROM {{ base.pinned }}\n")
    assert text_of(render_in(tmp_path, image={"template": "Dockerfile.j2"})) == f"FROM {BASE.pinned}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM x\n\n{% if %}\n", r"own\.j2:3: Expected an expression"),
        ("FROM x\nRUN {{ recipe.nme }}\n", r"own\.j2:2: .*has no attribute 'nme'"),
        ("FROM x\nRUN {{ nobody }}\n", r"own\.j2:2: 'nobody' is undefined"),
        ('{% extends "other.j2" %}', r"demo\.yaml:\d+: no such template \(other\.j2\)"),
        ("RUN true\n", r"own\.j2: the template renders to no FROM line"),
        ("FROM x\nRUN {{ ''.__class__.__mro__ }}\n", r"own\.j2:2: access to attribute '__class__'"),
    ],
)
def test_a_template_that_fails_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    """The sentence has the template's file and line."""
    with pytest.raises(TemplateError) as caught:
        list(template_in(tmp_path, text))
    assert re.search(message, str(caught.value)), str(caught.value)


def test_a_template_that_is_not_there_is_named_at_the_recipes_line(tmp_path: Path) -> None:
    """The recipe names it, so the recipe is the place."""
    with pytest.raises(TemplateError, match=r"no such template \(gone\.j2\)") as caught:
        render_in(tmp_path, image={"template": "gone.j2"})
    assert re.search(r"demo\.yaml:\d+$", caught.value.where)


# --- the handler ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "message", "fix"),
    [
        ("class Hanlder:\n    pass\n", "the file defines no class Handler", "did you mean to name Hanlder so?"),
        ("x = 1\n", "the file defines no class Handler", "write a class Handler with load and __call__"),
        ("def f(:\n", "the handler is no Python", "mend it"),
        ("class Handler:\n    def load(self, d): ...\n", "class Handler has no __call__", "runs once"),
        ("class Handler:\n    pass\n", "class Handler has no load and no __call__", "runs once"),
    ],
)
def test_a_file_without_a_handler_is_refused(tmp_path: Path, source: str, message: str, fix: str) -> None:
    """It is looked at, never run."""
    (tmp_path / "handler.py").write_text(source)
    with pytest.raises(HandlerMissing, match=message) as caught:
        render_in(tmp_path, handler="handler.py")
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    "source",
    [
        "from elsewhere import Handler\n",
        "from elsewhere import Base\nclass Handler(Base):\n    pass\n",
        "def make(): ...\nHandler = make()\n",
        "try:\n    from fast import Handler\nexcept ImportError:\n    from slow import Handler\n",
        "class Handler:\n    def load(self, d): ...\n    async def __call__(self, i): ...\n",
    ],
)
def test_what_can_only_be_known_by_running_is_let_through(tmp_path: Path, source: str) -> None:
    """Imported, inherited and made handlers pass."""
    (tmp_path / "handler.py").write_text(source)
    assert text_of(render_in(tmp_path, handler="handler.py"), "handler.py") == source


def test_a_handler_that_is_not_there_is_missed_at_the_recipes_line(tmp_path: Path) -> None:
    """The likeliest file beside it is suggested."""
    (tmp_path / "my_handler.py").write_text(HANDLER)
    with pytest.raises(HandlerMissing) as caught:
        render_in(tmp_path, handler="my_handlr.py")
    assert caught.value.fix == "did you mean my_handler.py?"
    assert re.search(r"demo\.yaml:\d+$", caught.value.where)
