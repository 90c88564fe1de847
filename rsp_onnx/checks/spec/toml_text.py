"""Writing TOML: tables of plain values, for people to read and for tomllib to read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def toml_text(table: Mapping[str, Any]) -> str:
    """Return a table as TOML; entries that are None are left out, tables and lists of tables come last."""
    return "\n".join(_table(table, "")).strip() + "\n"


def _table(table: Mapping[str, Any], name: str) -> Iterable[str]:
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping) or _are_tables(v)}
    for key, value in table.items():
        if key not in inner and value is not None:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        full = f"{name}.{_key(key)}" if name else _key(key)
        for one in [value] if isinstance(value, Mapping) else value:
            yield ""
            yield f"[{full}]" if isinstance(value, Mapping) else f"[[{full}]]"
            yield from _table(one, full)


def _are_tables(value: object) -> bool:
    listed = isinstance(value, Sequence) and not isinstance(value, str) and bool(value)
    return listed and all(isinstance(v, Mapping) for v in value)  # type: ignore[attr-defined]


def _key(key: str) -> str:
    plain = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if plain else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, str):
        return _quoted(value)
    return f"[{', '.join(_value(v) for v in value)}]"


def _quoted(text: str) -> str:
    """Return a basic string; JSON's escapes are TOML's, but for DEL and half of a surrogate pair."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007F")
