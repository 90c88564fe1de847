"""Graphs deeper than Python's stack: chains of thousands of nodes are walked without recursion."""

from itertools import pairwise

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from rsp_onnx import compile_explainer, inspect_model
from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.graph.signs import is_nonnegative, is_zero
from rsp_onnx.graph.upward import answer
from rsp_onnx.model.load import load_model
from rsp_onnx.rewrite.canonize import canonize

from .little import RNG
from .running import CPU, asked, relative_l2, run

DEPTH = 2000  # Python's stack holds 1,000 calls
W, V = RNG(1).randn(4, 4).astype(np.float32), RNG(2).randn(4, 3).astype(np.float32)


def network(*nodes, opset=17, **weights):
    given = {"w": W, "v": V, **weights}
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("x", 1, ["N", 4])],
        [helper.make_tensor_value_info("y", 1, ["N", 3])],
        [numpy_helper.from_array(np.asarray(a), k) for k, a in given.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def chain(op, first, *more, depth=DEPTH):
    """So many nodes of one op; the last tensor is called `end`."""
    names = [first, *(f"{op}_{i}" for i in range(depth - 1)), "end"]
    return [helper.make_node(op, [a, *more], [b]) for a, b in pairwise(names)]


def explained(model, method="rsp"):
    x = RNG(3).randn(2, 4).astype(np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # takes the square of the depth
    options.enable_mem_reuse = False  # likewise
    compiled = compile_explainer(model, method).SerializeToString()
    opened = ort.InferenceSession(compiled, options, providers=CPU)
    return run(opened, {"x": x, **asked((0, 2), samples=2)})["relevance"]


@pytest.mark.parametrize("method", ["rsp", "gradient", "lrp-epsilon"])
def test_a_deep_chain_of_constants_is_its_last_constant(method):
    ends = [helper.make_node("Relu", ["z"], ["r"]), helper.make_node("MatMul", ["r", "v"], ["y"])]
    first = helper.make_node("MatMul", ["x", "w"], ["a"])
    deep = network(
        first, *chain("Add", "c", "step"), helper.make_node("Add", ["a", "end"], ["z"]), *ends,
        c=np.zeros(4, np.float32), step=np.float32(2**-13),
    )  # fmt: skip
    plain = network(first, helper.make_node("Add", ["a", "end"], ["z"]), *ends, end=np.full(4, DEPTH / 2**13, "f"))
    assert relative_l2(explained(deep, method), explained(plain, method)) < 1e-6


@pytest.mark.parametrize("method", ["rsp", "gradient", "lrp-epsilon"])
def test_a_deep_chain_of_activations_is_walked(method):
    first, last = helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["end", "v"], ["y"])
    deep = network(first, *chain("Relu", "a"), last)
    plain = network(first, helper.make_node("Relu", ["a"], ["end"]), last)
    assert relative_l2(explained(deep, method), explained(plain, method)) < 1e-6


@pytest.mark.parametrize("op", ["Relu", "Softplus"])
def test_a_deep_chain_is_inspected_cost_included(op):
    """What is folded, and what ONNX Runtime computes in one pass, is found without recursion and without squares."""
    first, last = helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["end", "v"], ["y"])
    report = inspect_model(network(first, *chain(op, "a"), last))
    assert report["explainable"]
    assert report["cost"]["operations"] > report["cost"]["forward_operations"] > 0


def test_signs_are_found_however_far_up_and_through_however_many_paths():
    double = [helper.make_node("Add", [f"d{i}", f"d{i}"], [f"d{i + 1}"]) for i in range(200)]  # 2^200 paths
    first = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["r"])]
    ends = [helper.make_node("Identity", ["end"], ["d0"]), helper.make_node("MatMul", ["d200", "v"], ["y"])]
    graph = analyse(network(*first, *chain("Relu", "r"), *ends[:1], *double, ends[1])).graph
    assert is_nonnegative(graph, graph.values["d200"])
    assert not is_nonnegative(graph, graph.values["a"])


def test_a_state_of_zeros_is_told_through_however_many_reshapes():
    fill = helper.make_node("ConstantOfShape", ["size"], ["start"])
    start = ir.from_proto(network(fill, *chain("Identity", "start"), size=np.array([2, 4]))).graph
    value = next(v for node in start for v in node.outputs if v.name == "end")
    assert is_zero(lambda _: None, value)


def test_weights_standardised_far_behind_their_file_are_computed():
    """A BatchNormalization that trains on constants means nothing at opset 18: its inputs are computed."""
    norm = helper.make_node("BatchNormalization", ["end", "one", "nil", "nil", "one"], ["n", "m", "u"], training_mode=1)
    nodes = [*chain("Neg", "c", depth=1200), norm, helper.make_node("Reshape", ["n", "size"], ["k"]),
             helper.make_node("MatMul", ["x", "k"], ["a"]), helper.make_node("Relu", ["a"], ["r"]),
             helper.make_node("MatMul", ["r", "v"], ["y"])]  # fmt: skip
    c = RNG(4).randn(1, 4, 4).astype(np.float32)
    model = network(*nodes, opset=17, c=c, one=np.ones(4, "f"), nil=np.zeros(4, "f"), size=np.array([4, 4]))
    found = canonize(load_model(model)).graph
    assert "BatchNormalization" not in [node.op_type for node in found]


def test_every_question_is_asked_once():
    asked_for = []

    def paths(n):
        asked_for.append(n)
        if n < 2:
            return 1
        before = yield n - 1
        return before + (yield n - 2)

    assert answer(1, lambda n: iter(()) if n < 0 else paths(n), {}) == 1
    assert answer(3000, paths, {}) % 10**6 == fibonacci(3000) % 10**6
    assert len(asked_for) - 1 == 3001


def fibonacci(n):
    a, b = 1, 1
    for _ in range(n):
        a, b = b, a + b
    return a
