"""YAML's syntax errors in plain words."""

from __future__ import annotations

import yaml

# libyaml's own words (src/scanner.c and src/parser.c of 0.2.5) → ours, and the one thing to do.
_WORDS = {
    "could not find expected ':'": ("a ':' is missing after the key", "write 'key: value'"),
    "mapping values are not allowed in this context": (
        "a ':' where none can stand",
        "check the indentation and the line above, or quote the text that holds ': '",
    ),
    "block sequence entries are not allowed in this context": (
        "a '- ' where no list can start",
        "start the list on a line of its own",
    ),
    "mapping keys are not allowed in this context": ("a '?' where no key can start", "quote the text"),
    "found unexpected end of stream": ("a quote that is never closed", "close it on its line"),
    "found unexpected document indicator": ("a quote that is never closed", "close it on its line"),
    "did not find expected key": ("expected a key here", "check the indentation and the quotes above"),
    "did not find expected '-' indicator": ("expected another '- ' entry of the list here", "check the indentation"),
    "did not find expected ',' or ']'": ("a list '[…' without its ']'", "close it, or put a ',' between the entries"),
    "did not find expected ',' or '}'": ("a block '{…' without its '}'", "close it, or put a ',' between the keys"),
    "did not find expected node content": ("expected a value here", "write one, or quote the text"),
    "did not find expected <document start>": ("text after the end of the recipe", "check the indentation"),
    "found unknown escape character": ("an unknown escape after '\\'", "use single quotes, where '\\' is itself"),
    "found invalid Unicode character escape code": ("no character has this '\\u' code", "write the character itself"),
    "did not find expected alphabetic or numeric character": ("a '&' or '*' that starts a value", "quote the text"),
    "did not find expected hexdecimal number": (
        "an unfinished escape after '\\'",
        "use single quotes, where '\\' is itself",
    ),
    "found an indentation indicator equal to 0": ("text after '|' or '>'", "start the text on the next line"),
    "exceeded maximum nesting depth": ("more than 32 levels of nesting", "flatten it"),
    "found undefined tag handle": ("a '!' that starts a tag", "quote the text"),
    "did not find expected comment or line break": ("text after '|' or '>'", "start the text on the next line"),
}
# Told of the place where they begin, not of the one further down where the parser noticed.
_UNFINISHED = (
    "a ':' is missing after the key",
    "a quote that is never closed",
    "a list '[…' without its ']'",
    "a block '{…' without its '}'",
)
_TAB = ("a tab in the indentation", "use spaces")


def explain(error: yaml.MarkedYAMLError, text: str) -> tuple[int, int, str, str]:
    """Return (line, column, what is wrong, the fix) of a parser's error; both count from 1."""
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "not valid YAML"
    if error.context_mark and _WORDS.get(problem, ("",))[0] in _UNFINISHED:
        mark = error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    here = lines[line - 1] if line <= len(lines) else ""
    if "\t" in here[: len(here) - len(here.lstrip())]:
        what, fix = _TAB
    elif here.startswith("%"):
        what, fix = "a '%' line, which tells a YAML reader what to do", "remove it"
    elif problem == "found character that cannot start any token" and column <= len(here):
        what, fix = f"a value can't start with '{here[column - 1]}'", "quote the text"
    else:
        what, fix = _WORDS.get(problem, (f"not valid YAML: {problem}", "quote the text"))
    return line, column, f"{what} (column {column})", fix
