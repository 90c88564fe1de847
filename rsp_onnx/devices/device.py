"""Where to run: what a device word such as ``cuda:1`` means, and what its execution provider is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import onnxruntime as ort

from rsp_onnx.errors import BadInput, DeviceUnavailable

from .probe import probe

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# the words of --device; what the installed runtime lacks of the last four is a note, and runs on the CPU
PROVIDERS = {
    "cpu": CPU, "cuda": CUDA, "tensorrt": "TensorrtExecutionProvider", "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider", "coreml": "CoreMLExecutionProvider",
}  # fmt: skip
WORDS = ("auto", *PROVIDERS)
_TOLD: dict[str, dict[str, str]] = {  # by default, see docs/runtimes.md
    # EXHAUSTIVE, ONNX Runtime's default, searches anew for every size of a batch; doubling the arena takes twice the
    # memory that is needed
    CUDA: {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
}
Provider: TypeAlias = "str | tuple[str, dict[str, str]]"


@dataclass(frozen=True)
class Device:
    """A device as it was asked for.

    Attributes
    ----------
    word : str
        One of ``WORDS``.
    index : int or None
        Which of several, as in ``cuda:1``.
    options : mapping
        What the execution provider is told besides, by its own names.
    """

    word: str
    index: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Device:
        """Read ``WORD[:INDEX][,KEY=VALUE...]``; BadInput where it says something else."""
        name, *given = text.split(",")
        word, colon, index = name.partition(":")
        if word not in WORDS:
            raise BadInput(f"The device is one of {', '.join(WORDS)}, not {word!r}.")
        if colon and (not index.isdecimal() or word in ("auto", "cpu")):
            raise BadInput(f"The device {name!r} is none: a number follows a device that there are several of: cuda:1.")
        pairs = [item.partition("=") for item in given]
        for key, equals, value in pairs:
            if not (key and equals and value):
                raise BadInput(f"{key + equals + value!r} is no option of an execution provider: write KEY=VALUE.")
        options = {key: value for key, _, value in pairs}
        if len(options) < len(pairs):
            raise BadInput(f"An option of the execution provider is given twice in {text!r}: give each once.")
        if options and word in ("auto", "cpu"):
            raise BadInput(f"Options of an execution provider need a device that has one, such as cuda, not {word}.")
        return cls(word, int(index) if index else None, options)

    def to_text(self) -> str:
        """Return what ``read`` reads."""
        name = self.word if self.index is None else f"{self.word}:{self.index}"
        return ",".join([name, *(f"{key}={value}" for key, value in self.options.items())])

    @property
    def told(self) -> dict[str, str]:
        """What the execution provider is told: the defaults, the index, and what was asked for, which goes first."""
        where = {} if self.index is None else {"device_id": str(self.index)}
        return {**_TOLD.get(PROVIDERS.get(self.word, ""), {}), **where, **self.options}


@dataclass(frozen=True)
class Resolved:
    """The execution providers of a session, and what must be said of them.

    Attributes
    ----------
    providers : tuple
        In their order, each with its options where it has any.
    asked : Device
        What was asked for.
    note : str
        Why that is not what runs; empty where it is.
    """

    providers: tuple[Provider, ...]
    asked: Device
    note: str = ""

    @property
    def names(self) -> list[str]:
        """The providers' names."""
        return [one if isinstance(one, str) else one[0] for one in self.providers]

    def suit(self, options: ort.SessionOptions) -> None:
        """Set what the first provider needs of a session."""
        if self.names[0] == CUDA:  # it has no kernels for integers, so that constants may be made numbers at once
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        if self.names[0] == PROVIDERS["directml"]:  # as its documentation asks for
            options.enable_mem_pattern = False

    @property
    def on_cpu(self) -> bool:
        """Tell whether the CPU alone runs it."""
        return self.names == [CPU]


def resolve_device(text: str) -> Resolved:
    """Return the providers for a device.

    Raises
    ------
    BadInput
        There is no such device.
    DeviceUnavailable
        CUDA was asked for and does not work here.
    """
    device = Device.read(text)
    if device.word == "cpu":
        return Resolved((CPU,), device)
    if device.word == "auto":
        return Resolved((CPU,) if _why_not(CUDA) else _with_cpu(Device("cuda")), device)
    provider = PROVIDERS[device.word]
    why = _why_not(provider)
    if not why:
        return Resolved(_with_cpu(device), device)
    if device.word == "cuda":
        raise DeviceUnavailable(
            f"CUDA was asked for, but it cannot be used here: {why}; it takes an NVIDIA GPU with its driver and "
            'pip install "onnxruntime-gpu[cuda,cudnn]", or use --device auto or cpu.'
        )
    note = f"{device.word} was asked for, but it cannot be used here: {why}; the CPU runs instead"
    return Resolved((CPU,), device, note)


def _with_cpu(device: Device) -> tuple[Provider, ...]:
    name, told = PROVIDERS[device.word], device.told
    return ((name, told) if told else name), CPU


@lru_cache(maxsize=8)
def _why_not(provider: str) -> str:
    """Return why a provider does not work; asked once."""
    if provider not in ort.get_available_providers():
        return f"the installed ONNX Runtime {ort.__version__} has no {provider}"
    why = probe(provider)
    if "fallback to CPU EP has been explicitly disabled" in why:  # what is said of a provider that did not load
        return f"{provider} does not load, because a library or the device is missing (rsp-onnx doctor says which)"
    return why


def in_full_precision(text: str) -> str:
    """Return the device that computes products in float32 where it might take TF32, which keeps 10 bits of 23."""
    device = Device.read(text)
    if device.word == "auto" and not resolve_device(text).on_cpu:
        device = Device("cuda")
    if device.word != "cuda" or "use_tf32" in device.options:
        return text
    return Device(device.word, device.index, {**device.options, "use_tf32": "0"}).to_text()
