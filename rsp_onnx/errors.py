"""Every error a user can cause: one clear sentence that says what is wrong and what to do next."""

from __future__ import annotations


class RspError(Exception):
    """Base of all errors of this project; the command line prints it and exits with 2."""


class BadModel(RspError):
    """The model file cannot be read, is not valid ONNX, or cannot be explained as it is."""


class UnsupportedOp(BadModel):
    """One or more ops between input and score have no rule; the message lists all of them at once."""


class BadTarget(RspError):
    """A target or hostile class does not exist in the model's output or in the labels."""


class BadInput(RspError):
    """An image, tensor, label file or preprocessing that cannot be used with this model."""


class BadOutput(RspError):
    """A result cannot be written where it was asked for."""


class DeviceUnavailable(RspError):
    """The device asked for is not there, or the runtime cannot use it."""


class OutOfMemory(RspError):
    """The device has too little memory for what was asked at once.

    Attributes
    ----------
    bytes : int
        How much was wanted in one piece when it ran out; 0 where the runtime does not say.
    """

    def __init__(self, provider: str, size: int) -> None:
        wanted = f" ({size / 1e6:,.0f} MB were wanted in one piece)" if size else ""
        super().__init__(
            f"The memory of the device ran out in {provider}{wanted}: explain fewer images or classes at once "
            "(--batch-size), make --input-shape smaller, or use --device cpu."
        )
        self.bytes = size


class CannotExpandError(Exception):
    """A node cannot be written out in others; the message says why and what to do, told where it is in the way."""


class CacheWarning(UserWarning):
    """The cache of compiled explainers cannot be used; the work goes on without it."""


def said(error: Exception) -> str:
    """Return the first line of another library's error, with its type."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0].rstrip('.')}" if text else type(error).__name__
