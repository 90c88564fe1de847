"""ONNX's own backend node tests as points to check gradients at.

Of every node test whose op has a gradient its attributes, shapes, constants and optional inputs and outputs are taken,
in float64. Its values are replaced: all different, away from kinks (the 0 of a ReLU, the ties of a maximum).
``python -m tests.test_backend_nodes`` says what they reach.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rsp_onnx.graph.rule_modules import load_all_rules
from rsp_onnx.rulekit import registry

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
TINY_FLOATS = {number for name, number in TensorProto.DataType.items() if name.startswith(("FLOAT8", "FLOAT4"))}
INTEGERS = {TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
            TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64}  # fmt: skip
LOWEST_OPSET = 18  # of the compiler: an op that has not changed since is written in it
COMMON_OPSET = 24  # the runtime knows opsets up to 26

# inputs of floating point that the rules take as constants, or that float32 is too coarse for (slot numbers)
PARAMETERS = {
    "CastLike": (1,), "Clip": (1, 2), "Conv": (1, 2), "ConvTranspose": (1, 2), "DequantizeLinear": (1, 2),
    "Dropout": (1,), "LayerNormalization": (1, 2), "Pad": (2,), "Pow": (1,), "QuantizeLinear": (1, 2),
    "Resize": (1, 2), "Attention": (3,), "RotaryEmbedding": (1, 2), "DeformConv": (1, 3), "GRU": (1, 2, 3),
    "LSTM": (1, 2, 3, 7), "RNN": (1, 2, 3), "ArrayFeatureExtractor": (1,),
}  # fmt: skip

POSITIVE, WIDE = (0.3, 3.0), (-5.0, 5.0)
SPANS = {
    "Log": POSITIVE, "Sqrt": POSITIVE, "Pow": POSITIVE, "Div": POSITIVE, "Reciprocal": POSITIVE,
    "ReduceLogSum": POSITIVE, "ReduceProd": POSITIVE, "HardSigmoid": WIDE, "HardSwish": WIDE, "ThresholdedRelu": WIDE,
    "Clip": WIDE, "Acos": (-0.8, 0.8), "Asin": (-0.8, 0.8), "Atanh": (-0.8, 0.8), "Acosh": (1.3, 4.0),
    "Tan": (-1.2, 1.2), "BatchNormalization": POSITIVE,
}  # fmt: skip
# ops that choose among values, which must stay further apart than the step of the difference quotient
CHOOSING = {"MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min", "TopK", "ReduceL1", "Abs", "Relu",
            "LeakyRelu", "PRelu", "LpPool", "Shrink", "LpNormalization"}  # fmt: skip
APART = 2.0**-6
ROUNDING = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
CACHE = "the key-value cache of text generation"
KERNEL = "the kit's float64 kernel is without output_shape and auto_pad"
STASH = "the runtime computes mean and deviation in float32"
MASKED = "the runtime's Attention with a mask and is_causal is in float32"

# node tests whose models are refused when compiling, by name
REFUSED = {
    "*training_mode*": "statistics of the batch",
    "training_dropout*": "random",
    "einsum_batch_diagonal": "a diagonal",
    "attention_*past*": CACHE,
    "attention_*nonpad*": CACHE,
    "attention_*ext_cache*": CACHE,
    "scatter*_reduction_m*": "a product or an extremum of updates",
    "scatternd_m*": "a product or an extremum of updates",
}  # fmt: skip
# node tests that are no point to check, by name
LEFT_OUT = {
    "attention_*_fullymasked_*": "a softmax over nothing",
    "attention_*nan_robustness": "a softmax over nothing",
    "attention_*padded_kv*": "the runtime knows no mask shorter than the keys",
    "*quantizelinear_*int2": "two bits, of opset 25",
    "spacetodepth_*_mode_*": "of opset 28, which the runtime does not know",
    "mod_*fmod_0*": "the runtime takes the remainder of floats with fmod alone",
    "mod_mixed_sign_int*": "the remainder of integers, without fmod",
    "mod_uint*": "the remainder of integers, without fmod",
    "mod_broadcast": "the remainder of integers, without fmod",
}
# node tests checked in float32, in ONNX Runtime
SINGLE = {
    "convtranspose_output_shape": KERNEL,
    "convtranspose_kernel_shape": KERNEL,
    "convtranspose_autopad_same": KERNEL,
    "layer_normalization_*": STASH,
    "attention_*mask*causal*": MASKED,
    "attention_*softmax_precision": MASKED,
    "maxunpool_export_with_output_shape": "the reference counts indices in the shape it infers, the runtime as asked",
    "resize_downsample_scales_*_align_corners": "the reference ends at scale·size − 1, the runtime at the last entry",
}


@dataclass(frozen=True)
class Case:
    """One node test as a model whose gradient can be checked.

    Attributes
    ----------
    op : str
        The op it stands for.
    feeds : dict
        The inputs to differentiate by, at a point that is no kink; all else is an initializer.
    how : str
        ``adjoint`` in float64, ``single`` in float32, or ``rounds``: the gradient passes straight through.
    """

    name: str
    op: str
    model: onnx.ModelProto
    feeds: Mapping[str, np.ndarray]
    how: str

    def __str__(self) -> str:
        return self.name


@cache
def node_tests() -> tuple[Any, ...]:
    """Return ONNX's node tests; those that expand a function into its nodes are left out.

    Older versions of the package keep them in files that are loaded when they are run: then there are none here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package computes its expected outputs as it is imported
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    return tuple(t for t in found if t.model and len(t.model.graph.node) == 1 and "_expanded" not in t.name)


def need_node_tests() -> None:
    """Skip the test where this version of onnx has none to look at."""
    if not node_tests():
        pytest.skip(f"onnx {onnx.__version__} keeps its node tests in files")


@cache
def flowing() -> frozenset[str]:
    """Return the ops with a gradient rule; what is rewritten before the walk (loops, recurrent layers) has none."""
    load_all_rules()
    return frozenset(registry._VJPS)


def op_of(test: Any) -> str:
    """Return the op of a node test, with its domain where that is not ONNX's own."""
    (node,) = test.model.graph.node
    return f"{node.domain}::{node.op_type}" if node.domain else str(node.op_type)


def named(name: str, table: Mapping[str, str]) -> str:
    """Return what a table of name patterns says of a node test; empty where it says nothing."""
    return next((says for pattern, says in table.items() if fnmatch(name, pattern)), "")


@cache
def cases() -> tuple[Case, ...]:
    """Return a case for every node test of an op with a gradient that has an input to differentiate by."""
    return tuple(c for _, c in _sorted_out() if isinstance(c, Case))


@cache
def left_out() -> dict[str, str]:
    """Return why node tests of ops with a gradient are no case, by name."""
    return {name: why for name, why in _sorted_out() if isinstance(why, str)}


@cache
def _sorted_out() -> tuple[tuple[str, Case | str], ...]:
    return tuple((_name(t), _case(t)) for t in node_tests() if op_of(t) in flowing())


def _name(test: Any) -> str:
    return str(test.name).removeprefix("test_")


def _case(test: Any) -> Case | str:
    (node,), name = test.model.graph.node, _name(test)
    arrays, kinds = _inputs(test)
    if why := named(name, LEFT_OUT):
        return why
    if node.op_type.startswith("QLinear"):
        return "integers in and out"
    if any(a is None for a in arrays.values()):
        return "no tensors"
    kinds = _as_floats(test, kinds)
    slots = PARAMETERS.get(node.op_type, ())
    free = list(dict.fromkeys(n for i, n in enumerate(node.input) if n and kinds[n] in FLOATS and i not in slots))
    if node.op_type in ROUNDING:
        return _quantised(test, arrays)
    if not free:
        return "no input of floating point"
    if any(not arrays[n].size for n in free):
        return "an input has no entries"
    if node.op_type.startswith("Cast") and test.model.graph.output[0].type.tensor_type.elem_type not in FLOATS:
        return _rounding_cast(test, free[0], arrays)
    how = "single" if named(name, SINGLE) else "adjoint"
    kind = TensorProto.FLOAT if how == "single" else TensorProto.DOUBLE
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    fixed = {n: a.astype(dtype) if kinds[n] in FLOATS else a for n, a in arrays.items() if n not in free}
    inputs = [helper.make_tensor_value_info(n, kind, arrays[n].shape) for n in free]
    graph = helper.make_graph(
        [_in_type(node, kind)], name, inputs, _outputs(test, kind),
        [numpy_helper.from_array(a, n) for n, a in fixed.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=_opsets(test.model, node), ir_version=10)
    feeds = _spread(node.op_type, {n: arrays[n].shape for n in free})
    return Case(name, op_of(test), model, {n: a.astype(dtype) for n, a in feeds.items()}, how)


def _inputs(test: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the node's inputs as arrays (None: no tensor) and their element types, by name."""
    arrays, kinds = {}, {}
    for value, given in zip(test.model.graph.input, test.data_sets[0][0], strict=True):
        kinds[value.name] = value.type.tensor_type.elem_type
        array = numpy_helper.to_array(given) if isinstance(given, TensorProto) else given
        arrays[value.name] = np.asarray(array) if isinstance(array, np.ndarray | np.generic) else None
    return arrays, kinds


def _as_floats(test: Any, kinds: Mapping[str, int]) -> dict[str, int]:
    """Let a node test in integers run in floats where its op allows them and has a gradient through them."""
    (node,) = test.model.graph.node
    if node.domain or node.op_type in ROUNDING or node.op_type.startswith(("Cast", "Q")):
        return dict(kinds)
    version = next(o.version for o in test.model.opset_import if not o.domain)
    schema = onnx.defs.get_schema(node.op_type, version, "")
    found, main = dict(kinds), schema.outputs[0].type_str
    for i, name in enumerate(node.input):
        formal = schema.inputs[min(i, len(schema.inputs) - 1)]
        if name and formal.type_str == main and "tensor(double)" in formal.types and kinds[name] in INTEGERS:
            found[name] = TensorProto.FLOAT
    return found


def _in_type(node: onnx.NodeProto, kind: int) -> onnx.NodeProto:
    twin = onnx.NodeProto()
    twin.CopyFrom(node)
    twin.name = "the_node"
    for attribute in twin.attribute:
        if attribute.name in ("to", "dtype") and attribute.i in FLOATS:
            attribute.i = kind
    if node.op_type == "GroupNormalization":
        twin.attribute.append(helper.make_attribute("stash_type", kind))  # of mean and deviation
    return twin


def _outputs(test: Any, kind: int) -> list[onnx.ValueInfoProto]:
    """Return the outputs; those that share no type with the first, such as a mean in float32, keep their own."""
    (node,), found = test.model.graph.node, []
    version = next(o.version for o in test.model.opset_import if o.domain == node.domain)
    formal = onnx.defs.get_schema(node.op_type, version, node.domain).outputs
    types = [formal[min(i, len(formal) - 1)].type_str for i, n in enumerate(node.output) if n]
    for value, type_str in zip(test.model.graph.output, types, strict=True):
        tensor = value.type.tensor_type
        mine = kind if tensor.elem_type in FLOATS | INTEGERS and type_str in types[:1] else tensor.elem_type
        shape = [d.dim_value for d in tensor.shape.dim] if tensor.HasField("shape") else None
        found.append(helper.make_tensor_value_info(value.name, mine, shape))
    return found


def _opsets(model: onnx.ModelProto, node: onnx.NodeProto) -> list[onnx.OperatorSetIdProto]:
    """Return the imports, ONNX's own as low as the node keeps its meaning, so that the runtime knows it."""
    versions = {o.domain: o.version for o in model.opset_import}
    if node.domain:
        return [helper.make_opsetid(d, v) for d, v in {**versions, "": LOWEST_OPSET}.items()]
    since = onnx.defs.get_schema(node.op_type, versions[""], "").since_version
    version = min(versions[""], max(since, LOWEST_OPSET))
    known = onnx.defs.has(node.op_type, COMMON_OPSET, "")  # not an op that was born later
    if version > COMMON_OPSET and known and _is_in(onnx.defs.get_schema(node.op_type, COMMON_OPSET, ""), node):
        version = COMMON_OPSET
    return [helper.make_opsetid("", version)]


def _is_in(schema: onnx.defs.OpSchema, node: onnx.NodeProto) -> bool:
    """Tell whether an older schema has all that a node uses: what came since is more types."""
    return len(node.input) <= schema.max_input and all(a.name in schema.attributes for a in node.attribute)


def _spread(op: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return different values, evenly spread over the op's span and never 0."""
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    low, high = SPANS.get(op, (-2.0, 2.0))
    if op in CHOOSING:
        high = max(high, APART * sum(sizes) / 2)
        low = -high
    places = np.random.default_rng(0).permutation(sum(sizes))
    values = np.split(low + (high - low) * (places + 0.77) / sum(sizes), np.cumsum(sizes)[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), values, strict=True)}


def _rounding_cast(test: Any, name: str, arrays: Mapping[str, np.ndarray]) -> Case | str:
    """Return a Cast to fewer bits as it stands, in float32."""
    (node,), value = test.model.graph.node, test.model.graph.output[0]
    if value.type.tensor_type.elem_type not in TINY_FLOATS:
        return "casts to integers"
    x = helper.make_tensor_value_info(name, TensorProto.FLOAT, arrays[name].shape)
    fixed = [numpy_helper.from_array(a, n) for n, a in arrays.items() if n != name]
    graph = helper.make_graph([_in_type(node, TensorProto.FLOAT)], _name(test), [x], [value], fixed)
    model = helper.make_model(graph, opset_imports=_opsets(test.model, node), ir_version=10)
    feeds = {name: _spread("Cast", {name: arrays[name].shape})[name].astype(np.float32)}
    return Case(_name(test), op_of(test), model, feeds, "rounds")


def _quantised(test: Any, arrays: Mapping[str, np.ndarray]) -> Case | str:
    """Return a quantisation with a DequantizeLinear behind it, or the other way round: alone they speak integers."""
    (node,) = test.model.graph.node
    ends = [v.type.tensor_type.elem_type for v in (test.model.graph.input[0], test.model.graph.output[0])]
    if TensorProto.FLOAT not in ends:
        return "scales in half precision"
    x, *rest = node.input
    own = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    shared = {n: v for n, v in own.items() if n in ("axis", "block_size")}
    if node.op_type == "DynamicQuantizeLinear":
        nodes = [helper.make_node(node.op_type, [x], ["q", "scale", "zero"], name="the_node")]
        rest = ["scale", "zero"]
    elif node.op_type == "QuantizeLinear":
        nodes = [helper.make_node(node.op_type, [x, *rest], ["q"], name="the_node", **own)]
    else:
        kind = {} if len(rest) > 1 else {"output_dtype": ends[0]}
        nodes = [helper.make_node("QuantizeLinear", [x, *rest], ["q"], name="before", **shared, **kind)]
    nodes.append(helper.make_node("DequantizeLinear", ["q", *rest], ["y"], name="behind", **shared))
    shape = arrays[x].shape
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in (x, "y")]
    fixed = [numpy_helper.from_array(a, n) for n, a in arrays.items() if n != x]
    graph = helper.make_graph(nodes, _name(test), values[:1], values[1:], fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", COMMON_OPSET)], ir_version=10)
    feeds = {x: _spread("QuantizeLinear", {x: shape})[x].astype(np.float32)}
    return Case(_name(test), op_of(test), model, feeds, "rounds")


def summary(why_not: Callable[[str], str]) -> str:
    """Return how many ops the node tests reach, and why they do not reach the others."""
    counts = Counter(c.op for c in cases())
    hows = Counter(c.how for c in cases() if not named(c.name, REFUSED))
    refused = sum(1 for c in cases() if named(c.name, REFUSED))
    lines = [
        f"{len(counts)} of {len(flowing())} ops with a gradient are reached by {len(cases())} of ONNX's node tests: "
        f"{hows['adjoint']} by the adjoint identity in float64, {hows['single']} in float32, "
        f"{hows['rounds']} where rounding is passed straight through, {refused} refused in a sentence.",
        "Not reached:",
    ]
    lines += [f"  {op}: {why_not(op)}" for op in sorted(flowing() - set(counts))]
    lines += ["Node tests left out:"]
    for why, count in Counter(left_out().values()).most_common():
        names = [name for name, because in left_out().items() if because == why]
        lines.append(f"  {count} {why}: {', '.join(names[:3])}{', ...' if count > 3 else ''}")
    lines += ["Refused:"]
    lines += [f"  {c.name}: {named(c.name, REFUSED)}" for c in cases() if named(c.name, REFUSED)]
    return "\n".join(lines)
