"""What is sent: written to a file while it comes, counted and hashed, and never more than its bound."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .asked import RefusedError

if TYPE_CHECKING:
    from starlette.requests import Request

MODEL, IMAGE, LABELS, JSON = 1 << 31, 64 << 20, 16 << 20, 1 << 20  # bytes at most, by what is sent


@dataclass(frozen=True)
class Upload:
    """A file that was sent."""

    path: Path
    size: int
    digest: str

    def remove(self) -> None:
        """Remove it, and its folder where it has one of its own."""
        self.path.unlink(missing_ok=True)


async def receive(request: Request, folder: Path, suffix: str, most: int) -> Upload:
    """Write the body of a request to a new file.

    Raises
    ------
    RefusedError
        It is empty, or larger than ``most`` bytes, of which no more is read or kept.
    """
    _check_length(request, most)
    path, size, digest = folder / f"{secrets.token_hex(8)}{suffix}", 0, hashlib.sha256()
    try:
        with path.open("xb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise _too_large(most)
                digest.update(chunk)
                file.write(chunk)
        if not size:
            raise RefusedError("The file is empty.")
    except OSError as error:
        path.unlink(missing_ok=True)
        raise RefusedError(f"The file cannot be kept here: {error.strerror or error}.", 507) from error
    except BaseException:  # also where the client goes in the middle
        path.unlink(missing_ok=True)
        raise
    return Upload(path, size, digest.hexdigest())


async def receive_bytes(request: Request, most: int = JSON) -> bytes:
    """Return the body of a request; RefusedError where it is larger than ``most`` bytes."""
    _check_length(request, most)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _check_length(request: Request, most: int) -> None:
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise _too_large(most)


def _too_large(most: int) -> RefusedError:
    return RefusedError(f"The file is larger than the {most / 2**20:,.0f} MiB that are taken here.", 413)
