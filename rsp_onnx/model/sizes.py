"""Which sizes a model takes: the deployed model alone, run on made-up inputs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import RspError

from .session import Session

PICTURE = 224  # what most image classifiers with a free input size were trained on
_USUAL = (16, 64, 128, 32, 256, 512, 299, 320, 640, 1000, 16000)
_ALL = (*range(1, 65), 80, 96, 100, 112, 128, 160, 192, 224, 256, 299, 320, 384, 480, 512, 640, 1000, 1024, 16000)
_PATIENCE = 10.0  # seconds to look for sizes; what was found until then is said
_MOST_SAID = 6

Shapes = Mapping[str, Sequence["int | None"]]


def free_axes(model: ir.Model) -> dict[str, list[int]]:
    """Return, by input, the axes behind the batch that the model leaves free; only inputs that have some."""
    free = {}
    for value in model.graph.inputs:
        axes = [a for a, d in enumerate(value.shape or ()) if a and not isinstance(d, int)]
        if axes and not value.is_initializer():
            free[str(value.name)] = axes
    return free


def with_size(model: ir.Model, size: int) -> dict[str, list[int | None]]:
    """Return the shapes of the inputs with free axes, every one of them filled with one size; the batch stays free."""
    values = {str(v.name): v for v in model.graph.inputs}
    shapes: dict[str, list[int | None]] = {}
    for name in free_axes(model):
        sizes = list(values[name].shape or ())
        shapes[name] = [d if isinstance(d, int) else size if a else None for a, d in enumerate(sizes)]
    return shapes


def trial_sizes(model: ir.Model) -> dict[str, list[int | None]]:
    """Return sizes for the axes a model leaves free at which it runs, for looking at it without an input.

    Pictures get 224 × 224 where that runs. The first usual size is returned where none is found.
    """
    if not free_axes(model):
        return {}
    pictures = all(len(axes) > 1 for axes in free_axes(model).values())
    usual = (PICTURE, *_USUAL) if pictures else _USUAL
    found = next(iter(_sizes_that_run(model, (*usual, *_ALL))), usual[0])
    return with_size(model, found)


def why_not_run(model: ir.Model, feeds: Mapping[str, np.ndarray]) -> str:
    """Return, in a sentence, that and where a model fails on these feeds by itself; empty where it runs.

    Where its sizes are free, the sentence says at which sizes it does run. That it cannot be loaded is said elsewhere.
    """
    try:
        session = Session(model, "cpu")
    except RspError:
        return ""
    try:
        session.run(feeds)
    except RspError as error:
        given = ", ".join(f"{name} {_by(x.shape)}" for name, x in feeds.items())
        return f"The model itself does not run on this input ({given}): {_line(error)}{_at_others(model)}"
    return ""


def _at_others(model: ir.Model) -> str:
    if not free_axes(model):
        return "."
    found = []
    for size in _sizes_that_run(model, _ALL):
        found.append(str(size))
        if len(found) > _MOST_SAID:
            break
    if not found:
        return "; no size was found at which it does: export it again with a fixed size."
    more = " and others" if len(found) > _MOST_SAID else ""
    axes = " and ".join(f"{name!r} on axis {', '.join(map(str, a))}" for name, a in free_axes(model).items())
    return f"; it does run at size {', '.join(found[:_MOST_SAID])}{more} ({axes})."


def _sizes_that_run(model: ir.Model, sizes: Iterable[int]) -> Iterable[int]:
    try:
        session = Session(model, "cpu")
    except RspError:
        return
    end = time.monotonic() + _PATIENCE
    for size in dict.fromkeys(sizes):
        if time.monotonic() > end:
            return
        try:
            session.run(made_up(model, with_size(model, size)))
        except RspError:
            continue
        yield size


def made_up(model: ir.Model, shapes: Shapes) -> dict[str, np.ndarray]:
    """Return feeds of one sample: small numbers, zeros for integers (every table has a row 0)."""
    feeds, draw = {}, np.random.default_rng(0)
    for value in model.graph.inputs:
        if value.is_initializer():
            continue
        own = [d if isinstance(d, int) else None for d in value.shape or ()]
        sizes = [d or 1 for d in shapes.get(str(value.name), own)]
        dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
        numbers = draw.standard_normal(sizes) if np.dtype(dtype).kind == "f" else np.zeros(sizes)
        feeds[str(value.name)] = np.asarray(numbers).astype(dtype)
    return feeds


def _line(error: Exception) -> str:
    """Return what ONNX Runtime says, without what stands before its message and where in its own sources it is."""
    text = str(error).partition("Non-zero status code returned while running ")[2] or str(error)
    text = re.sub(r"node\. Name:('.*?') Status Message: ", r"node \1: ", text)
    text = re.sub(r"\S+\.(?:h|cc):\d+ (?:\S+::)?\w+(?:\([^)]*\))?( (?:const )?[^.]* was false\.)? ", "", text)
    return text.rstrip(".")


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "()"
