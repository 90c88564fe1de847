"""Inspection: what would happen to a model, as text for a person and as JSON for a program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from rsp_onnx import Explainer, collect_activations, inspect_model, summary_numbers
from rsp_onnx.cli.main import main

from .little import conv_net, little, nhwc_net, table_net, two_input_net

REAL = {
    "squeezenet1.1_nchw_fp32": ("logits", 1000, "imagenet-torch", 25, 512),
    "squeezenet1.0_nchw_fp16": ("softmax", 1000, "imagenet-caffe", 25, 512),
    "mobilenet_v2_nhwc_fp32": ("softmax", 1001, "imagenet-tf", 52, 1280),
    "mobilenet_v2_nhwc_int8_qdq": ("softmax", 1001, "raw", 52, 1280),
    "resnet20_cifar10_nchw_fp32": ("logits", 10, "imagenet-torch", 19, 64),
}
WORDS = {
    "squeezenet1.1_nchw_fp32": ["opset 13 is lifted"],
    "squeezenet1.0_nchw_fp16": ["half precision", "ends in a softmax", "opset 7 is lifted", "batch size is fixed to 1"],
    "mobilenet_v2_nhwc_fp32": ["channels last (NHWC)", "ends in a softmax"],
    "mobilenet_v2_nhwc_int8_qdq": ["channels last (NHWC)", "is uint8", "quantised (int8)", "ends in a softmax"],
    "resnet20_cifar10_nchw_fp32": ["opset 13 is lifted"],
}


def text_of(path, *options):
    result = CliRunner().invoke(main, ["inspect", str(path), *options])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize("name", REAL)
def test_real_models(shared_data, name):
    path = shared_data / f"models/{name}.onnx"
    report = json.loads(text_of(path, "--json"))
    assert report == json.loads(json.dumps(inspect_model(path)))
    scores, classes, preset, convs, channels = REAL[name]
    assert (report["scores"], report["classes"], report["preprocessing"]["name"]) == (scores, classes, preset)
    assert report["explainable"]
    assert report["missing"] == []
    assert report["section"]["shape"][1] == channels
    forms = [row for row in report["forms"] if row["op"] == "Conv"]
    assert (
        len(forms) == convs == sum(r["count"] for r in report["ops"] if (r["op"], r["where"]) == ("Conv", "features"))
    )
    assert {row["form"] for row in forms} == {"z-box", "unfold", "gram"}
    assert all(row["operations"] > 0 and row["memory"] > 0 for row in forms)
    for words in WORDS[name]:
        assert any(words in note for note in report["warnings"]), words
    text = text_of(path)
    assert all(note in text for note in report["warnings"])
    assert f"scores  {classes} classes, {scores}" in text
    assert "Section: " + report["section"]["tensor"] in text
    assert max(map(len, text.splitlines())) < 700


def test_warnings_only_where_they_belong(shared_data):
    notes = inspect_model(shared_data / "models/squeezenet1.1_nchw_fp32.onnx")["warnings"]
    assert len(notes) == 1
    assert inspect_model(conv_net(), section="r")["warnings"][-1] == "Section 'r': named by the user."


def test_the_ops_add_up():
    report = inspect_model(conv_net(end="Softmax<axis=1>"))
    rows = {(r["op"], r["where"]): r for r in report["ops"]}
    assert {k: r["count"] for k, r in rows.items()} == {
        ("Conv", "features"): 1, ("Relu", "features"): 1, ("GlobalAveragePool", "head"): 1, ("Flatten", "head"): 1,
        ("Gemm", "head"): 1, ("Softmax", "beside"): 1,
    }  # fmt: skip
    assert all(r["explained"] for r in rows.values())
    totals = summary_numbers(report)
    assert totals["operations"] == report["forms"][0]["operations"]


def test_ops_without_a_rule_are_a_finding_not_an_error(tmp_path):
    net = little(
        """g (float[N,3,8,8] x) => (float[N,3] y) {
            a = my.Foo(x) b = Relu(a) c = my.Bar(b) d = my.Foo(c) e = GlobalAveragePool(d) y = Flatten(e) }"""
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(net.SerializeToString())
    report = json.loads(text_of(path, "--json"))
    assert sorted(report["missing"]) == ["my::Bar", "my::Foo"]
    assert not report["explainable"]
    assert report["forms"] == []
    text = text_of(path)
    assert text.count("<- no rule") == 2
    assert "No rule for: my::Bar, my::Foo. The model cannot be explained yet." in text
    assert "unknown classes" in text


def test_free_sizes_stay_free_in_the_report(tmp_path):
    report = inspect_model(conv_net(size=("H", "W")))
    assert report["inputs"][0]["shape"] == ["N", 3, "H", "W"]
    assert any("leaves its size free; this is for 3×224×224" in note for note in report["warnings"])
    given = inspect_model(conv_net(size=("H", "W")), input_shapes={"x": [None, 3, 32, 48]})
    assert given["section"]["shape"][2:] == [32, 48]


def test_inputs_of_all_kinds():
    assert [i["explained"] for i in inspect_model(two_input_net())["inputs"]] == [True, True]
    assert inspect_model(table_net())["preprocessing"] is None
    assert inspect_model(two_input_net())["preprocessing"] is None
    assert "channels last" in inspect_model(nhwc_net())["warnings"][0]


def test_metadata_of_the_digits(repo):
    report = inspect_model(repo / "models/digits_keras.onnx")
    assert (report["labels"], report["classes"], report["scores"]) == (10, 10, "sigmoid")
    assert report["preprocessing"]["source"] == "metadata"


@pytest.mark.parametrize("name", ["digits_pytorch", "digits_keras"])
def test_every_tensor_listed_can_be_had(repo, name):
    path = repo / f"models/{name}.onnx"
    tensors = inspect_model(path)["tensors"]
    explainer = Explainer(path, device="cpu")
    feeds = explainer.feeds(repo / "models/scenes/scene_0.png")
    found = collect_activations(path, feeds, [t["name"] for t in tensors], device="cpu")
    for tensor in tensors:
        array = found[tensor["name"]]
        assert str(array.dtype) == tensor["dtype"]
        assert len(array.shape) == len(tensor["shape"])
        assert all(not isinstance(d, int) or d == n for d, n in zip(tensor["shape"], array.shape, strict=True))
    passed = [t["name"] for t in tensors if t["relevance"]]
    assert set(passed) < set(explainer.explain(feeds, 1, tensors=passed).relevances)
    assert len(passed) > 10


def test_alternatives_are_sections_that_work(repo):
    path = repo / "models/digits_pytorch.onnx"
    report = inspect_model(path)
    assert report["section"]["tensor"] == "/digits/Relu_5_output_0"
    for name in report["alternatives"]:
        assert inspect_model(path, section=name)["section"]["tensor"] == name


def test_every_node_on_the_way_says_what_happens(repo):
    report = inspect_model(repo / "models" / "digits_vit.onnx")
    rows = {row["node"]: row for row in report["nodes"]}
    assert all(row["does"] and row["explained"] for row in rows.values())
    assert {row["where"] for row in rows.values()} == {"features", "head"}
    first, last = rows["/digits/stem/stem.0/Conv"], rows["/digits/dense/Gemm"]
    assert first["where"] == "features" and "z^B on the image" in first["does"]
    assert last["where"] == "head" and last["does"].startswith("g·Bᵀ")
    shown = CliRunner().invoke(main, ["inspect", str(repo / "models" / "digits_vit.onnx"), "--nodes"]).output
    assert all(name in shown for name in rows)


# ---- what an explanation costs ----


def test_the_cost_is_told_before_anything_runs(repo):
    path = repo / "models/digits_pytorch.onnx"
    cost = inspect_model(path)["cost"]
    assert set(cost) == {"operations", "forward_operations", "ratio", "peak_memory_bytes"}
    assert 3 < cost["operations"] / cost["forward_operations"] < 10
    assert 2 < cost["ratio"] < 60
    assert 5e6 < cost["peak_memory_bytes"] < 60e6
    text = text_of(path)
    assert f"about {cost['ratio']:.1f} × a forward pass" in text
    assert f"about {cost['peak_memory_bytes'] / 1e6:,.0f} MB at its peak" in text
    assert json.loads(text_of(path, "--json", "--no-cost"))["cost"] is None
    assert "forward pass" not in text_of(path, "--no-cost")


def test_the_cost_grows_with_the_picture():
    """Four times the pixels, four times the numbers to move; a fixed part of both stays."""
    small, large = (inspect_model(conv_net(size=(n, n)))["cost"] for n in (256, 512))
    assert 3 < large["operations"] / small["operations"] < 4.1
    assert 3 < large["forward_operations"] / small["forward_operations"] < 4.1
    assert large["peak_memory_bytes"] > 2 * small["peak_memory_bytes"]


def test_why_a_cost_cannot_be_told_is_a_note(monkeypatch):
    from rsp_onnx.errors import BadModel
    from rsp_onnx.explain import inspection

    def refuse(*given, **options):
        raise BadModel("It cannot be compiled.")

    monkeypatch.setattr(inspection, "compile_ir", refuse)
    report = inspect_model(conv_net())
    assert report["cost"] is None
    assert report["warnings"][-1] == "What an explanation costs is not told: It cannot be compiled."


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say a process's peak memory")
@pytest.mark.parametrize("name", ["squeezenet1.1_nchw_fp32", "vgg16"])
def test_the_memory_told_is_within_a_fifth_of_what_a_process_takes(repo, request, tmp_path, name):
    if name == "vgg16":
        zoo = pytest.importorskip("tests.zoo")
        path = tmp_path / "vgg16.onnx"
        onnx.save(zoo.export(zoo.full_vgg16(), (1, 3, 224, 224)), path)
    else:
        path = request.getfixturevalue("shared_data") / f"models/{name}.onnx"
    report = inspect_model(path)
    picture = {report["inputs"][0]["name"]: np.random.default_rng(0).random((1, 3, 224, 224), dtype=np.float32)}
    np.savez(tmp_path / "feeds.npz", **picture)
    task = {"kind": "memory of explaining", "path": str(path), "feeds": str(tmp_path / "feeds.npz")}
    command = [sys.executable, "-m", "benchmarks.measure.job", json.dumps(task)]
    empty = {**os.environ, "RSP_ONNX_CACHE": str(tmp_path / "cache")}  # the first time takes most
    done = subprocess.run(command, cwd=repo, env=empty, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    taken = json.loads(done.stdout.splitlines()[-1])[0]["median"]
    assert report["cost"]["peak_memory_bytes"] == pytest.approx(taken, rel=0.2)
