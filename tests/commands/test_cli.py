"""The command line as a user meets it: results on stdout, talk on stderr, one sentence and a code on failure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from factory import cli

Factory = Callable[..., "subprocess.CompletedProcess[str]"]


def test_size_says_what_the_model_page_does_not(factory: Factory, wan: Path) -> None:
    """Wan2.1-T2V-14B is 69.0 GB, and the sizes that follow are shown with their arithmetic."""
    done = factory("size", wan)
    assert done.returncode == 0, done.stderr
    assert "69.0 GB" in done.stdout
    assert "Container disk" in done.stdout and "Network volume" in done.stdout and "AMPERE_80" in done.stdout
    assert "\x1b" not in done.stdout


def test_size_as_json_is_one_document(factory: Factory, wan: Path) -> None:
    """`--json` gives machines the same numbers, in bytes."""
    plan = json.loads(factory("size", wan, "--json").stdout)
    assert plan["models"][0]["size_bytes"] == 69_045_158_826
    assert plan["plan"]["volume"]["size_gb"] >= 70
    assert plan["plan"]["container"]["is_exact"] is False


def test_a_volume_that_is_too_small_is_refused_with_the_number_it_needs(factory: Factory, wan: Path) -> None:
    """A volume of 50 GB under a 69 GB model is exit code 32 and one sentence."""
    wan.write_text(wan.read_text() + "disk: {volume: 50}\n")
    done = factory("size", wan)
    assert done.returncode == 32
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert "50" in last and "69" in last


def test_every_problem_of_a_recipe_is_said_at_once(factory: Factory, tmp_path: Path) -> None:
    """Two mistakes in one file are two lines, with file and line; exit code 10."""
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\nimage: {repository: a/b}\nhandler: echo\ngpu:\n  pool: [AMPERE_80]\nvolum: x\n")
    done = factory("size", path)
    assert done.returncode == 10
    assert f"{path}:5: gpu.pool: unknown key; did you mean 'pools'?" in done.stderr
    assert f"{path}:6: volum: unknown key; did you mean 'volume'?" in done.stderr


def test_an_error_as_json_names_code_and_fix(factory: Factory, wan: Path) -> None:
    """With --json a failure is a document on stdout, beside the sentence on stderr."""
    done = factory("resolve", wan, "--json", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 24
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "hub_unreachable" and error["exit_code"] == 24 and error["fix"]


def test_resolve_lists_files_and_total(factory: Factory, wan: Path) -> None:
    """Every file with its bytes, the largest first, and the total."""
    done = factory("resolve", wan)
    lines = done.stdout.splitlines()
    assert "11,361,920,418" in lines[1]
    assert "69.0 GB" in lines[-1]


def test_render_prints_a_dockerfile_and_warns_about_the_base(factory: Factory, wan: Path) -> None:
    """Without a registry the Dockerfile still renders, and stderr says that its base is not pinned."""
    done = factory("render", wan)
    assert done.returncode == 0, done.stderr
    assert 'CMD ["python","-u","-m","worker_runtime"]' in done.stdout.replace('", "', '","')
    assert "not pinned" in done.stderr


def test_render_writes_the_same_context_twice(factory: Factory, wan: Path, tmp_path: Path) -> None:
    """`--out` writes the context; its digest is the same in two folders."""
    one, two = (json.loads(factory("render", wan, "--out", tmp_path / n, "--json").stdout) for n in ("one", "two"))
    assert one["digest"] == two["digest"]
    assert (tmp_path / "one" / "worker_runtime" / "__main__.py").is_file()
    assert (tmp_path / "one" / "Dockerfile").read_bytes() == (tmp_path / "two" / "Dockerfile").read_bytes()


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        (("build",), 51, "engine"),
        (("push",), 51, "engine"),
        (("verify", "--no-run"), 62, "127.0.0.1:9"),
    ],
)
def test_what_is_not_there_is_named(
    factory: Factory, wan: Path, command: tuple[str, ...], code: int, word: str
) -> None:
    """No engine, no registry: one sentence that names it and says what to do."""
    done = factory(command[0], wan, *command[1:])
    last = done.stderr.strip().splitlines()[-1]
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert last.startswith("error: ") and word in last and ";" in last


def test_several_recipes_fail_one_by_one(factory: Factory, wan: Path, tmp_path: Path) -> None:
    """One bad recipe doesn't stop the others; each failure is said; the code is the first one's."""
    missing = tmp_path / "missing.yaml"
    done = factory("build", missing, wan, "--json")
    assert done.returncode == 10
    records = json.loads(done.stdout)
    assert [record["error"]["code"] for record in records] == ["recipe", "engine_unreachable"]
    assert "2 of 2 recipes failed" in done.stderr


def test_check_lints_files_and_gives_the_worst_code(factory: Factory, wan: Path, tmp_path: Path) -> None:
    """Findings are lines on stdout, the summary goes to stderr."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(wan.read_text().replace("handler: echo", "handler: echo\nenv: {HF_HOME: /workspace/hf}"))
    done = factory("check", wan, bad)
    assert done.returncode == 11
    assert f"{bad}:" in done.stdout and "/workspace" in done.stdout
    assert done.stderr.startswith("2 recipes: ")


def test_check_without_recipes_says_how(factory: Factory) -> None:
    """Outside a checkout, `factory check` asks for a recipe; exit code 2."""
    done = factory("check", "--json", "--online", "--nonsense")
    assert done.returncode == 2 and "--nonsense" in done.stderr


def test_schema_is_json(factory: Factory) -> None:
    """`factory schema` prints a JSON Schema that knows the recipe's blocks."""
    assert "handler" in json.loads(factory("schema").stdout)["properties"]


def test_a_bug_is_one_line_and_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An exception nobody foresaw shows one line and writes a report; --debug raises it."""

    @click.command()
    def broken() -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setitem(cli.cli.commands, "broken", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["factory", "broken"])
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    said = capsys.readouterr()
    report = Path(said.err.strip().rsplit(" ", 1)[1])
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "nobody foresaw this" in report.read_text() and "arguments: ['broken']" in report.read_text()
    monkeypatch.setattr(sys, "argv", ["factory", "--debug", "broken"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("size", "recipes/wam.yaml"), 10, "recipes/wam.yaml: no such file; there are recipes/echo.yaml, "),
        (("size", "wan.yaml"), 10, "wan.yaml: no such file; did you mean recipes/wan.yaml?"),
        (("size", "wan"), 10, "wan: no such file; did you mean recipes/wan.yaml?"),
        (
            ("render", "recipes/echo.yaml", "--out", "/proc/x"),
            40,
            "/proc/x: can't be written (No such file or directory)",
        ),
        (("emulator", "--hub", "recipes", "--port", "{port}"), 3, "can't listen there (Address already in use)"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(
    factory: Factory, hub: str, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    """A name that isn't there, a folder that can't be, a port that is taken: one sentence each."""
    port = hub.rsplit(":", 1)[1]
    done = factory(*(word.format(port=port) for word in arguments))
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
