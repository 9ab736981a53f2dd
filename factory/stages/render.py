"""render: Recipe, ModelFiles → Context. Same recipe, same bytes, same digest, on any machine and day.

A context holds `Dockerfile`, `recipe.json` (what the worker must know), `requirements.txt`, the worker runtime's
sources, `handler.py`, and the weights that go into the image. Modes are fixed, line ends are LF, nothing has a date.
The source revision is a label that the engine adds: two commits with the same context are the same image.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from factory.errors import RenderError, TemplateError
from factory.lanes.top import cut_context
from factory.oci.digests import digest_of
from factory.recipe.handler_file import read_handler
from factory.recipe.load import RecipeFile
from factory.records import BaseImage, Context, ContextFile, ModelFiles

TEMPLATE = "Dockerfile.j2"
INSTALLER = "install.py"  # beside the template; runs in the build
MACHINE_MOUNT = "--mount=type=bind,source=.machine,target=/run/machine"
MACHINE_SOURCE = ". /run/machine/env"
CACHE_MOUNT = "--mount=type=cache,id=factory-packages,target=/mnt"
REVISION_LABEL = "org.opencontainers.image.revision"
_ONE_AT_A_TIME = threading.Lock()
_sha256 = lru_cache(maxsize=256)(digest_of)  # the runtime's sources are the same for every recipe


def render(
    recipe_file: RecipeFile,
    models: Sequence[ModelFiles],
    base: BaseImage,
    *,
    repository: str,
    source_revision: str | None = None,
    sources: Path | None = None,
    locked: tuple[str, str] | None = None,
    shared: str | None = None,
) -> Context:
    """Make the build context of a recipe; `shared` is the repository of its environment (None: it gets none).

    `locked` are the requirements files of a lock, the runtime's and the recipe's, with hashes (docs/locking.md).
    `sources` is a folder with a `templates/` and a `worker_runtime/` to take instead of the installed ones.

    Weights that go into the image are in it by the Hub's digest, not by their bytes (`with_weights`). Raises
    TemplateError, HandlerMissing, and RenderError for a value that no Dockerfile can hold.
    """
    recipe = recipe_file.recipe
    texts = {
        "Dockerfile": _dockerfile(recipe_file, models, base, template_folder(sources), is_locked=locked is not None),
        "recipe.json": _recipe_json(recipe_file, models),
        **_installer(template_folder(sources)),
        ".machine/env": b"",  # where the engine's client puts what the machine adds to RUN steps
        **_sources(sources),
    }
    if recipe.image.pip:
        texts["requirements.txt"] = "".join(f"{line}\n" for line in recipe.image.pip).encode()
    if locked is not None:
        texts |= {"runtime.lock.txt": locked[0].encode(), "recipe.lock.txt": locked[1].encode()}
    if recipe.handler.file:
        texts["handler.py"] = read_handler(
            recipe_file.path.parent / recipe.handler.file, recipe_file.where("handler.file")
        )
    files = [ContextFile(path, 0o644, _sha256(content), len(content), content) for path, content in texts.items()]
    files += _weights(models)
    files.sort(key=lambda file: file.path)
    context = Context(
        recipe=recipe.name,
        repository=repository,
        files=tuple(files),
        base=base,
        digest=context_digest(files),
        warnings=_warnings(base),
        labels={REVISION_LABEL: source_revision} if source_revision else {},
    )
    return replace(context, environment=_environment_of(context, shared)) if shared else context


def _environment_of(context: Context, shared: str) -> Context | None:
    """Return the image below its top as a context of its own: nothing in it says which recipe it is for."""
    below = cut_context(context)
    if below is None:
        return None
    text = below.text.encode()
    files = (ContextFile("Dockerfile", 0o644, _sha256(text), len(text), text), *below.needs)
    return Context(context.recipe, shared, files, context.base, context_digest(files), is_environment=True)


def context_digest(files: Sequence[ContextFile]) -> str:
    """Return sha256 (hex) over the sorted lines `path mode digest`: where and when files lie has no influence."""
    for file in files:
        if "\n" in file.path:
            raise RenderError("a file's name holds a line break", where=repr(file.path), fix="exclude it")
    lines = sorted(f"{file.path} {file.mode:04o} {file.digest}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def quoted(value: str) -> str:
    """Return a value as ENV and LABEL read it: in double quotes, nothing expanded. Raises RenderError for line breaks.

    Dockerfile reference, "Environment replacement" and "Escape" (docs.docker.com, read 2026-11-24).
    """
    if re.search(r"[\r\n\0]", value):
        raise RenderError(
            "a value with a line break can't stand in a Dockerfile",
            where=repr(value[:40]),
            fix="put it into the recipe's `env`, which RunPod hands to the worker",
        )
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


# --- the Dockerfile ------------------------------------------------------------------------------------------------
def _dockerfile(
    recipe_file: RecipeFile, models: Sequence[ModelFiles], base: BaseImage, templates: Path, *, is_locked: bool
) -> bytes:
    recipe = recipe_file.recipe
    if not re.fullmatch(r"[A-Za-z0-9][\w.:/@-]*", base.pinned):
        raise RenderError("no image reference", where=repr(base.pinned), fix="check image.base")
    name = f"recipe/{recipe.image.template}" if recipe.image.template else TEMPLATE
    values = {
        "recipe": recipe,
        "models": tuple(models),
        "base": base,
        "labels": _labels(recipe_file, models, base),
        "machine": f"{MACHINE_MOUNT} {MACHINE_SOURCE} &&",
        "machine_mount": MACHINE_MOUNT,
        "machine_source": MACHINE_SOURCE,
        "cache_mount": CACHE_MOUNT,
        "is_locked": is_locked,
    }
    try:
        with _ONE_AT_A_TIME:  # of several threads that need the same template one compiles it
            template = _environment(recipe_file.path.parent, templates).get_template(name)
        text = template.render(values)
    except jinja2.TemplateError as error:
        raise _template_error(recipe_file, name, error) from error
    if not re.search(r"^FROM\s", text, re.MULTILINE | re.IGNORECASE):
        raise TemplateError("the template renders to no FROM line", where=_file_of(recipe_file, name))
    return text.replace("\r\n", "\n").encode()


@lru_cache(maxsize=16)
def _environment(recipe_folder: Path, templates: Path) -> jinja2.Environment:
    """Return Jinja with our template by its name, and the recipe's folder as `recipe/…`.

    Kept by folder, since compiling the template is the dearest part of a render; Jinja sees a file that has changed.
    Sandboxed: a recipe from elsewhere may be rendered to look at it, without running its code here.
    """
    loader = jinja2.ChoiceLoader(
        [
            jinja2.PrefixLoader({"recipe": jinja2.FileSystemLoader(recipe_folder)}),
            jinja2.FileSystemLoader(templates),
        ]
    )
    environment = SandboxedEnvironment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quoted": quoted, "sh": shlex.quote, "json": json.dumps}
    return environment


def template_folder(sources: Path | None = None) -> Path:
    """Return the folder of our template: in the wheel below the package, in a checkout beside it; or that of `sources`.

    Only asked where to look: a folder of `sources` need not be there.
    """
    if sources is not None:
        return sources / "templates"
    package = Path(__file__).parents[1]
    return next(
        (f for f in (package / "templates", package.parent / "templates") if (f / TEMPLATE).is_file()),
        package / "templates",
    )


def _template_error(recipe_file: RecipeFile, name: str, error: jinja2.TemplateError) -> TemplateError:
    """Say what is wrong in a template, at its file and line."""
    if isinstance(error, jinja2.TemplateNotFound):
        missing = str(error.name).removeprefix("recipe/")
        if recipe_file.recipe.image.template:
            return TemplateError(
                f"no such template ({missing})",
                where=recipe_file.where("image.template"),
                fix="put it beside the recipe, or extend Dockerfile.j2",
            )
        return TemplateError(f"factory's own template is missing ({missing})", fix="install factory again")
    if isinstance(error, jinja2.TemplateSyntaxError):
        file, line = error.filename or _file_of(recipe_file, name), error.lineno
    else:
        frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
        frame = frames[-1] if frames else None
        file, line = (frame.filename, frame.lineno or 0) if frame else (_file_of(recipe_file, name), 0)
    return TemplateError(str(error.message), where=f"{file}:{line}" if line else file, fix="see docs/render.md")


def _file_of(recipe_file: RecipeFile, name: str) -> str:
    own = name.removeprefix("recipe/")
    return str(recipe_file.path.parent / own if own != name else template_folder() / name)


def _labels(recipe_file: RecipeFile, models: Sequence[ModelFiles], base: BaseImage) -> Mapping[str, str]:
    """Return the labels, by the OCI's names where it has one (image-spec v1.1, annotations). None is a date."""
    labels = {"org.opencontainers.image.title": recipe_file.recipe.name}
    labels["org.opencontainers.image.base.name"] = base.reference.split("@", 1)[0]
    if digest := base.digest or base.reference.partition("@")[2]:
        labels["org.opencontainers.image.base.digest"] = digest
    labels["factory.recipe.sha256"] = recipe_file.sha256
    return labels | {f"factory.model.{model.key}": f"{model.repo}@{model.commit}" for model in models}


# --- the other files -----------------------------------------------------------------------------------------------
def _recipe_json(recipe_file: RecipeFile, models: Sequence[ModelFiles]) -> bytes:
    """Return what the worker reads, as canonical JSON: sorted keys, no spaces, one line end."""
    recipe = recipe_file.recipe
    value = {
        "name": recipe.name,
        "recipe_sha256": recipe_file.sha256,
        "handler": {
            "name": recipe.handler.name,
            "file": "handler.py" if recipe.handler.file else None,
            "options": recipe.handler.options,
        },
        "models": [_model_json(model) for model in models],
    }
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def _model_json(model: ModelFiles) -> dict[str, Any]:
    return {
        "key": model.key,
        "repo": model.repo,
        "commit": model.commit,
        "placement": model.placement,
        "load_dtype": model.load_dtype,
        "files": [
            {"path": file.path, "size_bytes": file.size_bytes, "digest": file.digest}
            for file in sorted(model.files, key=lambda file: file.path)
        ],
    }


def _installer(templates: Path) -> Mapping[str, bytes]:
    """Return the installer beside the template; nothing where the `sources` are older than it."""
    path = templates / INSTALLER
    return {INSTALLER: path.read_bytes().replace(b"\r\n", b"\n")} if path.is_file() else {}


def runtime_folder(sources: Path | None = None) -> Path:
    """Return the folder of the worker runtime: as installed here, or that of `sources`."""
    if sources is not None:
        return sources / "worker_runtime"
    spec = importlib.util.find_spec("worker_runtime")
    if spec is None or spec.origin is None:
        raise RenderError("the package worker_runtime is not installed", fix="install factory again")
    return Path(spec.origin).parent


def runtime_requirements() -> tuple[str, ...]:
    """Return what the worker runtime needs, a requirement each."""
    text = _sources()["worker_runtime/requirements.txt"].decode()
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _sources(sources: Path | None = None) -> Mapping[str, bytes]:
    with _ONE_AT_A_TIME:
        return _runtime_sources(runtime_folder(sources))


@lru_cache(maxsize=2)
def _runtime_sources(folder: Path) -> Mapping[str, bytes]:
    """Return the worker runtime: its Python sources and its requirements, no caches, no tests."""
    sources = sorted(
        path
        for path in folder.rglob("*.py")
        if not {"tests", "__pycache__"} & set(path.relative_to(folder).parts) and not path.name.startswith(".")
    )
    return {
        f"worker_runtime/{path.relative_to(folder).as_posix()}": path.read_bytes().replace(b"\r\n", b"\n")
        for path in [*sources, folder / "requirements.txt"]
    }


def with_weights(context: Context, folder: Path) -> Context:
    """Return the context with the weights as files of this machine: `folder` holds KEY/… of each model.

    Raises RenderError for one that is not there.
    """
    return replace(context, files=tuple(_with_source(file, folder) for file in context.files))


def _with_source(file: ContextFile, folder: Path) -> ContextFile:
    if file.content is not None or file.source is not None:
        return file
    source = folder / file.path.removeprefix("models/")
    if not source.is_file():
        raise RenderError(
            f"{file.path.removeprefix('models/')} goes into the image and is not on this machine",
            where=str(source),
            fix="run `factory build`, which downloads it",
        )
    return replace(file, source=source)


def _weights(models: Sequence[ModelFiles]) -> Iterator[ContextFile]:
    """Yield the weights that go into the image, with the Hub's digests: they are not read here."""
    for model in models:
        if model.placement == "image":
            for file in model.files:
                yield ContextFile(f"models/{model.key}/{file.path}", 0o644, file.digest, file.size_bytes)


def _warnings(base: BaseImage) -> tuple[str, ...]:
    if "@" in base.pinned:
        return ()
    return (f"the base {base.reference} is not pinned by digest: another day's build may differ",)
