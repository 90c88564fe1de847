"""The addresses below /api/, as web/README.md has them."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .asked import RefusedError, explain_request, file_name, read_json, suffix_of
from .engine import ServerEngine, remove_alone
from .uploads import IMAGE, LABELS, receive, receive_bytes
from .workers import Work, Workers, sentence_of

Handler: TypeAlias = "Callable[[Request], Awaitable[Response]]"
FRAMES = "application/octet-stream"


class Api:
    """What answers below ``/api/``.

    Parameters
    ----------
    largest : int
        Bytes of a model that may be sent.
    """

    def __init__(self, engine: ServerEngine, largest: int) -> None:
        self._engine, self._largest = engine, largest
        self._workers, self._long = Workers(8), Workers(4)  # who asks for the state waits for no explanation
        for name in ("models", "images", "labels"):
            (engine.folder / name).mkdir(exist_ok=True)

    def routes(self) -> list[Route]:
        """Return the addresses with who answers there."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/state", self.state), ("POST", "/models", self.add_model),
            ("DELETE", "/models/{id}", self.close_model), ("PUT", "/models/{id}/labels", self.set_labels),
            ("PUT", "/models/{id}/preprocess", self.set_preprocess), ("GET", "/models/{id}/preview", self.preview),
            ("POST", "/images", self.add_image), ("POST", "/explain", self.explain),
            ("GET", "/samples/{number:int}", self.sample),
        ]  # fmt: skip
        return [Route(path, in_sentences(handler), methods=[method]) for method, path, handler in table]

    async def state(self, _: Request) -> Response:
        """Say what there is."""
        return JSONResponse(await self._workers.run(self._engine.state))

    async def add_model(self, request: Request) -> Response:
        """Take a model and open it."""
        self._engine.models.check_room()
        name = file_name(request.query_params.get("name"), "model.onnx")
        folder = self._engine.folder / "models" / secrets.token_hex(8)
        folder.mkdir()
        try:
            sent = await receive(request, folder, ".onnx", self._largest)
        except BaseException:
            remove_alone(folder / "none")
            raise
        return self._streamed(lambda told: self._engine.add_model(sent.path, name, told))

    async def close_model(self, request: Request) -> Response:
        """Forget a model."""
        id = request.path_params["id"]
        await self._workers.run(lambda: self._engine.close_model(id))
        return JSONResponse({})

    async def set_labels(self, request: Request) -> Response:
        """Take a label file for a model."""
        model, name = self._engine.models.get(request.path_params["id"]), request.query_params.get("name")
        shown = file_name(name, "labels.txt")
        sent = await receive(request, self._engine.folder / "labels", suffix_of(shown), LABELS)
        try:
            facts = await self._workers.run(lambda: self._engine.models.relabel(model, sent.path, shown))
        finally:
            sent.path.unlink(missing_ok=True)
        self._engine.warm_up_later(model)
        return JSONResponse(facts)

    async def set_preprocess(self, request: Request) -> Response:
        """Change how photographs are prepared for a model."""
        model, values = self._engine.models.get(request.path_params["id"]), read_json(await receive_bytes(request))
        return JSONResponse(await self._workers.run(lambda: self._engine.models.prepare_as(model, values)))

    async def preview(self, request: Request) -> Response:
        """Show a picture as a model gets it."""
        id, image = request.path_params["id"], request.query_params.get("image", "")
        return Response(await self._workers.run(lambda: self._engine.preview(id, image)), media_type=FRAMES)

    async def add_image(self, request: Request) -> Response:
        """Take a picture or a tensor file."""
        name = file_name(request.query_params.get("name"), "image")
        sent = await receive(request, self._engine.folder / "images", suffix_of(name), IMAGE)
        facts = await self._workers.run(lambda: self._engine.images.add(sent.path, name, sent.digest))
        return JSONResponse(facts)

    async def explain(self, request: Request) -> Response:
        """Explain a picture."""
        asked = explain_request(read_json(await receive_bytes(request)))
        self._engine.models.get(asked.model), self._engine.images.get(asked.image)
        return self._streamed(lambda told: self._engine.explain(asked, told))

    async def sample(self, request: Request) -> Response:
        """Give a picture to begin with; ``?size=N`` a small one."""
        size = request.query_params.get("size")
        if size is not None and not (size.isascii() and size.isdecimal() and int(size[:6]) > 0):
            raise RefusedError("The size of a small picture is a number of pixels.")
        wanted, number = None if size is None else int(size[:6]), request.path_params["number"]
        data, kind = await self._workers.run(lambda: self._engine.samples.picture(number, wanted))
        return Response(data, media_type=kind)

    def _streamed(self, work: Work) -> Response:
        return StreamingResponse(self._long.frames(work), media_type=FRAMES)


def in_sentences(handler: Handler) -> Handler:
    """Let a handler's errors be one sentence of JSON."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            said, status = sentence_of(error)
            return JSONResponse(said, status)

    return answer


async def no_such_address(_: Request, error: Exception) -> Response:
    """Say in one sentence that there is no such address, or not for this kind of request."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    says = "There is nothing at this address." if status == 404 else "This address is not asked that way."
    return JSONResponse({"error": says}, status, dict(getattr(error, "headers", None) or {}))


def make_api(engine: ServerEngine, largest: int) -> Starlette:
    """Return the application below ``/api/``."""
    return Starlette(routes=Api(engine, largest).routes(), exception_handlers={HTTPException: no_such_address})
