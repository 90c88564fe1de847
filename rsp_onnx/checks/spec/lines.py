"""On which line of a TOML or YAML file each value stands: what their readers do not tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from rsp_onnx.files import parse_toml

Path: TypeAlias = "tuple[str | int, ...]"
Lines: TypeAlias = "dict[Path, int]"
_QUOTES = ('"""', "'''", '"', "'")
_KEY = re.compile(r"""\s*("(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)\s*""")


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """Return the line of a value, else of what holds it, else 1."""
    for length in range(len(path), -1, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def toml_lines(text: str) -> Lines:
    """Return the first line of every table and key of a valid TOML text, counted from 1.

    Keys inside of inline tables and arrays have no line of their own.
    """
    lines: Lines = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        if statement.startswith("[["):
            name = _resolved(_keys(statement[2:]), counts)
            table = (*name, counts.get(name, 0))
            counts[name] = counts.get(name, 0) + 1
            lines.setdefault(table, line)
        elif statement.startswith("["):
            table = _resolved(_keys(statement[1:]), counts)
            lines.setdefault(table, line)
        else:
            lines.setdefault((*table, *_keys(statement)), line)
    return lines


def _resolved(name: Path, counts: Mapping[Path, int]) -> Path:
    """Put the number of the last element after each array of tables but the last part of a name."""
    path: Path = ()
    for part in name[:-1]:
        path = (*path, part)
        if path in counts:
            path = (*path, counts[path] - 1)
    return (*path, *name[-1:])


def _keys(text: str) -> Path:
    """Return the parts of the dotted key a text begins with."""
    parts: list[str] = []
    at = 0
    while match := _KEY.match(text, at):
        word = match[1]
        parts.append(next(iter(parse_toml(f"{word} = 0"))))  # whatever escapes it holds
        at = match.end()
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(parts)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of every statement: strings, arrays and inline tables that span lines stay together."""
    line, start, begin, depth, at = 1, 1, 0, 0, 0
    text = text.replace("\r\n", "\n") + "\n"
    while at < len(text):
        here = text[at]
        quote = next((q for q in _QUOTES if text.startswith(q, at)), None)
        if quote:
            end = _string_end(text, at, quote)
            line += text.count("\n", at, end)
            at = end
            continue
        if here == "#":
            at = text.index("\n", at)
            continue
        if here == "\n":
            if depth <= 0:
                if text[begin:at].strip():
                    yield start, text[begin:at].strip()
                begin, start, depth = at + 1, line + 1, 0
            line += 1
        depth += (here in "[{") - (here in "]}")
        at += 1


def _string_end(text: str, at: int, quote: str) -> int:
    """Return the place after a string's closing quote."""
    end = at + len(quote)
    while end < len(text) and not text.startswith(quote, end):
        end += 2 if quote[0] == '"' and text[end] == "\\" else 1
    end += len(quote)
    while len(quote) == 3 and end < len(text) and text[end] == quote[0]:  # up to two quotes may end the text itself
        end += 1
    return min(end, len(text))


def yaml_lines(node: Any, path: Path = ()) -> Iterator[tuple[Path, int]]:
    """Yield (path, line) of every value of a node that PyYAML composed."""
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if node.id == "mapping":
        for key, value in node.value:
            yield (*path, str(key.value)), key.start_mark.line + 1
            for inner, line in yaml_lines(value, (*path, str(key.value))):
                if inner != (*path, str(key.value)):
                    yield inner, line
    elif node.id == "sequence":
        for number, value in enumerate(node.value):
            yield from yaml_lines(value, (*path, number))
