"""``rsp-onnx serve``: the server started, said where it is, and stopped without leaving anything."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import secrets
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsp_onnx.errors import BadInput
from rsp_onnx.extras import need
from rsp_onnx.web.built import BUILT, index_html

from .guard import bare, is_loopback, is_wildcard
from .models import ModelSettings
from .workers import Told, end_workers

if TYPE_CHECKING:
    from .engine import ServerEngine

PORT = 8765
Say = Callable[[str], None]


def serve(
    models: Sequence[str | Path] = (), *, labels: Sequence[str | Path] = (), images: str | Path | None = None,
    method: str = "rsp", host: str = "127.0.0.1", port: int | None = None, browser: bool = True,
    max_upload: int = 2048, say: Say = print, **explainer: Any,
) -> None:  # fmt: skip
    """Serve the page until it is interrupted.

    Parameters
    ----------
    models : sequence of path
        Models to begin with; others may be dropped onto the page.
    labels : sequence of path
        Class names: one file for all models, or one for each in turn.
    images : path, optional
        A folder with pictures to begin with, of which the first 24 by name are shown.
    method : str
        The one that is chosen at first.
    host : str
        The address to listen on. Whoever reaches it and knows the token can use the server.
    port : int, optional
        Default: 8765, or a free one where that is taken.
    browser : bool
        Open the page.
    max_upload : int
        MiB of a model that may be sent.
    say : callable
        Gets lines for the terminal.
    **explainer
        What every ``Explainer`` is told: ``device``, ``threads``, ``preprocess``, ``section``, ...

    Raises
    ------
    BadModel, BadInput
        A model or file cannot be used, the port is taken, or the page is not built.
    """
    for module in ("starlette", "uvicorn"):
        need(module, "The page")
    from .engine import ServerEngine

    index_html("server", BUILT)
    settings = ModelSettings(method, explainer)
    settings.check()
    each = _labels_of(models, labels)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        stack.enter_context(_ending_quietly())
        folder, listener = stack.enter_context(_temporary_folder()), stack.enter_context(_listening(host, port, say))
        engine = ServerEngine(folder, settings, images, warm=True)
        for path, names in zip(models, each, strict=True):
            _open(engine, Path(path), names, say)
        for model in engine.models.all():
            engine.warm_up_later(model)
        _run(engine, listener, host, browser, max_upload << 20, say)
    end_workers()


def _labels_of(models: Sequence[str | Path], labels: Sequence[str | Path]) -> list[str | Path | None]:
    if not labels:
        return [None] * len(models)
    if len(labels) not in (1, len(models)) or not models:
        raise BadInput(
            f"There are {len(labels)} files of labels for {len(models)} models: give one for all, or one for each in "
            "turn; those of a model that is dropped onto the page are dropped with it."
        )
    return [*labels] * (len(models) if len(labels) == 1 else 1)


def _open(engine: ServerEngine, path: Path, labels: str | Path | None, say: Say) -> None:
    model = engine.models.open(path, path.name, Told(), labels)
    facts = model.facts
    how = "" if model.preprocess is None else f", preprocessed as {model.preprocess.name} ({model.preprocess.source})"
    said = f", labels from {facts['labelsSource']}" if facts["labels"] else ", no labels"
    say(f"{path}: {facts['classes'] or 'unknown'} classes{said}{how}")
    if facts["refused"] is not None:
        say(f"Warning: {path}: {facts['refused']}")


def _run(engine: ServerEngine, listener: socket.socket, host: str, browser: bool, largest: int, say: Say) -> None:
    import uvicorn

    from .site import make_app

    token, port = secrets.token_urlsafe(), int(listener.getsockname()[1])
    app = make_app(engine, token, host=host, port=port, largest=largest)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none",
        proxy_headers=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    here = _address("127.0.0.1" if is_wildcard(host) else host, port, token)
    say(f"The page is at {here}")
    if is_wildcard(host):
        say(f"From other machines: {_address(socket.gethostname(), port, token)}")
    if not is_loopback(host):
        say(f"Warning: {host} is reached from other machines: anybody who knows the token can use this server.")
    say("Press Ctrl-C to stop.")
    if browser:
        threading.Thread(target=webbrowser.open, args=(here,), daemon=True).start()
    with _without_traces():
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _without_traces() -> Iterator[None]:
    """Let uvicorn tell what goes wrong, but not of requests that it breaks off because it was told to stop."""
    logger, stops = logging.getLogger("uvicorn.error"), ("Exception in ASGI application", "Cancel ", "ASGI callable")

    def tells(record: logging.LogRecord) -> bool:
        broken_off = record.exc_info is None or isinstance(record.exc_info[1], asyncio.CancelledError)
        return not (broken_off and record.getMessage().startswith(stops))

    logger.addFilter(tells)
    try:
        yield
    finally:
        logger.removeFilter(tells)


def _address(host: str, port: int, token: str) -> str:
    name = f"[{bare(host)}]" if ":" in host else host
    return f"http://{name}:{port}/?token={token}"


@contextmanager
def _listening(host: str, port: int | None, say: Say) -> Iterator[socket.socket]:
    """Give a socket that listens; where the usual port is taken, on a free one."""
    try:
        listener = _bound(host, PORT if port is None else port)
    except OSError as error:
        if port is not None or error.errno != errno.EADDRINUSE:
            raise BadInput(_why_not(host, PORT if port is None else port, error)) from error
        listener = _bound(host, 0)
        say(f"Port {PORT} is taken; this one is free: {listener.getsockname()[1]}")
    with listener:
        yield listener


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((bare(host), port), family=family, backlog=128)


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken: give another one with --port, or none for one that is free."
    return f"The server cannot listen on {host}, port {port}: {error.strerror or error}; see --host and --port."


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rsp-onnx-serve-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Let a request to terminate end the server as Ctrl-C does, so that nothing is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
