"""From the tree of nodes to the plain data that the model takes: shorthands written out, every place remembered.

model: X               →  models: [X]
models: [owner/name]   →  models: [{repo: owner/name}]
handler: echo          →  handler: {name: echo};  handler: my.py  →  handler: {file: my.py}
gpu: A  or  [A, B]     →  gpu: {pools: [A]} or {pools: [A, B]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from factory.recipe.document import Node
from factory.recipe.problems import Problem, shown

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: line and column from 1, the dotted key as written, the plain scalar as written."""

    line: int
    column: int
    name: str
    written: str = ""
    is_broken: bool = False


class Expansion:
    """`data` for the model, `places` by the path in it, and the `problems` of shorthands that can't be written out."""

    def __init__(self, root: Node) -> None:
        self.places: dict[Path, Place] = {(): Place(root.line, root.column, "")}
        self.problems: list[Problem] = []
        self.data: dict[str, Any] = {}
        for key, (line, column, node) in root.value.items():
            place = Place(line, column, key, node.written, node.is_broken)
            match key:
                case "model" | "models":
                    self._models(key, place, node, root.value)
                case "handler" if isinstance(node.value, str):
                    self._wrap("handler", "file" if node.value.endswith(".py") else "name", place, node)
                case "gpu" if isinstance(node.value, str | list):
                    self._gpu(place, node)
                case _:
                    self.data[key] = self._take((key,), place, node)

    def _take(self, path: Path, place: Place, node: Node) -> Any:
        """Remember the place of a node and of all below it, and return its plain value."""
        self.places[path] = place
        if isinstance(node.value, dict):
            return {
                key: self._take((*path, key), _place(f"{place.name}.{key}", line, column, inner), inner)
                for key, (line, column, inner) in node.value.items()
            }
        if isinstance(node.value, list):
            return [
                self._take((*path, i), _place(f"{place.name}.{i}", inner.line, inner.column, inner), inner)
                for i, inner in enumerate(node.value)
            ]
        return node.value

    def _wrap(self, block: str, key: str, place: Place, node: Node) -> None:
        self.places[(block,)] = place
        self.data[block] = {key: self._take((block, key), place, node)}

    def _gpu(self, place: Place, node: Node) -> None:
        if isinstance(node.value, list):
            self._wrap("gpu", "pools", place, node)
        else:
            self.places[("gpu",)] = self.places[("gpu", "pools")] = place
            self.data["gpu"] = {"pools": [self._take(("gpu", "pools", 0), place, node)]}

    def _models(self, key: str, place: Place, node: Node, root: Mapping[str, Any]) -> None:
        if key == "model" and "models" in root:
            self._tell(place, "stands beside 'models'", "keep 'models'")
        elif key == "model" and not isinstance(node.value, str | dict) and not node.is_broken:
            self._tell(place, f"expected one model, found {shown(node.value)}", "several models go below 'models'")
        elif key == "model":
            self.places[("models",)] = place
            self.data["models"] = [self._model(0, place, node)]
        elif isinstance(node.value, list):
            self.places[("models",)] = place
            self.data["models"] = [
                self._model(i, _place(f"models.{i}", inner.line, inner.column, inner), inner)
                for i, inner in enumerate(node.value)
            ]
        else:
            self.data["models"] = self._take(("models",), place, node)

    def _model(self, index: int, place: Place, node: Node) -> Any:
        path: Path = ("models", index)
        if not isinstance(node.value, str):
            return self._take(path, place, node)
        self.places[path] = place
        return {"repo": self._take((*path, "repo"), place, node)}

    def _tell(self, place: Place, what: str, fix: str) -> None:
        self.problems.append(Problem(place.line, place.column, place.name, what, fix))

    def place(self, path: Path) -> tuple[Place, Path]:
        """Return the nearest place at or above the path, and the rest of the path below it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]], path[length:]
        raise AssertionError("the empty path always has a place")


def _place(name: str, line: int, column: int, node: Node) -> Place:
    return Place(line, column, name, node.written, node.is_broken)
