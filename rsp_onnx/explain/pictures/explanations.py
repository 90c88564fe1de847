"""Lists of explanations, which notebooks show as a gallery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, SupportsIndex, TypeVar, overload

from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.render.kinds import kind_of

from .html import html_of
from .names import Names

T = TypeVar("T")


class Explanations(list[T]):
    """A list of explanations, or of such lists (one per item); otherwise as any list."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> Explanations[T]: ...

    def __getitem__(self, index: Any, /) -> Any:
        """Return an element, or a part that is shown as a gallery too."""
        found = super().__getitem__(index)
        return Explanations(found) if isinstance(index, slice) else found

    def _repr_html_(self) -> str | None:
        """Show a gallery in a notebook."""
        found = list(_flat(self))
        return html_of(found) if found and all(isinstance(one, Explanation) for one in found) else None


def _flat(items: Iterable[Any]) -> Iterable[Any]:
    for one in items:
        yield from _flat(one) if isinstance(one, (list, tuple)) else (one,)


def named(results: Sequence[Sequence[Explanation]], names: Names) -> list[list[Explanation]]:
    """Return explanations with names for tokens and columns, in lists that notebooks show.

    Raises
    ------
    BadInput
        There is another number of column names than of entries.
    """
    if names == Names():
        return Explanations(map(Explanations, results))
    return Explanations(Explanations(_named(one, names) for one in per_item) for per_item in results)


def _named(explanation: Explanation, names: Names) -> Explanation:
    kind = kind_of(explanation)
    if kind == "table":
        names.check(explanation.heatmap.size)
    unused = [_UNUSED.format("words of tokens", "holds no token ids")] if names.tokens and kind != "tokens" else []
    unused += [_UNUSED.format("names of columns", "is no table")] if names.columns and kind != "table" else []
    return replace(explanation, names=names, warnings=(*explanation.warnings, *unused))


_UNUSED = "the {} are not used: the explained input {}"
