"""The adjoint of a convolution as it is emitted: equal to torch's, by the op that is meant for it."""

import numpy as np
import onnx_ir as ir
import pytest
import torch

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.model.session import Session
from rsp_onnx.rulekit.convolution import Window, adjoint_convolve

CASES = {  # kernel, stride, dilation, before, after, size, group
    "same": ((3, 3), 1, 1, (1, 1), (1, 1), (7, 6), 1),
    "valid": ((3, 2), 1, 1, (0, 0), (0, 0), (7, 6), 1),
    "pointwise": ((1, 1), 1, 1, (0, 0), (0, 0), (5, 4), 1),
    "pads that differ": ((3, 4), 1, 1, (0, 1), (2, 2), (7, 6), 1),
    "wide pads": ((2, 2), 1, 1, (3, 0), (1, 4), (5, 4), 1),
    "pads below 0 behind": ((3, 3), 1, 1, (0, 1), (-1, -2), (8, 9), 1),
    "dilated": ((3, 2), 1, 2, (2, 1), (2, 1), (9, 6), 1),
    "groups": ((3, 3), 1, 1, (1, 1), (1, 1), (6, 5), 4),
    "depthwise": ((5, 3), 1, 1, (2, 1), (2, 1), (6, 5), 8),
    "signal": ((5,), 1, 1, (2,), (1,), (11,), 2),
    "volume": ((2, 3, 2), 1, 1, (1, 1, 0), (0, 1, 1), (4, 5, 4), 1),
    "stride": ((3, 3), 2, 1, (1, 1), (1, 1), (7, 8), 1),
    "stride, pads that differ": ((3, 3), 2, 1, (0, 0), (1, 1), (8, 8), 8),
    "stride, pads that differ the other way": ((4, 3), 2, 1, (2, 1), (0, 0), (9, 8), 1),
    "stride, rows no window reaches": ((2, 2), 4, 1, (0, 0), (0, 0), (9, 11), 1),
}  # fmt: skip


def geometry(kernel, stride, dilation, before, after, size):
    n = len(kernel)
    rows = zip(size, before, after, kernel, strict=True)
    out = tuple((s + b + a - dilation * (k - 1) - 1) // stride + 1 for s, b, a, k in rows)
    return Window(kernel, (stride,) * n, (dilation,) * n, before, after, size, out)


def emitted(w, weight, s, group, channels, kind):
    """Convᵀ(s, W) as the graph computes it, and the ops that do. kind: how W is known."""
    graph = ir.Graph([], [], nodes=[], opset_imports={"": 18}, name="g")
    op = Emitter(graph, np.dtype(np.float32))
    for name, array in {"s": s, **({"w": weight} if kind == "computed" else {})}.items():
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.FLOAT))
        graph.inputs.append(value)
    known = {"constant": lambda: op.constant(weight), "of constants": lambda: op.Neg(op.constant(-weight))}
    read = graph.inputs[1] if kind == "computed" else known[kind]()
    out = op.Identity(adjoint_convolve(op, graph.inputs[0], read, w, group, channels))
    out.type, out.name = ir.TensorType(ir.DataType.FLOAT), "out"
    graph.outputs.append(out)
    feeds = {"s": s, **({"w": weight} if kind == "computed" else {})}
    found = Session(ir.Model(graph, ir_version=9), "cpu", 1).run(feeds)["out"]
    return found, {node.op_type for node in graph} & {"Conv", "ConvTranspose"}


@pytest.mark.parametrize("kind", ["constant", "of constants", "computed"])
@pytest.mark.parametrize("case", CASES)
def test_the_adjoint_is_torchs(case, kind):
    *shape, group = CASES[case]
    w, rng = geometry(*shape), np.random.default_rng(0)
    channels, filters = 8, 12 if group < 8 else 16
    weight = rng.normal(size=(filters, channels // group, *w.kernel)).astype(np.float32)
    s = rng.normal(size=(2, filters, *w.out)).astype(np.float32)
    pads = [p for pair in reversed(list(zip(w.before, w.after, strict=True))) for p in pair]
    x = torch.zeros((2, channels, *w.size), requires_grad=True)
    forward = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[w.axes - 1]
    y = forward(torch.nn.functional.pad(x, pads), torch.tensor(weight), None, w.strides, 0, w.dilations, group)
    y.backward(torch.tensor(s))
    found, ops = emitted(w, weight, s, group, channels, kind)
    want = x.grad.numpy()
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=0, atol=2e-6 * np.abs(want).max())
    reach = [d * (k - 1) for d, k in zip(w.dilations, w.kernel, strict=True)]
    turned = kind != "computed" and set(w.strides) == {1} and all(r >= b for r, b in zip(reach, w.before, strict=True))
    turned = turned and all(r >= a for r, a in zip(reach, w.after, strict=True))
    assert ops == ({"Conv"} if turned else {"ConvTranspose"})


def test_an_image_of_few_channels_takes_convtranspose():
    w = geometry(*CASES["same"][:-1])
    weight, s = np.ones((4, 3, 3, 3), np.float32), np.ones((1, 4, *w.out), np.float32)
    assert emitted(w, weight, s, 1, 3, "constant")[1] == {"ConvTranspose"}
