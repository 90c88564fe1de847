"""What the cache holds, for people; and emptying it."""

from __future__ import annotations

from typing import Any

from .entry import BrokenEntryError, opened
from .store import Kept, open_store


def cache_report() -> dict[str, Any]:
    """Return what is kept of compiled explainers.

    Returns
    -------
    dict
        ``folder`` (None where the cache is switched off), ``entries`` (the one used last first: ``model``, ``method``,
        ``what``, ``bytes``, ``used`` in seconds since the epoch), ``bytes`` in all, ``limit`` in bytes.

    Raises
    ------
    BadInput
        ``RSP_ONNX_CACHE_SIZE`` is no size.
    """
    store = open_store()
    if store is None:
        return {"folder": None, "entries": [], "bytes": 0, "limit": 0}
    kept = store.kept()
    total = sum(one.size for one in kept)
    return {
        "folder": str(store.folder), "entries": [_record(one) for one in kept], "bytes": total, "limit": store.limit,
    }  # fmt: skip


def clear_cache() -> int:
    """Throw away all that is kept of compiled explainers; return how many entries there were."""
    store = open_store()
    return 0 if store is None else store.clear()


def _record(kept: Kept) -> dict[str, Any]:
    try:
        about = opened(kept.folder).about
    except (OSError, BrokenEntryError):
        about = {}
    known = {name: str(about.get(name, "?")) for name in ("model", "method", "what")}
    return {**known, "bytes": kept.size, "used": kept.used}
