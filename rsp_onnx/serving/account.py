"""Where an explanation's relevance went: computed with the map, or when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeAlias

from .losses import Loss

Found: TypeAlias = "tuple[Mapping[str, float], tuple[Loss, ...]]"


class Account:
    """The ledger of one explanation and what nodes made or lost. Safe to use from several threads.

    Parameters
    ----------
    found : tuple, optional
        What is known: the relevance sum by tensor, and the losses.
    find : callable, optional
        Computes it when it is first asked for; called once.
    """

    def __init__(self, found: Found | None = None, find: Callable[[], Found] | None = None) -> None:
        self._found: Found | None = ({}, ()) if found is None and find is None else found
        self._find = find
        self._lock = threading.Lock()

    def get(self) -> Found:
        """Return the relevance sum by tensor, and the losses."""
        with self._lock:
            if self._found is None:
                assert self._find is not None
                self._found, self._find = self._find(), None
            return self._found

    def __reduce__(self) -> tuple[type[Account], tuple[Found]]:
        """Pickle what is found; sessions stay where they are."""
        return Account, (self.get(),)
