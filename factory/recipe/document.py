"""From the bytes of a file to a tree of nodes with positions. The only file that knows YAML.

A recipe is plain YAML: no anchors, aliases, merge keys or tags, one document. So nothing in it can grow when it is
read, and what stands on a line is what it means. Plain scalars follow YAML 1.2, as editors do: `no` and `on` are texts.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from factory.recipe.problems import Problem, quoted
from factory.recipe.syntax import explain

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 5_000  # keys and values; the largest recipe that ships has about 150
MAX_INTEGER = 2**63 - 1

# What YAML 1.2 (section 5.1) lets a file hold.
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(slots=True)
class Node:
    """A value with its place. `written` is a plain scalar as it stands in the file; a broken node has been told of."""

    line: int
    column: int
    value: Any = None  # a scalar, list[Node] or dict[str, tuple[line, column, Node]]
    written: str = ""
    is_broken: bool = False


@dataclass(slots=True)
class _Open:
    """A list or mapping that the events have not closed yet."""

    node: Node
    name: str
    key: str | None = None  # of a mapping: the key whose value comes next
    key_line: int = 0
    key_column: int = 0
    skip: bool = False  # the key is no key, or a second one: its value is read and dropped
    has_key: bool = False
    places: dict[str, int] = field(default_factory=dict)


class Unreadable(ValueError):
    """The bytes are no text that YAML can be read from; `problem` says where and why."""

    def __init__(self, line: int, what: str, fix: str) -> None:
        super().__init__(what)
        self.problem = Problem(line, 1, "", what, fix)


def decode(content: bytes) -> str:
    """Return the text of a file (UTF-8, with or without a byte order mark), or raise Unreadable."""
    if len(content) > MAX_BYTES:
        raise Unreadable(0, f"larger than {MAX_BYTES // 1_000_000} MB, so no recipe", "name a recipe's YAML file")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Unreadable(0, "the text is UTF-16", "save the file as UTF-8")
    if b"\0" in content:
        raise Unreadable(0, "a binary file, not a text", "name a recipe's YAML file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(line, f"not UTF-8 (byte 0x{content[error.start]:02x})", "save the file as UTF-8") from None
    if bad := _NOT_PRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise Unreadable(line, f"a control character (U+{ord(bad[0]):04X})", "remove it")
    return text


class Reader:
    """Reads one document: `root` is its tree (None when there is none), `problems` what was wrong on the way.

    `is_cut_short` says that the reading ended at a problem, so that what is missing in the tree means nothing.
    """

    def __init__(self, text: str) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.is_cut_short = False
        self._is_over = False
        self._open: list[_Open] = []
        self._documents = 0
        self._nodes = 0
        # The C parser yields events without recursion, so deep nesting costs no stack; PyPI's wheels always have it.
        parser = yaml.CSafeLoader(text)
        try:
            while not self._is_over and (event := parser.get_event()) is not None:
                self._take(event)
        except yaml.MarkedYAMLError as error:
            line, column, what, fix = explain(error, text)
            self._tell(line, column, "", what, fix)
            self.is_cut_short = True
        finally:
            parser.dispose()

    def _tell(self, line: int, column: int, key: str, what: str, fix: str = "") -> None:
        self.problems.append(Problem(line, column, key, what, fix))

    def _take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._tell(line, column, "", "a second document starts here", "keep one recipe per file")
                self._is_over = True
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._nodes += 1
            if self._nodes > MAX_NODES:
                self._tell(line, column, "", f"more than {MAX_NODES:,} keys and values", "name a recipe's YAML file")
                self.is_cut_short = self._is_over = True
            elif self._wants_key():
                self._take_key(event, line, column)
            else:
                self._take_value(event, line, column)

    def _take_value(self, event: yaml.NodeEvent, line: int, column: int) -> None:
        name = self._name()
        node = Node(line, column, is_broken=self._refuse_cleverness(event, line, column, name))
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, node)
        self._place(node)
        if isinstance(event, yaml.CollectionStartEvent):
            self._descend(node, event, name)

    def _descend(self, node: Node, event: yaml.CollectionStartEvent, name: str) -> None:
        node.value = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_Open(node, name))
        if len(self._open) > MAX_DEPTH:
            self._tell(node.line, node.column, "", f"more than {MAX_DEPTH} levels of nesting", "flatten it")
            self.is_cut_short = self._is_over = True

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].node.value, dict) and not self._open[-1].has_key

    def _take_key(self, event: yaml.NodeEvent, line: int, column: int) -> None:
        mapping = self._open[-1]
        mapping.has_key, mapping.key_line, mapping.key_column = True, line, column
        if isinstance(event, yaml.ScalarEvent):
            mapping.key = event.value
            mapping.skip = self._refuse_key(event, line, column, _join(mapping.name, event.value))
            mapping.places.setdefault(event.value, line)
            return
        mapping.key, mapping.skip, mapping.node.is_broken = "", True, True
        found = "an alias" if isinstance(event, yaml.AliasEvent) else "a list or a block of keys"
        self._tell(line, column, mapping.name, f"expected a text as key, found {found}", "quote it if it is a text")
        if isinstance(event, yaml.CollectionStartEvent):
            # A key that is a block is read like a value, into a node that nobody keeps.
            self._descend(Node(line, column), event, mapping.name)

    def _refuse_key(self, event: yaml.ScalarEvent, line: int, column: int, name: str) -> bool:
        """Tell of a key that can't be one."""
        mapping, key = self._open[-1], event.value
        is_plain = event.implicit[0] and not event.style
        if self._refuse_cleverness(event, line, column, name):
            return True
        if is_plain and key == "<<":
            self._tell(line, column, mapping.name, "a merge key ('<<')", "write the keys out: recipes have no anchors")
        elif is_plain and key in _NULLS:
            self._tell(line, column, mapping.name, "a key must be a text, found nothing", "write a key before the ':'")
        elif is_plain and not _is_text(key):
            self._tell(line, column, mapping.name, "a key must be a text, found a value", f"quote it: {quoted(key)}")
        elif key in mapping.places:
            self._tell(line, column, name, f"there twice (first on line {mapping.places[key]})", "keep one of them")
            return True
        else:
            return False
        mapping.node.is_broken = True  # it may lack the very key that is misspelt here
        return True

    def _refuse_cleverness(self, event: yaml.NodeEvent, line: int, column: int, name: str) -> bool:
        """Tell of an alias, an anchor or a tag."""
        if isinstance(event, yaml.AliasEvent):
            self._tell(line, column, name, f"an alias ('*{event.anchor}')", "write the value out")
        elif event.anchor is not None:
            self._tell(line, column, name, f"an anchor ('&{event.anchor}')", "remove it, and write values out")
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!", 1)
            self._tell(line, column, name, f"a tag ({quoted(tag)})", "remove it; quotes make a text of anything")
        else:
            return False
        return True

    def _scalar(self, event: yaml.ScalarEvent, node: Node) -> None:
        node.value = event.value
        if event.style or not event.implicit[0]:
            return
        node.written = event.value
        try:
            node.value = _resolve(event.value)
        except ValueError as error:
            node.is_broken = True
            self._tell(node.line, node.column, self._name(), *error.args)

    def _name(self) -> str:
        """Return the dotted key of the node that comes next."""
        if not self._open:
            return ""
        top = self._open[-1]
        return _join(top.name, str(len(top.node.value)) if isinstance(top.node.value, list) else top.key or "")

    def _place(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if isinstance(top.node.value, list):
            top.node.value.append(node)
            return
        if not top.skip:
            top.node.value[top.key] = (top.key_line, top.key_column, node)
        top.has_key = top.skip = False


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name and key else name or key


def _is_text(plain: str) -> bool:
    try:
        return isinstance(_resolve(plain), str)
    except ValueError:
        return False


def _resolve(text: str) -> Any:
    """Return what a plain scalar means, or raise ValueError whose args are (what, fix)."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _LEADING_ZERO.fullmatch(text):
        raise ValueError("a number with leading zeros", "write it without them, or quote it if it is a text")
    if _INTEGER.fullmatch(text):
        number = int(text, 0) if len(text) < 30 else MAX_INTEGER + 1
        if abs(number) > MAX_INTEGER:
            raise ValueError("a number of more than 64 bits", "quote it if it is a text")
        return number
    if _FLOAT.fullmatch(text):
        value = float(re.sub(r"\.(?=[inIN])", "", text))
        if not math.isfinite(value):
            raise ValueError("not a finite number", "quote it if it is a text")
        return value
    return text
