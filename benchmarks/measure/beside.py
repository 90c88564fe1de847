"""Other libraries on the same network: PyTorch's own gradient, captum, zennit, onnx-ad; none is needed.

Each is timed as its users call it; whether the maps agree is what ``*_beside.py`` of the folder above say.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import engines as ours
from .engines import TARGET, Run
from .models import Feeds

FOLDER = Path(__file__).resolve().parents[1]
Made = tuple[dict[str, Run], dict[str, str]]


def engines(path: Path, method: str, threads: int, feeds: Feeds) -> Made:
    """Return what can be run for a method, by name, and why the others cannot."""
    makers: dict[str, Callable[[], Run]] = {
        "rsp-onnx, explain()": lambda: ours.explain(path, method, threads, feeds),
        "PyTorch, forward and gradient": lambda: _gradient(path, threads, feeds),
    }
    if method == "gradient":
        makers["onnx-ad"] = lambda: _onnx_ad(path, threads, feeds)
        makers["captum, Saliency"] = lambda: _captum(path, threads, feeds)
    elif method == "lrp-epsilon-plus-flat":
        makers["zennit"] = lambda: _zennit(path, threads, feeds)
    runs: dict[str, Run] = {}
    absent: dict[str, str] = {}
    for name, make in {"plain": lambda: ours.plain(path, threads, feeds), **makers}.items():
        try:
            runs[name] = make()
            runs[name]()
        except Exception as error:  # of another library, which is not ours to mend
            runs.pop(name, None)
            absent[name] = (str(error).splitlines() or [type(error).__name__])[0][:100]
    return runs, absent


def _network(path: Path, threads: int, feeds: Feeds) -> tuple[Any, Any]:
    """Return the network in PyTorch and its input."""
    import torch

    from .networks import TORCH

    name = "digits" if path.stem == "digits_pytorch" else path.stem
    if name not in TORCH:
        raise LookupError("the file is not built from PyTorch here")
    torch.set_num_threads(threads)
    (x,) = feeds.values()
    return TORCH[name]().eval(), torch.tensor(x)


def _gradient(path: Path, threads: int, feeds: Feeds) -> Run:
    import torch

    net, x = _network(path, threads, feeds)

    def run() -> object:
        given = x.clone().requires_grad_()
        return torch.autograd.grad(net(given)[0, TARGET], given)

    return run


def _captum(path: Path, threads: int, feeds: Feeds) -> Run:
    net, x = _network(path, threads, feeds)
    method = importlib.import_module("captum.attr").Saliency(net)
    return lambda: method.attribute(x.clone().requires_grad_(), target=TARGET)


def _zennit(path: Path, threads: int, feeds: Feeds) -> Run:
    """Return LRP under zennit's EpsilonPlusFlat, BatchNormalization merged; residual sums are not hooked."""
    import torch

    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    try:
        _, composites, canonizers, _ = importlib.import_module("zennit_beside").load_zennit()
    except SystemExit as error:
        raise ImportError(str(error)) from None
    net, x = _network(path, threads, feeds)
    composite = composites.EpsilonPlusFlat(canonizers=[canonizers.SequentialMergeBatchNorm()])

    def run() -> object:
        given = x.clone().requires_grad_()
        with composite.context(net) as hooked:
            return torch.autograd.grad(hooked(given)[0, TARGET], given)

    return run


def _onnx_ad(path: Path, threads: int, feeds: Feeds) -> Run:
    """Return the gradient of onnx-ad's reverse model of the first output."""
    import onnx

    onnx_ad: Any = importlib.import_module("onnx_ad")
    model = onnx.load(path)
    for value in (v for v in model.graph.input if v.name in feeds):  # it must know all sizes
        value.CopyFrom(onnx.helper.make_tensor_value_info(
            value.name, value.type.tensor_type.elem_type, feeds[value.name].shape))  # fmt: skip
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model)
    del model.graph.output[1:]
    output, explained = model.graph.output[0].name, list(feeds)
    reversed_model = onnx_ad.reverse(
        model, inputs=explained, outputs=[output], prefix="adj_", dim="nadj", layout="onnx"
    )
    session = ours.open_plain(reversed_model.SerializeToString(), threads)
    classes = ours.open_plain(path, threads).run([output], feeds)[0].shape
    seed = np.zeros((*classes, 1), np.float32)
    seed.reshape(-1)[TARGET] = 1.0
    given = {**feeds, session.get_inputs()[-1].name: seed}
    return lambda: session.run(None, given)
