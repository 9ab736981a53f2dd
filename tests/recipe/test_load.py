"""Reading a recipe: shorthands, places, the hash of the meaning, and that nothing but RecipeError ever comes out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import RecipeError
from factory.recipe import Recipe, RecipeFile, load, loads

SHORT = """\
# yaml-language-server: $schema=recipe.schema.json
name: wan
model: Wan-AI/Wan2.1-T2V-14B
image:
  repository: acme/wan
gpu: AMPERE_80
handler: video_generation
"""
LONG = """\
handler:
  name: video_generation
name: wan
models:
  - repo: Wan-AI/Wan2.1-T2V-14B
    revision: main
image: {repository: acme/wan, python: '3.11', pip: []}
gpu: {pools: [AMPERE_80], count: 1}
endpoint: {idle_timeout_s: 10}
"""


def read(text: str) -> RecipeFile:
    """Read a recipe's text as `recipes/wan.yaml`."""
    return loads(text, Path("recipes/wan.yaml"))


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("model: a/b", "models: [{repo: a/b}]"),
        ("model: {repo: a/b, dtype: bf16}", "models: [{repo: a/b, dtype: bf16}]"),
        ("models: [a/b, {repo: c/d}]", "models: [{repo: a/b}, {repo: c/d}]"),
        ("gpu: ADA_24", "gpu: {pools: [ADA_24]}"),
        ("gpu: [ADA_24, AMPERE_48]", "gpu: {pools: [ADA_24, AMPERE_48]}"),
    ],
)
def test_a_shorthand_is_what_it_stands_for(short: str, long: str) -> None:
    """A shorthand and its long form give equal recipes."""
    rest = "\nname: demo\nimage: {repository: acme/demo}\nhandler: echo\n"
    assert read(short + rest).recipe == read(long + rest).recipe


@pytest.mark.parametrize(("short", "field"), [("echo", "name"), ("my_handler.py", "file"), ("sub/my.py", "file")])
def test_a_handler_in_one_word_is_a_name_or_a_file(short: str, field: str) -> None:
    """A word that ends in .py is a file beside the recipe, any other a built-in handler."""
    handler = read(f"name: demo\nimage: {{repository: acme/demo}}\nhandler: {short}\n").recipe.handler
    assert getattr(handler, field) == short


def test_the_hash_is_of_the_meaning() -> None:
    """Order, comments, shorthands and written-out defaults don't change the hash; a value does."""
    short, long = read(SHORT), read(LONG)
    assert short.recipe == long.recipe
    assert short.sha256 == long.sha256
    assert short.sha256 != read(SHORT.replace("AMPERE_80", "AMPERE_48")).sha256
    assert len(short.sha256) == 64


def test_a_key_is_found_at_its_line() -> None:
    """`where` names the line of a key, of a shorthand's parts, and of the nearest block above an unwritten key."""
    file = read(SHORT)
    assert file.where("image.repository") == "recipes/wan.yaml:5"
    assert file.where("models.0.repo") == file.where("models") == "recipes/wan.yaml:3"
    assert file.where("gpu.pools.0") == "recipes/wan.yaml:6"
    assert file.where("image.env.HF_HOME") == "recipes/wan.yaml:4"
    assert file.where("endpoint.workers.max") == file.where() == "recipes/wan.yaml"


def test_a_key_is_named_as_the_author_wrote_it() -> None:
    """Keys below a shorthand go by the shorthand's name."""
    file = read(SHORT)
    assert [file.name(key) for key in ("models.0.repo", "gpu.pools.0", "handler.name", "image.repository", "env")] == [
        "model",
        "gpu",
        "handler",
        "image.repository",
        "env",
    ]


def test_two_files_of_one_text_keep_their_own_names(tmp_path: Path) -> None:
    """What is remembered of a text is no file's: neither a recipe's path nor that in a sentence."""
    good, bad = "name: abc\nimage: {repository: a/b}\nhandler: echo\n", "name: abc\nhandler: echo\nhandlers: echo\n"
    for name in ("one", "two"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(good)
        assert load(path).path == path
        path.write_text(bad)
        with pytest.raises(RecipeError, match=f"{name}.yaml:3"):
            load(path)
    assert loads(good, Path("x")).recipe is loads(good.encode(), Path("y")).recipe


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    """A file saved by a Windows editor reads like any other."""
    path = tmp_path / "wan.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SHORT.replace("\n", "\r\n").encode())
    assert load(path).recipe == read(SHORT).recipe
    assert load(path).where("gpu") == f"{path}:6"


def test_words_that_old_yaml_took_for_booleans_and_dates_are_texts() -> None:
    """`no`, `on`, a date, a time and a version of three parts are the texts they look like."""
    text = SHORT + "env: {A: no, B: on, C: 2026-11-23, D: 12:30:00, E: 1.2.3, F: 1_000, G: 'null'}\n"
    assert list(read(text).recipe.env.values()) == ["no", "on", "2026-11-23", "12:30:00", "1.2.3", "1_000", "null"]


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_a_recipe_or_a_recipe_error(content: bytes) -> None:
    """Nothing else ever comes out, and every problem is one line that names the file."""
    assert_told(content)


PIECES = """name: demo|model: a/b|image:|  repository: acme/demo|handler: echo|gpu: ADA_24|tests:|- input: {a: 1}
|  expect:|    a.0: {length: 3}|env: {A: '1'}|disk: {container: auto}
|  - x|\tx: 1|&a|*a|? x|!t|'|"|[|]|{|}|,|: |#| |<<: 1
|~|x:|---|...|%YAML|>-|  text|010|.nan|1e999|secrets: [A]|volume: shared-one|- |true|3.10"""
FRAGMENTS = st.lists(
    st.sampled_from(re.split(r"\n?\|", PIECES)) | st.text(max_size=5),
    max_size=25,
)


@given(FRAGMENTS, st.sampled_from(["\n", " ", ""]))
def test_any_mixture_of_yaml_gives_a_recipe_or_a_recipe_error(fragments: list[str], between: str) -> None:
    """Pieces of recipes in any order, with any noise between, are read or told."""
    assert_told(between.join(fragments).encode("utf-8", "surrogatepass"))


def assert_told(content: bytes) -> None:
    """Check that the content is a recipe, or is refused in whole sentences."""
    try:
        file = loads(content, Path("r.yaml"))
    except RecipeError as error:
        assert error.problems
        assert all(problem.startswith("r.yaml") and "\n" not in problem for problem in error.problems)
    else:
        assert isinstance(file.recipe, Recipe)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
LINE = TEXT.filter(str.strip)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAME = st.from_regex(r"[a-z][a-z0-9-]{2,20}[a-z0-9]", fullmatch=True)
VARIABLE = st.from_regex(r"X_[A-Z0-9_]{1,10}", fullmatch=True)
RECIPES = st.fixed_dictionaries(
    {"name": NAME, "image": st.fixed_dictionaries({"repository": NAME}, optional={"pip": st.lists(LINE, max_size=3)})},
    optional={
        "gpu": st.fixed_dictionaries({"min_vram_gb": st.floats(1, 1440)}, optional={"count": st.integers(1, 8)}),
        "disk": st.fixed_dictionaries({"container": st.just("auto") | st.integers(1, 2000)}),
        "env": st.dictionaries(VARIABLE, TEXT, max_size=3),
        "tests": st.lists(st.fixed_dictionaries({"input": st.dictionaries(TEXT, JSON, min_size=1)}), max_size=2),
    },
).map(lambda data: {**data, "handler": {"name": "echo", "options": {"x": data["name"]}}})


class Quoting(yaml.SafeDumper):
    """Writes every text in double quotes: PyYAML takes some that are numbers in YAML 1.2 (`0E0`) for plain words."""


Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@given(RECIPES)
def test_any_valid_recipe_survives_being_written_and_read(data: dict[str, Any]) -> None:
    """YAML written from a recipe's data reads back as that recipe, and so does the recipe's own dump."""
    expected = Recipe.model_validate_json(json.dumps(data))
    file = read(yaml.dump(data, Dumper=Quoting, sort_keys=False))
    assert file.recipe == expected
    again = read(yaml.dump(json.loads(file.recipe.model_dump_json(exclude_none=True)), Dumper=Quoting))
    assert (again.recipe, again.sha256) == (file.recipe, file.sha256)
