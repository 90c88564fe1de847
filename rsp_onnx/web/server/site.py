"""The whole application: the guards in front, the built page with its files, and what answers below /api/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount, Route

from rsp_onnx.web.built import BUILT, index_html

from .api import in_sentences, make_api, no_such_address
from .asked import RefusedError
from .engine import ServerEngine
from .guard import Guard, TokenGuard
from .uploads import MODEL

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_TYPES = {
    ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html",
    ".json": "application/json", ".wasm": "application/wasm", ".svg": "image/svg+xml", ".png": "image/png",
    ".ico": "image/x-icon", ".woff2": "font/woff2", ".txt": "text/plain", ".map": "application/json",
}  # fmt: skip


def page_routes(built: Path = BUILT) -> list[Route]:
    """Return the addresses of the page and its files; none of them holds a secret."""
    page, folder = index_html("server", built), built.resolve()

    async def index(_: Request) -> Response:
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    async def file(request: Request) -> Response:
        path = _inside(folder, request.path_params["path"])
        if path is None:
            raise RefusedError("There is nothing at this address.", 404)
        return FileResponse(path, media_type=_TYPES.get(path.suffix, "application/octet-stream"))

    return [Route("/", index), Route("/index.html", index), Route("/{path:path}", in_sentences(file))]


def _inside(folder: Path, asked: str) -> Path | None:
    """Return the file of a folder that is asked for; None where there is none, or it lies elsewhere."""
    try:
        path = (folder / asked.lstrip("/")).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (ValueError, OSError):  # a NUL byte, a name that is too long
        return None


def make_app(
    engine: ServerEngine, token: str, *, host: str = "127.0.0.1", port: int = 8765, largest: int = MODEL,
    built: Path = BUILT,
) -> ASGIApp:  # fmt: skip
    """Return the server as an ASGI application.

    Parameters
    ----------
    token : str
        What every request below ``/api/`` must know.
    host, port
        Where it is reached; requests under another name are refused.
    largest : int
        Bytes of a model that may be sent.
    built : Path
        The built page.

    Raises
    ------
    BadInput
        The page is not built.
    """
    api = TokenGuard(make_api(engine, largest), token)
    routes = [Mount("/api", api), *page_routes(built)]
    whole = Starlette(routes=routes, exception_handlers={HTTPException: no_such_address})
    return Guard(whole, host, port)
