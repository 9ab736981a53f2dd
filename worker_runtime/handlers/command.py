"""`command`: runs a program of the model's own repository and gives back the files that it wrote."""

from __future__ import annotations

import base64
import mimetypes
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker_runtime.errors import CommandFailed, OptionsInvalid, OutputTooLarge
from worker_runtime.handlers.command_options import Options, Value, fill, fill_argv, input_model, placeholders
from worker_runtime.handlers.command_process import Process
from worker_runtime.inputs import MediaReader
from worker_runtime.settings import inherited_environment

MB = 1_000_000


class Handler:
    """Each job gets a new folder, which is always removed."""

    def __init__(
        self,
        options: Mapping[str, Any],
        models: Mapping[str, Path],
        media: MediaReader,
        progress: Callable[[str], None],
    ) -> None:
        self._options = Options.model_validate(options)
        self.Input = input_model(self._options.inputs)
        self._media = media
        self._progress = progress
        self._folders: dict[str, Value] = {f"models.{key}": str(folder) for key, folder in models.items()}
        if models:
            self._folders["model_dir"] = str(next(iter(models.values())))
        self._check_models()

    def _check_models(self) -> None:
        texts = [t for part in self._options.argv for t in ([part] if isinstance(part, str) else part)]
        for text in [*texts, self._options.cwd, *self._options.env.values()]:
            for name in placeholders(text):
                if (name == "model_dir" or name.startswith("models.")) and name not in self._folders:
                    known = ", ".join(sorted(self._folders)) or "none"
                    what = f"handler.options: {text!r}: the recipe has no model for {{{name}}} (it has: {known})"
                    raise OptionsInvalid(what, fix="use the model's name, or add the model")

    def load(self, model_dir: Path | None) -> None:
        """See that the program is there; it reads the weights itself, in each job."""
        program = str(self._options.argv[0])
        if not placeholders(program) and shutil.which(program) is None:
            fix = "install it with the recipe's image block"
            raise OptionsInvalid(f"handler.options.argv: the image has no program {program}", fix=fix)
        if not placeholders(self._options.cwd) and not Path(self._options.cwd).is_dir():
            fix = "name a folder of image.git (/opt/src/NAME)"
            raise OptionsInvalid(f"handler.options.cwd: the image has no folder {self._options.cwd}", fix=fix)

    def __call__(self, inputs: BaseModel) -> dict[str, Any]:
        """Run the program once; return its files and the seconds it took."""
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="job-", ignore_cleanup_errors=True) as name:
            job_dir = Path(name)
            out_dir = job_dir / "out"
            out_dir.mkdir()
            given = inputs.model_dump()
            values = {
                **self._folders,
                "job_dir": str(job_dir),
                "out_dir": str(out_dir),
                **self._on_disk(given, job_dir),
            }
            texts = {key: value for key, value in given.items() if self._options.inputs[key].type == "string" and value}
            process = Process(
                fill_argv(self._options.argv, values, texts),
                cwd=Path(fill(self._options.cwd, values)),
                environment=inherited_environment({k: fill(v, values) for k, v in self._options.env.items()}),
                progress=self._options.progress,
                on_progress=self._progress,
            )
            process.run(self._options.timeout_s)
            files = self._collect(out_dir)
        return {"files": files, "seconds": round(time.perf_counter() - start, 3)}

    def _on_disk(self, given: Mapping[str, Any], job_dir: Path) -> dict[str, Value]:
        """Return the inputs, those of type `file` as the paths of their files."""
        values: dict[str, Value] = {}
        for name, value in given.items():
            spec = self._options.inputs[name]
            if spec.type == "file" and value is not None:
                path = job_dir / f"input-{name}{spec.suffix}"
                path.write_bytes(self._media.read(value))
                value = str(path)
            values[name] = value
        return values

    def _collect(self, out_dir: Path) -> list[dict[str, Any]]:
        found = {path for pattern in self._options.outputs for path in out_dir.glob(pattern)}
        inside = out_dir.resolve()
        files = sorted(path for path in found if path.is_file() and path.resolve().is_relative_to(inside))
        if not files:
            what = f"the program ended well, and wrote no file that matches {', '.join(self._options.outputs)}"
            raise CommandFailed(what, fix="write to {out_dir}, or mend handler.options.outputs")
        size_bytes = sum(path.stat().st_size for path in files)
        if size_bytes > self._options.max_output_mb * MB:
            raise OutputTooLarge(
                f"the program wrote {size_bytes / MB:.1f} MB in {len(files)} files, and the limit is "
                f"{self._options.max_output_mb:g} MB",
                fix="ask for less (smaller, shorter), or give back fewer files",
            )
        return [
            {
                "name": path.relative_to(out_dir).as_posix(),
                "size_bytes": path.stat().st_size,
                "media_type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
                "base64": base64.b64encode(path.read_bytes()).decode(),
            }
            for path in files
        ]
