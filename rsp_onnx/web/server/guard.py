"""Who is served: requests to this host by its own name, from its own page, and below /api/ with the token."""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_POLICY = {
    "default-src": "'self'", "script-src": "'self' 'wasm-unsafe-eval'", "img-src": "'self' blob: data:",
    "connect-src": "'self' blob:", "worker-src": "'self' blob:", "style-src": "'self' 'unsafe-inline'",
    "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
}  # fmt: skip
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{key} {value}" for key, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Guard:
    """Refuses other hosts and origins, and puts the headers on every answer.

    A page of another site can make a browser send requests here, under a name of its own that it lets point here (DNS
    rebinding), or with its own name as the origin; it can write neither this host's name nor the token.

    Parameters
    ----------
    host : str
        Where the server listens. Beside the names of a loopback, that name is served; where it listens on all
        addresses, so are this machine's name and every address written as a number, which nobody can let point
        elsewhere.
    port : int
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._app, self._port, self._any = app, port, is_wildcard(host)
        names = {*LOOPBACK, bare(host).lower()} | ({socket.gethostname().lower()} if self._any else set())
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_encoded(HEADERS)]
            await send(message)

        why = self._why_not(_values(scope, b"host"), _values(scope, b"origin"))
        if why:
            await refuse(send_with_headers, 403, why)
        else:
            await self._app(scope, receive, send_with_headers)

    def _why_not(self, hosts: list[str], origins: list[str]) -> str:
        """Return why a request is not served; empty where it is."""
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return "This server is not reached under that name: open the address that rsp-onnx serve printed."
        if any(origin.lower() != f"http://{hosts[0]}".lower() for origin in origins):
            return "Requests of other pages are not served: open the address that rsp-onnx serve printed."
        return ""

    def _is_ours(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        if parts.netloc != host or "@" in host or port != self._port:
            return False
        return name in self._names or (self._any and _is_number(name))


class TokenGuard:
    """Asks for the token, and lets nobody keep the answers."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._wanted = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_unkept(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"cache-control", b"no-store")]
            await send(message)

        given = [value for key, value in scope["headers"] if key == b"authorization"]
        if len(given) == 1 and hmac.compare_digest(given[0], self._wanted):
            await self._app(scope, receive, send_unkept)
            return
        says = "The token is missing or another server's: open the address that rsp-onnx serve printed."
        await refuse(send_unkept, 401, says, {"WWW-Authenticate": "Bearer"})


async def refuse(send: Send, status: int, says: str, headers: Mapping[str, str] | None = None) -> None:
    """Answer with one sentence."""
    body = json.dumps({"error": says}).encode()
    kind = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(kind)})
    await send({"type": "http.response.body", "body": body})


def is_wildcard(host: str) -> bool:
    """Tell of a host that means all addresses of this machine."""
    return _is_number(bare(host)) and ipaddress.ip_address(bare(host)).is_unspecified


def is_loopback(host: str) -> bool:
    """Tell of a host that nobody but this machine reaches."""
    name = bare(host).lower()
    return name == "localhost" or (_is_number(name) and ipaddress.ip_address(name).is_loopback)


def bare(host: str) -> str:
    """Return a host without the brackets of an IPv6 address."""
    return host.removeprefix("[").removesuffix("]")


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
