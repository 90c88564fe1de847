"""Reading a model's file: large weights go past protobuf, and what is read is what protobuf reads."""

import hashlib
import io
import os
import threading
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from rsp_onnx.errors import BadModel
from rsp_onnx.model import ready, serialise
from rsp_onnx.model.file import source, take_weights
from rsp_onnx.model.load import load_model
from rsp_onnx.model.session import Session

from .little import RNG, conv_net, little, nhwc_net, table_net


@pytest.fixture
def everything(monkeypatch):
    """Let every weight of more than three bytes be a large one, read in parts of five."""
    monkeypatch.setattr(take_weights, "LARGE", 3)
    monkeypatch.setattr(source, "_CHUNK", 5)


def branches():
    """A model whose weights lie everywhere: beside the graph, in a Constant, beside a branch, in a Constant in one."""
    values = {"outer": RNG(0).randn(4), "held": RNG(1).randn(4), "inner": RNG(2).randn(4), "deep": RNG(3).randn(4)}
    tensors = {k: numpy_helper.from_array(v.astype(np.float32), k) for k, v in values.items()}
    out = helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None)
    body = helper.make_graph(
        [
            helper.make_node("Constant", [], ["d"], value=tensors["deep"]),
            helper.make_node("Add", ["inner", "d"], ["b"]),
        ],
        "body", [], [out], [tensors["inner"]],
    )  # fmt: skip
    nodes = [
        helper.make_node("Constant", [], ["h"], value=tensors["held"]),
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["i"], then_branch=body, else_branch=body),
        helper.make_node("Sum", ["x", "outer", "h", "i"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4]) for n in "xy"]
    zero = numpy_helper.from_array(np.float32(-1e9), "zero")
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [tensors["outer"], zero])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def numbers(model):
    """Return every stored tensor of a model in memory, in the order of its graphs and nodes."""
    found = [v.const_value for graph in model.graphs() for v in graph.initializers.values()]
    attributes = (a for node in model.graph.all_nodes() for a in node.attributes.values())
    return [t.numpy() for t in [*found, *(a.value for a in attributes if a.type == ir.AttributeType.TENSOR)]]


def by_protobuf(proto):
    return numbers(ir.from_proto(proto))


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@pytest.mark.parametrize("form", ["path", "bytes", "proto", "pipe"])
@pytest.mark.parametrize("build", [branches, conv_net, table_net], ids=["branches", "conv", "table"])
def test_what_is_read_is_what_protobuf_reads(build, form, tmp_path, everything, monkeypatch):
    proto, path = build(), tmp_path / "m.onnx"
    raw = proto.SerializeToString(deterministic=True)
    taken, put = [], take_weights.Taken.put
    monkeypatch.setattr(take_weights.Taken, "put", lambda self, weight: taken.append(weight) or put(self, weight))
    if form == "pipe":
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=[raw]).start()
    else:
        path.write_bytes(raw)
    found = load_model({"bytes": raw, "proto": proto}.get(form, path))
    assert_same(numbers(found.ir), by_protobuf(proto))
    assert found.sha256 == found.file_sha256 == hashlib.sha256(raw).hexdigest()
    # every weight of the file
    assert sum(w.size for w in taken) == sum(a.nbytes for a in by_protobuf(proto) if a.nbytes > 3)


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize(
    "kind", ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT64", "BOOL", "COMPLEX64", "FLOAT8E4M3FN",
             "INT4", "UINT4", "FLOAT4E2M1"],
)  # fmt: skip
def test_numbers_of_every_type_are_read(kind, little_endian, everything, monkeypatch):
    monkeypatch.setattr(take_weights, "sys", SimpleNamespace(byteorder="little" if little_endian else "big"))
    dtype = ir.DataType[kind]
    bits = RNG(0).randint(0, 2 if kind == "BOOL" else 256, 2 * 9 * dtype.bitwidth // 8).astype(np.uint8)
    proto = conv_net()
    proto.graph.initializer.append(
        onnx.TensorProto(name="more", dims=[2, 9], data_type=int(dtype), raw_data=bits.tobytes())
    )
    raw, taken = take_weights.take_weights(opened(proto.SerializeToString()))
    tensor = onnx.ModelProto.FromString(raw).graph.initializer[-1]
    assert len(tensor.raw_data) == 24
    found = take_weights.filled(ir.TensorProtoTensor(tensor), taken)
    wanted = ir.TensorProtoTensor(proto.graph.initializer[-1])
    assert (found.dtype, found.shape, found.name) == (wanted.dtype, wanted.shape, "more")
    assert found.tobytes() == wanted.tobytes()


def opened(raw):
    return source.Source(io.BytesIO(raw), len(raw))


def test_the_last_of_two_values_counts_as_with_protobuf(everything):
    proto = table_net()
    weight = proto.graph.initializer[0]
    first = onnx.TensorProto(raw_data=bytes(len(weight.raw_data))).SerializeToString()
    twice = onnx.TensorProto.FromString(first + weight.SerializeToString())
    assert twice == weight
    whole = proto.SerializeToString()
    body = weight.SerializeToString()
    # written by hand: the weight with its old value before its own
    rest = onnx.ModelProto.FromString(whole)
    del rest.graph.initializer[0]
    double = first + body
    graph = rest.graph.SerializeToString() + b"\x2a" + source.varint(len(double)) + double
    rest.ClearField("graph")
    raw = rest.SerializeToString() + b"\x3a" + source.varint(len(graph)) + graph
    assert_same(numbers(load_model(raw).ir), by_protobuf(onnx.ModelProto.FromString(raw)))


def test_every_cut_is_told(everything):
    raw = branches().SerializeToString()
    for length in range(len(raw)):
        with pytest.raises(BadModel, match=r"cut off|empty|no graph|valid ONNX|damaged"):
            load_model(raw[:length])


def test_damaged_bytes_are_read_as_protobuf_reads_them_or_refused(everything):
    raw, draw, read = branches().SerializeToString(), np.random.default_rng(0), 0
    for _ in range(1000):
        damaged = bytearray(raw)
        for place in draw.integers(0, len(raw), draw.integers(1, 4)):
            damaged[place] = draw.integers(256)
        try:
            found = load_model(bytes(damaged))
        except BadModel:
            continue
        try:
            wanted = by_protobuf(onnx.ModelProto.FromString(bytes(damaged)))
        except DecodeError:
            pytest.fail("protobuf refuses what was read")
        assert_same(numbers(found.ir), wanted)
        read += 1
    assert read > 50


def test_a_length_that_a_file_only_claims_is_not_allocated():
    weight = b"\x4a" + source.varint(1 << 44)
    initializer = b"\x2a" + source.varint(1 << 45) + weight
    for raw in (b"\x3a" + source.varint(1 << 46) + initializer, weight, b"\x3a" + b"\xff" * 11):
        with pytest.raises(BadModel, match="cut off"):
            load_model(raw)


def test_messages_inside_messages_without_end_are_refused(everything):
    raw = b"\x0a\x01g"
    for _ in range(3000):  # a graph in an attribute of a node of a graph
        for key in (b"\x32", b"\x2a", b"\x0a"):
            raw = key + source.varint(len(raw)) + raw
    with pytest.raises(BadModel, match="cut off"):
        load_model(b"\x3a" + source.varint(len(raw)) + raw)


def test_a_weight_of_another_size_than_its_shape_says_is_damaged(everything):
    proto = table_net()
    proto.graph.initializer[0].raw_data += bytes(4)
    with pytest.raises(BadModel, match=r"The weight 'w' of the model is damaged: .*; export the model again"):
        load_model(proto)
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-5]
    with pytest.raises(BadModel, match="The weight 'w' of the model is damaged"):
        load_model(proto)


# ---- handing over ----


def tall_net():
    """A weight that ONNX Runtime turns round when it optimises, so that what it was given is not what it runs."""
    return little(
        """g (float[1,8,4,4] x) => (float[1,5] y) <int64[2] flat = {1, -1}> {
            t = Transpose<perm=[0,2,3,1]>(x) a = Add(t, w) b = Relu(a) u = Transpose<perm=[0,3,1,2]>(b)
            c = Conv<pads=[1,1,1,1]>(u, k) f = Reshape(c, flat) y = MatMul(f, v) }""",
        w=RNG(0).randn(1, 4, 4, 8).astype(np.float32), k=RNG(1).randn(8, 8, 3, 3).astype(np.float32),
        v=RNG(2).randn(128, 5).astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "copied by an older runtime"])
@pytest.mark.parametrize("build", [tall_net, nhwc_net, conv_net])
def test_what_is_handed_over_gives_the_same_scores(build, in_place, tmp_path, monkeypatch):
    model = load_model(build()).ir
    x = model.graph.inputs[0]
    feeds = {"x": RNG(5).randn(*(d if isinstance(d, int) else 1 for d in x.shape)).astype(np.float32)}
    plain = Session(model, "cpu").run(feeds)["y"]
    monkeypatch.setattr(serialise, "HAND_OVER", 0)
    monkeypatch.setattr(serialise, "LARGE_WEIGHT", 20)  # bytes; what tells a shape must stay in the model
    if not in_place:
        monkeypatch.setattr(ready, "_reads_in_place", lambda version: False)
    handed = Session(model, "cpu", keep=tmp_path / "kept.onnx")
    sizes = [v.const_value.nbytes for v in model.graph.initializers.values()]
    assert sorted(array.nbytes for _, array in handed._weights) == sorted(size for size in sizes if size > 20)
    assert np.array_equal(handed.run(feeds)["y"], plain)
    again = Session(ready.Ready(tmp_path / "kept.onnx", optimised=True), "cpu")
    assert np.array_equal(again.run(feeds)["y"], plain)


@pytest.mark.parametrize(
    ("version", "reads"), [("1.20.1", False), ("1.30.0", False), ("1.31.1", True), ("2.0.0.dev1+cu13", True)]
)
def test_which_runtimes_read_weights_where_they_are(version, reads):
    assert ready._reads_in_place(version) == reads


def test_half_bytes_stay_in_the_model(monkeypatch):
    weight = ir.tensor(np.arange(8).astype(ir.DataType.INT4.numpy()).reshape(2, 4), name="w")
    value = ir.Value(name="w", const_value=weight, type=ir.TensorType(ir.DataType.INT4), shape=weight.shape)
    graph = ir.Graph([], [], nodes=[], initializers=[value], opset_imports={"": 21})
    for name in ("HAND_OVER", "LARGE_WEIGHT"):
        monkeypatch.setattr(serialise, name, 0)
    assert serialise.made_ready(ir.Model(graph, ir_version=10)).weights == ()
