"""Scalers, linear classifiers and normalisers of ai.onnx.ml are held to the standard ops they stand for."""

import numpy as np
import onnx
import pytest

from rsp_onnx import Explainer, compile_explainer, inspect_model
from rsp_onnx.errors import UnsupportedOp
from rsp_onnx.testing.checks import rule_model, sample_inputs, vjp_model

from .running import run

HEAD = '<ir_version: 8, opset_import: ["" : 18, "ai.onnx.ml" : 3]> a (float[N, 4] x) => (float[N, {width}] y) '
W = np.random.default_rng(0).uniform(-1, 1, (3, 4)).round(3)
FLAT = ", ".join(map(str, W.ravel()))
ONE = ", ".join(map(str, W[0]))
LINEAR = f"label, {{out}} = ai.onnx.ml.LinearClassifier<coefficients = [{FLAT}], intercepts = [0.1, -0.2, 0.3],"
LINEAR += ' classlabels_ints = [0, 1, 2], post_transform = "{kind}">({x})'
GEMM = f"w = Constant<value = float[3, 4] {{{{{FLAT}}}}}>() b = Constant<value = float[3] {{{{0.1, -0.2, 0.3}}}}>()"
GEMM += " {out} = Gemm<transB = 1>({x}, w, b)"
BOTH = ", ".join(map(str, np.concatenate([-W[0], W[0]])))

LAST = "a = Constant<value = int64[1] {1}>() "
LABELLED = '<ir_version: 8, opset_import: ["" : 18, "ai.onnx.ml" : 1]> a (float[N, 4] x) => '
LABELLED += "(int64[N] best, float[N, 3] p) "

PAIRS = {
    "Scaler": (4, "h = ai.onnx.ml.Scaler<offset = [1.0, 2.0, 0.5, 0.0], scale = [0.5, 2.0, 1.0, 3.0]>(x) y = Relu(h)",
               "o = Constant<value = float[4] {1.0, 2.0, 0.5, 0.0}>()"
               " s = Constant<value = float[4] {0.5, 2.0, 1.0, 3.0}>() d = Sub(x, o) h = Mul(d, s) y = Relu(h)"),
    "LinearClassifier": (3, "h = Relu(x) " + LINEAR.format(out="y", kind="NONE", x="h"),
                         "h = Relu(x) " + GEMM.format(out="y", x="h")),
    "a softmax behind it": (3, "h = Relu(x) " + LINEAR.format(out="p", kind="SOFTMAX", x="h") + " y = Mul(p, p)",
                            "h = Relu(x) " + GEMM.format(out="s", x="h") + " p = Softmax(s) y = Mul(p, p)"),
    "a logistic behind it": (3, "h = Relu(x) " + LINEAR.format(out="p", kind="LOGISTIC", x="h") + " y = Mul(p, p)",
                             "h = Relu(x) " + GEMM.format(out="s", x="h") + " p = Sigmoid(s) y = Mul(p, p)"),
    "two classes from one row": (2, f"h = Relu(x) label, y = ai.onnx.ml.LinearClassifier<coefficients = [{ONE}], "
                                 'intercepts = [0.5], classlabels_ints = [0, 1], post_transform = "NONE">(h)',
                                 f"h = Relu(x) w = Constant<value = float[2, 4] {{{BOTH}}}>() "
                                 "b = Constant<value = float[2] {-0.5, 0.5}>() y = Gemm<transB = 1>(h, w, b)"),
    "LinearRegressor": (3, f"h = Relu(x) y = ai.onnx.ml.LinearRegressor<coefficients = [{FLAT}], targets = 3, "
                        "intercepts = [0.1, -0.2, 0.3]>(h)", "h = Relu(x) " + GEMM.format(out="y", x="h")),
    "a softmax behind a regression": (3, f"h = Relu(x) p = ai.onnx.ml.LinearRegressor<coefficients = [{FLAT}], "
                                      'targets = 3, post_transform = "SOFTMAX">(h) y = Mul(p, p)',
                                      f"h = Relu(x) w = Constant<value = float[3, 4] {{{FLAT}}}>() "
                                      "s = Gemm<transB = 1>(h, w) p = Softmax(s) y = Mul(p, p)"),
    "L1": (4, 'y = ai.onnx.ml.Normalizer<norm = "L1">(x)', LAST + "n = ReduceL1(x, a) y = Div(x, n)"),
    "L2": (4, 'y = ai.onnx.ml.Normalizer<norm = "L2">(x)', LAST + "n = ReduceL2(x, a) y = Div(x, n)"),
    "MAX": (4, 'y = ai.onnx.ml.Normalizer<norm = "MAX">(x)',
            LAST + "n = ReduceMax(x, a) y = Div(x, n)"),
    "columns": (2, "i = Constant<value = int64[2] {3, 0}>() y = ai.onnx.ml.ArrayFeatureExtractor(x, i)",
                "i = Constant<value = int64[2] {3, 0}>() y = Gather<axis = 1>(x, i)"),
    "vectors side by side": (8, "h = Relu(x) y = ai.onnx.ml.FeatureVectorizer<inputdimensions = [4, 4]>(x, h)",
                             "h = Relu(x) y = Concat<axis = 1>(x, h)"),
    "Imputer": (4, "y = ai.onnx.ml.Imputer<imputed_value_floats = [1.0], replaced_value_float = 0.25>(x)",
                "y = Identity(x)"),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_the_gradient_is_that_of_the_standard_ops(name):
    width, own, standard = PAIRS[name]
    x = sample_inputs(HEAD.format(width=width) + f"{{ {standard} }}")
    g = np.random.default_rng(1).normal(size=(2, 2, width)).astype(np.float32)
    got, want = (run(vjp_model(HEAD.format(width=width) + f"{{ {text} }}"), {**x, "g": g}) for text in (own, standard))
    np.testing.assert_allclose(got["gradient/x"], want["gradient/x"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["Scaler", "LinearClassifier", "LinearRegressor", "two classes from one row",
                                  "columns", "Imputer", "vectors side by side"])  # fmt: skip
def test_relevance_is_that_of_the_standard_ops(name):
    width, own, standard = PAIRS[name]
    x = sample_inputs(HEAD.format(width=width) + f"{{ {standard} }}", low=0.5, high=3.0)
    r = np.random.default_rng(1).uniform(0.1, 1, (2, 2, width)).astype(np.float32)
    got, want = (run(rule_model(HEAD.format(width=width) + f"{{ {text} }}"), {**x, "g": r}) for text in (own, standard))
    np.testing.assert_allclose(got["relevance/x"], want["relevance/x"], rtol=0, atol=1e-6)


def network_with_map(labels):
    text = (
        LABELLED
        + "{ "
        + "h = Relu(x) "
        + GEMM.format(out="s", x="h")
        + " p = Softmax(s) best = ArgMax<axis = 1, keepdims = 0>(p) }"
    )
    model = onnx.parser.parse_model(text)
    model.graph.node.append(onnx.helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", **labels))
    value = onnx.TypeProto()
    kind = onnx.TensorProto.STRING if "classlabels_strings" in labels else onnx.TensorProto.INT64
    inner = onnx.helper.make_map_type_proto(kind, onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, []))
    value.CopyFrom(onnx.helper.make_sequence_type_proto(inner))
    del model.graph.output[1]
    model.graph.output.append(onnx.ValueInfoProto(name="maps", type=value))
    return model


def test_a_map_from_labels_to_probabilities_is_explained_by_the_tensor_it_is_made_of():
    model = network_with_map({"classlabels_strings": ["cat", "dog", "owl"]})
    untouched = model.SerializeToString()
    explainer = Explainer(model)
    assert model.SerializeToString() == untouched
    x = sample_inputs('<ir_version: 8, opset_import: ["" : 18]> a (float[N, 4] x) => (y) { y = Relu(x) }')["x"]
    found = explainer.explain(x[0], target="owl")
    assert (found.target, found.label) == (2, "owl")
    assert np.isfinite(found.relevance).all() and found.relevance.any()
    assert inspect_model(network_with_map({"classlabels_int64s": [7, 8, 9]}))["outputs"][1]["name"] == "p"


def forest():
    tree = onnx.helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", name="forest", nodes_treeids=[0],
        nodes_nodeids=[0], nodes_featureids=[0], nodes_modes=["LEAF"], nodes_values=[0.0], nodes_truenodeids=[0],
        nodes_falsenodeids=[0], class_treeids=[0], class_nodeids=[0], class_ids=[0], class_weights=[1.0],
        classlabels_int64s=[0, 1],
    )  # fmt: skip
    inputs = [onnx.helper.make_tensor_value_info("x", 1, ["N", 4])]
    outputs = [
        onnx.helper.make_tensor_value_info("label", 7, ["N"]),
        onnx.helper.make_tensor_value_info("p", 1, ["N", 2]),
    ]
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 1)]
    graph = onnx.helper.make_graph([tree], "forest", inputs, outputs)
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)


def test_a_tree_is_refused_with_the_reason_and_the_method_that_works():
    why = "'forest'; a decision tree is a step function and has no gradient: explain the model without looking inside "
    with pytest.raises(UnsupportedOp, match=why + r"\(--method occlusion or --method rise\)"):
        compile_explainer(forest())
    assert {"relevance", "p"} <= {v.name for v in compile_explainer(forest(), "occlusion").graph.output}
    report = inspect_model(forest())
    assert report["missing"] == ["ai.onnx.ml::TreeEnsembleClassifier"] and not report["explainable"]
    assert [row["does"] for row in report["nodes"]] == ["a decision tree is a step function and has no gradient"]
