"""Attention in half precision: what ONNX Runtime crashed on, run in a process of its own, against its float32 twin."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from rsp_onnx import compile_explainer

from .running import asked, relative_l2, run

RUN = """
import sys, numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.log_severity_level = 3
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
known = {v.name for v in session.get_inputs()}
feeds = {name: x for name, x in np.load(sys.argv[2]).items() if name in known}
np.save(sys.argv[3], session.run(["relevance"], feeds)[0])
"""


def attention(word):
    """A patch embedding and one attention head beside another, as PyTorch writes it for one image."""
    model = parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        vit ({word}[1, 3, 8, 8] x) => ({word}[1, 4] y)
        <int64[3] rows = {{1, 8, 16}}, int64[3] heads = {{16, 2, 4}}, int64[3] tokens = {{1, 16, 8}},
         int64[1] one = {{1}}> {{
            c = Conv<kernel_shape = [2, 2], strides = [2, 2]>(x, w)
            r = Reshape(c, rows)
            t = Transpose<perm = [2, 0, 1]>(r)
            q0 = MatMul(t, wq)  q1 = Reshape(q0, heads)  q = Transpose<perm = [1, 0, 2]>(q1)
            k0 = MatMul(t, wk)  k1 = Reshape(k0, heads)  k = Transpose<perm = [1, 2, 0]>(k1)
            v0 = MatMul(t, wv)  v1 = Reshape(v0, heads)  v = Transpose<perm = [1, 0, 2]>(v1)
            s = MatMul(q, k)  a = Softmax(s)  m = MatMul(a, v)
            b = Transpose<perm = [1, 0, 2]>(m)  f = Reshape(b, tokens)
            p = ReduceMean<keepdims = 0>(f, one)
            y = MatMul(p, wo)
        }}""")
    rng, kind = np.random.default_rng(0), {"float": np.float32, "float16": np.float16}[word]
    for name, shape in {"w": (8, 3, 2, 2), "wq": (8, 8), "wk": (8, 8), "wv": (8, 8), "wo": (8, 4)}.items():
        array = rng.normal(scale=0.5, size=shape).astype(np.float16)  # the same numbers in both
        model.graph.initializer.append(numpy_helper.from_array(array.astype(kind), name))
    return model


def in_a_process(model, feeds, folder):
    """Run a compiled explainer where a crash of the runtime's is a failure of this test alone."""
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "feeds.npz", **feeds)
    names = [str(folder / name) for name in ("model.onnx", "feeds.npz", "relevance.npy")]
    done = subprocess.run([sys.executable, "-c", RUN, *names], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return np.load(names[2])


@pytest.mark.parametrize("method", ["gradient", "rsp"])
def test_attention_in_half_precision_is_explained_as_in_single(method, tmp_path):
    x = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float16)
    half = in_a_process(compile_explainer(attention("float16"), method), {"x": x, **asked(2)}, tmp_path)
    single = run(compile_explainer(attention("float"), method), {"x": x.astype(np.float32), **asked(2)})["relevance"]
    assert relative_l2(half, single) < 5e-3  # float16 has ten bits; measured: 1.6e-3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient", "rsp"])
def test_a_vit_in_half_precision_is_explained_as_in_single(shared_data, method, tmp_path):
    files = ("fp16__vit_mini_dynamo__onnxconverter-keepio.onnx", "torchvision__vit_mini__dynamo-op20.onnx")
    paths = [shared_data / "graphs" / name for name in files]
    if not all(path.is_file() for path in paths):
        pytest.skip("the battery's exports are not in ../shared/data")
    value = onnx.load(paths[0]).graph.input[0]
    size = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
    feeds = {value.name: np.random.default_rng(1).normal(size=size).astype(np.float32), **asked(2)}
    half = in_a_process(compile_explainer(str(paths[0]), method), feeds, tmp_path)
    twin = compile_explainer(str(paths[1]), method)
    feeds[twin.graph.input[0].name] = feeds[value.name]
    single = run(twin, {name: a for name, a in feeds.items() if name in {i.name for i in twin.graph.input}})
    assert relative_l2(half, single["relevance"]) < 5e-3  # measured: 2.2e-3
