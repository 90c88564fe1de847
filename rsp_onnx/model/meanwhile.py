"""What Python does while ONNX Runtime builds a session, for which it needs no interpreter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WAITING: ContextVar[list[Callable[[], None]]] = ContextVar("_WAITING")


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Within the block, do this work in a thread of its own as soon as a session is built; never, if none is.

    Sooner it would only take turns with what is read and compiled before: two threads, one interpreter.
    """
    token = _WAITING.set([work])
    try:
        yield
    finally:
        _WAITING.reset(token)


def start_waiting() -> None:
    """Start what waits for a session to be built; once."""
    waiting = _WAITING.get([])
    while waiting:
        threading.Thread(target=waiting.pop()).start()
