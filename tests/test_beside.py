"""What lies beside a recipe, read once in one command."""

from __future__ import annotations

from pathlib import Path

from factory import recipe
from factory.beside import Beside


def write(folder: Path, name: str, volume: str | None = None, file: str = "") -> Path:
    """Write a recipe without a model."""
    path = folder / f"{file or name}.yaml"
    lines = [f"name: {name}", "image: {repository: acme/x}", "handler: echo"]
    path.write_text("\n".join(lines + ([f"volume: {volume}"] if volume else [])))
    return path


def names(beside: Beside, path: Path) -> list[str]:
    """The recipes that share the volume of this one."""
    return [other.name for other in beside.sharing(recipe.load(path))]


def test_recipes_of_one_volume_find_each_other(tmp_path: Path) -> None:
    """By the volume that they name, or by the name of one that names none; in the order of their files."""
    one = write(tmp_path, "one", "models", file="b")
    two = write(tmp_path, "two", "models", file="a")
    models = write(tmp_path, "models")
    other = write(tmp_path, "other")
    beside = Beside()
    assert names(beside, one) == ["two", "models"]
    assert names(beside, two) == ["one", "models"]
    assert names(beside, models) == ["two", "one"]
    assert names(beside, other) == []


def test_what_is_no_recipe_shares_nothing(tmp_path: Path) -> None:
    """A broken one, a folder, a link that leads nowhere, another kind of file."""
    own = write(tmp_path, "own", "models")
    write(tmp_path, "good", "models")
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "text.txt").write_text("volume: models")
    assert names(Beside(), own) == ["good"]


def test_a_folder_is_read_once(tmp_path: Path) -> None:
    """A command sees one state of it from its beginning to its end; the next command sees the next."""
    own = write(tmp_path, "own", "models")
    beside = Beside()
    assert names(beside, own) == []
    write(tmp_path, "late", "models")
    assert names(beside, own) == []
    assert names(Beside(), own) == ["late"]
