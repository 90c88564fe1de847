"""Little models for tests of the library and the command line, written as text with random, seeded weights."""

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

RNG = np.random.RandomState


def little(text: str, opset: int = 17, **weights: np.ndarray) -> onnx.ModelProto:
    """A model from ONNX's text form, the weights given by name."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}, "my": 1]>\n{text}')
    model.graph.initializer.extend(numpy_helper.from_array(w, name) for name, w in weights.items())
    return model


def conv_net(
    batch: object = "N",
    channels: int = 3,
    size: object = (12, 12),
    classes: int = 4,
    end: str = "",
    dtype: str = "float",
) -> onnx.ModelProto:
    """Conv, Relu, pooling, dense layer; `end` is an op after it, such as Softmax<axis=1>."""
    kind = {"float": np.float32, "float16": np.float16}[dtype]
    height, width = size
    last = f"z = Gemm<transB=1>(f, v, b) y = {end}(z)" if end else "y = Gemm<transB=1>(f, v, b)"
    return little(
        f"""g ({dtype}[{batch},{channels},{height},{width}] x) => ({dtype}[{batch},{classes}] y) {{
            a = Conv<pads=[1,1,1,1]>(x, w, c) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) {last} }}""",
        w=RNG(1).randn(6, channels, 3, 3).astype(kind),
        c=RNG(2).randn(6).astype(kind),
        v=RNG(3).randn(classes, 6).astype(kind),
        b=RNG(4).randn(classes).astype(kind),
    )


def nhwc_net(size: int = 12, classes: int = 4) -> onnx.ModelProto:
    """The same network as tf2onnx writes it: channels last, a Transpose before the first Conv."""
    model = conv_net(size=(size, size), classes=classes)
    graph = model.graph
    graph.node[0].input[0] = "t"
    graph.node.insert(0, helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
    graph.input[0].CopyFrom(helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", size, size, 3]))
    return model


def signal_net() -> onnx.ModelProto:
    """A 1-D signal [N, 2, 32] to 3 classes."""
    return little(
        """g (float[N,2,32] x) => (float[N,3] y) {
            a = Conv<pads=[1,1]>(x, w) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }""",
        w=RNG(1).randn(5, 2, 3).astype(np.float32),
        v=RNG(3).randn(5, 3).astype(np.float32),
    )


def volume_net() -> onnx.ModelProto:
    """A 3-D volume [N, 1, 6, 7, 8] to 3 classes."""
    return little(
        """g (float[N,1,6,7,8] x) => (float[N,3] y) {
            a = Conv<pads=[1,1,1,1,1,1]>(x, w) r = Relu(a) p = GlobalAveragePool(r)
            f = Flatten(p) y = MatMul(f, v) }""",
        w=RNG(1).randn(5, 1, 3, 3, 3).astype(np.float32),
        v=RNG(3).randn(5, 3).astype(np.float32),
    )


def table_net() -> onnx.ModelProto:
    """A multi-layer perceptron on 7 numbers."""
    return little(
        """g (float[N,7] x) => (float[N,3] y) {
            a = Gemm<transB=1>(x, w, c) r = Relu(a) y = Gemm<transB=1>(r, v, b) }""",
        w=RNG(1).randn(9, 7).astype(np.float32),
        c=RNG(2).randn(9).astype(np.float32),
        v=RNG(3).randn(3, 9).astype(np.float32),
        b=RNG(4).randn(3).astype(np.float32),
    )


def two_input_net() -> onnx.ModelProto:
    """Two images of different sizes, each through its own Conv, then together."""
    return little(
        """g (float[N,3,8,8] left, float[N,1,8,8] right) => (float[N,3] y) {
            a = Conv<pads=[1,1,1,1]>(left, w) e = Relu(a) b = Conv<pads=[1,1,1,1]>(right, u) h = Relu(b)
            s = Add(e, h) p = GlobalAveragePool(s) f = Flatten(p) y = MatMul(f, v) }""",
        w=RNG(1).randn(5, 3, 3, 3).astype(np.float32),
        u=RNG(2).randn(5, 1, 3, 3).astype(np.float32),
        v=RNG(3).randn(5, 3).astype(np.float32),
    )


def gray_net(axes: int = 4) -> onnx.ModelProto:
    """Gray images, [N, 1, 12, 12] or without the channel axis [N, 12, 12]."""
    model = conv_net(channels=1)
    if axes == 3:
        graph = model.graph
        graph.node[0].input[0] = "t"
        graph.node.insert(0, helper.make_node("Unsqueeze", ["x", "one"], ["t"]))
        graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
        graph.input[0].CopyFrom(helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 12, 12]))
    return model
