"""How pixels become the numbers a model was trained on: the values, and the presets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsp_onnx.errors import BadInput
from rsp_onnx.types import Record

CHANNEL_ORDERS = ("RGB", "BGR", "L", "RGBA")
RESIZES = ("stretch", "crop", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos", "box")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and low <= int(value) <= high


def _are_numbers(values: object) -> bool:
    return isinstance(values, Sequence) and len(values) in (1, 3, 4) and all(_is_number(v) for v in values)


def _is_size(value: object) -> bool:
    return value is None or (
        isinstance(value, Sequence) and len(value) == 2 and all(_is_whole(n, 1, 1 << 15) for n in value)
    )


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda v: isinstance(v, str) and bool(v), "a text"),
    "size": (_is_size, "[height, width] in pixels"),
    "channels": (lambda v: v is None or v in CHANNEL_ORDERS, f"one of {', '.join(CHANNEL_ORDERS)}"),
    "scale": (lambda v: _is_number(v) and v != 0, "a finite number other than 0"),
    "mean": (_are_numbers, "a list of 1, 3 or 4 finite numbers"),
    "std": (lambda v: _are_numbers(v) and min(v) > 0, "a list of 1, 3 or 4 finite numbers above 0"),
    "resize": (lambda v: v in RESIZES, f"one of {', '.join(RESIZES)}"),
    "crop_fraction": (lambda v: _is_number(v) and 0 < v <= 1, "a number above 0, at most 1"),
    "pad_value": (lambda v: _is_whole(v, 0, 255), "a whole number from 0 to 255"),
    "interpolation": (lambda v: v in INTERPOLATIONS, f"one of {', '.join(INTERPOLATIONS)}"),
    "source": (lambda v: isinstance(v, str), "a text"),
}


def problems_of(values: Mapping[str, Any]) -> list[str]:
    """Return everything that is wrong with the fields, in words; empty if they fit."""
    problems = [
        f"{key} must be {wanted}, not {values[key]!r}"
        for key, (fits, wanted) in _CHECKS.items()
        if not fits(values[key])
    ]
    if not problems:
        lengths = {key: len(values[key]) for key in ("mean", "std") if len(values[key]) > 1}
        if values["channels"] is not None and lengths:
            lengths["channels"] = len(values["channels"])
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{key} has {n}" for key, n in lengths.items())
            problems.append(f"mean, std and channels must agree on the number of channels ({counts})")
    return problems


@dataclass(frozen=True)
class Preprocess:
    """How a photograph becomes a tensor: x = (pixel * scale - mean) / std, pixel in 0..255.

    Parameters
    ----------
    name : str
        What to call it in reports.
    size : tuple of int, optional
        (height, width) in pixels; None takes the graph's own.
    channels : {"RGB", "BGR", "L", "RGBA"}, optional
        Order of the tensor's channels; None: RGB for 3, L (gray) for 1, RGBA for 4 channels.
    scale : float
        Factor on the pixels, before the mean is taken off. Pixels are numbers of 0..255 whatever the file holds: those
        of 16 bits were divided by 257 and keep their fractions, so 12-bit values of 0..4095 in 16 bits are 0..15.93,
        and become 0..1 by a scale of 257/4095 = 0.0627595.
    mean, std : tuple of float
        In the order of the tensor's channels; a single number serves all of them.
    resize : {"stretch", "crop", "pad"}
        Distort to the size; or shorter side to size / crop_fraction and crop the centre; or letterbox.
    crop_fraction : float
        In (0, 1], for "crop" only.
    pad_value : int
        Pixel value 0..255 of the letterbox margins.
    interpolation : {"bilinear", "bicubic", "nearest", "lanczos", "box"}
        Pillow's filter; all but nearest average when they shrink.
    source : str
        Where it came from: "given", "preset", "file", "metadata" or "guessed".

    Raises
    ------
    BadInput
        If fields are wrong; the message lists all of them.
    """

    name: str = "custom"
    size: tuple[int, int] | None = None
    channels: str | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: str = "stretch"
    crop_fraction: float = 0.875
    pad_value: int = 0
    interpolation: str = "bilinear"
    source: str = "given"

    def __post_init__(self) -> None:
        problems = problems_of(vars(self))
        if problems:
            raise BadInput(f"Preprocessing '{self.name}': {'; '.join(problems)}.")
        for key in ("mean", "std"):  # lists and numpy numbers are welcome, but stored hashable and JSON-ready
            object.__setattr__(self, key, tuple(float(v) for v in getattr(self, key)))
        if self.size is not None:
            object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))

    def to_dict(self) -> Record:
        """Return all fields, ready for JSON; `resolve_preprocess` reads it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def value_range(self, channels: int, top: float = 255.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the smallest and largest value a pixel of 0..top can become, per channel: two arrays [channels].

        Raises
        ------
        BadInput
            If mean or std have another number of channels.
        """
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise BadInput(
                    f"Preprocessing '{self.name}' has {len(values)} values of {key}, but the model has "
                    f"{channels} channels: give 1 or {channels}."
                )
        mean, std = np.broadcast_to(self.mean, channels), np.broadcast_to(self.std, channels)
        ends = np.stack([(0.0 - mean) / std, (top * self.scale - mean) / std])
        return ends.min(axis=0), ends.max(axis=0)


PRESETS: dict[str, Preprocess] = {
    preset.name: preset
    for preset in (
        Preprocess(
            "imagenet-torch", None, "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), source="preset"
        ),
        Preprocess("imagenet-caffe", None, "BGR", 1.0, (104.0, 117.0, 123.0), source="preset"),
        Preprocess("imagenet-tf", None, "RGB", 1.0, (127.5,), (127.5,), source="preset"),
        Preprocess("unit", source="preset"),
        Preprocess("raw", scale=1.0, source="preset"),
    )
}
