"""Collecting intermediate tensors by name, from the model as it is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.errors import BadInput

from .load import Model, ModelSource, load_model
from .session import Session


def collect_activations(
    model: ModelSource | Model, x: np.ndarray | Mapping[str, np.ndarray], names: Sequence[str], *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Return intermediate tensors of one run.

    Only the tensors asked for become outputs; ONNX Runtime frees all others as soon as their last reader has run.

    Parameters
    ----------
    x : ndarray or mapping
        The model's input, in its own dtype and shape; several by name.
    names : sequence of str
        Tensor names of the deployed graph, as ``rsp-onnx inspect --json`` lists them.

    Returns
    -------
    dict of str to ndarray
        In the tensors' own dtypes and shapes.

    Raises
    ------
    BadInput
        A name does not exist, or the input does not fit.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    work = loaded.ir.clone()
    values = tensor_table(work)
    for name in names:
        if name not in values:
            raise BadInput(_unknown(name, list(values)))
    have = {v.name for v in work.graph.outputs}
    given = {str(v.name) for v in work.graph.inputs}
    for name in dict.fromkeys(names):
        if name not in have and name not in given and not values[name].is_initializer():
            work.graph.outputs.append(values[name])
    feeds = x if isinstance(x, Mapping) else {_only_input(work): x}
    results = Session(work, device).run(feeds, [n for n in names if n in {v.name for v in work.graph.outputs}])
    return {name: _pick(name, results, feeds, values) for name in names}


def _pick(
    name: str, results: Mapping[str, np.ndarray], feeds: Mapping[str, np.ndarray], values: Mapping[str, ir.Value]
) -> np.ndarray:
    if name in results:
        return results[name]
    constant = values[name].const_value
    return np.asarray(feeds[name]) if constant is None else np.asarray(constant.numpy())


def tensor_table(model: ir.Model) -> dict[str, ir.Value]:
    """Return every named tensor of the main graph."""
    values = [*model.graph.inputs, *model.graph.initializers.values(), *(v for n in model.graph for v in n.outputs)]
    return {str(v.name): v for v in values if v.name}


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=4, cutoff=0.3) or list(known[:4])
    similar = ", ".join(map(repr, close))
    return f"The model has no tensor {name!r}; similar ones are {similar} (rsp-onnx inspect --json lists all)."


def _only_input(model: ir.Model) -> str:
    names = [str(v.name) for v in model.graph.inputs if not v.is_initializer()]
    if len(names) != 1:
        raise BadInput(f"The model has {len(names)} inputs; give a mapping by name: {', '.join(map(repr, names))}.")
    return names[0]
