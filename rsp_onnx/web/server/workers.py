"""Work in threads: the event loop stays free, what is done is told on the way, and nobody waits for who has gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from rsp_onnx.errors import RspError
from rsp_onnx.web.frames import frame

T = TypeVar("T")
Work: TypeAlias = "Callable[[Told], bytes]"  # returns the last frame
_LOG = logging.getLogger("rsp_onnx.web")
_NAME = "rsp-onnx worker"
_ASK_AGAIN = 0.1  # seconds after which who waits for a lock looks whether anybody still wants it


class GoneError(Exception):
    """The client has gone; nobody wants the rest."""


class Told:
    """Who asked for some work: is told where it is, and may have gone.

    Parameters
    ----------
    tell : callable, optional
        Gets every frame.
    """

    def __init__(self, tell: Callable[[bytes], None] | None = None) -> None:
        self._tell = tell
        self._gone = threading.Event()

    def say(self, says: str, share: float | None = None) -> None:
        """Tell where the work is. share: 0 to 1; None where nobody knows.

        Raises
        ------
        GoneError
            Nobody is there to be told.
        """
        self.check()
        if self._tell is not None:
            self._tell(frame({"progress": {"says": says, "share": share}}))

    def check(self) -> None:
        """Raise GoneError where nobody waits any more."""
        if self._gone.is_set():
            raise GoneError

    def leave(self) -> None:
        """Say that the client has gone."""
        self._gone.set()

    @contextmanager
    def holding(self, lock: threading.Lock) -> Iterator[None]:
        """Hold a lock; GoneError where the client goes before it is free."""
        while not lock.acquire(timeout=_ASK_AGAIN):
            self.check()
        try:
            self.check()
            yield
        finally:
            lock.release()


class Workers:
    """Runs work in daemon threads, so many at a time: stopping the server waits for none of them.

    Parameters
    ----------
    most : int
        How many run at once; others wait without a thread.
    """

    def __init__(self, most: int = 8) -> None:
        self._free = asyncio.Semaphore(most)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def settle(value: T | None, error: BaseException | None) -> None:
            if not result.done():
                result.set_result(value) if error is None else result.set_exception(error)  # type: ignore[arg-type]

        def do() -> None:
            try:
                _later(loop, settle, work(), None)
            except BaseException as error:  # handed to who waits
                _later(loop, settle, None, error)

        await self._start(do)
        return await result

    async def frames(self, work: Work) -> AsyncIterator[bytes]:
        """Yield a frame per step that the work tells, and its last one; an error is a frame too."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        told = Told(lambda one: _later(loop, queue.put_nowait, one))

        def do() -> None:
            _later(loop, queue.put_nowait, _last_frame(work, told))
            _later(loop, queue.put_nowait, None)

        try:
            await self._start(do)
            while (one := await queue.get()) is not None:
                yield one
        finally:
            told.leave()

    async def _start(self, do: Callable[[], None]) -> None:
        await self._free.acquire()
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                do()
            finally:
                _later(loop, self._free.release)

        in_background(run)


def in_background(do: Callable[[], object]) -> None:
    """Run something in a thread that nobody waits for."""
    threading.Thread(target=do, daemon=True, name=_NAME).start()


def end_workers(patience: float = 2.0) -> None:
    """Wait for the threads that still work; where one takes longer, end the process, successfully.

    A thread in ONNX Runtime, which cannot be interrupted, crashes when it comes back to an interpreter that has gone.
    """
    end = time.monotonic() + patience
    for thread in [one for one in threading.enumerate() if one.name == _NAME]:
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def _later(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the server has stopped, and the loop is closed
        loop.call_soon_threadsafe(call, *arguments)


def _last_frame(work: Work, told: Told) -> bytes:
    try:
        return work(told)
    except GoneError:
        return b""
    except Exception as error:
        return frame(sentence_of(error)[0])


def sentence_of(error: Exception) -> tuple[Mapping[str, Any], int]:
    """Return an error as the page gets it, and its status: a user's error in its own words, another one as ours."""
    if isinstance(error, RspError):
        return {"error": str(error)}, getattr(error, "status", 400)
    if isinstance(error, MemoryError):
        return {"error": "The memory of this machine ran out: close other models, or take a smaller image."}, 400
    _LOG.error("The server failed.", exc_info=error)
    return {"error": f"The server failed ({type(error).__name__}); what happened stands on its terminal."}, 500
