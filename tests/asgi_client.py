"""A client of ASGI applications: requests without sockets, from several threads, and clients that leave midway."""

import asyncio
import json
import threading
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlencode

HOST = "127.0.0.1:8765"
_CHUNK = 1 << 16


@dataclass
class Response:
    status_code: int
    headers: dict
    content: bytes

    @property
    def text(self):
        return self.content.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.content)


class AsgiClient:
    """Runs an application in an event loop of its own thread; errors of the application are raised."""

    def __init__(self, app):
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def request(self, method, path, *, params=None, content=b"", json=None, headers=None, gone=None):
        """gone: a threading.Event after which the client leaves; the response so far is returned."""
        return asyncio.run_coroutine_threadsafe(
            self._request(method, path, params, content, json, headers or {}, gone), self._loop
        ).result(120)

    async def _request(self, method, path, params, content, data, headers, gone):
        body = content if data is None else json_bytes(data)
        asked, _, query = path.partition("?")
        own = {"host": HOST, **({"content-length": str(len(body))} if body else {})}
        given = {**own, **{key.lower(): value for key, value in headers.items()}}
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
            "path": unquote_to_bytes(asked).decode("utf-8", "replace"), "raw_path": asked.encode(), "scheme": "http",
            "query_string": (urlencode(params) if params else query).encode(), "root_path": "",
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in given.items() if v is not None],
            "server": ("127.0.0.1", 8765), "client": ("127.0.0.1", 50000),
        }  # fmt: skip
        answer = Response(0, {}, b"")
        await self._app(scope, _Sending(body, gone), _into(answer))
        return answer


class _Sending:
    """What the application receives: the body in parts, then nothing until the client leaves."""

    def __init__(self, body, gone):
        self._parts = [body[i : i + _CHUNK] for i in range(0, len(body), _CHUNK)] or [b""]
        self._gone = gone

    async def __call__(self):
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        while self._gone is None or not self._gone.is_set():
            await asyncio.sleep(0.02)
        return {"type": "http.disconnect"}


def _into(answer):
    async def send(message):
        if message["type"] == "http.response.start":
            answer.status_code = message["status"]
            answer.headers = {key.decode(): value.decode("latin-1") for key, value in message["headers"]}
        else:
            answer.content += message.get("body", b"")

    return send


def json_bytes(data):
    return json.dumps(data).encode()
