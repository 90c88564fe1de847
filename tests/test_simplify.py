"""Fewer nodes: each pattern where it applies and where it must not; its numbers stay what they are, to the bit."""

import numpy as np
import onnx_ir as ir
import pytest

from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.explain import compile as compiling
from rsp_onnx.explain.compile import compile_ir
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.model.session import Session
from rsp_onnx.simplify.simplify import simplify

from .zoo import FAMILIES, export

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
X[0, 0] = [-0.0, np.nan, np.inf, -np.inf]


def written(write):
    """A graph y = f(x) whose nodes ``write(op, x)`` emits; x: float32 [2, 3, 4]."""
    x = ir.Value(name="x", shape=ir.Shape([2, 3, 4]), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 18}, name="g")
    op = Emitter(graph, np.dtype(np.float32))
    for index, value in enumerate(write(op, x)):
        out = op.emit("Identity", value, name=f"y{index}")
        out.type = ir.TensorType(ir.DataType.FLOAT)
        graph.outputs.append(out)
    return ir.Model(graph, ir_version=9)


def ops(model):
    return sorted(node.op_type for node in model.graph if node.op_type != "Identity")


def simplified(write, own=()):
    """The op types that are left, after a look at the numbers."""
    before, after = written(write), written(write)
    simplify(after, [node for node in after.graph if node.op_type in own])
    assert [v.name for v in after.graph.outputs] == [v.name for v in before.graph.outputs]
    results = [Session(model, "cpu", 1).run({"x": X}) for model in (before, after)]
    for name, want in results[0].items():
        assert want.tobytes() == results[1][name].tobytes()
    return ops(after)


BECOMES = {
    "reshape of a reshape": (lambda op, x: [op.Reshape(op.Reshape(x, [6, 4]), [-1])], ["Reshape"]),
    "reshape of an unsqueeze": (lambda op, x: [op.Reshape(op.Unsqueeze(x, [0]), [24])], ["Reshape"]),
    "reshape of a flatten and a squeeze": (
        lambda op, x: [op.Reshape(op.Squeeze(op.Unsqueeze(op.Flatten(x, axis=1), [0]), [0]), [4, 6])], ["Reshape"],
    ),
    "a zero copies a size": (lambda op, x: [op.Reshape(op.Reshape(x, [6, 4]), [0, 2, 2])], ["Reshape", "Reshape"]),
    "a shape that is computed": (
        lambda op, x: [op.Reshape(op.Reshape(x, [6, 4]), op.Concat([-1], op.Shape(x, start=2), axis=0))], ["Reshape"],
    ),
    "two transposes": (
        lambda op, x: [op.Transpose(op.Transpose(x, perm=[1, 2, 0]), perm=[1, 2, 0])], ["Transpose"],
    ),
    "there and back": (lambda op, x: [op.Transpose(op.Transpose(x, perm=[1, 2, 0]), perm=[2, 0, 1])], []),
    "a transpose alone": (lambda op, x: [op.Transpose(x, perm=[0, 2, 1])], ["Transpose"]),
    "minus minus": (lambda op, x: [op.Neg(op.Neg(x))], []),
    "minus": (lambda op, x: [op.Neg(op.Relu(op.Neg(x)))], ["Neg", "Neg", "Relu"]),
    "rectified twice": (lambda op, x: [op.Relu(op.Relu(x)), op.Relu(op.Abs(op.Abs(x)))], ["Abs", "Relu"]),
    "rectified, then its size": (lambda op, x: [op.Abs(op.Relu(x))], ["Abs", "Relu"]),
    "rectified, then not": (lambda op, x: [op.Relu(op.Neg(op.Abs(x)))], ["Abs", "Neg", "Relu"]),
    "times one": (lambda op, x: [op.Mul(op.Mul(1.0, x), 1.0)], []),
    "times one of another shape": (lambda op, x: [op.Mul(x, np.ones((1, 1, 1, 1)))], ["Mul"]),
    "times two": (lambda op, x: [op.Mul(x, 2.0)], ["Mul"]),
    "by one, minus nothing": (lambda op, x: [op.Sub(op.Div(x, 1.0), 0.0)], []),
    "one by x, nothing minus x": (lambda op, x: [op.Sub(0.0, op.Div(1.0, x))], ["Div", "Sub"]),
    "plus nothing is not x, where x is minus zero": (lambda op, x: [op.Add(x, 0.0)], ["Add"]),
    "equal nodes": (lambda op, x: [op.Add(op.Relu(x), op.Relu(x))], ["Add", "Relu"]),
    "equal chains": (lambda op, x: [op.Exp(op.Neg(x)), op.Exp(op.Neg(x))], ["Exp", "Neg"]),
    "other attributes": (
        lambda op, x: [op.Add(op.LeakyRelu(x, alpha=0.1), op.LeakyRelu(x, alpha=0.2))],
        ["Add", "LeakyRelu", "LeakyRelu"],
    ),
    "other inputs": (lambda op, x: [op.Add(op.Add(x, 1.0), op.Add(x, 2.0))], ["Add", "Add", "Add"]),
    "nobody reads it": (lambda op, x: [op.Relu(x), op.Softmax(op.Exp(x), axis=1)][:1], ["Relu"]),
    "a shape that is known": (lambda op, x: [op.Expand(1.0, op.Shape(x)), op.Shape(op.Relu(x))][:1], ["Expand"]),
    "one tensor joined": (lambda op, x: [op.Concat(x, axis=1)], []),
}  # fmt: skip


@pytest.mark.parametrize("case", BECOMES)
def test_a_pattern_where_it_applies_and_where_it_does_not(case):
    write, left = BECOMES[case]
    assert simplified(write) == sorted(left)


def test_the_models_own_nodes_stay():
    def write(op, x):
        return [op.Add(op.Relu(op.Neg(op.Neg(x))), op.Relu(op.Neg(op.Neg(x))))]

    assert simplified(write) == ["Add", "Relu"]
    assert simplified(write, own=("Neg",)) == ["Add", "Neg", "Neg", "Neg", "Neg", "Relu", "Relu"]
    assert simplified(write, own=("Relu",)) == ["Add", "Relu", "Relu"]


def test_random_numbers_are_drawn_as_often_as_they_were():
    def write(op, x):
        first, second = (op.Identity(op.RandomNormalLike(x, dtype=1)) for _ in range(2))
        return [op.Sub(first, second)]

    model = written(write)
    simplify(model, [])
    assert ops(model).count("RandomNormalLike") == 2
    assert np.abs(Session(model, "cpu", 1).run({"x": X})["y0"]).max() > 0


def test_constants_nobody_reads_go_and_the_models_own_stay():
    model = written(lambda op, x: [op.Mul(x, 1.0)])
    weight = ir.Value(name="weight", const_value=ir.tensor(np.ones(3, np.float32), name="weight"))
    model.graph.register_initializer(weight)
    simplify(model, [])
    assert list(model.graph.initializers) == ["weight"]


def test_a_constant_that_was_removed_can_be_written_again():
    model = written(lambda op, x: [x])
    op = Emitter(model.graph, np.dtype(np.float32))
    op.Mul(model.graph.inputs[0], 3.0)
    simplify(model, [])
    assert ops(model) == [] and not model.graph.initializers
    model.graph.outputs[0] = op.Mul(model.graph.inputs[0], 3.0)
    model.graph.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    (tripled,) = Session(model, "cpu", 1).run({"x": X}).values()
    np.testing.assert_array_equal(tripled, 3 * X)


@pytest.mark.parametrize(
    ("name", "one_by_one"), [*((name, True) for name in FAMILIES), *((name, False) for name in list(FAMILIES)[::4])]
)
def test_maps_stay_what_they_are_within_rounding(name, one_by_one, monkeypatch):
    entry = FAMILIES[name]
    analysis = analyse(export(entry.make(), entry.shape).SerializeToString())
    fewer = compile_ir(analysis, one_by_one=one_by_one)
    monkeypatch.setattr(compiling, "simplify", lambda *_: None)
    all_of_them = compile_ir(analysis, one_by_one=one_by_one)
    counts = [sum(1 for _ in model.graph.all_nodes()) for model in (fewer, all_of_them)]
    assert counts[0] < counts[1]
    x = np.random.default_rng(0).normal(size=(1, *entry.shape[1:])).astype(np.float32)
    feeds = {"x": x, "target": np.array([[1], [2]]), "hostile": np.array([[[3]], [[-1]]])}
    got, want = (Session(model, "cpu", 1).run(feeds) for model in (fewer, all_of_them))
    for key in want:
        np.testing.assert_allclose(got[key], want[key], rtol=0, atol=1e-6 * np.abs(want[key]).max())
