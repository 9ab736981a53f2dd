"""The Python file beside a recipe that answers its jobs: read, and looked at without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from factory.errors import HandlerMissing

METHODS = ("load", "__call__")


def read_handler(path: Path, where: str = "") -> bytes:
    """Return a handler file's source with LF line ends.

    `where` is the recipe's place that names it. Raises HandlerMissing when there is no such file, when it is no
    Python, or when it has no class `Handler` with the methods `load` and `__call__`.
    """
    try:
        source = path.read_bytes().replace(b"\r\n", b"\n")
    except OSError as error:
        near = get_close_matches(path.name, (f.name for f in path.parent.glob("*.py")), n=1)
        raise HandlerMissing(
            f"the handler {path.name} can't be read ({error.strerror})",
            where=where or str(path),
            fix=f"did you mean {near[0]}?" if near else "put it beside the recipe",
        ) from error
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise HandlerMissing(
            f"the handler is no Python ({getattr(error, 'msg', error)})",
            where=f"{path}:{line}" if line else str(path),
            fix="mend it",
        ) from error
    _check_class(tree, path)
    return source


def _check_class(tree: ast.Module, path: Path) -> None:
    names = dict(_top_level(tree))
    if "Handler" not in names:
        classes = [name for name, node in names.items() if isinstance(node, ast.ClassDef)]
        near = get_close_matches("Handler", classes, n=1, cutoff=0.3)
        raise HandlerMissing(
            "the file defines no class Handler",
            where=str(path),
            fix=f"did you mean to name {near[0]} so?" if near else "write a class Handler with load and __call__",
        )
    node = names["Handler"]
    if not isinstance(node, ast.ClassDef) or node.bases:
        return  # imported, assigned or inherited: what it has can't be seen without running it
    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
    missing = [name for name in METHODS if name not in methods]
    if missing:
        raise HandlerMissing(
            f"class Handler has no {' and no '.join(missing)}",
            where=f"{path}:{node.lineno}",
            fix="load(self, model_dir) runs once, __call__(self, inputs) for each job",
        )


def _top_level(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Yield the names that a module binds at its top level, `if` and `try` included."""
    pending: list[ast.stmt] = list(reversed(tree.body))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name, node) for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.If):
            pending += [*reversed(node.orelse), *reversed(node.body)]
        elif isinstance(node, ast.Try):
            pending += [*reversed(node.orelse), *[s for h in node.handlers for s in h.body], *reversed(node.body)]
