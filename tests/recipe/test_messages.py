"""The page of messages (messages.txt beside this file) is what the loader says, and leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from factory.errors import RecipeError
from factory.recipe import load, loads, syntax, words
from factory.recipe.conditions import CONDITIONS
from factory.recipe.document import MAX_BYTES

PAGE = (Path(__file__).parent / "messages.txt").read_text()
REQUIRED = {"name": "name: demo\n", "image": "image: {repository: acme/demo}\n", "handler": "handler: echo\n"}


def entries() -> list[tuple[str, tuple[str, ...]]]:
    """Return (YAML, sentences) of every entry on the page."""
    found = []
    for entry in re.findall(r"(?:^(?!→ ).*\n)+?(?:^→ .*\n)+", PAGE.partition("\n\n")[2], re.M):
        lines = re.sub(r"^# .* #+\n\n?", "", entry.lstrip("\n"), flags=re.M).splitlines(keepends=True)
        sentences = tuple(line[2:-1] for line in lines if line.startswith("→ "))
        found.append(("".join(line for line in lines if not line.startswith("→ ")), sentences))
    return found


def sentences_of(text: str | bytes) -> tuple[str, ...]:
    """Return the sentences that the loader raises for a text."""
    with pytest.raises(RecipeError) as raised:
        loads(text, Path("r.yaml"))
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


@pytest.mark.parametrize(("text", "sentences"), entries())
def test_the_page_is_what_the_loader_says(text: str, sentences: tuple[str, ...]) -> None:
    """Each entry gives exactly its sentences, in this order."""
    written = set(re.findall(r"^\w+", text, re.M))
    rest = "".join(line for key, line in REQUIRED.items() if key not in written)
    assert sentences_of(text + rest) == sentences


def test_the_page_is_read_whole() -> None:
    """Every sentence of the page is in one of the entries that are tested above."""
    assert sum(len(sentences) for _, sentences in entries()) == PAGE.count("\n→ ") > 150


@pytest.mark.parametrize("what", sorted({what for what, _ in syntax._WORDS.values()}))
def test_every_syntax_error_is_on_the_page(what: str) -> None:
    """No sentence about YAML's syntax is missing from the page."""
    assert f": {what} (column " in PAGE or what.startswith("more than 32 levels")


@pytest.mark.parametrize("field", sorted(words._FORMS))
def test_every_text_with_a_form_is_on_the_page(field: str) -> None:
    """Each field whose text has a form has an entry where it has not."""
    written = {"models.repo": "model", "models.name": "model.name"}.get(field, field.replace("git.", "git.0."))
    assert re.search(rf"^→ r\.yaml:\d+: {re.escape(written)}(\.\d+)?: (expected|no image|credentials)", PAGE, re.M)


@pytest.mark.parametrize("kind", sorted({*words._TYPES.values(), "auto or a whole number"}))
def test_every_wrong_type_is_on_the_page(kind: str) -> None:
    """Each "expected …, found …" has an entry."""
    assert re.search(rf": expected {kind}( \(\w+\))?, found ", PAGE)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "r.yaml: empty: no recipe in it; start with 'name:' (docs/recipe.md has 8 lines to copy)"),
        (
            b"# only\n# comments\n",
            "r.yaml: empty: no recipe in it; start with 'name:' (docs/recipe.md has 8 lines to copy)",
        ),
        (b"---\n", "r.yaml: empty: no recipe in it; start with 'name:' (docs/recipe.md has 8 lines to copy)"),
        (b"- a\n- b\n", "r.yaml:1: expected keys like 'name:', found a list; start with 'name:'"),
        (b"\n\nhello\n", "r.yaml:3: expected keys like 'name:', found the text 'hello'; start with 'name:'"),
        (b"42", "r.yaml:1: expected keys like 'name:', found the number 42; start with 'name:'"),
        (b"\xff\xfen\0a\0", "r.yaml: the text is UTF-16; save the file as UTF-8"),
        (b"\x7fELF\0\0", "r.yaml: a binary file, not a text; name a recipe's YAML file"),
        (b"name: x\nvolume: \xe9t\xe9\n", "r.yaml:2: not UTF-8 (byte 0xe9); save the file as UTF-8"),
        (b"name: x\n# bell \x07\n", "r.yaml:2: a control character (U+0007); remove it"),
        (b"#" * (MAX_BYTES + 1), "r.yaml: larger than 1 MB, so no recipe; name a recipe's YAML file"),
        (b'name: "abc', "r.yaml:1: a quote that is never closed (column 7); close it on its line"),
        (b"[" * 100_000, "r.yaml:1: more than 32 levels of nesting (column 1001); flatten it"),
        (b"{" * 100_000, "r.yaml:1: more than 32 levels of nesting (column 1001); flatten it"),
        (b"a: [" + b"1, " * 5_000 + b"]", "r.yaml:1: more than 5,000 keys and values; name a recipe's YAML file"),
        (b"- " * 100_000, "r.yaml:1: more than 32 levels of nesting; flatten it"),
    ],
)
def test_a_file_that_is_no_recipe_gets_one_sentence(content: bytes, sentence: str) -> None:
    """Empty, binary, huge, mis-encoded, unclosed and bottomless files are told in one sentence each."""
    assert sentences_of(content)[-1:] == (sentence,)


def test_a_yaml_bomb_is_refused_at_its_first_anchor() -> None:
    """The nine-fold "billion laughs" is refused by name, and nothing of it grows."""
    bomb = 'a: &a ["x", "x"]\n' + "".join(
        f"{chr(i)}: &{chr(i)} [*{chr(i - 1)}, *{chr(i - 1)}]\n" for i in range(98, 107)
    )
    assert "r.yaml:1: a: an anchor ('&a'); remove it, and write values out" in sentences_of(bomb)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "no such file; there are {folder}/wan.yaml, {folder}/whisper.yaml"),
        (lambda path: path.mkdir(), "a folder, not a file; name a recipe's YAML file in it"),
        (
            lambda path: path.symlink_to(path),
            "can't be read (Too many levels of symbolic links); name a recipe's YAML file",
        ),
    ],
)
def test_a_file_that_cannot_be_read_gets_one_sentence(tmp_path: Path, make: object, sentence: str) -> None:
    """A missing file (with the ones that are there), a folder and a loop of links."""
    (tmp_path / "wan.yaml").touch()
    (tmp_path / "whisper.yaml").touch()
    path = tmp_path / "wam.yaml"
    make(path)  # type: ignore[operator]
    with pytest.raises(RecipeError) as raised:
        load(path)
    assert raised.value.problems == (f"{path}: {sentence.format(folder=tmp_path)}",)


def test_conditions_are_listed_in_full_where_none_is_near() -> None:
    """The hint for an unknown condition names every condition."""
    text = "tests: [{input: {a: 1}, expect: {a: {min: 1, zzz: 2}}}]\n" + "".join(REQUIRED.values())
    (sentence,) = sentences_of(text)
    assert f"unknown condition; one of {', '.join(CONDITIONS)} (" in sentence
