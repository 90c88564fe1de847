"""What is declared of an op is true of it: held against the expected outputs of ONNX's own node tests."""

from collections import Counter

import numpy as np
import onnx
import onnx.numpy_helper
import onnx_ir as ir
import onnxruntime as ort
import pytest

from rsp_onnx.explain.supported_ops import supported_ops
from rsp_onnx.graph import op_facts
from rsp_onnx.graph.dag import Graph
from rsp_onnx.graph.op_facts import Data, Role, Sign, facts_of, facts_of_op
from rsp_onnx.graph.signs import is_nonnegative, is_nonpositive, sign_of
from rsp_onnx.rewrite.registry import expanded_ops
from rsp_onnx.rulekit import registry
from rsp_onnx.rulekit.registry import stops

from .backend_nodes import flowing, need_node_tests, node_tests, op_of
from .little import little

NEVER_NEGATIVE = (Sign.NONNEGATIVE, Sign.UNIT)


def arrays_of(test):
    """Return the numbers that go in and the first that come out, as floats; None for what is no tensor of numbers."""
    inputs, outputs = test.data_sets[0]
    return [as_numbers(a) for a in inputs], as_numbers(outputs[0])


def as_numbers(array):
    if isinstance(array, onnx.TensorProto):
        array = onnx.numpy_helper.to_array(array)
    numbers = np.asarray(array) if isinstance(array, np.ndarray | np.generic) else None
    if numbers is None or numbers.dtype.kind not in "fiub":
        return None
    return numbers.astype(np.float64)


def samples():
    """Return (node, graph, inputs, first output) of the node tests of ops with a rule."""
    found = []
    for test in node_tests():
        if op_of(test) not in flowing() or not test.data_sets:
            continue
        model = ir.from_proto(test.model)
        (node,) = model.graph
        inputs, output = arrays_of(test)
        if output is not None and inputs and inputs[0] is not None and output.size:
            given = {v.name: a for v, a in zip(model.graph.inputs, inputs, strict=False)}
            ordered = [None if v is None else given.get(v.name) for v in node.inputs]
            graph = Graph(model, [str(model.graph.inputs[0].name)], stops)
            found.append(pytest.param(node, graph, ordered, output, id=str(test.name)))
    return found


SAMPLES = samples()


def samples_where(holds):
    """Return the parametrisation by those samples for whose node and inputs ``holds`` is true."""
    chosen = [p for p in SAMPLES if holds(p.values[0], p.values[2])]
    return pytest.mark.parametrize(("node", "graph", "inputs", "output"), chosen)


def is_coded(node, _=None):
    """Whether it turns numbers into integers that stand for them, or back."""
    return facts_of(node).data is Data.QUANTISES


def only_moves(node, inputs):
    """Whether it moves entries and nothing else: no rounding, no reduction of nothing, no adding to what is there."""
    rounds = is_coded(node) or node.op_type in ("Cast", "CastLike", "Dropout")
    return facts_of(node).moves and not rounds and inputs[0].size and "reduction" not in node.attributes


@samples_where(lambda node, _: not is_coded(node))
def test_the_sign_of_what_comes_out_is_as_declared(node, graph, inputs, output):
    facts, sign = facts_of(node), sign_of(graph, node)
    data = [a for a in inputs[: facts.data_inputs] if a is not None]
    finite = output[np.isfinite(output)]
    if sign in NEVER_NEGATIVE:
        assert (finite >= 0).all()
    if sign is Sign.UNIT:
        assert (finite <= 1).all()
    if sign is Sign.NONPOSITIVE:
        assert (finite <= 0).all()
    if sign in (Sign.KEEPS, Sign.KEEPS_NONNEGATIVE) and all((a >= 0).all() for a in data):
        assert (finite >= 0).all()
    if sign is Sign.KEEPS and all((a <= 0).all() for a in data):
        assert (finite <= 0).all()
    if sign is Sign.TURNS and all((a >= 0).all() for a in data):
        assert (finite <= 0).all()


@samples_where(only_moves)
def test_an_op_that_moves_entries_makes_no_new_ones(node, graph, inputs, output):
    """What comes out went in; but for constants, where the op pads."""
    facts = facts_of(node)
    source = Counter(np.concatenate([a.ravel() for a in inputs if a is not None]).tolist())
    fill = {0.0, -1e12} if facts.data in (Data.PADS, Data.CROPS) else set()
    result = Counter(output.ravel().tolist())
    assert set(result) - set(source) <= fill
    if facts.data in (Data.KEEPS, Data.REARRANGES):
        assert result == Counter(inputs[0].ravel().tolist())
    if facts.data is Data.KEEPS and node.op_type != "Transpose":
        np.testing.assert_array_equal(output.ravel(), inputs[0].ravel())
    if facts.data is Data.CROPS and node.op_type != "CenterCropPad":
        assert output.size <= inputs[0].size


@samples_where(lambda node, _: facts_of(node).role is Role.ACTIVATION)
def test_an_activation_works_entry_by_entry(node, graph, inputs, output):
    assert output.shape == inputs[0].shape
    pairs = {}
    if len([a for a in inputs if a is not None and a.size > 1]) == 1:
        for x, y in zip(inputs[0].ravel(), output.ravel(), strict=True):
            assert pairs.setdefault(x, y) == y


@samples_where(lambda node, _: facts_of(node).sums)
def test_a_sum_is_the_sum_or_mean_of_its_inputs(node, graph, inputs, output):
    total = sum(inputs) / (len(inputs) if node.op_type == "Mean" else 1)
    if np.abs(total).max() < 200:  # small integers wrap around
        np.testing.assert_allclose(output, total, rtol=1e-5)


def test_the_samples_reach_most_facts():
    need_node_tests()
    ops = {param.values[0].op_type for param in SAMPLES}
    assert len(ops) > 100
    reached = {facts_of_op(op).data for op in ops if facts_of_op(op)}
    assert reached == set(Data)
    assert {Sign.UNIT, Sign.NONPOSITIVE, Sign.TURNS, Sign.KEEPS} <= {sign_of(*p.values[1::-1]) for p in SAMPLES}


# ---- followed through a graph ----


CONSTANTS = {"one": np.array([1]), "two": np.array([2]), "zero": np.float32(0), "minus": np.float32(-1),
             "pads": np.array([0, 1, 0, 1])}  # fmt: skip


def graph_of(body):
    return Graph(ir.from_proto(little(f"g (float[N, 4] x) => (float y) {{ {body} }}", **CONSTANTS)), ["x"], stops)


@pytest.mark.parametrize(
    ("body", "nonnegative", "nonpositive"),
    [
        ("y = Relu(x)", True, False),
        ("a = Relu(x) b = Transpose(a) y = Slice(b, one, two)", True, False),
        ("a = Relu(x) y = Neg(a)", False, True),
        ("a = Relu(x) y = Sub(a, x)", False, False),
        ("a = Sigmoid(x) y = Log(a)", False, True),
        ("a = Relu(x) y = Log(a)", False, False),
        ("a = LogSoftmax(x) y = Identity(a)", False, True),
        ("a = LogSoftmax(x) y = Mul(a, a)", False, False),
        ("y = Clip(x, zero)", True, False),
        ("y = Clip(x, minus)", False, False),
        ("a = Relu(x) y = Pad(a, pads)", True, False),
        ("a = Relu(x) y = Pad(a, pads, minus)", False, False),
        ("a = Relu(x) y = Mul(a, minus)", False, False),
        ("a = Relu(x) y = Add(a, minus)", False, False),
        ("a = Relu(x) y = Add(a, zero)", True, False),
    ],
)
def test_signs_are_followed_up_the_graph(body, nonnegative, nonpositive):
    graph = graph_of(body)
    value = graph.values["y"]
    assert (is_nonnegative(graph, value), is_nonpositive(graph, value)) == (nonnegative, nonpositive)


def test_what_is_drawn_at_random_is_what_onnx_says():
    """Ops with graphs inside aside, which are as random as those, and AffineGrid, which ONNX files wrongly."""
    if not hasattr(onnx.defs.OpSchema, "NodeDeterminism"):
        pytest.skip(f"onnx {onnx.__version__} does not say which ops draw at random")
    drawn = {
        schema.name
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.node_determinism == onnx.defs.OpSchema.NodeDeterminism.NonDeterministic
        and not any(a.type == onnx.defs.OpSchema.AttrType.GRAPH for a in schema.attributes.values())
    }
    assert drawn - {"AffineGrid"} == {op for op, facts in op_facts._FACTS.items() if facts.random}


# ---- no op of ONNX is unknown ----


KNOWN_RUNTIME = (1, 31)
DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview.training")


def newest_ops():
    """Return every op of ONNX whose newest version is not deprecated, with its domain where that is not its own."""
    newest = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        known = newest.get((schema.domain, schema.name))
        if schema.domain in DOMAINS and (known is None or known.since_version < schema.since_version):
            newest[schema.domain, schema.name] = schema
    kept = [s for s in newest.values() if not s.deprecated]
    return {f"{s.domain}::{s.name}" if s.domain else s.name for s in kept}


def test_every_op_of_onnx_has_a_rule_or_a_reason():
    """It flows, moves, is written out, stops the flow for a reason, or cannot have a rule for a reason."""
    known = {op["op"]: op for op in supported_ops()}
    missing = newest_ops() - set(known)
    assert not missing, f"give a rule or a reason to {', '.join(sorted(missing))}"
    silent = [op for op, says in known.items() if not (says["relevance"] or says["gradient"])]
    assert not silent
    assert len(newest_ops()) > 200


def test_every_op_of_onnx_runtime_has_a_rule_or_a_reason():
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    if not hasattr(runtime, "get_all_operator_schema"):
        pytest.skip("this build of ONNX Runtime does not list its ops")
    if tuple(map(int, ort.__version__.split(".")[:2])) > KNOWN_RUNTIME:
        pytest.skip("a newer ONNX Runtime may have ops that nobody looked at yet")
    listed = {f"{s.domain}::{s.name}" for s in runtime.get_all_operator_schema()}
    ours = {op for op in listed if op.startswith(("com.microsoft::", "com.microsoft.nchwc::"))}
    missing = ours - {op["op"] for op in supported_ops()}
    assert not missing, f"give a rule or a reason to {', '.join(sorted(missing))}"
    assert len(ours) > 100


def test_no_op_has_two_answers():
    refused, written = set(registry.refused()), set(expanded_ops())
    ruled = {op for op, _, _ in registry.registered()}
    assert not (refused & written or refused & ruled or written & ruled)
